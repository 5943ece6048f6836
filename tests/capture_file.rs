//! The file a recorder writes, read back block by block and header by header.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its own file has failed")]

mod capture_support;

use capture_support::{START, Tape, seen};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use iqtap::capture::Recorder;
use iqtap::rules::{Finding, Rule, Severity};
use iqtap::session::{Dir, Fate, Note, Origin, Pair, TlsInfo};
use iqtap::xmpp::Side;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='d'>";

/// One packet of the file; checksums and lengths were right.
#[derive(Clone, Debug)]
struct Packet {
    interface: u32,
    at: Duration,
    /// Addresses and ports, source first.
    flow: [([u8; 4], u16); 2],
    seq: u32,
    ack: Option<u32>,
    /// Any of `SFRP`.
    flags: String,
    payload: Vec<u8>,
    comment: String,
}

fn packets(path: &Path) -> Vec<Packet> {
    let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
    let mut all = Vec::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(block) = block.unwrap() else { continue };
        let sliced = SlicedPacket::from_ip(&block.data).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("not IPv4") };
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("not TCP") };
        let header = ip.header();
        assert_eq!(usize::from(header.total_len()), block.data.len());
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        assert_eq!(tcp.checksum(), tcp.calc_checksum_ipv4(header.source(), header.destination()).unwrap());
        let flags = [('S', tcp.syn()), ('F', tcp.fin()), ('R', tcp.rst()), ('P', tcp.psh())];
        let comment = block.options.iter().find_map(|o| match o {
            EnhancedPacketOption::Comment(text) => Some(text.to_string()),
            _ => None,
        });
        all.push(Packet {
            interface: block.interface_id,
            at: block.timestamp,
            flow: [(header.source(), tcp.source_port()), (header.destination(), tcp.destination_port())],
            seq: tcp.sequence_number(),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            flags: flags.iter().filter(|f| f.1).map(|f| f.0).collect(),
            payload: tcp.payload().to_vec(),
            comment: comment.unwrap_or_default(),
        });
    }
    all
}

/// Checks each conversation: begins with a handshake, each sequence number is the one due, each acknowledgement is of
/// all that was sent.
fn check_numbers(packets: &[Packet]) {
    let mut due: BTreeMap<[([u8; 4], u16); 2], u32> = BTreeMap::new();
    for (i, p) in packets.iter().enumerate() {
        let back = [p.flow[1], p.flow[0]];
        assert!(p.flow.iter().filter(|end| end.1 == 5222).count() == 1, "packet {i}: {p:?}");
        match due.get(&p.flow) {
            None => assert!(p.flags.contains('S'), "packet {i} begins without SYN: {p:?}"),
            Some(next) => assert_eq!(*next, p.seq, "packet {i}"),
        }
        match p.ack {
            None => assert_eq!(p.flags, "S"),
            Some(ack) => assert_eq!(Some(&ack), due.get(&back), "packet {i}"),
        }
        let counted = u32::from(p.flags.contains(['S', 'F']));
        due.insert(p.flow, p.seq.wrapping_add(counted + u32::try_from(p.payload.len()).unwrap()));
    }
}

/// The payload of one leg and way, joined over its conversations.
fn joined(packets: &[Packet], side: Side, dir: Dir) -> Vec<u8> {
    let to_listener = matches!((side, dir), (Side::Client, Dir::In) | (Side::Server, Dir::Out));
    packets
        .iter()
        .filter(|p| p.interface as usize == side.index() && (p.flow[1].1 == 5222) == to_listener)
        .flat_map(|p| p.payload.clone())
        .collect()
}

fn tls() -> TlsInfo {
    TlsInfo { version: "TLSv1.3".into(), cipher: "CIPHER".into(), name: Some("example.org".into()), alpn: None }
}

#[test]
fn joined_payloads_are_the_streams() {
    let mut tape = Tape::new();
    let mut sent: BTreeMap<(Side, Dir), Vec<u8>> = BTreeMap::new();
    let big = format!("<message><body>{}</body></message>", "grüße > 🦀 ".repeat(15_000));
    assert!(big.len() > 200_000);
    for round in 0..2 {
        for side in [Side::Client, Side::Server] {
            for dir in [Dir::In, Dir::Out] {
                for text in
                    [HEADER, " ", "<iq type='get' id='é'><p xmlns='q'/></iq>", &big, "\n", "<r xmlns='urn:xmpp:sm:3'/>"]
                {
                    tape.item(side, dir, text.to_owned());
                    sent.entry((side, dir)).or_default().extend_from_slice(text.as_bytes());
                }
            }
            if round == 0 {
                tape.note(1, &Note::Tls(side, tls()));
            }
        }
    }
    tape.note(1, &Note::Over(Box::default()));
    let (_dir, path) = tape.finish();
    let packets = packets(&path);
    check_numbers(&packets);
    for ((side, dir), bytes) in sent {
        assert!(joined(&packets, side, dir) == bytes, "{side:?} {dir:?}");
    }
    assert!(packets.iter().all(|p| p.payload.len() <= 60_000));
}

#[test]
fn each_leg_and_tls_epoch_is_a_conversation_of_its_own() {
    let mut tape = Tape::new();
    tape.item(Side::Client, Dir::In, HEADER);
    tape.note(1, &Note::Tls(Side::Client, tls()));
    tape.item(Side::Client, Dir::In, HEADER);
    tape.item(Side::Server, Dir::Out, HEADER);
    tape.note(2, &Note::Seen(Box::new(seen(Side::Client, Dir::In, 1, HEADER.into()))));
    tape.note(65_537, &Note::Seen(Box::new(seen(Side::Client, Dir::In, 1, HEADER.into()))));
    let (_dir, path) = tape.finish();
    let packets = packets(&path);
    let hellos: Vec<_> = packets.iter().filter(|p| p.ack.is_none()).collect();
    let mut flows: Vec<_> = hellos.iter().map(|p| p.flow).collect();
    assert_eq!(flows[0], [([127, 1, 0, 1], 49_152), ([127, 0, 0, 1], 5222)]);
    flows.sort_unstable();
    flows.dedup();
    assert_eq!(flows.len(), 5);
    assert_eq!(hellos[0].comment, "session 1, client leg, client at 203.0.113.9:40000, no TLS");
    assert_eq!(hellos[1].comment, "session 1, client leg, client at 203.0.113.9:40000, TLSv1.3 CIPHER for example.org");
    assert_eq!(hellos.iter().map(|p| p.interface).collect::<Vec<_>>(), [0, 0, 1, 0, 0]);
}

#[test]
fn a_conversation_ends_as_the_stream_did() {
    let ending = |last: &[(Dir, &'static str)]| {
        let mut tape = Tape::new();
        tape.item(Side::Server, Dir::Out, HEADER);
        for (dir, text) in last {
            tape.item(Side::Server, *dir, *text);
        }
        tape.note(1, &Note::Over(Box::default()));
        let (_dir, path) = tape.finish();
        let packets = packets(&path);
        check_numbers(&packets);
        packets
            .into_iter()
            .rev()
            .take_while(|p| p.payload.is_empty())
            .map(|p| (p.flags, p.flow[0].1))
            .collect::<Vec<_>>()
    };
    let (call, listen) = (49_152, 5222);
    assert_eq!(ending(&[]), [("R".to_owned(), listen)]);
    let close = "</stream:stream>";
    assert_eq!(
        ending(&[(Dir::Out, close), (Dir::In, close)]),
        [(String::new(), call), ("F".to_owned(), listen), ("F".to_owned(), call)]
    );
    assert_eq!(
        ending(&[(Dir::In, close)]),
        [(String::new(), listen), ("F".to_owned(), call), ("F".to_owned(), listen)]
    );
}

#[test]
fn the_comment_says_what_became_of_the_item() {
    let finding = Finding {
        rule: Some(Rule::RequestChild),
        code: "rule5",
        severity: Severity::Violation,
        text: "one child\nonly".to_owned(),
    };
    let by = || "rule 5".to_owned();
    let cases = [
        (Fate::Passed, "#7 client->iqtap passed"),
        (Fate::Rejected("bad-request".into(), by()), "#7 client->iqtap rejected bad-request by rule 5"),
        (Fate::Dropped(by()), "#7 client->iqtap dropped by rule 5"),
        (Fate::Rewritten("a.rhai:7".into()), "#7 client->iqtap rewritten by a.rhai:7"),
        (Fate::Answered("a.rhai:7".into()), "#7 client->iqtap answered by a.rhai:7"),
        (Fate::Handled, "#7 client->iqtap handled by iqtap"),
    ];
    let mut tape = Tape::new();
    let mut expected = Vec::new();
    for (fate, comment) in cases {
        let item = seen(Side::Client, Dir::In, 7, "<iq/>".into());
        tape.note(1, &Note::Seen(Box::new(iqtap::session::Seen { fate, ..item })));
        expected.push(comment.to_owned());
    }
    for (origin, comment) in [
        (Origin::Forwarded(4), "#7 iqtap->server forwarded from #4"),
        (Origin::Rewritten(4, "a.rhai:7".into()), "#7 iqtap->server rewritten from #4 by a.rhai:7"),
        (Origin::Made(4, by()), "#7 iqtap->server made by rule 5 in answer to #4"),
        (Origin::Made(0, "a.rhai:7".into()), "#7 iqtap->server made by a.rhai:7"),
    ] {
        let item = seen(Side::Server, Dir::Out, 7, "<iq/>".into());
        tape.note(1, &Note::Seen(Box::new(iqtap::session::Seen { origin, ..item })));
        expected.push(comment.to_owned());
    }
    for (request, micros, comment) in [
        (5, 12_034, "#7 server->iqtap passed, 12.034 ms after its request #5; rule5 violation: one child\\u{a}only"),
        (0, 2_000_000, "#7 server->iqtap passed, 2000.000 ms after its request; rule5 violation: one child\\u{a}only"),
    ] {
        let pair = Some(Pair { request, micros });
        let item = seen(Side::Server, Dir::In, 7, "<iq/>".into());
        tape.note(1, &Note::Seen(Box::new(iqtap::session::Seen { findings: vec![finding.clone()], pair, ..item })));
        expected.push(comment.to_owned());
    }
    let item = seen(Side::Server, Dir::In, 7, "<iq/>".into());
    tape.note(1, &Note::Seen(Box::new(iqtap::session::Seen { findings: vec![finding], ..item })));
    expected.push("#7 server->iqtap passed; rule5 violation: one child\\u{a}only".to_owned());
    let tags = vec!["slow".to_owned(), "vcard".to_owned()];
    let item = seen(Side::Client, Dir::In, 8, "<iq/>".into());
    let pair = Some(Pair { request: 5, micros: 12_034 });
    tape.note(1, &Note::Seen(Box::new(iqtap::session::Seen { tags, pair, ..item })));
    expected.push("#8 client->iqtap passed, 12.034 ms after its request #5, tagged slow vcard".to_owned());
    let big = format!("<iq>{}</iq>", "x".repeat(130_000));
    tape.note(1, &Note::Seen(Box::new(seen(Side::Server, Dir::In, 9, big.into()))));
    expected.extend(["#9 server->iqtap passed", "#9 part 2", "#9 part 3"].map(str::to_owned));

    let (_dir, path) = tape.finish();
    let comments: Vec<_> = packets(&path).into_iter().filter(|p| !p.payload.is_empty()).map(|p| p.comment).collect();
    assert_eq!(comments, expected);
}

#[test]
fn the_head_of_the_file_says_who_and_what() {
    let mut tape = Tape::new();
    tape.item(Side::Client, Dir::In, HEADER);
    let (_dir, path) = tape.finish();
    let mut reader = PcapNgReader::new(File::open(&path).unwrap()).unwrap();
    let options = &reader.section().options;
    assert!(options.contains(&SectionHeaderOption::UserApplication("iqtap 0.0.0-test".into())), "{options:?}");
    assert!(options.contains(&SectionHeaderOption::Comment("iqtap capture format 1".into())), "{options:?}");
    assert_eq!(options.len(), 2);
    while reader.next_block().is_some() {}
    let names: Vec<_> = reader
        .interfaces()
        .iter()
        .flat_map(|i| &i.options)
        .filter_map(|o| match o {
            InterfaceDescriptionOption::IfName(name) => Some(name.as_ref()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["client leg", "server leg"]);
    assert_eq!(packets(&path)[0].at, Duration::from_micros(START.0 + 1000));
}

#[test]
fn a_long_silence_of_one_end_is_broken_by_acknowledgements() {
    let mut tape = Tape::new();
    let message = format!("<message><body>{}</body></message>", "x".repeat(50_000));
    for _ in 0..100 {
        tape.item(Side::Server, Dir::In, message.clone());
    }
    let (_dir, path) = tape.finish();
    let packets = packets(&path);
    check_numbers(&packets);
    let acks = packets.iter().skip(3).filter(|p| p.payload.is_empty()).count();
    assert_eq!(acks, 4);
}

#[test]
fn the_file_is_private_and_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcapng");
    fs::write(&path, b"\n\r\r\nold").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    Recorder::create(&path, "iqtap").unwrap().finish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read(&path).unwrap().starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
}

#[test]
fn a_file_that_is_no_capture_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thesis.odt");
    for text in ["PK and so on", "\n\r\r", "x"] {
        fs::write(&path, text).unwrap();
        let said = Recorder::create(&path, "iqtap").unwrap_err().to_string();
        assert!(said.contains("thesis.odt: is no pcapng capture") && said.contains("name another file"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, "").unwrap();
    Recorder::create(&path, "iqtap").unwrap();
}

#[test]
fn directories_and_links_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let said = |path: &Path| Recorder::create(path, "iqtap").unwrap_err().to_string();
    assert!(said(dir.path()).ends_with(": is a directory; name a file in it"));
    let link = dir.path().join("link");
    symlink("/nowhere", &link).unwrap();
    assert!(said(&link).ends_with("link: is a symbolic link; name the file itself"));
    assert!(said(&dir.path().join("no/such")).contains("no/such: "));
}
