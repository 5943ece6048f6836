//! Hostile stanzas of 256 KB, through a whole session: looking at one costs little more than scanning it, whatever it holds.
//!
//! Time is compared with what the scanner alone takes, with a generous factor; a tree would take thirty times as long. In a
//! release build it is also held to the 10 ms of `security.md` P6.

mod link;

use iqtap::policy::Policy;
use iqtap::rules::{Mode, Modes, Rule};
use iqtap::session::{Input, Note};
use iqtap::xml::{ItemKind, Limits, Scanner, Step};
use iqtap::xmpp::Side;
use link::{Link, NOW};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// A stanza that a stranger can send: its name, its bytes, what is found in it.
struct Shape {
    name: &'static str,
    stanza: String,
    found: &'static [&'static str],
}

/// As many of `unit` as fit into what a stanza may have.
fn fill(name: &'static str, before: &str, unit: &str, after: &str, found: &'static [&'static str]) -> Shape {
    let Limits { stanza_bytes, elements, .. } = Limits::AFTER_LOGIN;
    let room = stanza_bytes - before.len() - after.len();
    let opened = unit.matches('<').count() - unit.matches("</").count();
    let most = (room / unit.len()).min((elements as usize - 5) / opened.max(1));
    let stanza = format!("{before}{}{after}", unit.repeat(most));
    Shape { name, stanza, found }
}

fn shapes() -> Vec<Shape> {
    let stranger = "from='mallory@example.net/x' to='juliet@example.org/balcony'";
    let message = |more: &str| format!("<message {stranger}{more}>");
    let set = |more: &str| format!("<iq type='set' id='a' {stranger}{more}>");
    let error = |more: &str| format!("<iq type='error' id='a' {stranger}{more}><error>");
    let mam = " xmlns:m='urn:xmpp:mam:2'";
    let conditions = " xmlns:c='urn:ietf:params:xml:ns:xmpp-stanzas'";
    let long: String = (0..1000).map(|_| "&#00000097;").collect();
    let many: String = (0..120).map(|n| format!(" xmlns:p{n}='urn:xmpp:mam:{n}'")).collect();
    let forged: &[&str] = &["archive-spoof"];
    vec![
        fill("results of an archive", &message(mam), "<m:result/>", "</message>", forged),
        fill("almost results", &message(mam), "<m:resulz/>", "</message>", &[]),
        fill("under 120 prefixes", &message(&many), "<p0:sent/>", "</message>", &[]),
        fill("under 120 other prefixes", &message(&many), "<result/>", "</message>", &[]),
        fill("each with a namespace", &message(""), "<result xmlns='urn:xmpp:mam'/>", "</message>", &[]),
        fill("a long name of references", &message(&format!(" xmlns:m='{long}'")), "<m:result/>", "</message>", &[]),
        fill("deep inside", &message(mam), "<a><a><a><m:result/></a></a></a>", "</message>", &[]),
        fill("CDATA", &message(mam), "<![CDATA[<m:result/>]]>", "</message>", &[]),
        fill("character references", &message(""), "&#65;", "</message>", &[]),
        fill("a set with children", &set(" xmlns:a='urn:a'"), "<a:query/>", "</iq>", &["rule5"]),
        fill("one with attributes", &set(" xmlns:a='urn:a'"), "<a:query b='>'/>", "</iq>", &["rule5"]),
        fill("conditions", &error(conditions), "<c:gone/>", "</error></iq>", &["rule4", "error-condition"]),
        fill("texts", &error(conditions), "<c:text/>", "</error></iq>", &["rule4"]),
        fill("errors", &error(""), "</error><error>", "</error></iq>", &["rule4"]),
    ]
}

/// How long the scanner takes.
fn scanned(stanza: &str) -> Duration {
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(HEADER.as_bytes()), Step::Item { kind: ItemKind::Open, .. }));
    let start = Instant::now();
    let step = scanner.scan(stanza.as_bytes());
    let took = start.elapsed();
    assert_eq!(step, Step::Item { len: stanza.len(), kind: ItemKind::Element });
    took
}

/// How long a session takes that goes by this policy; what it must have found is looked after.
fn handled(shape: &Shape, link: &mut Link, mode: Mode) -> Duration {
    link.out.notes.clear();
    let start = Instant::now();
    link.say(Side::Server, &shape.stanza);
    let took = start.elapsed();
    let codes: Vec<_> = link.out.notes.iter().filter_map(|note| code(note)).collect();
    let all = shape.found.iter().all(|code| codes.contains(code));
    assert!(!link.session.is_over() && all, "{}, {mode:?}: {codes:?} {:?}", shape.name, link.out.notes.last());
    took
}

fn code(note: &Note) -> Option<&'static str> {
    if let Note::Finding { finding, .. } = note { Some(finding.code) } else { None }
}

/// What is answered, or turned into an error, is not opened either.
#[test]
fn what_is_refused_costs_no_tree() {
    let set = "a set with children";
    let many = "results of an archive";
    for shape in shapes().into_iter().filter(|shape| [set, many].contains(&shape.name)) {
        not_slower(&shape, &mut link(Mode::Enforce, false), Mode::Enforce);
    }
    let mut link = link(Mode::Enforce, false);
    let result = fill(
        "a result",
        "<iq type='result' id='a' from='a@example.net' xmlns:a='urn:a'>",
        "<a:b/>",
        "</iq>",
        &["rule6"],
    );
    link.session.handle(NOW, Input::Policy(Arc::new(enforced_but_asked())), &mut link.out);
    not_slower(&result, &mut link, Mode::Enforce);
}

/// All rules but the one that drops what nobody has asked for.
fn enforced_but_asked() -> Policy {
    let mut rules = Modes::all(Mode::Enforce);
    rules.set(Side::Server, Rule::Unasked, Mode::Off);
    Policy { rules, ..Policy::default() }
}

fn link(mode: Mode, watched: bool) -> Link {
    let mut link = Link::open(false, Policy { rules: Modes::all(mode), ..Policy::default() });
    link.out.watched = watched;
    link
}

#[test]
fn what_is_only_looked_at_costs_no_tree() {
    for shape in shapes() {
        for watched in [false, true] {
            not_slower(&shape, &mut link(Mode::Report, watched), Mode::Report);
        }
    }
}

fn not_slower(shape: &Shape, link: &mut Link, mode: Mode) {
    let (mut scan, mut all) = (Duration::MAX, Duration::MAX);
    let good = (0..12).any(|_| {
        scan = scan.min(scanned(&shape.stanza));
        all = all.min(handled(shape, link, mode));
        let fast = cfg!(debug_assertions) || all < Duration::from_millis(10);
        fast && all < Duration::from_millis(1) + scan * 5
    });
    assert!(good, "{}, {mode:?}: {all:?} in a session, {scan:?} in the scanner", shape.name);
}

/// Prints what `security.md` P6 asks for.
#[test]
#[ignore = "prints figures: cargo test --release --test rules_cost -- --ignored --nocapture"]
fn figures() {
    for shape in shapes() {
        let scan = (0..20).map(|_| scanned(&shape.stanza)).min().unwrap_or_default();
        let [reported, enforced] = [Mode::Report, Mode::Enforce].map(|mode| {
            let mut link = link(mode, false);
            (0..20).map(|_| handled(&shape, &mut link, mode)).min().unwrap_or_default().as_secs_f64() * 1e3
        });
        let (scan, bytes) = (scan.as_secs_f64() * 1e3, shape.stanza.len());
        println!(
            "{bytes:7} bytes, ms: scanner {scan:6.3}, reported {reported:6.3}, enforced {enforced:6.3}  {}",
            shape.name
        );
    }
}
