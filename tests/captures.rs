//! The samples in `captures/`: our reader and Wireshark's read them all, nothing secret or private is in them, and the scripts beside them
//! still make them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on must stop, and says why"
)]

mod peers;

use iqtap::capture::read::{Ended, Event, ItemKind, Options, Reader, Story};
use iqtap::session::{Dir, Fate};
use peers::{Capture, Mock, pairs, play, run};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

/// The names of all samples.
fn samples() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".pcapng")).collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    names
}

fn events(name: &str) -> Vec<Event> {
    Reader::new(File::open(folder().join(name)).unwrap(), &Options::default()).unwrap().collect()
}

/// What our recorder says of every item.
fn stories(name: &str) -> Vec<Story> {
    let story = |event: &Event| if let Event::Item(item) = event { item.story() } else { None };
    events(name).iter().filter_map(story).collect()
}

/// Whether a program is here; in CI it must be.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{program} does not run");
    if !found {
        eprintln!("skipped: {program} does not run here; install it to run this test");
    }
    found
}

#[test]
fn our_reader_reads_them_all() {
    for name in samples() {
        let (mut begun, mut ended, mut stanzas) = (0, 0, 0);
        for event in events(&name) {
            match event {
                Event::Begins { talk, .. } => {
                    begun += 1;
                    assert!(talk.whole && talk.ours.is_some(), "{name}: {talk:?}");
                }
                Event::Item(item) => {
                    assert!(!matches!(item.kind, ItemKind::Refused { .. }), "{name}: {item:?}");
                    assert!(item.story().is_some(), "{name}: nothing is said of {item:?}");
                    stanzas += u64::from(item.view().is_some_and(|view| view.name() == "iq"));
                }
                Event::Ends { how, .. } => {
                    ended += 1;
                    assert_ne!(how, Ended::Never, "{name} is not whole");
                }
                Event::Happened { .. } => {}
                Event::Hole { .. } | Event::Trouble(_) => panic_with(&name, &event),
            }
        }
        assert!(begun >= 2 && begun == ended && stanzas > 3, "{name}: {begun} {ended} {stanzas}");
    }
}

#[track_caller]
fn panic_with(name: &str, event: &Event) {
    assert_eq!(name, "", "{event:?}");
}

#[test]
fn what_their_names_say_happens_in_them() {
    let fates = |name: &str| -> BTreeSet<String> {
        let came = stories(name).into_iter().filter(|story| story.dir == Dir::In);
        came.map(|story| match story.fate {
            Fate::Rewritten(by) => format!("rewritten {by}"),
            Fate::Dropped(by) => format!("dropped {by}"),
            Fate::Rejected(condition, by) => format!("rejected {condition} {by}"),
            Fate::Answered(by) => format!("answered {by}"),
            Fate::Passed | Fate::Handled => String::new(),
        })
        .filter(|text| !text.is_empty())
        .collect()
    };
    let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(fates("disco-vcard-blocklist.pcapng"), all(&[]));
    assert_eq!(fates("prosody-login.pcapng"), all(&[]));
    let broken =
        ["rejected bad-request rule1", "rejected bad-request rule2", "rejected bad-request rule5", "dropped rule4"];
    let mended = ["rewritten rule6", "rewritten rule7"];
    assert_eq!(fates("seven-broken-iqs.pcapng"), all(&[&broken[..], &mended[..]].concat()));
    assert_eq!(fates("forged-result.pcapng"), all(&["dropped iq-spoof", "rejected service-unavailable push-spoof"]));
    let script = ["rewritten alias.rhai:2", "dropped alias.rhai:2", "answered alias.rhai:13"];
    assert_eq!(fates("rewritten-by-script.pcapng"), all(&script));
    let resumed =
        |event: &Event| matches!(event, Event::Item(item) if item.view().is_some_and(|view| view.name() == "resumed"));
    assert_eq!(events("sm-resume.pcapng").iter().filter(|event| resumed(event)).count(), 2);
}

#[test]
fn nothing_secret_or_private_is_in_them() {
    let planted = ["r0m30myr0m30", "amxpZXQAcjBtMzBteXIwbTMw", "secret-sm-id-1", "a-nonce-for-a-sample"];
    let paths = ["/home/", "/root/", "/tmp/", "/Users/"];
    for name in samples() {
        let file = String::from_utf8_lossy(&fs::read(folder().join(&name)).unwrap()).into_owned();
        for word in planted.iter().chain(&paths) {
            assert!(!file.contains(word), "{name} has {word:?} in it");
        }
    }
}

#[test]
fn the_table_has_them_all() {
    let table = fs::read_to_string(folder().join("README.md")).unwrap();
    let rows: BTreeSet<String> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect();
    assert_eq!(rows, samples().into_iter().collect());
    for script in table.split('`').filter(|text| text.starts_with("make/") && text.len() > "make/".len()) {
        assert!(folder().join(script).is_file(), "{script}");
    }
}

#[test]
fn wireshark_finds_nothing_wrong_with_them() {
    if !has("tshark") {
        return;
    }
    for name in samples() {
        let tshark = |arguments: &[&str]| {
            let output =
                Command::new("tshark").args(["-2", "-r"]).arg(folder().join(&name)).args(arguments).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        // A lone end tag is malformed to its XML dissector, which reads each packet alone.
        assert_eq!(tshark(&["-Y", "(_ws.malformed && !xmpp.stream_end) || tcp.analysis.flags"]), "", "{name}");
        assert!(tshark(&["-Y", "xmpp.iq"]).lines().count() > 3, "{name}");
    }
}

/// Its pairs of requests and answers, and what it thinks was not answered, are ours.
#[test]
fn wireshark_and_we_know_the_same_answers() {
    if !has("tshark") {
        return;
    }
    for name in samples() {
        let few = if name == "sm-resume.pcapng" || name == "rewritten-by-script.pcapng" { 2 } else { 4 };
        let agreed = pairs(&Capture(&folder().join(&name)), &[]);
        assert!(agreed >= few, "{name}: {agreed} pairs");
    }
}

/// The rules over each of them: what its name says, and nothing else.
#[test]
fn each_is_checked() {
    for name in samples() {
        let broken: &[(&str, u64)] = match name.as_str() {
            "broken-iqs-enforced.pcapng" => &[("rule1", 2), ("rule2", 1), ("rule5", 1), ("rule6", 1), ("rule7", 1)],
            "seven-broken-iqs.pcapng" => {
                &[("rule1", 1), ("rule2", 1), ("rule3", 1), ("rule4", 1), ("rule5", 1), ("rule6", 1), ("rule7", 1)]
            }
            "forged-result.pcapng" => &[("iq-spoof", 1), ("push-spoof", 1)],
            _ => &[],
        };
        let sample = folder().join(&name);
        let (code, out, err) = run(&["check", sample.to_str().unwrap(), "--as", "json", "--iq-timeout", "400ms"]);
        assert_eq!(code, Some(i32::from(!broken.is_empty())), "{name}: {out}{err}");
        let mut found = BTreeMap::<String, u64>::new();
        for line in out.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            for finding in event["findings"].as_array().into_iter().flatten() {
                *found.entry(finding["code"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        let broken = broken.iter().map(|(rule, count)| ((*rule).to_owned(), *count)).collect();
        assert_eq!(found, broken, "{name}: {out}");
    }
}

/// Its two parts play with each other, and nobody misses anything: a session with neither the client nor the server it was recorded of.
#[test]
fn each_plays_with_itself() {
    for name in samples() {
        let session: &[&str] = if name == "broken-iqs-enforced.pcapng" { &["--session", "2"] } else { &[] };
        let sample = folder().join(&name);
        let mut mock = Mock::run(&sample, session);
        let args = [&["--tls", "off", "--timeout", "2s", "--json"], session].concat();
        let told = play(&sample, mock.port, "romeo@montague.example", "any", &args).ends(0).json();
        assert_eq!(told["same"], true, "{name}: {told}");
        assert!(mock.stop().success(), "{name}");
    }
}

/// The samples are what their scripts make: those that need no server of somebody else's are made anew.
#[test]
fn the_scripts_still_make_them() {
    if !has("python3") {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    for name in samples() {
        let script = folder().join("make").join(name.replace(".pcapng", ".py"));
        if !script.exists() || name == "prosody-login.pcapng" {
            continue;
        }
        let mut command = Command::new("python3");
        command.arg("-B").arg(&script).env("IQTAP", env!("CARGO_BIN_EXE_iqtap")).env("IQTAP_CAPTURES", made.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let mut diff = Command::new(env!("CARGO_BIN_EXE_iqtap"));
        let output = diff.arg("diff").arg(folder().join(&name)).arg(made.path().join(&name)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// What can be asked of a capture can be asked of all of them.
#[test]
fn each_is_the_same_as_itself_and_can_be_disguised() {
    let made = tempfile::tempdir().unwrap();
    let copy = made.path().join("copy.pcapng");
    fs::write(made.path().join("pass.rhai"), "fn on_iq(iq) { pass() }").unwrap();
    for name in samples() {
        let iqtap = |arguments: &[&str]| {
            let output =
                Command::new(env!("CARGO_BIN_EXE_iqtap")).args(arguments).current_dir(made.path()).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(said).unwrap())
        };
        let sample = folder().join(&name);
        let sample = sample.to_str().unwrap();
        let (code, said) = iqtap(&["diff", sample, sample]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let (code, said) = iqtap(&["redact", sample, "-o", "copy.pcapng", "--bodies", "--jids"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let (code, said) = iqtap(&["redact", sample, "-o", "copy.pcapng"]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let (code, said) = iqtap(&["diff", sample, copy.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let (code, said) = iqtap(&["script", "run", "pass.rhai", "--on", sample]);
        // Where a script had a hand in it then, another one has now.
        let scripted = ["broken-iqs-enforced.pcapng", "rewritten-by-script.pcapng"].contains(&name.as_str());
        assert_eq!(code, Some(i32::from(scripted)), "{name}: {said}");
    }
}

/// Under the policy they were made with, the same is sent when they happen again, and when their copies do.
#[test]
fn each_happens_again() {
    let made = tempfile::tempdir().unwrap();
    let copy = made.path().join("copy.pcapng");
    let copy = copy.to_str().unwrap();
    let alias = folder().join("make/alias.rhai");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo/no-private-storage.rhai");
    for name in samples() {
        let iqtap = |arguments: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_iqtap")).args(arguments).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8(said).unwrap())
        };
        let sample = folder().join(&name);
        let sample = sample.to_str().unwrap();
        let flags: &[&str] = match name.as_str() {
            "broken-iqs-enforced.pcapng" => &["--rules", "enforce", "--script", demo.to_str().unwrap()],
            "forged-result.pcapng" => &["--rules", "enforce"],
            "seven-broken-iqs.pcapng" => &["--rules", "enforce", "--iq-timeout", "400ms"],
            "rewritten-by-script.pcapng" => &["--script", alias.to_str().unwrap()],
            _ => &[],
        };
        let (code, said) = iqtap(&[&["replay", sample], flags].concat());
        assert!(code == Some(0) && said.ends_with(": the same is sent\n"), "{name}: {said}");
        let (code, said) = iqtap(&["redact", sample, "-o", copy]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let (code, said) = iqtap(&[&["replay", copy], flags].concat());
        assert!(code == Some(0) && said.ends_with(": the same is sent\n"), "the copy of {name}: {said}");
    }
}
