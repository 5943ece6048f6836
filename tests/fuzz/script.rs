//! Scripts: any text that compiles, every hook of it over a few stanzas, within limits.
//!
//! The script ends at a line `----`; what follows are stanzas of the client that it is shown besides the usual ones. What it makes can be
//! written and is read back, it keeps within its limits, and the same run comes to the same again.
#![expect(clippy::panic, reason = "this is how a fuzzer is told")]

use super::seen::{Judged, stanzas};
use bytes::BytesMut;
use iqtap::script::{Deed, Event, Filter, Memory, OneLiner, Outcome, ScriptLimits, ScriptSet, Severity, check, hooks};
use iqtap::xml::{Element, Scope, parse_str, write_element};
use iqtap::xmpp::{Facts, Side, Timestamp};
use std::path::Path;

/// Much smaller than usual, so that an input is done within milliseconds.
pub(super) const LIMITS: ScriptLimits = ScriptLimits {
    operations: 2_000,
    call_depth: 8,
    string_bytes: 4096,
    sends: 8,
    send_bytes: 16 << 10,
    state_bytes: 16 << 10,
    ..ScriptLimits::DEFAULT
};

/// What it is shown in any case.
const USUAL: &str = "<iq type='set' id='v1' to='example.org' xml:lang='de'><vCard xmlns='vcard-temp'><FN>J &amp; J</FN></vCard></iq>\
    <message to='romeo@example.net' id='m1' type='chat'><body>hi &lt;you&gt;</body><x xmlns='u:u'><y z='1'/></x></message>\
    <presence/><iq type='error' id='1'><ping xmlns='urn:xmpp:ping'/><error type='cancel'/></iq>";

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (script, more) = text.split_once("\n----\n").unwrap_or((&text, ""));
    // It would read a file.
    if script.contains("list") {
        return;
    }
    let path = Path::new("fuzz.rhai");
    // Both take as long as all the rest: one text in four is looked at.
    let checked = data.len().is_multiple_of(4).then(|| (check(path, script, LIMITS), hooks(script, LIMITS)));
    let set = match ScriptSet::from_text(path, script, LIMITS) {
        Ok(set) => set,
        Err(why) => {
            if let Some((complaints, _)) = checked {
                let known = complaints.iter().any(|complaint| complaint.severity == Severity::Error);
                assert!(known, "it does not load ({why}), and checking it says nothing of that: {complaints:?}");
            }
            return one_line(script);
        }
    };
    let shown: Vec<Judged> = stanzas(USUAL.as_bytes()).into_iter().chain(stanzas(more.as_bytes())).collect();
    let first = play(&set, &shown);
    // Another set of the same text, for one has a memory of what it shares.
    let again = ScriptSet::from_text(path, script, LIMITS).map(|set| play(&set, &shown));
    assert_eq!(again.as_ref(), Ok(&first), "the same script over the same stanzas came to something else");
}

/// What is no script may be an expression.
fn one_line(text: &str) {
    if let Ok(filter) = Filter::new(text, LIMITS) {
        for stanza in stanzas(USUAL.as_bytes()) {
            let _ = filter.shows(stanza.kind, &stanza.view(), Side::Client);
        }
    }
    for deed in [Deed::Drop, Deed::Reject, Deed::Modify] {
        let mut set = ScriptSet::default();
        let _ = set.add_line(&OneLiner { deed, text: text.to_owned(), line: 1 });
    }
}

/// A session's life, as a script sees it.
fn play(set: &ScriptSet, shown: &[Judged]) -> Vec<Outcome> {
    let mut memory = Memory::default();
    let facts = |second: u64, side| {
        let facts = Facts::new(Timestamp(second * 1_000_000), 7, side, "example.org", "192.0.2.1:50000");
        facts.bound("juliet@example.org/balcony")
    };
    let mut all = vec![set.event(Event::Open, &facts(1, Side::Client), &mut memory)];
    let features = parse_str("<features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></features>");
    if let Ok(features) = features {
        let (edited, outcome) = set.features(&features, &facts(2, Side::Server), &mut memory);
        edited.iter().for_each(written);
        all.push(outcome);
    }
    all.push(set.event(Event::Bind, &facts(3, Side::Client), &mut memory));
    for (number, stanza) in (1..).zip(shown) {
        let view = stanza.view();
        memory.remember(number, Side::Client, &view);
        for (side, request) in [(Side::Client, None), (Side::Server, Some(number))] {
            if set.wants(stanza.kind, &view, side, request.is_some()) {
                all.push(set.run(stanza.kind, &view, request, &facts(3 + number, side), &mut memory));
            }
        }
    }
    all.push(set.event(Event::Timeout(1), &facts(100, Side::Client), &mut memory));
    memory.forget(1);
    for second in 0..8 {
        all.extend(set.due(&facts(100 + second * 1000, Side::Client), &mut memory));
    }
    all.push(set.event(Event::Close("eof"), &facts(100_000, Side::Client), &mut memory));
    all.iter().for_each(within);
    let most = 2 * LIMITS.state_bytes + 512 * 1024;
    assert!(memory.weight() < most, "it keeps {} bytes", memory.weight());
    all
}

/// What a run came to keeps within the limits and can be written.
fn within(outcome: &Outcome) {
    let hooks = 3; // as many runs of one script may stand in one outcome: on_load, the kind's hook, on_answer
    let sends = outcome.sends.len() + outcome.asks.len();
    assert!(sends <= hooks * LIMITS.sends, "{sends} stanzas were sent");
    outcome.element.iter().for_each(written);
    for element in outcome.sends.iter().map(|send| &send.stanza).chain(outcome.asks.iter().map(|ask| &ask.iq)) {
        written(element);
    }
    for error in &outcome.errors {
        assert!(!error.contains(['\u{1b}', '\r']), "an error that a terminal obeys: {error:?}");
    }
}

/// What is written is well-formed: rxml reads it.
fn written(element: &Element) {
    let mut out = BytesMut::new();
    write_element(element, Scope::Stream, &mut out);
    if let Err(why) = super::seen::independent(&out) {
        panic!("a script made what cannot be read ({why}): {}", crate::xml::show(&out));
    }
}
