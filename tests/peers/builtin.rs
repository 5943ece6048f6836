//! The built-in server, on a thread of its own for as long as the tests run.

use iqtap::loopback::{Loopback, Options};
use std::sync::mpsc::channel;

/// Starts one; its port. It serves whatever domain is asked for, in clear text, and lets anybody in by PLAIN.
pub(crate) fn builtin() -> u16 {
    let (told, port) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Loopback::bind(([127, 0, 0, 1], 0).into(), Options::default()).await.unwrap();
            told.send(server.local_addr().unwrap().port()).unwrap();
            server.run(std::future::pending()).await;
        });
    });
    port.recv().unwrap()
}
