//! Every Rhai block in the pages loads, and runs over all kinds of stanzas without an error; and what the pages say holds.

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
    (Kind::Iq, "<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><query xmlns='jabber:iq:last'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><query xmlns='jabber:iq:register'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><vCard xmlns='vcard-temp'/></iq>"),
    (Kind::Iq, "<iq type='set' id='1'><command xmlns='http://jabber.org/protocol/commands'/></iq>"),
    (Kind::Iq, "<iq type='result' id='1'/>"),
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
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza.as_bytes()), Step::Item { .. }), "{stanza}");
    let view = View { bytes: stanza.as_bytes(), head: scanner.head(), root: scanner.root() };
    set.run(kind, &view, None, &facts(side), &mut Memory::default())
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

#[test]
fn every_script_of_the_gallery_is_on_the_page_and_has_a_book() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut scripts = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{why}")) {
        let path = entry.unwrap_or_else(|why| panic!("{why}")).path();
        if path.extension().is_none_or(|extension| extension != "rhai") {
            continue;
        }
        scripts += 1;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        assert!(PAGES[1].1.contains(&format!("| `{name}` |")), "{name} is not in the table of scripts/README.md");
        assert!(path.with_extension("play").exists(), "{name} has no playbook");
        let lines = std::fs::read_to_string(&path).map(|text| text.lines().count());
        assert!(lines.is_ok_and(|lines| lines <= 40), "{name} is longer than an example should be");
        ScriptSet::load(&[path], ScriptLimits::default()).unwrap_or_else(|why| panic!("{why}"));
    }
    assert!(scripts >= 2);
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
