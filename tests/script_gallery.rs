//! Every Rhai block in the pages loads, and runs over all kinds of stanzas without an error; and what the pages say holds.

#![expect(clippy::panic, reason = "a script or a page that cannot be read cannot be tried")]

use iqtap::script::{Event, Memory, Outcome, ScriptLimits, ScriptSet, Verdict};
use iqtap::xml::{Limits, Scanner, Step, View};
use iqtap::xmpp::{Facts, Kind, Side, Timestamp};
use std::path::{Path, PathBuf};

const PAGES: [(&str, &str); 2] =
    [("README.md", include_str!("../README.md")), ("scripts/README.md", include_str!("../scripts/README.md"))];

const STANZAS: &[(Kind, &str)] = &[
    (Kind::Message, "<message/>"),
    (Kind::Message, "<message type='chat' id='m' to='a@b' from='c@d'><body>ping</body></message>"),
    (Kind::Message, "<message type='error'><body>drop me</body><error type='cancel'/></message>"),
    (Kind::Presence, "<presence/>"),
    (Kind::Presence, "<presence type='unavailable' from='a@b/c'/>"),
    (Kind::Presence, "<presence type='subscribe' from='a@b'><status>http://b</status></presence>"),
    (Kind::Iq, "<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><query xmlns='jabber:iq:last'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><query xmlns='jabber:iq:register'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><vCard xmlns='vcard-temp'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><command xmlns='http://jabber.org/protocol/commands'/></iq>"),
    (Kind::Iq, "<iq type='result' id='1'/>"),
    (Kind::Iq, "<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item/><item jid='@'/></query></iq>"),
    (Kind::Message, "<message type='chat' to='@' from=''><body>http://b</body><x xmlns='jabber:x:oob'/></message>"),
    (Kind::Message, "<message type='chat' to='romeo@example.org'><body>/who</body></message>"),
];

/// The fenced blocks of Rhai in a page, each with the line its text begins on.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (at, line) in page.lines().enumerate() {
        match line {
            "```rhai" => {
                inside = true;
                blocks.push((at + 2, String::new()));
            }
            "```" => inside = false,
            _ if inside => {
                if let Some((_, text)) = blocks.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
            _ => {}
        }
    }
    blocks
}

fn run(set: &ScriptSet, kind: Kind, stanza: &str, side: Side) -> Outcome {
    run_in(set, kind, stanza, side, &mut Memory::default())
}

/// The same in a session under way.
fn run_in(set: &ScriptSet, kind: Kind, stanza: &str, side: Side, memory: &mut Memory) -> Outcome {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza.as_bytes()), Step::Item { .. }), "{stanza}");
    let view = View { bytes: stanza.as_bytes(), head: scanner.head(), root: scanner.root() };
    set.run(kind, &view, None, &facts(side), memory)
}

fn facts(side: Side) -> Facts<'static> {
    Facts::new(Timestamp(1), 1, side, "example.org", "192.0.2.1:50000").bound("romeo@example.org/orchard")
}

/// The stanzas a block brings along, in comments of its own: `// with: <message/>`.
fn own_stanzas(block: &str) -> Vec<(Kind, &str)> {
    let with = block.lines().filter_map(|line| line.trim().strip_prefix("// with: "));
    with.map(|stanza| {
        let kind = match stanza {
            iq if iq.starts_with("<iq") => Kind::Iq,
            message if message.starts_with("<message") => Kind::Message,
            _ => Kind::Presence,
        };
        (kind, stanza)
    })
    .collect()
}

/// Where the lists lie that the pages' scripts read.
fn shelf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists")
}

/// Whether anybody would notice that a hook has run.
fn shows(outcome: &Outcome) -> bool {
    outcome.verdict != Verdict::Pass
        || outcome.element.is_some()
        || !outcome.sends.is_empty()
        || !outcome.logs.is_empty()
}

#[test]
fn every_block_of_the_pages_runs() {
    let shelf = shelf();
    for (page, text) in PAGES {
        let blocks = blocks(text);
        assert!(!blocks.is_empty(), "{page} has no block");
        for (line, block) in blocks {
            let set = ScriptSet::from_text(&shelf.join("page.rhai"), &block, ScriptLimits::default())
                .unwrap_or_else(|why| panic!("{page}, the block at line {line}: {why}"));
            let own = own_stanzas(&block);
            for (kind, stanza) in &own {
                let shown = [Side::Client, Side::Server].map(|side| shows(&run(&set, *kind, stanza, side)));
                assert!(shown.contains(&true), "{page}:{line} does nothing to its own {stanza}");
            }
            let mut verdicts = own.len();
            for side in [Side::Client, Side::Server] {
                for (kind, stanza) in STANZAS.iter().chain(&own) {
                    let outcome = run(&set, *kind, stanza, side);
                    assert_eq!(outcome.errors, Vec::<String>::new(), "{page}:{line} on {stanza}");
                    let acts =
                        outcome.verdict != Verdict::Pass || outcome.element.is_some() || !outcome.sends.is_empty();
                    verdicts += usize::from(acts);
                }
            }
            let mut memory = Memory::default();
            for event in [Event::Open, Event::Bind, Event::Close("over")] {
                let outcome = set.event(event, &facts(Side::Client), &mut memory);
                assert_eq!(outcome.errors, Vec::<String>::new(), "{page}:{line} on {event:?}");
                verdicts += usize::from(shows(&outcome) || !outcome.asks.is_empty());
            }
            assert!(verdicts > 0, "{page}:{line} does nothing to any of the stanzas here");
        }
    }
}

/// The scripts of the gallery, in order: the name of the file, its path, its text.
fn gallery() -> Vec<(String, PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{why}"));
    let paths = entries.map(|entry| entry.unwrap_or_else(|why| panic!("{why}")).path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "rhai")).collect();
    paths.retain(|path| !path.to_string_lossy().ends_with(".d.rhai")); // what tells editors of scripts
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        (path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(), path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The first sentence of the comment a script begins with: what it does.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("// "));
    let comment = lines.collect::<Vec<_>>().join(" ") + " ";
    comment.split_once(". ").map(|(sentence, _)| sentence.to_owned()).unwrap_or_default()
}

#[test]
fn every_script_of_the_gallery_is_on_the_page_in_its_own_words() {
    let row = |(name, _, text): &(String, PathBuf, String)| format!("| `{name}` | {} |", first_sentence(text));
    let rows: Vec<String> = gallery().iter().map(row).collect();
    let page: Vec<&str> =
        PAGES[1].1.lines().filter(|line| line.starts_with("| `") && line.contains(".rhai` |")).collect();
    assert_eq!(page, rows, "the table of scripts/README.md should read:\n{}\n", rows.join("\n"));
}

#[test]
fn every_script_of_the_gallery_is_an_example() {
    let gallery = gallery();
    assert!(gallery.len() >= 15, "{}", gallery.len());
    for (name, path, text) in &gallery {
        assert!(!first_sentence(text).is_empty(), "{name} does not begin with what it does");
        assert!(text.contains("\n// Try it: "), "{name} does not say how to try it");
        assert!(text.contains("--script") && text.contains(&format!("scripts/{name}")), "{name}: how to run it");
        assert!(path.with_extension("play").exists(), "{name} has no playbook");
        let stage = format!("Stage::of(\"{}\"", name.trim_end_matches(".rhai"));
        assert!(include_str!("real_gallery.rs").contains(&stage), "{name} is not tried by real clients");
        let lines = text.lines().count();
        assert!(lines <= 90, "{name} is longer than an example should be: {lines} lines");
    }
}

/// Whatever comes, both ways, one after the other in one session: no script fails.
#[test]
fn every_script_of_the_gallery_runs_over_everything() {
    for (name, path, _) in gallery() {
        let set = ScriptSet::load(&[path], ScriptLimits::default()).unwrap_or_else(|why| panic!("{why}"));
        let mut memory = Memory::default();
        for side in [Side::Client, Side::Server] {
            for (kind, stanza) in STANZAS {
                let outcome = run_in(&set, *kind, stanza, side, &mut memory);
                assert_eq!(outcome.errors, Vec::<String>::new(), "{name} on {stanza}");
            }
        }
    }
}

/// "A function returns its last expression, whether a semicolon stands behind it or not."
#[test]
fn a_semicolon_at_the_end() {
    let table = [("reject(\"conflict\")", true), ("reject(\"conflict\");", true)];
    for (body, rejects) in table {
        let text = format!("fn on_iq(stanza) {{ {body} }}");
        let set = ScriptSet::from_text(Path::new("t.rhai"), &text, ScriptLimits::default());
        let outcome = run(&set.unwrap_or_else(|why| panic!("{why}")), Kind::Iq, "<iq/>", Side::Client);
        assert_eq!(matches!(outcome.verdict, Verdict::Reject(_)), rejects, "{body}: {:?}", outcome.errors);
    }
}
