//! `[answer]`: what its keys mean, for every mistake the line and a cure, and the answers that are read from files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use iqtap::answer::{Answer, Answers, Asked, Mode, Software, Target};
use iqtap::config::Config;
use iqtap::xml::parse_str;
use iqtap::xmpp::{Condition, Timestamp, ns};
use std::fs;
use std::path::Path;

fn read(text: &str) -> Config {
    Config::from_text(text, Path::new("f.toml")).unwrap()
}

#[test]
fn nothing_is_answered_unless_it_is_said() {
    let answers = read("").answers;
    assert_eq!(answers, Answers::default());
    assert!(answers.is_empty() && !answers.needs_store() && !answers.alters_info());
    assert!(read("[answer]\nping = 'forward'").answers.is_empty());
}

#[test]
fn every_key_is_understood() {
    let config = read(
        r#"
        [answer]
        "urn:xmpp:ping" = "local"
        "jabber:iq:version" = { mode = "local", name = "X", version = "1", os = "Y" }
        "urn:xmpp:time" = { mode = "deny", condition = "not-allowed", tzo = "-03:30" }
        "vcard-temp" = { mode = "fallback", max_bytes = 100000 }
        last = "deny:forbidden"
        mam = "deny"
        "disco#info" = { mode = "fallback", identity_name = "Z" }
        "disco#items" = "forward"
        mark = true
        [answer.blocking]
        mode = "local"
        max_items = 7
        [answer.private]
        max_bytes = 256
        mode = "fallback"
        [answer.static]
        "urn:example:motd motd" = "motd.xml"
        "ping  pong" = "/pong.xml"
        "#,
    );
    let answers = &config.answers;
    for (namespace, mode) in [
        (ns::PING, Mode::Local),
        (ns::VERSION, Mode::Local),
        (ns::TIME, Mode::Deny(Condition::NotAllowed)),
        (ns::VCARD, Mode::Fallback),
        (ns::LAST, Mode::Deny(Condition::Forbidden)),
        (ns::MAM, Mode::Deny(Condition::FeatureNotImplemented)),
        (ns::DISCO_INFO, Mode::Fallback),
        (ns::DISCO_ITEMS, Mode::Forward),
        (ns::BLOCKING, Mode::Local),
        (ns::PRIVATE, Mode::Fallback),
    ] {
        assert_eq!(answers.mode(namespace), mode, "{namespace}");
    }
    let [name, version, os] = ["X", "1", "Y"].map(str::to_owned);
    assert_eq!(answers.options.software, Software { name, version, os: Some(os) });
    assert_eq!(answers.options.tzo, "-03:30");
    assert_eq!(answers.options.identity_name.as_deref(), Some("Z"));
    let options = &answers.options;
    assert_eq!([options.vcard_bytes, options.blocked, options.private_bytes], [100_000, 7, 256]);
    assert!(answers.mark);
    let fixed: Vec<_> = config.static_answers.iter().map(|one| (&*one.namespace, &*one.element, &*one.path)).collect();
    let [motd, pong] = ["motd.xml", "/pong.xml"].map(Path::new);
    assert_eq!(fixed, [("urn:example:motd", "motd", motd), (ns::PING, "pong", pong)]);
}

const MISTAKES: &[(&str, usize, &[&str])] = &[
    ("answer = 'local'", 1, &["answer is a table"]),
    (
        "[answer]\npnig = 'local'",
        2,
        &["`pnig`", "ping, version, time", "private, disco#info, disco#items, mark, static"],
    ),
    ("[answer]\n\n'urn:xmpp:mam:2' = 'local'", 3, &["only denied or forwarded; what can: urn:xmpp:ping, "]),
    ("[answer]\nmam = { mode = 'fallback' }", 2, &["urn:xmpp:mam:2 cannot be answered here"]),
    ("[answer]\nping = 'here'", 2, &["`here`", "forward, local, fallback and deny"]),
    ("[answer]\nping = 'deny:no'", 2, &["`no`", "service-unavailable"]),
    ("[answer]\nping = true", 2, &["a mode is forward"]),
    ("[answer]\nping = [1]", 2, &["a table"]),
    ("[answer]\nping = {}", 2, &["mode is missing"]),
    ("[answer]\nping = { mode = 1 }", 2, &["mode is a text"]),
    ("[answer]\nping = { mode = 'local', name = 'x' }", 2, &["unknown key `name`", "known here: mode, condition"]),
    ("[answer.version]\nmode = 'local'\nnmae = 'x'", 3, &["unknown key `nmae`", "did you mean `name`"]),
    ("[answer.version]\nmode = 'local'\nos = 3", 3, &["os is a text"]),
    ("[answer.time]\nmode = 'local'\ntzo = 'CET'", 3, &["+01:00"]),
    ("[answer.vcard]\nmax_bytes = 1\nmode = 'local'", 2, &["max_bytes must be from 256 to 16777216"]),
    ("[answer.vcard]\nmax_items = 1\nmode = 'local'", 2, &["unknown key `max_items`"]),
    ("[answer.blocking]\nmode = 'local'\nmax_items = 'many'", 3, &["max_items must be from 1 to 100000"]),
    ("[answer.ping]\nmode = 'local'\ncondition = 'gone'", 2, &["only what is denied has a condition"]),
    ("[answer.ping]\nmode = 'deny'\ncondition = 'no'", 3, &["`no` is no condition"]),
    ("[answer]\nping = 'local'\n'urn:xmpp:ping' = 'deny'", 3, &["urn:xmpp:ping is named twice"]),
    ("[answer]\nmark = 'yes'", 2, &["true or false"]),
    ("[answer]\nstatic = 'x.xml'", 2, &["NAMESPACE ELEMENT"]),
    ("[answer.static]\n\n'urn:x' = 'x.xml'", 3, &["`urn:x` is not NAMESPACE ELEMENT"]),
    ("[answer.static]\n'x y' = 'x.xml'", 2, &["`x` is no namespace"]),
    ("[answer.static]\n'urn:x y' = 3", 2, &["the name of a file"]),
];

#[test]
fn every_mistake_has_its_line_and_a_cure() {
    for (text, line, words) in MISTAKES {
        let error = Config::from_text(text, Path::new("f.toml")).expect_err(text);
        let said = error.to_string();
        assert_eq!(error.line, *line, "{text:?}: {said}");
        assert!(said.starts_with(&format!("f.toml:{line}: ")) && !said.contains('\n'), "{text:?}: {said:?}");
        for word in *words {
            assert!(said.contains(word), "{text:?}: {said:?} does not say {word:?}");
        }
    }
}

fn motd(answers: &Answers) -> Answer {
    let payload = parse_str("<motd xmlns='urn:example:motd'/>").unwrap();
    let (target, now) = (Target::Server, Timestamp(0));
    answers.answer(&Asked { set: false, payload: &payload, target, account: "a@b", now, since: now })
}

#[test]
fn what_is_written_down_is_read_with_each_policy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("iqtap.toml");
    let config = Config::from_text("[answer.static]\n'urn:example:motd motd' = 'motd.xml'", &path).unwrap();
    let error = config.policy().unwrap_err();
    assert_eq!((&*error.path, error.line), (&*path, 2));
    assert!(error.message.contains("motd.xml: cannot be read"), "{error}");
    for text in ["<motd xmlns='urn:example:motd'>one</motd>", "<motd xmlns='urn:example:motd'>two</motd>"] {
        fs::write(folder.path().join("motd.xml"), text).unwrap();
        let policy = config.policy().unwrap();
        assert_eq!(motd(&policy.answers), Answer::Result(Some(parse_str(text).unwrap())));
        assert!(policy.answers.alters_info());
    }
    fs::write(folder.path().join("motd.xml"), "<motd>").unwrap();
    let error = config.policy().unwrap_err();
    assert!(error.message.ends_with("motd.xml: the element does not end, at byte 6"), "{error}");
}

#[test]
fn the_example_file_shows_what_can_be_said() {
    let example = include_str!("../iqtap.example.toml");
    let (_, section) = example.split_once("\n[answer]\n").unwrap();
    let section = section.split("\n# ----").next().unwrap();
    let line = |line: &str| {
        let said = line.strip_prefix("# ").filter(|text| text.starts_with(['"', '[']));
        said.unwrap_or(line).to_owned() + "\n"
    };
    let config = read(&format!("[answer]\n{}", section.lines().map(line).collect::<String>()));
    let named = [
        ns::PING,
        ns::VERSION,
        ns::TIME,
        ns::LAST,
        ns::VCARD,
        ns::BLOCKING,
        ns::PRIVATE,
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::MAM,
    ];
    for namespace in named {
        assert_ne!(config.answers.mode(namespace), Mode::Forward, "{namespace}");
    }
    assert!(!config.static_answers.is_empty());
    // The limits that it shows are the defaults.
    let [shown, default] = [&config.answers, &Answers::default()].map(|answers| {
        let options = &answers.options;
        (options.vcard_bytes, options.blocked, options.private_bytes, options.tzo.clone())
    });
    assert_eq!(shown, default);
}
