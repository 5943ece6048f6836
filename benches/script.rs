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

fn bench(c: &mut Criterion) {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(MESSAGE.as_bytes()), Step::Item { .. }));
    let view = View { bytes: MESSAGE.as_bytes(), head: scanner.head(), root: scanner.root() };
    let facts =
        Facts::new(Timestamp(1), 7, Side::Client, "example.org", "192.0.2.1:50000").bound("juliet@example.org/balcony");
    let mut group = c.benchmark_group("script");
    group.measurement_time(Duration::from_secs(2)).sample_size(20);
    let mut rows = Vec::new();
    for (name, text) in HOOKS {
        let set = ScriptSet::from_text(Path::new("bench.rhai"), text, ScriptLimits::default())
            .unwrap_or_else(|why| panic!("{why}"));
        let set = if name == MEASURED { set.timed_by(nanos) } else { set };
        // As the pipeline does: one bit is tested, and only then a script run.
        let mut memory = Memory::default();
        let mut run = || {
            if set.wants(black_box(Kind::Message), black_box(&view), Side::Client, false) {
                let outcome = set.run(Kind::Message, black_box(&view), None, &facts, &mut memory);
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
    const TIMES: u32 = 10_000;
    let mut pass = || {
        let start = Instant::now();
        (0..TIMES).for_each(|_| run());
        start.elapsed().as_secs_f64() / f64::from(TIMES)
    };
    (0..20).map(|_| pass()).fold(f64::INFINITY, f64::min)
}

criterion_group!(benches, bench);
criterion_main!(benches);
