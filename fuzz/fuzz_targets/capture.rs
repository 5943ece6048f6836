//! libFuzzer's way into `tests/fuzz/capture.rs`.
#![no_main]
#![allow(dead_code, reason = "each target has the bodies of all")]

#[path = "../../tests/xml/allowed.rs"]
mod allowed;
#[path = "../../tests/fuzz/mod.rs"]
mod fuzz;
#[path = "../../tests/xml/oracles.rs"]
mod oracles;
#[path = "../../tests/xml/mod.rs"]
mod xml;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::run("capture", data));
