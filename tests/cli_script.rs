//! `iqtap script test` and `iqtap script check`, the real binary: what is printed, and the exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use iqtap::xml::parse_str;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const SCRIPT: &str =
    "fn on_message(stanza) {\n    log(`I saw ${stanza.id}`);\n    stanza.set_text(\"body\", \"hullo\");\n}\n";
const HOLDS: &str = "# The body is changed.\npolicy script = \"greet.rhai\"\nopen juliet@example.org/balcony\n\
                     C: <message id='m1' to='romeo@example.net'><body>hello</body></message>\n\
                     to S: <message id='m1' to='romeo@example.net'><body>hullo</body></message>\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Runs in a folder; gives the exit code, stdout and stderr.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.current_dir(folder).args(arguments).env_remove("RUST_LOG").env("NO_COLOR", "1");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn books_that_hold_are_one_line_each() {
    let folder = folder(&[
        ("scripts/greet.rhai", SCRIPT),
        ("scripts/greet.play", HOLDS),
        ("scripts/deep/er.play", "# Nothing.\nnothing\n"),
    ]);
    let (code, out, error) = run(folder.path(), &["script", "test"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("scripts/deep/er.play ... ok (14 plays, "), "{out}");
    assert!(lines[1].starts_with("scripts/greet.play ... ok (14 plays, "), "{out}");
    assert_eq!(lines[2..], ["2 playbooks hold, 28 plays"]);

    let quiet = run(folder.path(), &["script", "test", "scripts", "--filter", "greet", "--quiet"]);
    assert_eq!(quiet, (0, "1 playbook holds, 14 plays\n".to_owned(), String::new()));
    // A script stands for the book beside it, and nothing is played twice.
    let (code, out, _) =
        run(folder.path(), &["script", "test", "-q", "scripts/greet.rhai", "scripts/greet.play", "scripts/greet.play"]);
    assert_eq!((code, out.as_str()), (0, "1 playbook holds, 14 plays\n"));
}

#[test]
fn a_book_that_does_not_hold_says_how() {
    let wrong =
        HOLDS.replace("to='romeo@example.net'><body>hullo", "to='nurse@example.net'><body>hallo") + "note log \"m1\"\n";
    let folder = folder(&[("greet.rhai", SCRIPT), ("greet.play", &wrong), ("good.play", HOLDS)]);
    let (code, out, error) = run(folder.path(), &["script", "test", "."]);
    assert_eq!((code, error.as_str()), (1, "iqtap: 1 of 2 playbooks failed\n"), "{out}");
    let expected = "\
./greet.play ... FAILED
  ./greet.play:5, played line by line
  # The body is changed.
  to S: <message id='m1' to='nurse@example.net'><body>hallo</body></message>

  at message: attribute to: 'nurse@example.net' was expected, 'romeo@example.net' came
    - expected  + came
    - <message id='m1' to='nurse@example.net'>
                       ^^^^^^^^^^^^^^^^^^^^^^
    + <message id='m1' to='romeo@example.net'>
                       ^^^^^^^^^^^^^^^^^^^^^^
    -   <body>hallo</body>
              ^^^^^
    +   <body>hullo</body>
              ^^^^^
      </message>
  still expected:
      note log \"m1\"
  what the script said:
      greet.rhai: info: I saw m1
";
    says(&out, &["./good.play ... ok (14 plays, ", expected]);
}

#[test]
fn a_script_that_fails_is_named() {
    let script = "fn on_message(stanza) { stanza.tpye }";
    let folder = folder(&[("greet.rhai", script), ("greet.play", HOLDS)]);
    let (code, out, _) = run(folder.path(), &["script", "test", "greet.rhai"]);
    assert_eq!(code, 1, "{out}");
    says(
        &out,
        &["besides, this came out:\n      note script-error ", "FAILED greet.rhai:1:31: a stanza has no property tpye"],
    );

    fs::write(folder.path().join("greet.rhai"), "fn on_message(stanza) {").unwrap();
    let (code, out, _) = run(folder.path(), &["script", "test", "greet.play"]);
    assert_eq!(code, 1, "{out}");
    says(&out, &["the policy of this book: greet.rhai:1:24: "]);
}

/// What a script or a peer says must not steer the terminal.
#[test]
fn no_control_character_is_printed() {
    let script = "fn on_message(stanza) { log(\"\\x1b[31m\"); stanza.id = \"\\u{9b}2J\"; throw \"\\x1b]0;x\"; }";
    let changed = "fn on_message(stanza) { stanza.id = \"\\u009b2J\\u202e\"; }";
    let book =
        HOLDS.replace("id='m1' to='romeo@example.net'><body>hullo", "id='m1' to='romeo@example.net'><body>hello");
    for script in [script.replace("\\u{9b}", "\\u009b").as_str(), changed] {
        let folder = folder(&[("greet.rhai", script), ("greet.play", &book)]);
        let (code, out, _) = run(folder.path(), &["script", "test", "greet.play"]);
        assert_eq!(code, 1, "{out}");
        assert!(out.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{out:?}");
    }
}

#[test]
fn what_cannot_be_played_is_said_with_a_cure() {
    let folder = folder(&[
        ("a.play", "# x\nnothing\ntoo C: <presence/>\n"),
        ("b.play", HOLDS),
        ("lone.rhai", SCRIPT),
        ("empty/x", ""),
    ]);
    let (code, out, error) = run(folder.path(), &["script", "test", "a.play"]);
    assert_eq!((code, error.as_str()), (2, "iqtap: 1 of 1 playbook cannot be read\n"));
    says(&out, &["a.play ... BROKEN\n  a.play:3: what is 'too'? a line begins with one of: C:, S:"]);
    // A broken one weighs more than one that fails.
    let (code, _, error) = run(folder.path(), &["script", "test", "."]);
    assert_eq!((code, error.as_str()), (2, "iqtap: of 2 playbooks 1 failed, 1 cannot be read\n"));
    for (arguments, words) in [
        (&["script", "test", "empty"][..], "no playbook (*.play) under empty: scripts/PLAYBOOKS.md says how"),
        (&["script", "test"], "scripts: No such file or directory (os error 2); name the folder or the files to play"),
        (&["script", "test", "none.play"], "none.play: No such file"),
        (&["script", "test", "lone.rhai"], "lone.rhai has no playbook beside it: write lone.play"),
        (&["script", "test", ".", "--filter", "zzz"], "no playbook's path contains 'zzz'"),
        (&["script", "check", "empty"], "no script (*.rhai)"),
        (&["script", "check", "none.rhai"], "none.rhai: No such file"),
    ] {
        let (code, out, error) = run(folder.path(), arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        says(&error, &[words]);
    }
}

#[test]
fn programs_read_json_and_junit() {
    let wrong = HOLDS.replace("<body>hullo", "<body>1 < 2").replace("1 < 2", "1 &lt; 2");
    let folder = folder(&[("greet.rhai", SCRIPT), ("a.play", HOLDS), ("b.play", &wrong), ("c.play", "nothing")]);
    let (code, out, error) = run(folder.path(), &["script", "test", ".", "--json", "--junit", "report.xml"]);
    assert_eq!((code, error.as_str()), (2, "iqtap: of 3 playbooks 1 failed, 1 cannot be read\n"));
    let books: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(books.len(), 3);
    assert_eq!(
        (&books[0]["status"], &books[0]["plays"], &books[0]["book"]),
        (&"held".into(), &14.into(), &"./a.play".into())
    );
    let failed = &books[1];
    assert_eq!(
        (&failed["status"], &failed["line"], &failed["way"]),
        (&"failed".into(), &5.into(), &"line by line".into())
    );
    assert_eq!(failed["came"], "<message id='m1' to='romeo@example.net'><body>hullo</body></message>");
    assert_eq!(failed["script"], serde_json::json!(["greet.rhai: info: I saw m1"]));
    assert_eq!(books[2]["status"], "broken");
    says(books[2]["why"].as_str().unwrap(), &["./c.play:1: a book begins with a comment"]);

    let report = fs::read_to_string(folder.path().join("report.xml")).unwrap();
    let report = parse_str(report.split_once("?>\n").unwrap().1.trim_end()).unwrap();
    assert_eq!(
        (report.name.as_str(), report.attr("tests"), report.attr("failures")),
        ("testsuites", Some("3"), Some("1"))
    );
    let suite = report.children().next().unwrap();
    let cases: Vec<_> = suite.children().collect();
    assert_eq!(cases.iter().map(|case| case.attr("name").unwrap()).collect::<Vec<_>>(), ["a.play", "b.play", "c.play"]);
    assert_eq!(cases[0].children().count(), 0);
    let failure = cases[1].children().next().unwrap();
    assert_eq!(failure.name, "failure");
    says(&failure.text(), &["./b.play:5, played line by line", "1 &lt; 2"]);
    assert!(cases[2].children().next().unwrap().attr("message").unwrap().contains("begins with a comment"));
}

/// What `scripts/PLAYBOOKS.md` shows is so, the report of a failure to the letter.
#[test]
fn the_page_about_books_is_right() {
    let page = include_str!("../scripts/PLAYBOOKS.md");
    let block = |start: &str| {
        let (_, rest) = page.split_once(&format!("\n```{start}")).unwrap();
        format!("{start}{}", rest.split_once("\n```").unwrap().0).trim_start_matches("rhai").trim_start().to_owned()
            + "\n"
    };
    let (script, book, own) = (block("rhai"), block("\n# Who says hello"), block("\n# A get with two"));
    let folder = folder(&[("greet.rhai", &script), ("greet.play", &book), ("own.play", &own)]);
    let (code, out, _) = run(folder.path(), &["script", "test", "."]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(run(folder.path(), &["script", "check", "."]).1, "./greet.rhai: fine: hook on_message\n");

    fs::write(folder.path().join("greet.rhai"), script.replace("hello to you", "hullo to you")).unwrap();
    let (code, out, _) = run(folder.path(), &["script", "test", "."]);
    assert_eq!(code, 1, "{out}");
    says(&out, &[&block("\n./greet.play ... FAILED")]);
}

#[test]
fn check_says_all_of_it_and_where() {
    let bad =
        "fn on_mesage(stanza) {\n\tlog(stnza);\n}\n\nfn on_iq(stanza) {\n    reject(\"gone\");\n    stanza.tpye\n}\n";
    let folder = folder(&[("good.rhai", SCRIPT), ("sub/bad.rhai", bad)]);
    let (code, out, error) = run(folder.path(), &["script", "check", "."]);
    assert_eq!((code, error.as_str()), (1, "iqtap: 3 errors, 1 warning\n"), "{out}");
    says(
        &out,
        &[
            "./good.rhai: fine: hook on_message\n",
            "./sub/bad.rhai:1:4: error: there is no hook on_mesage: ",
            "did you mean on_message?\n    fn on_mesage(stanza) {\n       ^\n",
            "./sub/bad.rhai:2:6: error: Undefined variable: stnza; did you mean stanza?\n     log(stnza);\n         ^\n",
            "./sub/bad.rhai:6:5: warning: this reject(...) decides nothing: write `return reject(...)`\n",
            "./sub/bad.rhai:7:12: error: a stanza has no property tpye: ",
        ],
    );
    let (code, out, error) = run(folder.path(), &["script", "check", "good.rhai"]);
    assert_eq!((code, out.as_str(), error.as_str()), (0, "good.rhai: fine: hook on_message\n", ""));
}

#[test]
fn check_loads_with_the_limits_of_a_configuration() {
    let script = "let n = 0;\nwhile n < 2000 { n += 1; }\nfn on_iq(stanza) {}\n";
    let folder = folder(&[("busy.rhai", script), ("iqtap.toml", "[script_limits]\noperations = 1000\n")]);
    assert_eq!(run(folder.path(), &["script", "check", "busy.rhai"]).0, 0);
    let (code, out, _) = run(folder.path(), &["script", "check", "busy.rhai", "--config", "iqtap.toml"]);
    assert_eq!(code, 1);
    says(&out, &["busy.rhai:2:", "it ran too long"]);
}

#[test]
fn help_has_examples() {
    let folder = folder(&[]);
    for (arguments, example) in [
        (&["script", "--help"][..], "iqtap script check"),
        (&["script", "test", "--help"], "iqtap script test my-script.rhai"),
        (&["script", "check", "--help"], "iqtap script check my-script.rhai"),
    ] {
        let (code, out, _) = run(folder.path(), arguments);
        assert_eq!(code, 0);
        says(&out, &["Example", example]);
    }
}

/// What editors are told is what there is, and the file beside the scripts is no older.
#[test]
fn definitions_for_editors_are_printed_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, error) = run(folder.path(), &["script", "definitions"]);
    assert_eq!((code, error.as_str()), (0, ""));
    says(&out, &["module static;", "fn get kind(self: Stanza) -> String;", "fn reject(condition: String) -> Verdict;"]);
    assert_eq!(run(folder.path(), &["script", "definitions", "."]).0, 0);
    assert_eq!(fs::read_to_string(folder.path().join("iqtap.d.rhai")).unwrap(), out);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/iqtap.d.rhai");
    let hint = "cargo run -- script definitions scripts/";
    assert_eq!(fs::read_to_string(beside).unwrap_or_default(), out, "it is old: {hint}");
    let (code, _, error) = run(folder.path(), &["script", "definitions", "nowhere"]);
    assert_eq!(code, 2);
    says(&error, &["nowhere/iqtap.d.rhai cannot be written"]);
}
