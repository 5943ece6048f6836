//! What Wireshark records of XMPP in the clear, between programs that are not ours, read by iqtap.
//!
//! A test whose peers are not installed says so and is skipped; where `CI` is set it fails instead.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{Capture, Client, Login, Need, PATIENCE, Prosody, check_book, check_formed, check_pairs, have, run, user};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Recording on loopback; ends when dropped.
struct Recording {
    child: Child,
}

impl Recording {
    /// Records a port from now on; none if this user may not record.
    fn start(port: u16, file: &Path) -> Option<Self> {
        let mut command = Command::new("dumpcap");
        command.args(["-i", "lo", "-q", "-f", &format!("tcp port {port}"), "-w"]).arg(file);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let mut lines = BufReader::new(child.stderr.take()?).lines();
        let mut said = String::new();
        // It opens the device before it says where it writes.
        let begun = lines.by_ref().map_while(Result::ok).any(|line| {
            said.push_str(&line);
            line.starts_with("File: ")
        });
        if !begun {
            let _ = child.wait();
            let why = format!("skipped: dumpcap may not record here ({said})\n");
            assert!(std::env::var_os("CI").is_none(), "{why}");
            std::io::stderr().write_all(why.as_bytes()).unwrap();
            return None;
        }
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child })
    }

    /// Waits until the file holds this, then ends the recording.
    fn stop_after(mut self, file: &Path, what: &[u8]) {
        let until = Instant::now() + PATIENCE;
        while memchr::memmem::find(&fs::read(file).unwrap_or_default(), what).is_none() {
            assert!(Instant::now() < until, "it was not recorded");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        // The last acknowledgements.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// slixmpp and Prosody in the clear, without iqtap, recorded by Wireshark: shown, checked and listed as if iqtap had been there.
#[test]
fn a_recording_of_wiresharks_is_read() {
    if !have(&[Need::Prosody, Need::Slixmpp, Need::Tshark]) {
        return;
    }
    let prosody = Prosody::shared();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lo.pcapng");
    let Some(recording) = Recording::start(prosody.port, &file) else { return };
    let (name, password) = user(0);
    let (port, ca) = (prosody.port, &prosody.certs.ca);
    let login = Login { port, tls: "off", user: &name, password: &password, ca, mechanism: None };
    let children = ["<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:version'/>"];
    let steps = json!([
        "login", "disco", "roster", "version", "vcard_get", "ping",
        { "do": "message", "body": "Ein Gruß an mich" },
        { "do": "message", "as": "long message", "body": "Öfter mal was Längeres. ".repeat(4000) },
        { "do": "iq", "as": "two children", "children": children },
        "presence",
    ]);
    let seen = Client::run(&login, &steps);
    seen.ok("long message");
    recording.stop_after(&file, b"</stream:stream>");

    let path = file.to_str().unwrap();
    check_formed(&Capture(&file), &["-d", &format!("tcp.port=={port},xmpp")]);
    check_pairs(&Capture(&file), &["-d", &format!("tcp.port=={port},xmpp")]);
    check_book(&Capture(&file), "1");

    let (code, out, err) = run(&["check", path, "--as", "json"]);
    assert_eq!(code, Some(1), "{out}\n{err}");
    let found: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<_> = found.iter().filter_map(|event| event["findings"][0]["code"].as_str()).collect();
    assert_eq!(codes, ["rule5"], "the two children, and nothing else\n{out}");

    let (code, out, err) = run(&["show", path, "--as", "lines"]);
    assert_eq!(code, Some(0), "{err}");
    for words in ["joined to xmpp.test", "authenticates by SCRAM-", "bound to ", "ping", "└ rule 5:", "over after"] {
        assert!(out.contains(words), "{words} is not in\n{out}");
    }
    let (_, raw, _) = run(&["show", path, "--as", "xml"]);
    assert!(raw.contains(&"Öfter mal was Längeres. ".repeat(4000)), "a long stanza, over many packets");

    // The same as a classic capture.
    let classic = dir.path().join("lo.pcap");
    let converted = Command::new("editcap").args(["-F", "pcap"]).arg(&file).arg(&classic).status();
    assert!(converted.unwrap().success());
    let (code, again, err) = run(&["show", classic.to_str().unwrap(), "--as", "lines"]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(again, out);
}
