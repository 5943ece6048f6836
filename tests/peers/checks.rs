//! What must hold of every capture, and of every IQ that was let through.

use super::{Capture, Element, Seen, items};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Wireshark, told nothing about the file, shows every IQ the clients sent and got, and finds nothing wrong with any packet.
pub(crate) fn check_readable(capture: &Capture<'_>, clients: &[&Seen]) {
    let listed = capture.tshark(&["-Y", "xmpp.iq"]);
    let ids = capture.field("xmpp.iq", "xmpp.id");
    assert_eq!(listed.len(), ids.len());
    for iq in clients.iter().flat_map(|seen| [seen.sent(), seen.received()]).flat_map(items).filter(|e| e.name == "iq")
    {
        let id = iq.attribute("id").unwrap_or_default();
        assert!(ids.iter().any(|line| line.split(',').any(|shown| shown == id)), "tshark does not show {}", iq.xml);
    }
    // The dissector calls any `</stream:stream>` malformed, in captures of a network card too: its beginning was in
    // another packet.
    let trouble = "(_ws.malformed || _ws.expert.severity >= 0x00600000) && !xmpp.stream_end || tcp.analysis.flags";
    assert_eq!(capture.tshark(&["-Y", trouble]), Vec::<String>::new());
    // One file of several may hold few IQs; whoever names no client looks at all of them together.
    let agreed = pairs(capture, &[]);
    assert!(clients.is_empty() || agreed >= FEW, "{agreed} pairs");
}

/// Wireshark calls no packet malformed, but for the end tag alone (see [`check_readable`]). `options` are for tshark.
pub(crate) fn check_formed(capture: &Capture<'_>, options: &[&str]) {
    let malformed = capture.tshark(&[options, &["-2", "-Y", "_ws.malformed && !xmpp.stream_end"]].concat());
    assert_eq!(malformed, Vec::<String>::new());
}

/// In what is recorded of a client there are at least so many requests: a check of fewer has seen nothing.
const FEW: usize = 3;

/// `iqtap ARGUMENTS`: its exit code and what it printed.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_iqtap")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Wireshark's two passes and `iqtap ledger` agree on which answer belongs to which request, and on what was not answered.
/// `options` are for tshark. It goes by the id alone: where one is used twice in a conversation, it knows one answer only, and none without an id.
pub(crate) fn check_pairs(capture: &Capture<'_>, options: &[&str]) {
    let agreed = pairs(capture, options);
    assert!(agreed >= FEW, "{agreed} pairs");
}

/// The same; gives how many requests they agree on.
pub(crate) fn pairs(capture: &Capture<'_>, options: &[&str]) -> usize {
    let fields = ["frame.number", "tcp.stream", "xmpp.type", "xmpp.id", "xmpp.response_in"];
    let fields: Vec<&str> = fields.iter().flat_map(|field| ["-e", *field]).collect();
    let lines = capture.tshark(&[options, &["-2", "-Y", "xmpp.iq", "-T", "fields"], &fields[..]].concat());
    let (mut theirs, mut used) = (BTreeMap::new(), BTreeMap::<(String, String), usize>::new());
    for line in &lines {
        let [frame, stream, kind, id, answer] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        if matches!(kind, "get" | "set") && !id.is_empty() {
            *used.entry((stream.to_owned(), id.to_owned())).or_default() += 1;
            let answer = if answer.is_empty() { None } else { Some(answer.parse::<u64>().unwrap()) };
            theirs.insert(frame.parse::<u64>().unwrap(), (stream.to_owned(), id.to_owned(), answer));
        }
    }
    theirs.retain(|_, (stream, id, _)| used[&(stream.clone(), id.clone())] == 1);
    let (code, out, err) = run(&["ledger", capture.0.to_str().unwrap(), "--all", "--as", "json"]);
    assert_eq!(code, Some(0), "{err}");
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ours: BTreeMap<u64, Option<u64>> =
        rows.iter().map(|row| (row["frame"].as_u64().unwrap(), row["answer"]["frame"].as_u64())).collect();
    for (frame, (_, id, answer)) in &theirs {
        assert_eq!(ours.get(frame), Some(answer), "the request {id} in frame {frame}\n{out}");
    }
    let unpaired =
        |id: &Value| id.is_null() || used.iter().any(|((_, known), count)| id == known.as_str() && *count > 1);
    let only_ours: BTreeSet<u64> = rows
        .iter()
        .filter(|row| !unpaired(&row["id"]) && row["id"] != "")
        .filter_map(|row| row["frame"].as_u64().filter(|frame| !theirs.contains_key(frame)))
        .collect();
    assert_eq!(only_ours, BTreeSet::new(), "{out}");
    theirs.len()
}

/// The first session of a capture becomes a playbook that holds.
pub(crate) fn check_book(capture: &Capture<'_>, session: &str) {
    let (code, book, err) = run(&["show", capture.0.to_str().unwrap(), "--as", "play", "--session", session]);
    assert_eq!(code, Some(0), "{err}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it.play");
    std::fs::write(&path, &book).unwrap();
    let (code, out, err) = run(&["script", "test", path.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}\n{err}\n{book}");
}

/// Whatever is in it happens again under the same flags, and the same is sent.
pub(crate) fn check_replays(capture: &Capture<'_>, flags: &[&str]) {
    let (code, out, err) = run(&[&["replay", capture.0.to_str().unwrap()], flags].concat());
    assert!(code == Some(0) && out.ends_with(": the same is sent\n"), "{out}{err}");
}

/// Neither the password nor anything SASL said stands in the file or in what was printed, in any coat.
pub(crate) fn check_no_secret(capture: &Capture<'_>, printed: &str, name: &str, password: &str, clients: &[&Seen]) {
    let grep = |what: &[u8]| {
        let shown = String::from_utf8_lossy(what);
        assert!(!capture.contains(what), "in the file: {shown}");
        assert!(!printed.contains(&*shown), "printed: {shown}");
    };
    assert!(capture.contains(name.as_bytes()), "the search finds what is there");
    grep(password.as_bytes());
    grep(STANDARD.encode(password).as_bytes());
    grep(STANDARD.encode(format!("\0{name}\0{password}")).as_bytes());
    for seen in clients {
        let mechanism = seen.ok("login")["mechanism"].as_str().unwrap();
        let mut messages = 0;
        for element in [seen.sent(), seen.received()].into_iter().flat_map(items) {
            let said = element.xml.split(['<', '>']).nth(2).unwrap_or_default();
            if ["auth", "challenge", "response", "success"].contains(&element.name.as_str()) && !said.is_empty() {
                grep(said.as_bytes());
                grep(&STANDARD.decode(said).unwrap());
                messages += 1;
            }
        }
        assert_eq!(messages, if mechanism == "PLAIN" { 1 } else { 4 }, "what {mechanism} says");
    }
}

/// Whether an IQ obeys rules 1, 2, 5, 6 and 7.
pub(crate) fn lawful(iq: &Element) -> bool {
    let errors = iq.children.iter().filter(|(name, _)| name == "error").count();
    iq.attribute("id").is_some()
        && match iq.attribute("type") {
            Some("get" | "set") => iq.children.len() == 1 && errors == 0,
            Some("result") => iq.children.len() <= 1 && errors == 0,
            Some("error") => errors == 1,
            _ => false,
        }
}
