//! `iqtap store`: the real binary on stores made here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use bytes::Bytes;
use iqtap::keep::{Change, NOBODY, Op, Store};
use iqtap::store::FileStore;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Exit code, stdout, stderr.
fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.arg("store").args(arguments).current_dir(directory).env_remove("RUST_LOG").env_remove("IQTAP_DATA_DIR");
    let output = command.env("NO_COLOR", "1").output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

const NOTES: &str = "{urn:x}my notes";

fn filled() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s.redb");
    let mut store = FileStore::open(&path).unwrap();
    let put = |space: &'static str, name: &str, value: &'static [u8]| {
        Change::Put(space.into(), name.to_owned(), Bytes::from_static(value))
    };
    let write = |account: &str, changes| Op::Write { account: account.to_owned(), changes, most: 100 };
    let done = store.run(&[
        write("romeo@example.net", vec![put("vcard-temp", "", b"<vCard xmlns='vcard-temp'/>")]),
        write(
            "juliet@example.org",
            vec![
                put("vcard-temp", "", b"<vCard/>"),
                put("jabber:iq:private", NOTES, "<notes>\u{e9}</notes>".as_bytes()),
            ],
        ),
        write(NOBODY, vec![put("shared", "count", b"5"), put("shared", "odd\x1b[2J", b"\xff\x00")]),
    ]);
    assert!(done.iter().all(Result::is_ok));
    (directory, path)
}

#[test]
fn what_is_kept_is_listed_in_order() {
    let (directory, _) = filled();
    let all = "\
account             space              name             bytes
\"\"                  shared             count                1
\"\"                  shared             odd\\u{1b}[2J         2
juliet@example.org  jabber:iq:private  {urn:x}my notes     17
juliet@example.org  vcard-temp         \"\"                   8
romeo@example.net   vcard-temp         \"\"                  27
5 entries
";
    assert_eq!(run(directory.path(), &["list", "--store", "s.redb"]), (Some(0), all.to_owned(), String::new()));
    let some = |arguments: &[&str]| {
        let (code, out, err) = run(directory.path(), &[&["list", "--store", "s.redb"], arguments].concat());
        assert_eq!((code, &*err), (Some(0), ""));
        out
    };
    // As the account is prepared, so is what is asked for.
    let hers = some(&["--account", "JULIET@Example.org"]);
    assert!(hers.contains("notes") && hers.ends_with("\n2 entries\n"), "{hers}");
    let private = some(&["--account", "juliet@example.org", "--space", "jabber:iq:private"]);
    assert!(private.contains("notes") && private.ends_with("\n1 entry\n"), "{private}");
    assert!(some(&["--account", ""]).ends_with("\n2 entries\n"));
    assert_eq!(some(&["--account", "nobody@example.org"]), "0 entries\n");
}

#[test]
fn an_export_is_json_and_its_owners_alone() {
    let (directory, _) = filled();
    let (code, out, err) = run(directory.path(), &["export", "--store", "s.redb"]);
    assert_eq!((code, &*err), (Some(0), ""));
    let entry = |account: &str, space: &str, name: &str, value: serde_json::Value| serde_json::json!({ "account": account, "space": space, "name": name, "value": value });
    let expected = serde_json::json!([
        entry("", "shared", "count", "5".into()),
        entry("", "shared", "odd\x1b[2J", serde_json::json!({ "base64": "/wA=" })),
        entry("juliet@example.org", "jabber:iq:private", NOTES, "<notes>\u{e9}</notes>".into()),
        entry("juliet@example.org", "vcard-temp", "", "<vCard/>".into()),
        entry("romeo@example.net", "vcard-temp", "", "<vCard xmlns='vcard-temp'/>".into()),
    ]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), expected);
    let file = directory.path().join("kept.json");
    std::fs::write(&file, "an older one, which is longer than what comes".repeat(100)).unwrap();
    let (code, out, err) = run(directory.path(), &["export", "--store", "s.redb", "-o", "kept.json"]);
    assert_eq!((code, &*out, &*err), (Some(0), "", "5 entries in kept.json\n"));
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), expected);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (code, _, err) = run(directory.path(), &["export", "--store", "s.redb", "-o", "no/such/dir/x"]);
    assert!(code == Some(2) && err.starts_with("iqtap: no/such/dir/x: "), "{err}");
}

#[test]
fn what_is_deleted_is_said_and_only_that_goes() {
    let (directory, _) = filled();
    let go = |arguments: &[&str]| run(directory.path(), &[&["clear", "--store", "s.redb"], arguments].concat());
    let left = || run(directory.path(), &["list", "--store", "s.redb"]).1;
    let (code, out, err) = go(&["--account", "juliet@example.org"]);
    assert_eq!(code, Some(2));
    assert_eq!(out, "juliet@example.org jabber:iq:private: 1 entry\njuliet@example.org vcard-temp: 1 entry\n");
    assert_eq!(err, "iqtap: 2 entries would go for good; add --yes if that is meant\n");
    assert!(left().ends_with("\n5 entries\n"));
    let done = |text: &str| (Some(0), text.to_owned(), String::new());
    assert_eq!(go(&["--space", "vcard-temp", "--yes"]), done("2 entries gone\n"));
    assert!(left().contains("notes") && left().ends_with("\n3 entries\n"));
    assert_eq!(go(&["--space", "vcard-temp"]), done("nothing of that is kept\n"));
    assert_eq!(go(&["--yes"]), done("3 entries gone\n"));
    assert_eq!(left(), "0 entries\n");
}

#[test]
fn the_store_is_found_as_iqtap_run_finds_it() {
    let (directory, path) = filled();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(&path, data.join("iqtap.redb")).unwrap();
    std::fs::write(directory.path().join("a.toml"), "store = 's.redb'\n").unwrap();
    std::fs::write(directory.path().join("b.toml"), "data_dir = 'data'\n").unwrap();
    for place in [["--config", "a.toml"], ["--config", "b.toml"], ["--data-dir", "data"]] {
        let (code, out, err) = run(directory.path(), &[&["list"], &place[..]].concat());
        assert!(code == Some(0) && out.ends_with("\n5 entries\n"), "{place:?}: {out}{err}");
    }
}

#[test]
fn what_cannot_be_is_said_with_a_cure() {
    let (directory, path) = filled();
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let (came, _, err) = run(directory.path(), arguments);
        assert_eq!(came, Some(code), "{arguments:?}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{arguments:?}: {err}");
    };
    refused(&["list", "--store", "none.redb"], 2, &["none.redb", "there is no store yet", "iqtap run"]);
    assert!(!directory.path().join("none.redb").exists());
    refused(&["list", "--config", "none.toml"], 2, &["none.toml"]);
    refused(&["list", "--store", "s.redb", "--account", "a@b/c"], 2, &["--account", "bare JID"]);
    std::fs::write(directory.path().join("notes.txt"), "my notes\n").unwrap();
    refused(&["clear", "--store", "notes.txt", "--yes"], 2, &["notes.txt", "no store of iqtap"]);
    let open = FileStore::open(&path).unwrap();
    for command in [&["list"][..], &["export"], &["clear", "--yes"]] {
        refused(&[command, &["--store", "s.redb"]].concat(), 3, &["s.redb", "a running iqtap", "stop it first"]);
    }
    drop(open);
    let (_, out, _) = run(directory.path(), &["export", "--help"]);
    assert!(out.contains("passwords"), "{out}");
}
