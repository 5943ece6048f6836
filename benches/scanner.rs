//! What it costs to find, judge and shallowly read stanzas, beside what full parsers take for the same bytes.
//!
//! Every entry of the corpus is one kind of stanza, repeated to a buffer as one read of a busy socket would give it.
//! Expat is not here: there is no way to call it without `unsafe` or a C toolchain.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark")]

use criterion::{BenchmarkId, Criterion, Throughput};
use iqtap::xml::{ItemKind, Limits, Root, Scanner, Step};
use quick_xml::events::Event;
use rxml::Parse;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};
use xml_rs::reader::{EventReader, XmlEvent};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const CLOSE: &str = "</stream:stream>";
/// A buffer holds at least so many bytes of stanzas.
const BUFFER: usize = 16 * 1024;

/// Name and text of each kind of stanza.
fn corpus() -> Vec<(&'static str, String)> {
    vec![
        ("chat message", CHAT.to_owned()),
        ("iq ping", "<iq from='juliet@example.org/balcony' to='example.org' id='p-1a2b3c' type='get'><ping xmlns='urn:xmpp:ping'/></iq>".to_owned()),
        ("presence with caps", PRESENCE.to_owned()),
        ("roster, 100 items", roster()),
        ("vCard, 20 KB photo", vcard()),
        ("disco#info result", disco()),
        ("MAM, forwarded", MAM.to_owned()),
    ]
}

const CHAT: &str = "<message from='romeo@example.net/orchard' to='juliet@example.org/balcony' id='ktx72v49' type='chat' xml:lang='en'>\
    <body>Art thou not Romeo, and a Montague? Neither, fair saint, if either thee dislike.</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='ktx72v49'/></message>";
const PRESENCE: &str = "<presence from='romeo@example.net/orchard' to='juliet@example.org' xml:lang='en'><show>away</show><status>be right back</status>\
    <priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://gajim.org' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>\
    <x xmlns='vcard-temp:x:update'><photo>5b4a8ad0c1fce2e9f9a1f0f6f6a7c9d2e7c1a3b4</photo></x><idle xmlns='urn:xmpp:idle:1' since='2026-11-01T12:00:00Z'/></presence>";
const MAM: &str = "<message id='aeb213' to='juliet@example.org/balcony'><result xmlns='urn:xmpp:mam:2' queryid='f27' id='28482-98726-73623'>\
    <forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-07-10T23:08:25Z'/>\
    <message xmlns='jabber:client' to='juliet@example.org/balcony' from='romeo@example.net/orchard' type='chat' id='m-9'>\
    <body>Call me but love, and I'll be new baptized; henceforth I never will be Romeo.</body>\
    <reply xmlns='urn:xmpp:reply:0' to='juliet@example.org/balcony' id='m-8'/>\
    <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='12'/></fallback>\
    <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.org' id='28482-98726-73623'/></message></forwarded></result></message>";

fn roster() -> String {
    let mut out =
        "<iq to='juliet@example.org/balcony' type='result' id='roster1'><query xmlns='jabber:iq:roster' ver='ver11'>"
            .to_owned();
    for i in 0..100 {
        let _ = write!(
            out,
            "<item jid='friend{i}@example.net' name='Friend number {i}' subscription='both'><group>Friends</group></item>"
        );
    }
    out + "</query></iq>"
}

fn vcard() -> String {
    let photo: String =
        (0..20_000_u32).map(|i| char::from(b"ABCDEFGHabcdefgh0123456+/"[(i as usize * 7919) % 25])).collect();
    format!(
        "<iq to='juliet@example.org/balcony' type='result' id='v1'><vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><N><FAMILY>Montague</FAMILY>\
         <GIVEN>Romeo</GIVEN></N><PHOTO><TYPE>image/jpeg</TYPE><BINVAL>{photo}</BINVAL></PHOTO></vCard></iq>"
    )
}

fn disco() -> String {
    let mut out = "<iq from='example.org' to='juliet@example.org/balcony' type='result' id='d1'>\
        <query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='Prosody'/>"
        .to_owned();
    for what in ["disco#info", "disco#items", "commands", "pubsub", "pubsub#publish", "rosterx", "caps", "muc"] {
        let _ = write!(out, "<feature var='http://jabber.org/protocol/{what}'/>");
    }
    for what in
        ["ping", "carbons:2", "blocking", "mam:2", "push:0", "sm:3", "receipts", "time", "sid:0", "bookmarks:1#compat"]
    {
        let _ = write!(out, "<feature var='urn:xmpp:{what}'/>");
    }
    out + "</query></iq>"
}

fn root() -> Root {
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(HEADER.as_bytes()), Step::Item { kind: ItemKind::Open, .. }));
    scanner.root().clone()
}

/// One buffer with many stanzas through one scanner.
fn scan(scanner: &mut Scanner, stanzas: &str) -> u32 {
    let mut rest = stanzas.as_bytes();
    let mut seen = 0;
    while let Step::Item { len, .. } = scanner.scan(rest) {
        seen += scanner.head().elements;
        rest = rest.get(len..).unwrap_or_default();
    }
    assert!(rest.is_empty());
    seen
}

/// The same, but every stanza comes in a buffer of its own.
fn scan_singly(scanner: &mut Scanner, stanza: &str, times: usize) -> u32 {
    let mut seen = 0;
    for _ in 0..times {
        assert!(matches!(scanner.scan(black_box(stanza.as_bytes())), Step::Item { .. }));
        seen += scanner.head().elements;
    }
    seen
}

fn quick_xml(document: &str) -> u32 {
    let mut reader = quick_xml::NsReader::from_reader(document.as_bytes());
    let mut seen = 0;
    loop {
        match reader.read_resolved_event().expect("well-formed").1 {
            Event::Start(e) | Event::Empty(e) => {
                seen += 1;
                for attribute in e.attributes() {
                    black_box(attribute.expect("well-formed"));
                }
            }
            Event::Eof => return seen - 1,
            other => drop(black_box(other)),
        }
    }
}

fn rxml(document: &str) -> u32 {
    let mut parser = rxml::Parser::new();
    let (mut rest, mut seen) = (document.as_bytes(), 0);
    while let Some(event) = parser.parse(&mut rest, true).expect("well-formed") {
        seen += u32::from(matches!(event, rxml::Event::StartElement(..)));
        black_box(event);
    }
    seen - 1
}

fn xml_rs(document: &str) -> u32 {
    let mut reader = EventReader::new(document.as_bytes());
    let mut seen = 0;
    loop {
        match black_box(reader.next().expect("well-formed")) {
            XmlEvent::StartElement { .. } => seen += 1,
            XmlEvent::EndDocument => return seen - 1,
            _ => {}
        }
    }
}

struct Entry {
    name: &'static str,
    stanza: String,
    times: usize,
    stanzas: String,
    document: String,
}

fn entries() -> Vec<Entry> {
    let entry = |(name, stanza): (&'static str, String)| {
        let times = BUFFER.div_ceil(stanza.len());
        let stanzas = stanza.repeat(times);
        let document = format!("{HEADER}{stanzas}{CLOSE}");
        Entry { name, stanza, times, stanzas, document }
    };
    corpus().into_iter().map(entry).collect()
}

type Run<'a> = Box<dyn FnMut() -> u32 + 'a>;

fn runs(entry: &Entry) -> Vec<(&'static str, Run<'_>)> {
    let root = root();
    let (mut first, mut second) =
        (Scanner::under(&root, Limits::AFTER_LOGIN), Scanner::under(&root, Limits::AFTER_LOGIN));
    vec![
        ("scanner", Box::new(move || scan(&mut first, black_box(&entry.stanzas)))),
        ("scanner, singly", Box::new(move || scan_singly(&mut second, &entry.stanza, entry.times))),
        ("quick-xml", Box::new(|| quick_xml(black_box(&entry.document)))),
        ("rxml", Box::new(|| rxml(black_box(&entry.document)))),
        ("xml-rs", Box::new(|| xml_rs(black_box(&entry.document)))),
    ]
}

fn measure(criterion: &mut Criterion) {
    for entry in &entries() {
        let mut group = criterion.benchmark_group(entry.name);
        group.throughput(Throughput::Bytes(entry.stanzas.len() as u64));
        for (parser, mut run) in runs(entry) {
            group.bench_function(BenchmarkId::from_parameter(parser), |b| b.iter(&mut run));
        }
        group.finish();
    }
}

/// Nanoseconds per byte: the best of many short rounds, for other work on the machine only ever adds.
fn nanos_per_byte(run: &mut Run<'_>, bytes: usize) -> f64 {
    let mut best = Duration::MAX;
    let end = Instant::now() + Duration::from_millis(250);
    while Instant::now() < end {
        let start = Instant::now();
        black_box(run());
        best = best.min(start.elapsed());
    }
    best.as_nanos() as f64 / bytes as f64
}

fn table() {
    println!("\n| ns per byte | bytes | scanner | singly | quick-xml | rxml | xml-rs | xml-rs : scanner |");
    println!("|---|---|---|---|---|---|---|---|");
    for entry in &entries() {
        let mut line = format!("| {} | {} ", entry.name, entry.stanza.len());
        let (mut seen, mut costs) = (Vec::new(), Vec::new());
        for (_, mut run) in runs(entry) {
            seen.push(run());
            let cost = nanos_per_byte(&mut run, entry.stanzas.len());
            let _ = write!(line, "| {cost:.2} ");
            costs.push(cost);
        }
        assert!(seen.windows(2).all(|w| matches!(w, [a, b] if a == b)), "all must see the same elements: {seen:?}");
        let ratio = costs.last().zip(costs.first()).map_or(0.0, |(slow, fast)| slow / fast);
        println!("{line}| {ratio:.1} |");
    }
}

fn main() {
    let quick = Duration::from_millis(600);
    let criterion =
        Criterion::default().without_plots().warm_up_time(Duration::from_millis(200)).measurement_time(quick);
    let mut criterion = criterion.sample_size(30).configure_from_args();
    measure(&mut criterion);
    criterion.final_summary();
    if std::env::args().any(|a| a == "--bench") {
        table();
    }
}
