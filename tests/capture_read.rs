//! Reading captures: file formats, link types, TCP put in order, streams and what is wrong with them.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own file has failed")]

mod capture_support;
mod read_support;

use capture_support::Tape;
use iqtap::capture::read::{Event, ItemKind, Options, Reader};
use iqtap::session::{Dir, Fate, Note, Origin, Pair, TlsInfo};
use iqtap::xmpp::{Side, Timestamp};
use read_support::{
    ANSWER, CALLER, Flags, HEADER, LISTENER, Ng, Packet, START, Wire, events, pcap, text, told, told_with,
};

/// A short conversation, and what is told of it.
fn talk(ports: [u16; 2], v6: bool) -> (Wire, Vec<String>) {
    let mut wire = Wire { v6, ..Wire::open(ports) };
    (wire.at, wire.packets) = (START, Vec::new());
    wire.shake();
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.send(CALLER, "<presence/> <iq type='get' id='1'>");
    wire.send(CALLER, "<ping xmlns='urn:xmpp:ping'/></iq>");
    wire.send(LISTENER, "<iq type='result' id='1'/>");
    wire.send(CALLER, "</stream:stream>");
    wire.send(LISTENER, "</stream:stream>");
    wire.close();
    let told = [
        &format!("begins {} -> {}", ports[0], ports[1]),
        "C header",
        "S header",
        "C <presence/>",
        "C space",
        "C <iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "S <iq type='result' id='1'/>",
        "C close",
        "S close",
        "ends Closed",
    ];
    (wire, told.map(str::to_owned).to_vec())
}

/// Puts a packet into what a link carries.
type Wrap<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[test]
fn every_link_type_is_opened() {
    let ethernet = |kinds: &[u16], data: &[u8]| {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for (at, kind) in kinds.iter().enumerate() {
            frame.extend_from_slice(&kind.to_be_bytes());
            if at + 1 < kinds.len() {
                frame.extend_from_slice(&[0, 7]);
            }
        }
        frame.extend_from_slice(data);
        // Short frames are padded: that is no payload.
        frame.resize(frame.len().max(60), 0xaa);
        frame
    };
    for v6 in [false, true] {
        let ip = if v6 { 0x86dd_u16 } else { 0x0800 };
        let sll = |data: &[u8]| [&[0; 14][..], &ip.to_be_bytes(), data].concat();
        let sll2 = |data: &[u8]| [&ip.to_be_bytes()[..], &[0; 18], data].concat();
        let loopback = |data: &[u8]| [&(if v6 { 24_u32 } else { 2 }).to_le_bytes()[..], data].concat();
        let raw = |data: &[u8]| data.to_vec();
        let links: [(u32, Wrap<'_>); 11] = [
            (1, &|data| ethernet(&[ip], data)),
            (1, &|data| ethernet(&[0x8100, ip], data)),
            (1, &|data| ethernet(&[0x88a8, 0x8100, ip], data)),
            (0, &loopback),
            (108, &loopback),
            (113, &sll),
            (276, &sll2),
            (101, &raw),
            (12, &raw),
            (if v6 { 229 } else { 228 }, &raw),
            (113, &|data| [&[0; 14][..], &[0x81, 0, 0, 7], &ip.to_be_bytes(), data].concat()),
        ];
        let (wire, expected) = talk([40_000, 5299], v6);
        for (link, wrap) in links {
            assert_eq!(told(&pcap(&wire.packets, link, wrap)), expected, "link type {link}, IPv6: {v6}");
        }
    }
}

#[test]
fn a_link_type_that_nobody_knows_is_told_once() {
    let (wire, _) = talk([40_000, 5222], false);
    let file = pcap(&wire.packets, 105, &|data| data.to_vec());
    assert_eq!(told(&file), ["trouble: packets of link type 105 are not read"]);
}

#[test]
fn every_kind_of_file_is_read_with_its_time() {
    let (wire, expected) = talk([40_000, 5222], false);
    let mut files = Vec::new();
    for (big, magic, per_micro) in
        [(false, 0xa1b2_c3d4, 1), (true, 0xa1b2_c3d4, 1), (false, 0xa1b2_3c4d, 1000), (true, 0xa1b2_3c4d, 1000)]
    {
        let order: &dyn Fn(u32) -> [u8; 4] = if big { &u32::to_be_bytes } else { &u32::to_le_bytes };
        let mut file = read_support::pcap_header(magic, 101, order);
        for packet in &wire.packets {
            read_support::pcap_packet(&mut file, packet.at, per_micro, &packet.data, order);
        }
        files.push(file);
    }
    for big in [false, true] {
        for (resolution, per_second) in
            [(None, 1_000_000), (Some(9), 1_000_000_000), (Some(3), 1000), (Some(0x80 | 20), 1 << 20)]
        {
            let mut ng = if big { Ng::big() } else { Ng::little() };
            ng.section();
            ng.interface(147, None);
            ng.block(0xbad, b"nobody knows this block");
            ng.interface(101, resolution);
            for (at, packet) in wire.packets.iter().enumerate() {
                let ticks = (u128::from(packet.at) * per_second / 1_000_000) as u64;
                if at % 2 == 0 { ng.packet(1, ticks, &packet.data) } else { ng.old_packet(1, ticks, &packet.data) }
            }
            files.push(ng.file);
        }
    }
    for (number, file) in files.iter().enumerate() {
        let events = events(file);
        assert_eq!(events.iter().map(text).collect::<Vec<_>>(), expected, "file {number}");
        let Event::Item(item) = &events[1] else { panic!("{:?}", events[1]) };
        let off = item.at.0.abs_diff(START + 4000);
        assert!(off <= 2, "file {number}: {} is {off} off", item.at.0);
        assert_eq!(item.frame, 4);
    }
}

#[test]
fn sections_may_differ_in_their_order_of_bytes() {
    let (wire, expected) = talk([40_000, 5222], false);
    let mut file = Vec::new();
    for (at, packet) in wire.packets.iter().enumerate() {
        let mut ng = if at % 2 == 0 { Ng::big() } else { Ng::little() };
        ng.section();
        ng.interface(101, None);
        ng.packet(0, packet.at, &packet.data);
        file.extend_from_slice(&ng.file);
    }
    assert_eq!(told(&file), expected);
}

#[test]
fn our_own_captures_tell_what_was_said_of_each_item() {
    let mut tape = Tape::new();
    tape.item(Side::Client, Dir::In, HEADER);
    let info = TlsInfo { version: "TLSv1.3".into(), cipher: "C".into(), name: Some("d".into()), alpn: None };
    tape.note(3, &Note::Tls(Side::Server, info.clone()));
    let big = format!("<message><body>{}</body></message>", "x".repeat(150_000));
    let seen = |dir, number, text: &str| {
        let side = Side::Server;
        capture_support::seen(side, dir, number, text.to_owned().into())
    };
    let answered = iqtap::session::Seen {
        pair: Some(Pair { request: 2, micros: 1500 }),
        fate: Fate::Rewritten("a.rhai:3".into()),
        ..seen(Dir::In, 4, "<iq type='result' id='1'/>")
    };
    let made = iqtap::session::Seen { origin: Origin::Made(0, "a.rhai:3".into()), ..seen(Dir::Out, 2, HEADER) };
    for note in [made, seen(Dir::In, 3, ANSWER), answered, seen(Dir::In, 5, &big), seen(Dir::In, 6, "</stream:stream>")]
    {
        tape.note(3, &Note::Seen(Box::new(note)));
    }
    tape.note(3, &Note::Over(Box::default()));
    let (_dir, path) = tape.finish();
    let events: Vec<Event> = Reader::new(std::fs::File::open(path).unwrap(), &Options::default()).unwrap().collect();
    let items: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Item(item) => {
                Some((item.talk.ours.clone().unwrap(), item.story().unwrap(), item.way(), item.bytes.len()))
            }
            _ => None,
        })
        .collect();
    let numbers: Vec<_> = items.iter().map(|(ours, story, ..)| (ours.session, story.number)).collect();
    assert_eq!(numbers, [(1, 1), (3, 2), (3, 3), (3, 4), (3, 5), (3, 6)]);
    for (ours, story, way, _) in &items {
        assert_eq!(*way, (story.side, story.dir));
        assert_eq!((ours.side, ours.client.as_str()), (story.side, "203.0.113.9:40000"));
    }
    assert_eq!((items[0].0.tls.as_ref(), items[1].0.tls.as_ref()), (None, Some(&info)));
    assert_eq!(items[1].1.origin, Origin::Made(0, "a.rhai:3".into()));
    assert_eq!(items[3].1.fate, Fate::Rewritten("a.rhai:3".into()));
    assert_eq!(items[3].1.pair, Some(Pair { request: 2, micros: 1500 }));
    assert_eq!(items[4].3, big.len());
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Ends { .. })).count(), 2);
}

#[test]
fn a_stream_begins_anew_where_an_item_ends() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    // In one piece, in pieces, without an XML declaration, behind white space, under another prefix.
    wire.send(CALLER, format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>{HEADER}"));
    wire.send(CALLER, "<presence/><");
    wire.send(CALLER, "stream:");
    wire.send(
        CALLER,
        "stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features/>",
    );
    wire.send(CALLER, format!(" {HEADER}"));
    wire.send(CALLER, "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>");
    // (The prefix of the root counts from then on, and the usual one.)
    wire.send(CALLER, "<s:error/><s:stream xmlns:s='http://etherx.jabber.org/streams'>");
    let expected = [
        "begins 40000 -> 5299",
        "C header",
        "C <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "C header",
        "C <presence/>",
        "C header",
        "C <stream:features/>",
        "C space",
        "C header",
        "C refused: an element of the streams namespace inside a stanza",
        "ends Never",
    ];
    let told = told(&wire.pcap());
    assert_eq!(told[..9], expected[..9], "{told:#?}");
    assert!(told[9].starts_with("C refused: "), "{told:#?}");
}

#[test]
fn behind_the_end_of_a_stream_only_another_stream_is_read() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, format!("{HEADER}</stream:stream>\n"));
    wire.send(CALLER, "<presence/>");
    wire.send(CALLER, format!("{HEADER}<presence/>"));
    let expected = [
        "begins 40000 -> 5299",
        "C header",
        "C close",
        "trouble: 11 bytes of the caller are not read",
        "C header",
        "C <presence/>",
        "ends Never",
    ];
    assert_eq!(told(&wire.pcap()), expected);
}

#[test]
fn what_is_unfinished_at_the_end_is_told() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, format!("{HEADER}<presence/><message>"));
    let expected = [
        "begins 40000 -> 5299",
        "C header",
        "C <presence/>",
        "trouble: it ends with 9 bytes of something unfinished from the caller",
        "ends Never",
    ];
    assert_eq!(told(&wire.pcap()), expected);
}

#[test]
fn too_many_conversations_at_once_are_given_up_the_oldest_first() {
    let mut packets = Vec::new();
    for number in 0..16_390_u32 {
        let mut wire = Wire::open([1024 + (number % 60_000) as u16, 5299]);
        wire.send(CALLER, HEADER);
        wire.packets.retain(|packet| packet.data.len() > 40);
        packets.append(&mut wire.packets);
    }
    let told = told(&pcap(&packets, 101, &|data| data.to_vec()));
    let given_up: Vec<usize> = (0..told.len()).filter(|at| told[*at].contains("is given up")).collect();
    assert_eq!(given_up.len(), 6);
    assert!(given_up.iter().all(|at| told[at + 1] == "ends Never"));
    assert_eq!(told.iter().filter(|text| *text == "ends Never").count(), 16_390);
}

#[test]
fn lost_bytes_are_told_and_reading_goes_on_with_the_next_stanza_that_begins_a_packet() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.send(LISTENER, "<presence/><message><body>unfin");
    wire.lose(LISTENER, "ished</body></message><message><body>");
    wire.send(LISTENER, "<b/>the end of it</body></message><presence id='in-the-middle'/>");
    wire.send(LISTENER, "<iq type='result' id='1'/>");
    wire.send(LISTENER, "<message/>");
    wire.send(CALLER, "<presence/>");
    wire.close();
    let expected = [
        "begins 40000 -> 5299",
        "C header",
        "S header",
        "S <presence/>",
        "C <presence/>",
        "S hole 37+20",
        "trouble: 64 bytes of the listener are not read",
        "S <iq type='result' id='1'/>",
        "S <message/>",
        "ends Closed",
    ];
    assert_eq!(told(&wire.pcap()), expected);
}

#[test]
fn acknowledged_bytes_are_not_waited_for_long() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.lose(LISTENER, "<presence id='lost'/>");
    wire.send(LISTENER, "<presence id='there'/>");
    for _ in 0..100 {
        wire.send(CALLER, "<r xmlns='urn:xmpp:sm:3'/>");
    }
    let told = told(&wire.pcap());
    let at = told.iter().position(|text| text == "S hole 21+0").unwrap();
    assert!(at < 50, "{at}");
    assert_eq!(told[at + 1], "S <presence id='there'/>");
}

#[test]
fn what_is_behind_a_hole_and_no_stanza_is_not_guessed_at() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.lose(LISTENER, "<message><body>");
    // Looks like a beginning, and is none: an inner element, then a stanza inside another.
    wire.send(LISTENER, "<forwarded xmlns='urn:xmpp:forward:0'>");
    wire.send(LISTENER, "<message xmlns='jabber:client'/></forwarded></message>");
    wire.send(LISTENER, "<presence/>");
    wire.send(LISTENER, "</stream:stream>");
    wire.close();
    let told = told(&wire.pcap());
    assert_eq!(told[3], "S hole 15+0");
    assert_eq!(told[4], "trouble: 38 bytes of the listener are not read");
    // That one stanza nobody can tell from a real one; what follows shows that it was none.
    assert_eq!(told[5], "S <message xmlns='jabber:client'/>");
    assert_eq!(
        told[6..],
        ["trouble: 22 bytes of the listener are not read", "S <presence/>", "S close", "ends Closed"]
    );
}

#[test]
fn bytes_that_come_again_are_compared_and_the_first_count() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    let at = wire.seqs[CALLER];
    wire.send(CALLER, "<presence id='first'/>");
    wire.packet(CALLER, at, b"<presence id='again'/><presence id='next'/>", Flags::default());
    // A probe that keeps the connection alive is no such thing.
    wire.packet(CALLER, at + 42, b"\0", Flags::default());
    // Overlapping pieces that came too early.
    wire.packet(CALLER, at + 43 + 9, b" id='late'/>", Flags::default());
    wire.packet(CALLER, at + 43, b"<presence id='LATE'/>", Flags::default());
    let expected = [
        "begins 40000 -> 5299",
        "C header",
        "C <presence id='first'/>",
        "trouble: 5 bytes of the caller came again and were others; the first count",
        "C <presence id='next'/>",
        "trouble: 4 bytes of the caller came again and were others; the first count",
        "C <presence id='late'/>",
        "ends Never",
    ];
    assert_eq!(told(&wire.pcap()), expected);
}

#[test]
fn sequence_numbers_wrap() {
    for first in [u32::MAX - 200, u32::MAX - 1, u32::MAX, u32::MAX / 2 - 30] {
        let (wire, expected) = {
            let (mut wire, expected) = talk([40_000, 5299], false);
            let packets = std::mem::take(&mut wire.packets);
            let shifted = packets.into_iter().map(|Packet { at, mut data }| {
                for place in [24..28, 28..32] {
                    let number = u32::from_be_bytes(data[place.clone()].try_into().unwrap());
                    data[place].copy_from_slice(&number.wrapping_sub(1000).wrapping_add(first).to_be_bytes());
                }
                Packet { at, data }
            });
            wire.packets = shifted.collect();
            (wire, expected)
        };
        assert_eq!(told(&wire.pcap()), expected, "{first}");
    }
}

#[test]
fn the_same_ports_may_talk_again() {
    let (mut wire, expected) = talk([40_000, 5299], false);
    let (mut second, _) = talk([40_000, 5299], false);
    // The second time without an end of the first.
    wire.packets.append(&mut second.packets);
    let mut third = Wire { seqs: [90_000, 91_000], packets: Vec::new(), ..wire.clone() };
    third.shake();
    third.send(CALLER, HEADER);
    let mut fourth = Wire { seqs: [70_000, 71_000], packets: Vec::new(), ..third.clone() };
    fourth.shake();
    fourth.send(CALLER, HEADER);
    fourth.packet(LISTENER, fourth.seqs[LISTENER], b"", Flags { rst: true, ..Flags::default() });
    wire.packets.append(&mut third.packets);
    wire.packets.append(&mut fourth.packets);
    let again = ["begins 40000 -> 5299", "C header", "ends Never", "begins 40000 -> 5299", "C header", "ends Reset"];
    let again = again.map(str::to_owned).to_vec();
    assert_eq!(told(&wire.pcap()), [expected.clone(), expected, again].concat());
}

#[test]
fn a_conversation_whose_beginning_was_missed_is_read_on_a_port_that_was_named() {
    let mut wire = Wire::open([5300, 40_000]);
    wire.packets.clear();
    wire.send(CALLER, "gap='1'/><presence/>");
    wire.send(LISTENER, "<iq type='result' id='1'/>");
    wire.send(CALLER, "<presence/>");
    let file = wire.pcap();
    assert_eq!(told(&file), [""; 0], "on a port that nobody has named");
    let named = Options { ports: vec![5300], ..Options::default() };
    let expected = [
        "begins 40000 -> 5300",
        "C <iq type='result' id='1'/>",
        "trouble: 20 bytes of the listener are not read",
        "S <presence/>",
        "ends Never",
    ];
    assert_eq!(told_with(&file, &named), expected);
    let event = Reader::new(&file[..], &named).unwrap().next();
    let Some(Event::Begins { talk, .. }) = event else { panic!("{event:?}") };
    assert!(!talk.whole);
}

#[test]
fn what_is_no_xmpp_is_passed_over_and_told_only_on_its_ports() {
    for (port, told_of) in [(80, None), (5222, Some("something else than XMPP is spoken"))] {
        for text in ["GET / HTTP/1.1\r\n\r\n", "<html></html>", "\u{1}\u{2}"] {
            let mut wire = Wire::open([40_000, port]);
            wire.send(CALLER, text);
            wire.send(CALLER, "<presence/>");
            wire.send(LISTENER, "HTTP/1.1 400 Bad Request\r\n\r\n");
            let told = told(&wire.pcap());
            assert_eq!(told.len(), usize::from(told_of.is_some()), "{text}: {told:?}");
            assert!(told.iter().all(|told| told.contains(told_of.unwrap())), "{told:?}");
        }
    }
}

#[test]
fn ciphertext_is_told_once() {
    let mut wire = Wire::open([40_000, 5222]);
    wire.send(CALLER, b"\x16\x03\x01\x00\x05hello");
    wire.send(LISTENER, b"\x16\x03\x03\x00\x05hello");
    let direct = told(&wire.pcap());
    assert_eq!(direct.len(), 1, "{direct:?}");
    assert!(direct[0].contains("between 10.0.0.1:40000 and 10.0.0.2:5222 all is encrypted"), "{direct:?}");

    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.send(CALLER, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    wire.send(LISTENER, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    wire.send(CALLER, b"\x16\x03\x01\x00\x05hello");
    wire.send(LISTENER, b"\x16\x03\x03\x00\x05hello");
    let told = told(&wire.pcap());
    assert_eq!(told.iter().filter(|text| text.contains("encrypted")).count(), 1, "{told:#?}");
    assert_eq!(told.last().unwrap(), "ends Never");
}

#[test]
fn what_the_scanner_refuses_is_told_with_its_fault_and_the_rest_is_left_out() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.send(CALLER, "<presence/><!-- no --><presence/>");
    wire.send(CALLER, "<presence/>");
    wire.send(LISTENER, "<presence/>");
    let told = told(&wire.pcap());
    let refused = told.iter().position(|text| text.starts_with("C refused: ")).unwrap();
    assert_eq!(told[refused + 1], "S <presence/>");
    assert_eq!(told[refused + 2..], ["trouble: 11 bytes of the caller are not read", "ends Never"]);
}

#[test]
fn fragments_are_put_together() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(CALLER, format!("<message><body>{}</body></message>", "x".repeat(2000)));
    let whole = wire.packets.pop().unwrap();
    let (header, payload) = whole.data.split_at(20);
    for (order, number) in [([0_usize, 1, 2], 7_u16), ([2, 0, 1], 8), ([1, 2, 0], 9)] {
        let mut cut = wire.clone();
        for part in order {
            let (from, to) = (part * 800, ((part + 1) * 800).min(payload.len()));
            let mut data = header.to_vec();
            let more = u16::from(part < 2) << 13;
            data[2..4].copy_from_slice(&((20 + to - from) as u16).to_be_bytes());
            data[4..6].copy_from_slice(&number.to_be_bytes());
            data[6..8].copy_from_slice(&(more | (from / 8) as u16).to_be_bytes());
            data.extend_from_slice(&payload[from..to]);
            cut.packets.push(Packet { at: whole.at, data });
        }
        let told = told(&cut.pcap());
        assert_eq!(told.len(), 4, "{order:?}: {told:?}");
        assert!(told[2].starts_with("C <message>"), "{told:?}");
    }
}

#[test]
fn a_packet_that_was_cut_short_leaves_a_hole() {
    let mut wire = Wire::open([40_000, 5299]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.send(LISTENER, "<presence/><message><body>0123456789</body></message>");
    wire.packets.last_mut().unwrap().data.truncate(40 + 30);
    wire.send(LISTENER, "<presence id='2'/>");
    wire.close();
    let told = told(&wire.pcap());
    assert_eq!(told[3..], ["S <presence/>", "S hole 23+19", "S <presence id='2'/>", "ends Closed"]);
}

#[test]
fn a_file_that_was_cut_off_is_read_as_far_as_it_goes() {
    let (wire, expected) = talk([40_000, 5222], false);
    let file = wire.pcap();
    let cut = told(&file[..file.len() - 90]);
    let cut_off = cut.iter().position(|text| text.starts_with("trouble: cut off: it ends with")).unwrap();
    assert_eq!(cut[..cut_off], expected[..cut_off]);
    assert_eq!(cut[cut_off + 1..], ["ends Never"]);

    let mut ng = Ng::little();
    ng.section();
    ng.interface(101, None);
    for packet in &wire.packets {
        ng.packet(0, packet.at, &packet.data);
    }
    let len = ng.file.len();
    let cut = told(&ng.file[..len - 90]);
    assert!(cut.iter().any(|text| text.starts_with("trouble: cut off")), "{cut:?}");
    // A block whose end does not say what its beginning said.
    let mut odd = ng.file.clone();
    odd[len - 2] ^= 1;
    assert!(told(&odd).iter().any(|text| text.contains("two lengths")), "{:?}", told(&odd));
}

#[test]
fn files_that_are_no_captures_are_refused_or_read_as_markup() {
    let open = |file: &[u8]| Reader::new(file, &Options::default()).map(|_| ()).unwrap_err();
    assert_eq!(open(b""), "it is empty");
    assert_eq!(open(b"PK\x03\x04"), "it is neither a capture (pcapng, pcap) nor XML");
    assert_eq!(open(b"\xd4\xc3\xb2\xa1\x02"), "it ends within its own header");
    assert!(open(b"\x0a\x0d\x0d\x0a\0\0\0\x0cnonsense").contains("magic"));

    let stream = format!("{HEADER}<presence/></stream:stream>");
    assert_eq!(told(stream.as_bytes()), ["begins 0 -> 0", "C header", "C <presence/>", "C close", "ends Never"]);
    let bare = "\n<presence/>\n<iq type='get' id='1'/>";
    let server = Options { sender: Side::Server, ..Options::default() };
    let told_of = told_with(bare.as_bytes(), &server);
    assert_eq!(told_of[2..], ["S <presence/>", "S space", "S <iq type='get' id='1'/>", "ends Never"]);
    assert!(told(b"<?xml version='1.0'?><log/>")[1].contains("neither with a stream header"));
}

#[test]
fn items_of_one_packet_have_its_time() {
    let (wire, _) = talk([40_000, 5299], false);
    let times: Vec<_> = events(&wire.pcap())
        .into_iter()
        .filter_map(|event| match event {
            Event::Item(item) if item.kind == ItemKind::Element => Some((item.frame, item.at)),
            _ => None,
        })
        .collect();
    let at = |frame: u64| (frame, Timestamp(START + frame * 1000));
    assert_eq!(times, [at(6), at(7), at(8)]);
}

#[test]
fn white_space_is_told_when_it_comes() {
    let mut wire = Wire::open([40_000, 5222]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.send(CALLER, " ");
    wire.send(LISTENER, "<message/>");
    wire.send(CALLER, " ");
    wire.send(CALLER, "<presence/>");
    wire.close();
    let expected = [
        "begins 40000 -> 5222",
        "C header",
        "S header",
        "C space",
        "S <message/>",
        "C space",
        "C <presence/>",
        "ends Closed",
    ];
    assert_eq!(told(&wire.pcap()), expected);
}
