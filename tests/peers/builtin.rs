//! The built-in server, on a thread of its own for as long as the tests run; its clients, and what they do.

use super::{Client, Login};
use iqtap::loopback::{Loopback, Options};
use serde_json::{Value, json};
use std::path::Path;
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

/// A client of it, on this port or behind iqtap on that.
pub(crate) fn somebody(port: u16, name: &str, resource: &str, steps: &Value) -> Client {
    let nowhere = Path::new("/nowhere");
    let login = Login { port, tls: "off", user: name, password: "NiemandsWort", ca: nowhere, mechanism: Some("PLAIN") };
    Client::start_with(&login, &json!({ "resource": resource, "answers": true }), steps)
}

/// The step that sends this.
pub(crate) fn raw(label: &str, xml: &str) -> Value {
    json!({ "do": "raw", "as": label, "xml": xml })
}

/// The step that waits for the test.
pub(crate) fn go(label: &str) -> Value {
    json!({ "do": "go", "as": label })
}

/// The step that waits for this text, whatever it stands in.
pub(crate) fn sees(text: &str) -> Value {
    json!({ "do": "sees", "as": format!("sees {text}"), "text": text })
}

/// The step that waits for the error that the message or presence of this id has led to.
pub(crate) fn refused(id: &str) -> Value {
    json!({ "do": "refused", "as": format!("refused {id}"), "id": id })
}

/// The step that waits for so many pushes of the list of those who are blocked.
pub(crate) fn pushes(count: usize) -> Value {
    json!({ "do": "pushes", "as": format!("pushes {count}"), "count": count })
}
