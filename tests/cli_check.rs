//! `iqtap check`, as people and continuous integration call it.
#![expect(clippy::unwrap_used, reason = "a test that cannot run the program has failed")]

mod read_support;

use iqtap::capture::read::{Options, Reader};
use iqtap::policy::Policy;
use iqtap::replay::Check;
use iqtap::rules::Severity;
use read_support::{ANSWER, CALLER, HEADER, LISTENER, Wire, damaged, sound};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn check(arguments: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iqtap")).arg("check").args(arguments).current_dir(dir).output().unwrap()
}

fn piped(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.arg("check").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What the demo records: real sockets, the built-in server, rules enforced, a script.
fn demo(dir: &Path) -> PathBuf {
    let path = dir.join("demo.pcapng");
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.args(["demo", "--once", "--listen", "127.0.0.1:0", "--record"]).arg(&path);
    let output = command.arg("--data-dir").arg(dir.join("data")).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    path
}

/// A conversation in which nothing is wrong, and one in which two things are.
fn fine_and_broken(dir: &Path) {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.send(CALLER, "<presence/>");
    let mut broken = wire.clone();
    wire.close();
    fs::write(dir.join("fine.pcap"), wire.pcap()).unwrap();
    broken.send(CALLER, "<iq type='get' id='1'/>");
    broken.send(LISTENER, "<iq type='result'><a xmlns='x'/></iq>");
    broken.close();
    fs::write(dir.join("broken.pcap"), broken.pcap()).unwrap();
}

#[test]
fn what_was_recorded_of_the_demo_is_checked_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    demo(dir.path());
    let told = check(&["demo.pcapng"], dir.path());
    assert_eq!(told.status.code(), Some(1), "{}", text(&told.stderr));
    let out = text(&told.stdout);
    let broken = ["rule 1: ", "rule 2: ", "rule 5: ", "rule 6: ", "rule 7: "];
    for words in broken.iter().chain(&[
        "from the client id=",
        "total: 2 sessions in ",
        "iq requests ",
        "not forwarded: 5; rewritten: 2",
    ]) {
        assert!(out.contains(words), "{words} is not in\n{out}");
    }
    assert_eq!(text(&told.stderr), "iqtap: 6 findings\n");

    let told = check(&["demo.pcapng", "--as", "json", "--severity", "info"], dir.path());
    let events: Vec<Value> = text(&told.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["file"] == "demo.pcapng"));
    let codes: Vec<_> = events.iter().filter_map(|event| event["findings"][0]["code"].as_str()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "rule7-3920").count(), 1, "{codes:?}");
    assert_eq!((codes.len(), events.len()), (7, 8), "{events:?}");
    assert_eq!(events[7]["event"], "total");
    assert!(events[0]["number"].as_u64().unwrap() > 10, "{}", events[0]);

    let told = check(&["demo.pcapng", "--as", "junit"], dir.path());
    assert_eq!(told.status.code(), Some(1));
    let report = text(&told.stdout);
    let mut reader = quick_xml::Reader::from_str(&report);
    let (mut cases, mut failures) = (0, 0);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(tag) | quick_xml::events::Event::Empty(tag) => match tag.name().as_ref() {
                "testcase" => cases += 1,
                "failure" => failures += 1,
                _ => {}
            },
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!((cases, failures), (16, 5), "{report}");
}

#[test]
fn the_exit_code_says_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    fine_and_broken(dir.path());
    let code = |arguments: &[&str]| check(arguments, dir.path()).status.code();
    assert_eq!(code(&["fine.pcap"]), Some(0));
    assert_eq!(code(&["broken.pcap"]), Some(1));
    assert_eq!(code(&["broken.pcap", "--rules", "rule2,iq-spoof"]), Some(0));
    assert_eq!(code(&["broken.pcap", "--rules", "request-child"]), Some(1));
    assert_eq!(code(&["broken.pcap", "--rules", "rule99"]), Some(2));
    assert_eq!(code(&["broken.pcap", "--severity", "loud"]), Some(2));
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["missing.pcap"]), Some(3));
    assert_eq!(code(&["."]), Some(3));
    fs::write(dir.path().join("thesis.odt"), "PK").unwrap();
    let said = check(&["thesis.odt"], dir.path());
    assert_eq!(said.status.code(), Some(3));
    assert!(text(&said.stderr).contains("thesis.odt: it is neither a capture"), "{}", text(&said.stderr));
    // What can be read is read, and that it is not all is said.
    let broken = fs::read(dir.path().join("broken.pcap")).unwrap();
    fs::write(dir.path().join("cut.pcap"), &broken[..broken.len() - 150]).unwrap();
    let said = check(&["cut.pcap"], dir.path());
    assert_eq!(said.status.code(), Some(3));
    assert!(text(&said.stdout).contains("rule 5: "), "{}", text(&said.stdout));
    assert!(text(&said.stderr).contains("cut.pcap: cut off: it ends with"), "{}", text(&said.stderr));
}

#[test]
fn a_capture_in_which_nothing_can_be_read_is_not_called_fine() {
    let dir = tempfile::tempdir().unwrap();
    let mut wire = Wire::open([40_000, 5222]);
    wire.send(CALLER, b"\x16\x03\x01\x00\x05hello");
    fs::write(dir.path().join("tls.pcap"), wire.pcap()).unwrap();
    let mut http = Wire::open([40_000, 80]);
    http.send(CALLER, b"GET / HTTP/1.1\r\n\r\n");
    fs::write(dir.path().join("http.pcap"), http.pcap()).unwrap();
    for (file, why) in [("tls.pcap", "is encrypted"), ("http.pcap", "no XMPP in the clear")] {
        let said = check(&[file], dir.path());
        assert_eq!(said.status.code(), Some(3), "{file}");
        assert!(text(&said.stderr).contains(why), "{}", text(&said.stderr));
    }
}

#[test]
fn several_files_are_told_of_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    fine_and_broken(dir.path());
    let names: Vec<String> = (0..20).map(|number| format!("{number}.pcap")).collect();
    for (number, name) in names.iter().enumerate() {
        let from = if number % 2 == 0 { "fine.pcap" } else { "broken.pcap" };
        fs::copy(dir.path().join(from), dir.path().join(name)).unwrap();
    }
    let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    let said = check(&arguments, dir.path());
    assert_eq!(said.status.code(), Some(1));
    let out = text(&said.stdout);
    let headings: Vec<&str> = out.lines().filter(|line| line.ends_with(".pcap:")).collect();
    assert_eq!(headings, names.iter().map(|name| format!("{name}:")).collect::<Vec<_>>());
    assert_eq!(text(&said.stderr), "iqtap: 20 findings in 10 of 20 files\n");
    let parts: Vec<&str> = out.split(".pcap:\n").skip(1).collect();
    assert!(parts.iter().enumerate().all(|(number, part)| part.contains("rule 5:") == (number % 2 == 1)), "{out}");
}

#[test]
fn stdin_is_read_whatever_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    fine_and_broken(dir.path());
    let broken = fs::read(dir.path().join("broken.pcap")).unwrap();
    assert_eq!(piped(&["-"], &broken).status.code(), Some(1));
    let stanza = b"<iq type='get' id='1'><a xmlns='x'/><b xmlns='x'/></iq>";
    let said = piped(&["-"], stanza);
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stdout).contains("from the client id=1"), "{}", text(&said.stdout));
    assert!(text(&piped(&["-", "--from", "server"], stanza).stdout).contains("from the server id=1"));
    assert_eq!(piped(&["-"], b"<iq type='result' id='nobody-asked'/>").status.code(), Some(0));
    assert_eq!(piped(&["-"], b"<log/>").status.code(), Some(0));
    assert_eq!(piped(&["-"], b"").status.code(), Some(3));
}

/// What the exit code must be for a file.
fn expected(file: &[u8]) -> i32 {
    let Ok(mut reader) = Reader::new(file, &Options::default()) else { return 3 };
    let mut check = Check::new(Policy::default(), Severity::Violation);
    let mut begun = 0;
    for event in reader.by_ref() {
        begun += usize::from(matches!(event, iqtap::capture::read::Event::Begins { .. }));
        check.event(&event, &mut |_| {});
    }
    let report = check.finish();
    match report.found {
        _ if !report.damage.is_empty() || (begun == 0 && reader.packets() > 0) => 3,
        0 => 0,
        _ => 1,
    }
}

#[test]
fn damaged_captures_end_with_a_message_and_the_right_exit_code() {
    const FILES: u64 = 1000;
    let dir = tempfile::tempdir().unwrap();
    let sound = sound();
    let mut names = Vec::new();
    let mut codes = Vec::new();
    for seed in 0..FILES {
        let file = damaged(&sound[seed as usize % sound.len()], 77_000 + seed);
        codes.push(expected(&file));
        names.push(format!("{seed:04}.pcap"));
        fs::write(dir.path().join(&names[seed as usize]), file).unwrap();
    }
    for code in [0, 1, 3] {
        assert!(codes.iter().filter(|found| **found == code).count() > 30, "{code} hardly ever happens");
    }
    // Each by itself for a part of them, to see its code; the others in parcels, which is quicker.
    for (name, code) in names.iter().zip(&codes).take(150) {
        let said = check(&[name], dir.path());
        let err = text(&said.stderr);
        assert_eq!(said.status.code(), Some(*code), "{name}: {err}");
        assert_eq!(*code == 0, err.is_empty(), "{name}: {err}");
    }
    for (names, codes) in names.chunks(50).zip(codes.chunks(50)).skip(3) {
        let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
        let said = check(&arguments, dir.path());
        let err = text(&said.stderr);
        assert_eq!(said.status.code(), codes.iter().copied().max(), "{names:?}: {err}");
        for (name, _) in names.iter().zip(codes).filter(|(_, code)| **code == 3) {
            assert!(err.contains(&format!("iqtap: {name}: ")), "{name} is not spoken of in\n{err}");
        }
        assert!(!err.contains("panicked"), "{err}");
    }
}
