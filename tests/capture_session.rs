//! A real session, watched: the capture of it holds the very bytes that went over both wires, and people see it too.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own file has failed")]

use iqtap::capture::Recorder;
use iqtap::inspect::{Printer, PrinterOptions};
use iqtap::policy::{ClientTls, Policy, Route, ServerTls};
use iqtap::rules::{Mode, Modes};
use iqtap::session::{Input, Outbox, Session, Tally};
use iqtap::xmpp::{Side, Timestamp};
use pcap_file::pcapng::{Block, PcapNgReader};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// Bytes of each wire, by side: in, out.
type Wires = [[Vec<u8>; 2]; 2];

/// What happens, one thing after another.
fn script() -> Vec<Input<'static>> {
    let header = b"<?xml version='1.0'?>\n<stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
                   xmlns:stream='http://etherx.jabber.org/streams'>";
    let answer = b"<stream:stream from='example.org' id='s1' version='1.0' xmlns='jabber:client' \
                   xmlns:stream='http://etherx.jabber.org/streams'>";
    let mechanisms = b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                       <mechanism>ANONYMOUS</mechanism></mechanisms></stream:features>";
    vec![
        Input::Bytes(C, header),
        Input::Dialed,
        Input::Bytes(S, answer),
        Input::Bytes(S, mechanisms),
        Input::Bytes(C, b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"),
        Input::Bytes(S, b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
        Input::Bytes(C, header),
        Input::Bytes(S, answer),
        Input::Bytes(S, b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"),
        Input::Bytes(C, b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"),
        Input::Bytes(S, b"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>j@example.org/x</jid></bind></iq>"),
        Input::Bytes(C, b"<presence/> \n<iq type='get' id='p1' to='example.org'><ping xmlns='urn:xm"),
        Input::Bytes(C, b"pp:ping'/></iq><iq type='get' id='two'><a xmlns='b'/><c xmlns='d'/></iq>"),
        Input::Bytes(S, "<iq type='result' id='p1'/><message id='m'><body>grüße\r\n</body></message>".as_bytes()),
        Input::Bytes(C, b"</stream:stream>"),
        Input::Bytes(S, b"</stream:stream>"),
        Input::Eof(C),
        Input::Eof(S),
    ]
}

fn play(recorder: &mut Recorder, printer: &mut Printer) -> (Wires, Tally) {
    let route = Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..Route::default() };
    let policy = Policy { number: 1, rules: Modes::all(Mode::Enforce), ..Policy::default() };
    let mut now = Timestamp(1_700_000_000_000_000);
    let mut session = Session::new(now, Arc::new(route), Arc::new(policy), 9, "192.0.2.1:7", 1);
    let mut wires = Wires::default();
    let mut out = Outbox { watched: true, ..Outbox::default() };
    for input in script() {
        now = Timestamp(now.0 + 1000);
        if let Input::Bytes(side, bytes) = &input {
            wires[side.index()][0].extend_from_slice(bytes);
        }
        session.handle(now, input, &mut out);
        for side in [C, S] {
            wires[side.index()][1].extend_from_slice(&out.to[side.index()].split());
        }
        for note in out.notes.drain(..) {
            recorder.note(9, "192.0.2.1:7", now, &note).unwrap();
            printer.note(9, "192.0.2.1:7", now, &note).unwrap();
        }
    }
    assert!(session.is_over());
    (wires, session.tally().clone())
}

/// What a capture says of the wires.
fn recorded(path: &Path) -> Wires {
    let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
    let mut wires = Wires::default();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block.unwrap() else { continue };
        let sliced = etherparse::SlicedPacket::from_ip(&packet.data).unwrap();
        let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { continue };
        let interface = packet.interface_id as usize;
        let to_listener = tcp.destination_port() == 5222;
        // The client calls us, we call the server.
        let way = usize::from(to_listener != (interface == 0));
        wires[interface][way].extend_from_slice(tcp.payload());
    }
    wires
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_capture_holds_both_wires() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session.pcapng");
    let mut recorder = Recorder::create(&path, "iqtap").unwrap();
    let paper = Paper::default();
    let mut printer = Printer::new(PrinterOptions::default(), Box::new(paper.clone()));
    let (wires, tally) = play(&mut recorder, &mut printer);
    recorder.finish().unwrap();
    printer.finish(&tally).unwrap();

    let recorded = recorded(&path);
    for side in [C, S] {
        for (way, name) in ["in", "out"].iter().enumerate() {
            let text = |wires: &Wires| String::from_utf8_lossy(&wires[side.index()][way]).into_owned();
            assert_eq!(text(&recorded), text(&wires), "{side:?} {name}");
        }
    }
    let seen = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    for words in ["bound to j@example.org/x", "{urn:xmpp:ping} ping", "rejected bad-request by rule 5", "└ rule 5:"] {
        assert!(seen.contains(words), "{words} is not in\n{seen}");
    }
    assert_eq!(seen.matches("joined to example.org").count(), 1, "{seen}");
}
