//! The configuration: what the keys mean, and for every mistake the line and a cure.

use iqtap::config::{Config, Upstream, compile};
use iqtap::policy::{ClientTls, Forward, OnScriptError, ServerTls};
use iqtap::rules::{Mode, Modes, Rule};
use iqtap::script::{Deed, OneLiner};
use iqtap::xmpp::{Kind, Side};
use std::path::Path;

fn read(text: &str) -> Result<Config, String> {
    Config::from_text(text, Path::new("etc/iqtap.toml")).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = read("").unwrap();
    assert_eq!(config, Config { path: "etc/iqtap.toml".into(), ..Config::default() });
    assert_eq!(config.check(), Ok(()));
    assert!(config.listen.ip().is_loopback());
}

#[test]
fn every_key_is_understood() {
    let config = read(
        r#"
        listen = "[::1]:5300"
        upstream = "xmpp.example.org:5222"
        client_tls = "offer"
        server_tls = "direct"
        server_ca = "ca.crt"
        insecure_server = false
        allow_public = true
        cert = "/etc/c.crt"
        key = "c.key"
        data_dir = "data"
        record = "s.pcapng"
        quiet = true
        json = true
        script = ["a.rhai", "/b.rhai"]
        reject = ["a=gone", '''b
==c=gone''']
        drop = ['d']
        modify = ["e=f"]
        shadow = ["s.rhai"]
        filter = "true"
        store = "s.redb"
        legacy_codes = true
        forward = "normal"
        on_script_error = "reject"
        login_seconds = 60
        close_seconds = 2
        script_limits = { operations = 1000, call_depth = 8, string_bytes = 4096, millis = 20, failures = 3 }
        [limits.before_login]
        stanza_bytes = 20000
        [limits.after_login]
        stanza_bytes = 10000
        elements = 100
        depth = 512
        attributes = 10
        name_bytes = 100
        value_bytes = 1000
        [limits.connections]
        total = 7
        loopback = true
        [limits.queue]
        most_bytes = "2MiB"
        [limits.c2s]
        stanzas = 5
        [limits.s2c]
        bytes = "1kB"
        [rules]
        default = "enforce"
        id = "off"
        rule5 = { c2s = "report" }
        error-child = { c2s = "off", s2c = "report" }
        "#,
    )
    .unwrap();
    assert_eq!(config.listen, "[::1]:5300".parse().unwrap());
    assert_eq!(config.upstream, Some(Upstream { host: "xmpp.example.org".to_owned(), port: 5222 }));
    assert_eq!((config.route.client_tls, config.route.server_tls), (ClientTls::Offer, ServerTls::Direct));
    assert_eq!(config.server_ca.as_deref(), Some(Path::new("etc/ca.crt")), "relative to the file");
    assert_eq!(config.cert.as_deref(), Some(Path::new("/etc/c.crt")));
    assert_eq!(config.scripts, [Path::new("etc/a.rhai"), Path::new("/b.rhai")]);
    let lines: Vec<_> = config.one_liners.iter().map(|one| (one.deed.name(), one.text.as_str(), one.line)).collect();
    assert_eq!(
        lines,
        [("reject", "a=gone", 16), ("reject", "b\n==c=gone", 16), ("drop", "d", 18), ("modify", "e=f", 19)],
        "in the order of the file"
    );
    assert_eq!(config.shadow, [Path::new("etc/s.rhai")]);
    assert_eq!((config.filter.as_deref(), config.lines.get("filter")), (Some("true"), Some(&21)));
    assert_eq!(config.store.as_deref(), Some(Path::new("etc/s.redb")));
    assert_eq!((config.forward, config.on_script_error), (Forward::Normal, Some(OnScriptError::Reject)));
    assert_eq!((config.route.login_seconds, config.route.close_seconds), (60, 2));
    assert_eq!(config.script_limits.operations, 1000);
    assert_eq!(config.route.limits_before.stanza_bytes, 20_000);
    assert_eq!((config.route.limits_after.depth, config.route.limits_after.value_bytes), (512, 1000));
    assert_eq!((config.limits.connections.total, config.limits.connections.loopback), (7, true));
    assert_eq!(config.limits.queue.most_bytes, 2 << 20);
    assert_eq!(config.route.rates.map(|rate| (rate.stanzas, rate.bytes)), [(5, 0), (0, 1000)]);
    assert!(config.quiet && config.json && config.legacy_codes && config.allow_public);
    let mode = |side, rule| config.rules.get(side, rule);
    assert_eq!(mode(Side::Client, Rule::Id), Mode::Off);
    assert_eq!(mode(Side::Client, Rule::Type), Mode::Enforce);
    assert_eq!(mode(Side::Client, Rule::RequestChild), Mode::Report);
    assert_eq!(mode(Side::Server, Rule::RequestChild), Mode::Enforce, "the default holds for the other direction");
    assert_eq!(mode(Side::Client, Rule::ErrorChild), Mode::Off);
    assert_eq!(mode(Side::Server, Rule::ErrorChild), Mode::Report);
}

#[test]
fn short_forms() {
    assert_eq!(read("rules = 'enforce'").unwrap().rules, Modes::all(Mode::Enforce));
    assert_eq!(read("script = 'a.rhai'").unwrap().scripts, [Path::new("etc/a.rhai")]);
    assert_eq!(read("listen = 'localhost:5300'").unwrap().listen, "127.0.0.1:5300".parse().unwrap());
    let upstream = read("upstream = '[::1]:5222'").unwrap().upstream.unwrap();
    assert_eq!((upstream.host.as_str(), upstream.to_string().as_str()), ("::1", "[::1]:5222"));
}

/// Each mistake: the text, the line it is told of, and words that must be in the message.
const MISTAKES: &[(&str, usize, &[&str])] = &[
    ("\nlisten", 2, &["`=`"]),
    ("quiet = true\nquiet = true", 2, &["duplicate key"]),
    ("\n\nliste = 'x'", 3, &["unknown key `liste`", "did you mean `listen`"]),
    ("client-tls = 'off'", 1, &["did you mean `client_tls`"]),
    ("\nbanana = 1", 2, &["unknown key `banana`", "known here: listen, upstream"]),
    ("listen = '5222'", 1, &["`5222` is not ADDRESS:PORT", "127.0.0.1:5222"]),
    ("\nlisten = 5222", 2, &["string"]),
    ("worker_threads = 0", 1, &["worker_threads must be from 1 to 1024"]),
    ("upstream = 'xmpp.example.org'", 1, &["HOST:PORT"]),
    ("upstream = 'https://x:443'", 1, &["HOST:PORT"]),
    ("upstream = 'x:0'", 1, &["port 0"]),
    ("upstream = 'x:99999'", 1, &["HOST:PORT"]),
    ("client_tls = 'maybe'", 1, &["`maybe`", "`require`"]),
    ("\nserver_tls = 'require'", 2, &["`require`", "`starttls`"]),
    ("forward = 'fast'", 1, &["`exact`"]),
    ("on_script_error = 'panic'", 1, &["`reject`"]),
    ("rules = 'strict'", 1, &["`strict`", "`enforce`"]),
    ("rules = 3", 1, &["`off`, `report`, `enforce` or a table"]),
    ("[rules]\n\nid = 'of'", 3, &["`of`", "`off`"]),
    ("[rules]\nrule8 = 'off'", 2, &["unknown key `rule8`"]),
    ("[rules]\nid = { c2c = 'off' }", 2, &["unknown key `c2c`", "did you mean `c2s`"]),
    ("script = 3", 1, &["a path or an array of paths"]),
    ("script = ['a', 3]", 1, &["string"]),
    ("drop = 'true'", 1, &["a sequence"]),
    ("login_seconds = 0", 1, &["login_seconds must be from 1"]),
    ("\nlogin_seconds = -1", 2, &["-1"]),
    ("close_seconds = 'long'", 1, &["string"]),
    ("[limits]\nafter = {}", 2, &["unknown key `after`"]),
    ("[limits.after_login]\nstanza_bytes = 9999", 2, &["from 10000", "RFC 6120 §13.12"]),
    ("[limits.before_login]\n\nstanza_bytes = 10", 3, &["from 1000"]),
    ("[limits.after_login]\ndepth = 513", 2, &["depth must be from 4 to 512"]),
    ("[limits]\n\nmemory = '100kB'", 3, &["memory must be from 1048576", "0 for none"]),
    ("[limits]\nmemory = 'much'", 2, &["no number of bytes"]),
    ("[limits.after_login]\nvalue_bytes = 10", 2, &["value_bytes must be from 256"]),
    ("[limits.connections]\ntotal = 0", 2, &["total must be from 1"]),
    ("[limits.connections]\nper_second = 1", 2, &["unknown key `per_second`", "per_minute"]),
    ("[limits.queue]\nbytes = '1MB'\nmost_bytes = '1MB'", 3, &["most_bytes must be more than bytes"]),
    ("[limits.queue]\nbytes = '20MB'", 2, &["most_bytes must be more than bytes"]),
    ("[limits.queue]\nseconds = 0", 2, &["seconds must be from 1"]),
    ("[limits.c2s]\nbytes = 10", 2, &["bytes must be from 1000", "0 for none"]),
    ("[limits.s2c]\nburst_seconds = 0", 2, &["burst_seconds must be from 1"]),
    ("handshake_seconds = 0", 1, &["handshake_seconds must be from 1"]),
    ("vault_bytes = 1", 1, &["vault_bytes must be from 1024"]),
    ("sm_runs = 1", 1, &["sm_runs must be from 64"]),
    ("[script_limits]\noperations = 1", 2, &["operations must be"]),
    ("\ncert = 'c.crt'", 2, &["`key = FILE`"]),
    ("key = 'c.key'", 1, &["`cert = FILE`"]),
    ("server_ca = 'x'\ninsecure_server = true", 2, &["leave one out"]),
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

#[test]
fn what_does_not_go_together_is_said_in_the_words_of_the_command_line() {
    let public = Config { listen: "0.0.0.0:5222".parse().unwrap(), ..Config::default() };
    assert!(public.check().unwrap_err().contains("--allow-public"));
    assert_eq!(Config { allow_public: true, ..public }.check(), Ok(()));
    let lonely = Config { cert: Some("c".into()), ..Config::default() };
    assert!(lonely.check().unwrap_err().contains("--key"));
}

#[test]
fn a_script_that_cannot_be_loaded_is_named_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iqtap.toml");
    std::fs::write(directory.path().join("bad.rhai"), "fn on_iq(iq) {\n  let x = ;\n}\n").unwrap();
    let error = compile("script = 'bad.rhai'", &file).unwrap_err();
    assert_eq!((error.path.file_name().unwrap().to_str(), error.line), (Some("bad.rhai"), 2), "{error}");
    assert!(error.to_string().contains("bad.rhai:2:11: "), "{error}");
    let error = compile("script = 'missing.rhai'", &file).unwrap_err();
    assert!(error.to_string().contains("missing.rhai"), "{error}");
    let (route, policy) = compile("rules = 'off'\nclose_seconds = 9", &file).unwrap();
    assert_eq!((route.close_seconds, policy.rules, policy.number), (9, Modes::all(Mode::Off), 1));
}

#[test]
fn a_script_without_a_file_is_compiled_with_the_policy() {
    let path = Path::new("f.toml");
    let error = compile("\n\ndrop = ['true', 'stanza.kind == ==']", path).unwrap_err();
    assert!(error.to_string().starts_with("f.toml:3: drop: 'stanza.kind == ==', column 16 (at ==): "), "{error}");
    let mut config = read("reject = ['true=gone']\nfilter = 'true'").unwrap();
    assert!(config.policy().is_ok_and(|policy| policy.scripts.listens(Kind::Message)));
    assert!(config.compiled_filter().is_ok_and(|filter| filter.is_some()));
    config.filter = Some("1 +".to_owned());
    let error = config.compiled_filter().unwrap_err().to_string();
    assert!(error.starts_with("etc/iqtap.toml:2: filter: '1 +', column 4 (at its end): "), "{error}");
    config.lines.clear();
    assert!(config.compiled_filter().unwrap_err().to_string().starts_with("--filter: '1 +', column 4"));
    config.one_liners.push(OneLiner { deed: Deed::Drop, text: "1 +".to_owned(), line: 0 });
    let error = config.policy().unwrap_err().to_string();
    assert!(error.starts_with("--drop: '1 +', column 4 (at its end): "), "{error}");
}

#[test]
fn shadow_scripts_are_loaded_beside_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iqtap.toml");
    std::fs::write(directory.path().join("s.rhai"), "fn on_presence(stanza) {}").unwrap();
    let (_, policy) = compile("shadow = 's.rhai'", &file).unwrap();
    assert_eq!((policy.scripts.listens(Kind::Presence), policy.shadow.listens(Kind::Presence)), (false, true));
    assert!(compile("shadow = ['t.rhai']", &file).unwrap_err().to_string().contains("t.rhai: cannot be read"));
}

#[test]
fn a_script_that_fails_passes_what_is_only_reported_and_rejects_what_is_enforced() {
    use OnScriptError::{Drop, Pass, Reject};
    let all_but_one = "[rules]\ndefault = 'enforce'\nid = 'report'";
    for (text, then) in [
        ("", Pass),
        ("rules = 'report'", Pass),
        ("rules = 'off'", Pass),
        ("rules = 'enforce'", Reject),
        ("[rules]\nid = 'enforce'", Pass),
        (all_but_one, Reject),
        ("[rules.default]\nc2s = 'enforce'", Reject),
        ("on_script_error = 'pass'\nrules = 'enforce'", Pass),
        ("on_script_error = 'drop'", Drop),
    ] {
        assert_eq!(compile(text, Path::new("f.toml")).unwrap().1.on_script_error, then, "{text:?}");
    }
    // --rules has the last word.
    let config = Config { rules: Modes::all(Mode::Report), ..read(all_but_one).unwrap() };
    assert_eq!(config.policy().unwrap().on_script_error, Pass);
}

#[test]
fn a_policy_bears_a_hash_of_what_it_was_made_of() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("a.rhai", "fn on_iq(iq) { if list(\"l.txt\").contains(iq.id) { drop() } }");
    write("l.txt", "x");
    write("y.xml", "<y xmlns='urn:x'/>");
    let text = "script = 'a.rhai'\n[answer.static]\n'urn:x y' = 'y.xml'\n";
    let source = |text: &str| compile(text, &directory.path().join("f.toml")).unwrap().1.source;
    let first = source(text);
    assert!(first.len() == 64 && first.bytes().all(|b| b.is_ascii_hexdigit()), "{first}");
    assert_eq!(source(text), first, "the same again");
    assert_eq!(source(&format!("listen = '127.0.0.1:1'\nquiet = true\n{text}")), first, "nothing that a session does");
    let mut all = vec![first];
    for more in [
        "rules = 'enforce'",
        "iq_timeout = 7",
        "legacy_codes = true",
        "drop = ['true']",
        "reject = ['true=not-allowed']",
        "shadow = 'a.rhai'",
    ] {
        all.push(source(&format!("{more}\n{text}")));
    }
    for (name, text_of_it) in
        [("l.txt", "y"), ("y.xml", "<y xmlns='urn:x'>1</y>"), ("a.rhai", "fn on_iq(iq) { drop() }")]
    {
        write(name, text_of_it);
        all.push(source(text));
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "each is another one");
}

const EXAMPLE: &str = include_str!("../iqtap.example.toml");

#[test]
fn the_example_file_says_the_defaults() {
    let example = Config::from_text(EXAMPLE, Path::new("f.toml")).unwrap();
    let lines = example.lines.clone();
    assert_eq!(example, Config { path: "f.toml".into(), lines, ..Config::default() });
    // What is commented out for want of a default is understood too.
    let all: Vec<&str> = EXAMPLE.lines().map(uncommented).collect();
    let config = Config::from_text(&all.join("\n"), Path::new("f.toml")).unwrap();
    assert!(
        config.upstream.is_some()
            && config.key.is_some()
            && config.on_script_error.is_some()
            && config.filter.is_some()
    );
}

/// `# key = value` without the mark of a comment; any other line as it is.
fn uncommented(line: &str) -> &str {
    let key = |text: &str| text.split_once(" = ").is_some_and(|(key, _)| !key.contains(|c| !is_of_key(c)));
    line.strip_prefix("# ").filter(|text| key(text)).unwrap_or(line)
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

#[test]
fn the_example_file_has_every_key() {
    // The parser itself lists the keys it knows, where it meets one that it does not.
    for table in [
        "",
        "[rules]\n",
        "[rules.id]\n",
        "[limits]\n",
        "[limits.before_login]\n",
        "[limits.after_login]\n",
        "[limits.connections]\n",
        "[limits.queue]\n",
        "[limits.c2s]\n",
        "[limits.s2c]\n",
        "[script_limits]\n",
    ] {
        let said = read(&format!("{table}no_such_key_at_all = 1")).unwrap_err();
        let known: Vec<&str> = said.split_once("known here: ").unwrap().1.split(", ").collect();
        assert!(known.len() > 1, "{said}");
        let section = match table.trim_end().trim_matches(['[', ']']) {
            "" | "rules.id" | "limits" => EXAMPLE,
            name => EXAMPLE.split_once(&format!("\n[{name}]\n")).unwrap().1.split("\n[").next().unwrap(),
        };
        for key in known {
            let said = |line: &str| {
                line.match_indices(key).any(|(at, _)| {
                    let (before, after) = (line[..at].trim_start_matches("# "), &line[at + key.len()..]);
                    let begins = before.is_empty() || before.ends_with(['[', '{', ' ', '.']);
                    begins && !after.starts_with(is_of_key)
                })
            };
            assert!(section.lines().any(said), "iqtap.example.toml does not mention {table}{key}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::from_file(Path::new("no/such.toml")).unwrap_err();
    assert!(error.to_string().starts_with("no/such.toml: cannot be read"), "{error}");
}

#[test]
fn what_is_quoted_in_an_error_is_nothing_that_a_terminal_obeys() {
    for text in ["rules = \"\\u001b[2J\"", "\"\\u009b\" = 1", "listen = \"\\u0007\"", "upstream = \"\\u001b\""] {
        let error = read(text).unwrap_err();
        assert!(!error.contains(|c: char| c.is_control()), "{error:?}");
    }
}
