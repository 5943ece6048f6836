//! Stanzas per second and core through `Session::handle`: rules reporting, no script, nobody watching.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use iqtap::policy::{ClientTls, Policy, Route, ServerTls};
use iqtap::session::{Input, Outbox, Session};
use iqtap::xmpp::{Side, Timestamp};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(1);
const CHUNK: usize = 64 * 1024;

/// A session whose client has logged in and bound a resource.
fn open() -> (Session, Outbox) {
    let route = Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..Route::default() };
    let mut session = Session::new(NOW, Arc::new(route), Arc::new(Policy::default()), 1, "127.0.0.1:1", 7);
    let mut out = Outbox::default();
    let client = "<stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let server = "<stream:stream from='example.org' id='s' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    let bind = "urn:ietf:params:xml:ns:xmpp-bind";
    for (side, text) in [
        (Side::Client, client.to_owned()),
        (
            Side::Server,
            format!(
                "{server}<stream:features><mechanisms xmlns='{sasl}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
            ),
        ),
        (Side::Client, format!("<auth xmlns='{sasl}' mechanism='PLAIN'>AGp1bGlldABwdw==</auth>")),
        (Side::Server, format!("<success xmlns='{sasl}'/>")),
        (Side::Client, client.to_owned()),
        (Side::Server, format!("{server}<stream:features><bind xmlns='{bind}'/></stream:features>")),
        (Side::Client, format!("<iq type='set' id='b'><bind xmlns='{bind}'/></iq>")),
        (
            Side::Server,
            format!("<iq type='result' id='b'><bind xmlns='{bind}'><jid>juliet@example.org/balcony</jid></bind></iq>"),
        ),
    ] {
        session.handle(NOW, Input::Bytes(side, text.as_bytes()), &mut out);
        if !out.acts.is_empty() {
            out.acts.clear();
            session.handle(NOW, Input::Dialed, &mut out);
        }
    }
    assert_eq!(session.jid(), Some("juliet@example.org/balcony"), "{:?}", out.notes);
    out.notes.clear();
    clear(&mut out);
    (session, out)
}

fn clear(out: &mut Outbox) {
    for bytes in &mut out.to {
        bytes.clear();
    }
}

/// What the pump reads, in order, and how many stanzas there are in it.
struct Flood {
    chunks: Vec<(Side, Vec<u8>)>,
    stanzas: u64,
}

/// About a MiB of one stanza from one side.
fn one_way(side: Side, stanza: &str) -> Flood {
    let times = (1 << 20) / stanza.len();
    let bytes = stanza.repeat(times).into_bytes();
    Flood { chunks: bytes.chunks(CHUNK).map(|chunk| (side, chunk.to_vec())).collect(), stanzas: times as u64 }
}

/// Pings in rows of 16 and their answers, as a pipelining client and its server send them; `between`: other stanzas, one
/// beside each ping.
fn round_trips(between: &str) -> Flood {
    const DEPTH: usize = 16;
    const ROWS: usize = 512;
    let row =
        |row: usize, text: &dyn Fn(usize) -> String| (0..DEPTH).map(|at| text(row * DEPTH + at)).collect::<String>();
    let ping = |id: usize| {
        format!("<iq type='get' id='ping{id}' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>{between}")
    };
    let pong =
        |id: usize| format!("<iq type='result' id='ping{id}' from='example.org' to='juliet@example.org/balcony'/>");
    let chunks = (0..ROWS)
        .flat_map(|at| [(Side::Client, row(at, &ping).into_bytes()), (Side::Server, row(at, &pong).into_bytes())]);
    let each = if between.is_empty() { 2 } else { 3 };
    Flood { chunks: chunks.collect(), stanzas: (ROWS * DEPTH * each) as u64 }
}

fn message() -> String {
    let body = "Wherefore art thou, Romeo? ".repeat(5) + "Deny th";
    let message = format!(
        "<message from='juliet@example.org/balcony' to='romeo@example.net/orchard' type='chat' id='m-12345'><body>{body}</body>\
         <request xmlns='urn:xmpp:receipts'/></message>"
    );
    assert_eq!(message.len(), 300);
    message
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    group.measurement_time(Duration::from_secs(4)).sample_size(20);
    let mut rows = Vec::new();
    for (name, flood) in [
        ("300-byte messages c2s", one_way(Side::Client, &message())),
        ("300-byte messages s2c", one_way(Side::Server, &message())),
        ("pings c2s and their results s2c", round_trips("")),
        ("the same with a message beside each ping", round_trips(&message())),
    ] {
        let Flood { chunks, stanzas } = flood;
        let (mut session, mut out) = open();
        group.throughput(Throughput::Elements(stanzas));
        let bytes = chunks.iter().map(|(_, chunk)| chunk.len()).sum::<usize>();
        let mut pass = || {
            for (side, chunk) in &chunks {
                session.handle(NOW, Input::Bytes(*side, black_box(chunk)), &mut out);
                black_box(&out.to);
                clear(&mut out);
            }
            assert!(out.notes.is_empty(), "nothing is wrong with any of it: {:?}", out.notes.first());
        };
        group.bench_function(name, |b| b.iter(&mut pass));
        rows.push((name, best(&mut pass), stanzas, bytes));
    }
    group.finish();
    println!("\n| flood | million stanzas per second and core | ns per stanza | ns per byte |\n|---|---|---|---|");
    for (name, seconds, count, bytes) in rows {
        let per_stanza = seconds * 1e9 / count as f64;
        let per_byte = seconds * 1e9 / bytes as f64;
        println!("| {name} | {:.2} | {per_stanza:.0} | {per_byte:.2} |", 1e3 / per_stanza);
    }
}

/// The best of some passes, in seconds.
fn best(pass: &mut impl FnMut()) -> f64 {
    (0..50)
        .map(|_| {
            let start = Instant::now();
            pass();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

criterion_group!(benches, bench);
criterion_main!(benches);
