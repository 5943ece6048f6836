//! What a hook costs per stanza, beside no hook at all.

#![expect(clippy::print_stdout, clippy::panic, reason = "the table is what a bench is for; a script here must load")]

use criterion::{Criterion, criterion_group, criterion_main};
use iqtap::script::{Memory, ScriptLimits, ScriptSet};
use iqtap::xml::{Limits, Scanner, Step, View};
use iqtap::xmpp::{Facts, Kind, Side, Timestamp};
use std::hint::black_box;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const MESSAGE: &str = "<message from='juliet@example.org/balcony' to='romeo@example.net/orchard' type='chat' id='m-12345'>\
                       <body>Wherefore art thou, Romeo? Deny thy father and refuse thy name</body>\
                       <request xmlns='urn:xmpp:receipts'/></message>";

/// The row of a hook whose runs are measured, as those of `iqtap run` are.
const MEASURED: &str = "no-op, measured";

const HOOKS: [(&str, &str); 10] = [
    ("no hook for this kind", "fn on_iq(stanza) {}"),
    ("no-op", "fn on_message(stanza) {}"),
    (MEASURED, "fn on_message(stanza) {}"),
    ("no-op with the session", "fn on_message(stanza, session) {}"),
    (
        "three fields of the head",
        "fn on_message(stanza) { if stanza.type == \"set\" && stanza.direction == \"c2s\" || stanza.to == () { return drop(); } }",
    ),
    (
        "three fields, all of them read",
        "fn on_message(stanza) { if stanza.type == \"chat\" && stanza.direction == \"c2s\" && stanza.to == () { return drop(); } }",
    ),
    (
        "declared for another namespace",
        "const WANTS = #{ on_message: #{ ns: \"urn:example:other\" } }; fn on_message(stanza) { return drop(); }",
    ),
    ("an address", "fn on_message(stanza) { if jid(stanza.from).bare == \"a@b\" { return drop(); } }"),
    ("a look inside", "fn on_message(stanza) { if stanza.text(\"body\") == () { return drop(); } }"),
    ("one rewrite", "fn on_message(stanza) { stanza.to = \"mercutio@example.net\"; }"),
];

/// Hooks that get a roster.
const ROSTER_HOOKS: [(&str, &str); 6] = [
    (
        "a roster of 25 KB: its namespace",
        "fn on_iq(iq) { if iq.payload_ns != \"jabber:iq:roster\" { return drop(); } }",
    ),
    ("... its first address", "fn on_iq(iq) { if iq.text(\"query/item@jid\") == () { return drop(); } }"),
    ("... its last group", "fn on_iq(iq) { if iq.text(\"query/item[200]/group\") == () { return drop(); } }"),
    (
        "... three addresses",
        "fn on_iq(iq) { for n in 1..4 { if iq.text(`query/item[${n}]@jid`) == () { return drop(); } } }",
    ),
    (
        "... an element of it, which builds the tree",
        "fn on_iq(iq) { if iq.find(\"query/item\") == () { return drop(); } }",
    ),
    (
        "... how many there are, which builds the tree",
        "fn on_iq(iq) { if iq.count(\"query/item\") != 200 { return drop(); } }",
    ),
];

/// A roster of 200 people.
fn roster() -> String {
    let item = |n| {
        format!(
            "<item jid='contact{n:03}@example.net' name='Contact number {n:03}' subscription='both' ask='none'><group>The friends of Romeo</group></item>"
        )
    };
    let items: String = (0..200).map(item).collect();
    format!(
        "<iq type='result' id='r1' to='juliet@example.org/balcony'><query xmlns='jabber:iq:roster' ver='7'>{items}</query></iq>"
    )
}

fn bench(c: &mut Criterion) {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    let mut judged = |text: &str| {
        assert!(matches!(scanner.scan(text.as_bytes()), Step::Item { .. }));
        *scanner.head()
    };
    let roster = roster();
    let (message, long) = (judged(MESSAGE), judged(&roster));
    let view = |kind| match kind {
        Kind::Iq => View { bytes: roster.as_bytes(), head: &long, root: scanner.root() },
        Kind::Message | Kind::Presence => View { bytes: MESSAGE.as_bytes(), head: &message, root: scanner.root() },
    };
    let facts =
        Facts::new(Timestamp(1), 7, Side::Client, "example.org", "192.0.2.1:50000").bound("juliet@example.org/balcony");
    let mut group = c.benchmark_group("script");
    group.measurement_time(Duration::from_secs(2)).sample_size(20);
    let mut rows = Vec::new();
    let of_messages = HOOKS.map(|(name, text)| (Kind::Message, name, text));
    for (kind, name, text) in of_messages.into_iter().chain(ROSTER_HOOKS.map(|(name, text)| (Kind::Iq, name, text))) {
        let view = view(kind);
        let set = ScriptSet::from_text(Path::new("bench.rhai"), text, ScriptLimits::default())
            .unwrap_or_else(|why| panic!("{why}"));
        let set = if name == MEASURED { set.timed_by(nanos) } else { set };
        // As the pipeline does: one bit is tested, and only then a script run.
        let mut memory = Memory::default();
        let mut run = || {
            if set.wants(black_box(kind), black_box(&view), Side::Client, false) {
                let outcome = set.run(kind, black_box(&view), None, &facts, &mut memory);
                assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
                black_box(outcome);
            }
        };
        group.bench_function(name, |b| b.iter(&mut run));
        rows.push((name, best(&mut run)));
    }
    group.finish();
    println!("\n| hook | us per stanza |\n|---|---|");
    for (name, seconds) in rows {
        println!("| {name} | {:.2} |", seconds * 1e6);
    }
}

/// As the shell measures.
fn nanos() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The best of some passes, in seconds for one.
fn best(mut run: impl FnMut()) -> f64 {
    const TIMES: u32 = 1_000;
    let mut pass = || {
        let start = Instant::now();
        (0..TIMES).for_each(|_| run());
        start.elapsed().as_secs_f64() / f64::from(TIMES)
    };
    (0..20).map(|_| pass()).fold(f64::INFINITY, f64::min)
}

criterion_group!(benches, bench);
criterion_main!(benches);
