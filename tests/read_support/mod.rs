//! Captures made by hand: packets of TCP conversations in any wrapping, and the files around them.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use etherparse::{IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader};
use iqtap::capture::Recorder;
use iqtap::capture::read::{Event, ItemKind, Options, Reader};
use iqtap::policy::{ClientTls, Policy, Route, ServerTls};
use iqtap::rules::{Mode, Modes};
use iqtap::session::{Input, Outbox, Session};
use iqtap::xmpp::{Side, Timestamp};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// 2023-11-14 22:13:20 UTC, in microseconds.
pub(crate) const START: u64 = 1_700_000_000_000_000;

pub(crate) const HEADER: &str =
    "<?xml version='1.0'?><stream:stream to='d' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub(crate) const ANSWER: &str =
    "<stream:stream from='d' id='1' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// A packet from its IP header on, and when it came.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) at: u64,
    pub(crate) data: Vec<u8>,
}

/// Makes the packets of one conversation.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) ports: [u16; 2],
    pub(crate) seqs: [u32; 2],
    pub(crate) v6: bool,
    pub(crate) at: u64,
    pub(crate) packets: Vec<Packet>,
}

/// What a packet does beside carrying payload.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    /// Says nothing of what came from the other end.
    pub(crate) deaf: bool,
}

pub(crate) const CALLER: usize = 0;
pub(crate) const LISTENER: usize = 1;

impl Wire {
    /// After the handshake.
    pub(crate) fn open(ports: [u16; 2]) -> Self {
        let mut wire = Self { ports, seqs: [1000, 2000], v6: false, at: START, packets: Vec::new() };
        wire.shake();
        wire
    }

    pub(crate) fn shake(&mut self) {
        self.packet(CALLER, self.seqs[0], b"", Flags { syn: true, deaf: true, ..Flags::default() });
        self.seqs[0] = self.seqs[0].wrapping_add(1);
        self.packet(LISTENER, self.seqs[1], b"", Flags { syn: true, ..Flags::default() });
        self.seqs[1] = self.seqs[1].wrapping_add(1);
        self.packet(CALLER, self.seqs[0], b"", Flags::default());
    }

    /// Sends bytes in one packet.
    pub(crate) fn send(&mut self, from: usize, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.packet(from, self.seqs[from], bytes, Flags::default());
        self.seqs[from] = self.seqs[from].wrapping_add(bytes.len() as u32);
    }

    /// Sends bytes that nobody records.
    pub(crate) fn lose(&mut self, from: usize, bytes: &str) {
        self.seqs[from] = self.seqs[from].wrapping_add(bytes.len() as u32);
    }

    pub(crate) fn close(&mut self) {
        for from in [CALLER, LISTENER] {
            self.packet(from, self.seqs[from], b"", Flags { fin: true, ..Flags::default() });
            self.seqs[from] = self.seqs[from].wrapping_add(1);
        }
        self.packet(CALLER, self.seqs[0], b"", Flags::default());
    }

    pub(crate) fn packet(&mut self, from: usize, seq: u32, payload: &[u8], flags: Flags) {
        let mut tcp = TcpHeader::new(self.ports[from], self.ports[1 - from], seq, 65_000);
        (tcp.syn, tcp.fin, tcp.rst, tcp.ack) = (flags.syn, flags.fin, flags.rst, !flags.deaf);
        if tcp.ack {
            tcp.acknowledgment_number = self.seqs[1 - from];
        }
        let mut data = Vec::new();
        if self.v6 {
            let ends = [Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)];
            let ip = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: (tcp.header_len() + payload.len()) as u16,
                next_header: IpNumber::TCP,
                hop_limit: 64,
                source: ends[from].octets(),
                destination: ends[1 - from].octets(),
            };
            ip.write(&mut data).unwrap();
        } else {
            let ends = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
            let len = (tcp.header_len() + payload.len()) as u16;
            let ip = Ipv4Header::new(len, 64, IpNumber::TCP, ends[from].octets(), ends[1 - from].octets()).unwrap();
            ip.write(&mut data).unwrap();
        }
        tcp.write(&mut data).unwrap();
        data.extend_from_slice(payload);
        self.at += 1000;
        self.packets.push(Packet { at: self.at, data });
    }

    /// A classic capture of raw IP.
    pub(crate) fn pcap(&self) -> Vec<u8> {
        pcap(&self.packets, 101, &|data| data.to_vec())
    }
}

/// A classic capture: little-endian, microseconds.
pub(crate) fn pcap(packets: &[Packet], link: u32, wrap: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut file = pcap_header(0xa1b2_c3d4, link, &u32::to_le_bytes);
    for packet in packets {
        pcap_packet(&mut file, packet.at, 1, &wrap(&packet.data), &u32::to_le_bytes);
    }
    file
}

pub(crate) fn pcap_header(magic: u32, link: u32, order: &dyn Fn(u32) -> [u8; 4]) -> Vec<u8> {
    let versions = if order(1) == 1_u32.to_le_bytes() { 2 | 4 << 16 } else { 2 << 16 | 4 };
    [magic, versions, 0, 0, 65_535, link].map(order).concat()
}

/// Adds a packet; `per_micro`: ticks in a microsecond.
pub(crate) fn pcap_packet(file: &mut Vec<u8>, at: u64, per_micro: u64, data: &[u8], order: &dyn Fn(u32) -> [u8; 4]) {
    let fraction = at % 1_000_000 * per_micro;
    for number in [at / 1_000_000, fraction, data.len() as u64, data.len() as u64] {
        file.extend_from_slice(&order(number as u32));
    }
    file.extend_from_slice(data);
}

/// Writes pcapng blocks.
pub(crate) struct Ng<'a> {
    pub(crate) file: Vec<u8>,
    pub(crate) order: &'a dyn Fn(u32) -> [u8; 4],
    pub(crate) order16: &'a dyn Fn(u16) -> [u8; 2],
}

impl Ng<'_> {
    pub(crate) fn little() -> Ng<'static> {
        Ng { file: Vec::new(), order: &u32::to_le_bytes, order16: &u16::to_le_bytes }
    }

    pub(crate) fn big() -> Ng<'static> {
        Ng { file: Vec::new(), order: &u32::to_be_bytes, order16: &u16::to_be_bytes }
    }

    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) {
        let padding = (4 - body.len() % 4) % 4;
        let len = (self.order)((body.len() + padding + 12) as u32);
        self.file.extend_from_slice(&(self.order)(kind));
        self.file.extend_from_slice(&len);
        self.file.extend_from_slice(body);
        self.file.extend_from_slice(&[0; 3][..padding]);
        self.file.extend_from_slice(&len);
    }

    pub(crate) fn section(&mut self) {
        let versions = [(self.order16)(1), (self.order16)(0)].concat();
        let body = [&(self.order)(0x1a2b_3c4d)[..], &versions, &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body);
    }

    /// An interface; `resolution` is `if_tsresol`.
    pub(crate) fn interface(&mut self, link: u16, resolution: Option<u8>) {
        let mut body = [(self.order16)(link), (self.order16)(0)].concat();
        body.extend_from_slice(&(self.order)(65_535));
        if let Some(resolution) = resolution {
            body.extend_from_slice(&[(self.order16)(9), (self.order16)(1)].concat());
            body.extend_from_slice(&[resolution, 0, 0, 0]);
            body.extend_from_slice(&[0; 4]);
        }
        self.block(1, &body);
    }

    pub(crate) fn packet(&mut self, interface: u32, ticks: u64, data: &[u8]) {
        let len = data.len() as u32;
        let mut body = [interface, (ticks >> 32) as u32, ticks as u32, len, len].map(self.order).concat();
        body.extend_from_slice(data);
        self.block(6, &body);
    }

    /// The obsolete block for packets.
    pub(crate) fn old_packet(&mut self, interface: u16, ticks: u64, data: &[u8]) {
        let mut body = [(self.order16)(interface), (self.order16)(0)].concat();
        let len = data.len() as u32;
        body.extend_from_slice(&[(ticks >> 32) as u32, ticks as u32, len, len].map(self.order).concat());
        body.extend_from_slice(data);
        self.block(2, &body);
    }
}

/// All events of a file.
pub(crate) fn events(file: &[u8]) -> Vec<Event> {
    Reader::new(file, &Options::default()).unwrap().collect()
}

/// Each event as a short text: `C <presence/>`, `S hole 12`, `trouble ...`.
pub(crate) fn told(file: &[u8]) -> Vec<String> {
    told_with(file, &Options::default())
}

pub(crate) fn told_with(file: &[u8], options: &Options) -> Vec<String> {
    Reader::new(file, options).unwrap().map(|event| text(&event)).collect()
}

pub(crate) fn text(event: &Event) -> String {
    let letter = |from: &iqtap::capture::read::End| if *from == iqtap::capture::read::End::Caller { "C" } else { "S" };
    match event {
        Event::Begins { talk, .. } => format!("begins {} -> {}", talk.caller.port(), talk.listener.port()),
        Event::Item(item) => {
            let bytes = String::from_utf8_lossy(&item.bytes);
            match item.kind {
                ItemKind::Header => format!("{} header", letter(&item.from)),
                ItemKind::Space => format!("{} space", letter(&item.from)),
                ItemKind::Close => format!("{} close", letter(&item.from)),
                ItemKind::Element => format!("{} {bytes}", letter(&item.from)),
                ItemKind::Refused { why, .. } => format!("{} refused: {why}", letter(&item.from)),
            }
        }
        Event::Hole { from, lost, unread, .. } => format!("{} hole {lost}+{unread}", letter(from)),
        Event::Happened { session, happened, .. } => format!("session {session}: {happened:?}"),
        Event::Ends { how, .. } => format!("ends {how:?}"),
        Event::Trouble(trouble) => format!("trouble: {}", trouble.problem),
    }
}

/// Numbers that look random; the seed is printed with whatever fails.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }
}

/// A file with something wrong.
pub(crate) fn damaged(file: &[u8], seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut file = file.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(file.len());
        let count = 1 + dice.roll(64);
        match dice.roll(6) {
            0 => file.truncate(at),
            1 => drop(file.drain(at..(at + count).min(file.len()))),
            2 => drop(file.splice(at..at, vec![0; count])),
            3 => {
                let from = dice.roll(file.len());
                let copied = file[from..(from + count).min(file.len())].to_vec();
                drop(file.splice(at..at, copied));
            }
            _ => {
                let end = (at + count / 8 + 1).min(file.len());
                file[at..end].iter_mut().for_each(|b| *b = dice.roll(256) as u8);
            }
        }
        if file.is_empty() {
            break;
        }
    }
    file
}

/// Captures of each kind, small enough for damage to hit something.
pub(crate) fn sound() -> Vec<Vec<u8>> {
    let mut wire = Wire::open([40_000, 5222]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    for number in 0..10 {
        wire.send(CALLER, format!("<iq type='get' id='{number}'><ping xmlns='urn:xmpp:ping'/></iq>"));
        wire.send(LISTENER, format!("<iq type='result' id='{number}'/>"));
    }
    wire.close();
    let mut ng = Ng::big();
    ng.section();
    ng.interface(1, Some(9));
    for packet in &wire.packets {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend_from_slice(&packet.data);
        ng.packet(0, packet.at * 1000, &frame);
    }
    let text = format!("{HEADER}<presence/><iq type='get' id='1'/></stream:stream>");
    vec![wire.pcap(), ng.file, recorded(), text.into_bytes()]
}

/// What our own recorder makes of a session that was refused a request.
fn recorded() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.pcapng");
    let mut recorder = Recorder::create(&path, "iqtap").unwrap();
    let route = Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..Route::default() };
    let policy = Policy { rules: Modes::all(Mode::Enforce), ..Policy::default() };
    let mut session = Session::new(Timestamp(START), Arc::new(route), Arc::new(policy), 9, "192.0.2.1:7", 1);
    let mut out = Outbox { watched: true, ..Outbox::default() };
    let head = HEADER.replace("to='d'", "to='d' version='1.0'");
    let answer = ANSWER.replace("from='d'", "from='d' version='1.0'");
    let features = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>";
    let inputs = [
        Input::Bytes(Side::Client, head.as_bytes()),
        Input::Dialed,
        Input::Bytes(Side::Server, answer.as_bytes()),
        Input::Bytes(Side::Server, features.as_bytes()),
        Input::Bytes(
            Side::Client,
            b"<iq type='get' id='1'/><iq type='get' id='2'><query xmlns='jabber:iq:register'/></iq>",
        ),
        Input::Bytes(Side::Server, b"<iq type='result' id='2'/></stream:stream>"),
        Input::Bytes(Side::Client, b"</stream:stream>"),
    ];
    for (number, input) in inputs.into_iter().enumerate() {
        let now = Timestamp(START + number as u64);
        session.handle(now, input, &mut out);
        for note in out.notes.drain(..) {
            recorder.note(9, "192.0.2.1:7", now, &note).unwrap();
        }
    }
    recorder.finish().unwrap();
    std::fs::read(path).unwrap()
}
