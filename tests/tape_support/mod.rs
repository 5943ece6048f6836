//! A capture read back: what stands on its packets and in its section header; and what tshark says of it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this module")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_statistics::InterfaceStatisticsOption;
use pcap_file::pcapng::blocks::section_header::SectionHeaderOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::env;
use std::path::Path;
use std::process::Command;

/// A packet.
#[derive(Clone, Debug)]
pub struct Packet {
    pub micros: u64,
    /// Of who called: tells one conversation from another.
    pub port: u16,
    pub interface: u32,
    /// The address of the client, or of iqtap as the server sees it: tells one session from another.
    pub session: [u8; 4],
    pub syn: bool,
    pub payload: String,
    pub comments: Vec<String>,
}

impl Packet {
    pub fn says(&self, words: &str) -> bool {
        self.comments.iter().any(|comment| comment.contains(words))
    }
}

/// A file.
#[derive(Debug, Default)]
pub struct Tape {
    /// The section header's comments.
    pub section: Vec<String>,
    pub packets: Vec<Packet>,
    /// The comments of the statistics, and what they count.
    pub missed: Vec<(String, u64)>,
    /// Bytes of whole blocks.
    pub whole: usize,
}

impl Tape {
    /// All of it must be whole.
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let tape = Self::of(&bytes);
        assert_eq!(tape.whole, bytes.len(), "{} ends within a block", path.display());
        tape
    }

    /// What is whole of it. Behind that is less than the block that it begins.
    pub fn of(bytes: &[u8]) -> Self {
        let mut whole = 0;
        while let Some(length) = bytes.get(whole + 4..whole + 8) {
            let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
            assert!(length >= 12 && length.is_multiple_of(4), "no block at {whole}");
            let Some(block) = bytes.get(whole..whole + length) else { break };
            assert_eq!(&block[length - 4..], &block[4..8], "the block at {whole} ends otherwise than it begins");
            whole += length;
        }
        let mut tape = Self { whole, ..Self::default() };
        let mut reader = PcapNgReader::new(&bytes[..whole]).unwrap();
        for option in &reader.section().options {
            if let SectionHeaderOption::Comment(text) = option {
                tape.section.push(text.to_string());
            }
        }
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::EnhancedPacket(packet) => {
                    let sliced = SlicedPacket::from_ip(&packet.data).unwrap();
                    let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("not IPv4") };
                    if ip.header().protocol() == IpNumber(253) {
                        continue; // what happened beside the items
                    }
                    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("not TCP") };
                    let (from, to) = (ip.header().source(), ip.header().destination());
                    let comment = |option: &EnhancedPacketOption<'_>| match option {
                        EnhancedPacketOption::Comment(text) => Some(text.to_string()),
                        _ => None,
                    };
                    tape.packets.push(Packet {
                        micros: u64::try_from(packet.timestamp.as_micros()).unwrap(),
                        port: tcp.source_port().max(tcp.destination_port()),
                        interface: packet.interface_id,
                        session: if tcp.destination_port() == 5222 { from } else { to },
                        syn: tcp.syn() && !tcp.ack(),
                        payload: String::from_utf8_lossy(tcp.payload()).into_owned(),
                        comments: packet.options.iter().filter_map(comment).collect(),
                    });
                }
                Block::InterfaceStatistics(counts) => {
                    let mut missed = (String::new(), 0);
                    for option in &counts.options {
                        match option {
                            InterfaceStatisticsOption::Comment(text) => missed.0 = text.to_string(),
                            InterfaceStatisticsOption::IsbIfDrop(count) => missed.1 = *count,
                            _ => {}
                        }
                    }
                    tape.missed.push(missed);
                }
                _ => {}
            }
        }
        tape
    }

    /// All payload of one interface, joined.
    pub fn text(&self, interface: u32) -> String {
        self.packets.iter().filter(|p| p.interface == interface).map(|p| p.payload.as_str()).collect()
    }

    /// The packet with these words in it.
    #[track_caller]
    pub fn with(&self, words: &str) -> &Packet {
        let found = self.packets.iter().find(|packet| packet.payload.contains(words));
        found.unwrap_or_else(|| panic!("no packet has {words:?}"))
    }
}

/// tshark finds nothing malformed in it, and every payload is XMPP to it. Says nothing where tshark is not installed, unless in CI.
#[track_caller]
pub fn tshark_likes(path: &Path) {
    let run = |arguments: &[&str]| match Command::new("tshark").arg("-r").arg(path).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(e) if env::var_os("CI").is_some_and(|ci| ci == "true") => panic!("tshark does not run: {e}"),
        Err(e) => {
            eprintln!("skipped: tshark does not run here ({e}); install it to run this test");
            None
        }
    };
    // A `</stream:stream>` is malformed to tshark's XML dissector, which saw no opening tag in that packet.
    let bad = "(_ws.malformed && !xmpp.stream_end) || tcp.analysis.flags || (tcp.len > 0 && !xmpp)";
    if let Some(said) = run(&["-Y", bad]) {
        assert_eq!(said, "", "{}", path.display());
    }
}
