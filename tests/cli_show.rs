//! `iqtap show` and `iqtap ledger` on what the real program has recorded.
#![expect(clippy::unwrap_used, reason = "a test that cannot run the program has failed")]

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A folder with what the demo has recorded, made once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let dir = FOLDER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
        command.args(["demo", "--once", "--listen", "127.0.0.1:0", "--record", "demo.pcapng", "--data-dir", "data"]);
        let output = command.current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        dir
    });
    dir.path()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iqtap")).args(arguments).current_dir(folder()).output().unwrap()
}

/// What a command that succeeds prints.
#[track_caller]
fn told(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn events(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn people_see_it_as_it_was() {
    let lines = told(&["show", "demo.pcapng", "--as", "lines"]);
    for words in [
        "connected from 127.0.0.1:",
        "joined to localhost",
        "authenticates by PLAIN",
        "bound to juliet@localhost/balcony",
        "rejected bad-request by rule 5",
        "└ rule 5: an iq of type get must have exactly one child element",
        "rejected not-allowed by no-private-storage.rhai:2",
        "made by no-private-storage.rhai:2",
        "over after",
        "total: 2 sessions",
    ] {
        assert!(lines.contains(words), "{words} is not in\n{lines}");
    }
    let pretty = told(&["show", "demo.pcapng"]);
    let xml = "\n                        <iq type='get' id='disco-1' to='localhost'>\n                          <query xmlns='http://jabber.org/protocol/disco#info'/>\n                        </iq>\n";
    assert!(pretty.contains(xml), "{pretty}");
    // The same lines, with something between them.
    let mut rest = pretty.lines();
    assert!(lines.lines().all(|line| rest.any(|other| other == line)), "{pretty}");
}

#[test]
fn programs_see_events_and_filters_and_sessions_choose_among_them() {
    let all = events(&told(&["show", "demo.pcapng", "--as", "json"]));
    assert_eq!(all[0]["event"], "session");
    assert_eq!(all.last().unwrap()["event"], "total");
    let stanzas = |events: &[Value]| events.iter().filter(|event| event["event"] == "stanza").count();
    assert!(stanzas(&all) > 20, "{all:?}");
    let vcards = events(&told(&[
        "show",
        "demo.pcapng",
        "--as",
        "json",
        "--filter",
        "stanza.kind == \"iq\" && stanza.ns == \"vcard-temp\"",
    ]));
    assert_eq!(stanzas(&vcards), 1, "{vcards:?}");
    let second = events(&told(&["show", "demo.pcapng", "--as", "json", "--session", "2"]));
    assert!(stanzas(&second) > 3 && stanzas(&second) < stanzas(&all));
    let (total, rest) = second.split_last().unwrap();
    assert!(rest.iter().all(|event| event["session"] == 2), "{second:?}");
    let over = rest.iter().find(|event| event["event"] == "over").unwrap();
    assert_eq!(total["summary"]["stanzas"], over["summary"]["stanzas"]);
}

#[test]
fn what_cannot_be_done_is_said() {
    let code = |arguments: &[&str]| run(arguments).status.code();
    assert_eq!(code(&["show", "demo.pcapng", "--filter", "stanza.kind =="]), Some(2));
    assert_eq!(code(&["show", "demo.pcapng", "--as", "xml", "--filter", "true"]), Some(2));
    assert_eq!(code(&["show", "demo.pcapng", "--as", "poem"]), Some(2));
    assert_eq!(code(&["show", "missing.pcapng"]), Some(3));
    let several = run(&["show", "demo.pcapng", "--as", "play"]);
    assert_eq!(several.status.code(), Some(2));
    assert!(text(&several.stderr).contains("choose one with --session"), "{}", text(&several.stderr));
}

#[test]
fn a_session_becomes_a_playbook_that_holds() {
    for session in ["1", "2"] {
        let book = told(&["show", "demo.pcapng", "--as", "play", "--session", session]);
        let name = format!("session-{session}.play");
        fs::write(folder().join(&name), &book).unwrap();
        let played = run(&["script", "test", &name]);
        assert_eq!(played.status.code(), Some(0), "{}\n{book}", text(&played.stdout));
    }
    let book = fs::read_to_string(folder().join("session-1.play")).unwrap();
    assert!(book.contains("policy rules = \"enforce\"") && book.contains("finding C rule5"), "{book}");
    assert!(
        book.contains("# When this was recorded, it was rejected not-allowed by no-private-storage.rhai:2."),
        "{book}"
    );
}

#[test]
fn both_sessions_become_one_script_for_scansion() {
    let script = told(&["show", "demo.pcapng", "--as", "scansion"]);
    for words in [
        "[Client] Juliet\n\tjid: juliet@localhost\n\tpassword: password\n\tresource: balcony\n",
        "[Client] Romeo\n",
        "\nJuliet connects\n",
        "\nRomeo sends:\n\t<iq type='get' id='ask' to=\"${Juliet's full JID}\">",
        "\nRomeo receives:\n\t<iq",
        "\nJuliet disconnects\n",
    ] {
        assert!(script.contains(words), "{words} is not in\n{script}");
    }
}

#[test]
fn the_raw_streams_are_all_there() {
    let raw = told(&["show", "demo.pcapng", "--as", "xml", "--session", "1"]);
    assert!(raw.starts_with("<!-- session 1, client->iqtap -->\n<?xml version='1.0'?>"), "{raw}");
    for words in
        ["<!-- session 1, iqtap->server -->", "<iq type='get' id='disco-1' to='localhost'><query", "</stream:stream>"]
    {
        assert!(raw.contains(words), "{words} is not in\n{raw}");
    }
    assert!(!raw.contains("session 2"));
}

#[test]
fn the_iq_table_says_who_answered() {
    let table = told(&["ledger", "demo.pcapng"]);
    let row = |id: &str| {
        table
            .lines()
            .find(|line| line.contains(&format!("  {id} ")))
            .unwrap_or_else(|| panic!("{id} is not in\n{table}"))
    };
    assert!(row("disco-1").ends_with("ms  server"), "{table}");
    assert!(row("two-1").contains("bad-request") && row("two-1").ends_with("iqtap (rule5)"), "{table}");
    assert!(row("priv-1").ends_with("iqtap (no-private-storage.rhai:2)"), "{table}");
    let rows = events(&told(&["ledger", "demo.pcapng", "--as", "json"]));
    assert_eq!(rows.len() + 1, table.lines().count());
    let disco = rows.iter().find(|row| row["id"] == "disco-1").unwrap();
    assert_eq!((disco["leg"].as_str(), disco["answer"]["who"].as_str()), (Some("client"), Some("server")));
    assert!(
        disco["answer"]["latency_seconds"].as_f64().unwrap() > 0.0
            && disco["answer"]["frame"].as_u64() > disco["frame"].as_u64()
    );
    assert!(rows.iter().all(|row| row.as_object().unwrap().contains_key("answer")));
    let all = events(&told(&["ledger", "demo.pcapng", "--as", "json", "--all"]));
    assert!(all.len() > rows.len());
}

#[test]
fn a_capture_that_is_still_being_made_is_shown_as_it_comes() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_iqtap"))
        .args(["show", "-", "--as", "lines"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let file = fs::read(folder().join("demo.pcapng")).unwrap();
    let mut input = child.stdin.take().unwrap();
    // A part of it, and no end.
    input.write_all(&file[..file.len() / 2]).unwrap();
    input.flush().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("connected from"));
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("bound to ")));
    input.write_all(&file[file.len() / 2..]).unwrap();
    drop(input);
    assert!(lines.map(Result::unwrap).any(|line| line.contains("total: 2 sessions")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    for command in ["show", "ledger", "check"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_iqtap"))
            .args([command, "demo.pcapng"])
            .current_dir(folder())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
        assert!(output.status.code().is_some_and(|code| code <= 1), "{command}");
    }
}
