//! The packets of a file: pcapng and classic pcap, through the pcap-file crate.
//!
//! Takes any reader, gives one packet after the other with its time in microseconds. Holds no more than one block. Must
//! not know what is in a packet. What is damaged is said once and left out; where a file cannot be read on, it ends.
//!
//! pcap-file 2 takes every pcapng time for nanoseconds: `if_tsresol` is heeded here.

use super::Problem;
use crate::xmpp::Timestamp;
use pcap_file::pcap::PcapParser;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::packet::PacketOption;
use pcap_file::pcapng::{Block, PcapNgParser};
use pcap_file::{Endianness, PcapError, TsResolution};
use std::io::{self, Read};

/// What is read at once.
const READ_BYTES: usize = 256 * 1024;
/// No block is longer: what says so is damaged.
const LONGEST_BLOCK: usize = 32 << 20;

/// One packet of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) at: Timestamp,
    /// Counts the packets of the file from 1, as Wireshark does.
    pub(super) frame: u64,
    /// Counts the sections of the file from 1.
    pub(super) section: u32,
    /// The link type by its number in the pcapng registry.
    pub(super) link: u32,
    pub(super) data: &'a [u8],
    pub(super) comment: Option<&'a str>,
}

/// What a file begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Pcapng,
    Pcap,
    /// Markup: no capture, but what XMPP looks like.
    Xml,
}

/// Tells a format by the first bytes; `None` for what is neither, or nothing.
pub(super) fn format(start: &[u8]) -> Option<Format> {
    match start {
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => Some(Format::Pcapng),
        [0xa1, 0xb2, 0xc3, 0xd4, ..]
        | [0xd4, 0xc3, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0x3c, 0x4d, ..]
        | [0x4d, 0x3c, 0xb2, 0xa1, ..] => Some(Format::Pcap),
        _ => (start.trim_ascii_start().first() == Some(&b'<')).then_some(Format::Xml),
    }
}

/// Bytes of a file on their way through.
pub(super) struct Feed<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Whether the source has ended.
    ended: bool,
    /// What the source said when it failed.
    failed: Option<io::Error>,
    /// Bytes taken off the front.
    pub(super) taken: u64,
}

impl<R: Read> Feed<R> {
    pub(super) fn new(source: R) -> Self {
        let buffer = vec![0; READ_BYTES];
        Self { source, buffer, start: 0, end: 0, ended: false, failed: None, taken: 0 }
    }

    /// What is there.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes bytes off the front.
    pub(super) fn take(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        self.taken += count as u64;
    }

    /// Reads until so many bytes are there; whether they are.
    pub(super) fn fill(&mut self, wanted: usize) -> bool {
        while self.end - self.start < wanted && !self.ended {
            self.read_more();
        }
        self.end - self.start >= wanted
    }

    /// Reads once more, whatever is there already.
    pub(super) fn read_more(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        let Some(room) = self.buffer.get_mut(self.end..) else { return };
        match self.source.read(room) {
            Ok(0) => self.ended = true,
            Ok(count) => self.end += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                self.ended = true;
                self.failed = Some(e);
            }
        }
    }

    /// What the source said when it failed, once.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }
}

/// The packets of a file.
pub(super) struct Packets<R> {
    pub(super) feed: Feed<R>,
    form: Form,
    frame: u64,
    section: u32,
    /// The time of the packet before: simple packets have none.
    last: Timestamp,
    over: bool,
}

enum Form {
    Pcap(PcapParser),
    Pcapng(PcapNgParser),
}

/// What comes next in a file.
pub(super) enum Next<'a> {
    Packet(Packet<'a>),
    /// A fault; there may be more behind it.
    Fault(Problem),
    End,
}

impl<R: Read> Packets<R> {
    /// Reads the header of the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(mut feed: Feed<R>, format: Format) -> Result<Self, String> {
        loop {
            let parsed = match format {
                Format::Pcapng => PcapNgParser::new(feed.bytes()).map(|(rest, form)| (rest.len(), Form::Pcapng(form))),
                _ => PcapParser::new(feed.bytes()).map(|(rest, form)| (rest.len(), Form::Pcap(form))),
            };
            match parsed {
                Ok((rest, form)) => {
                    feed.take(feed.bytes().len() - rest);
                    return Ok(Self { feed, form, frame: 0, section: 1, last: Timestamp::default(), over: false });
                }
                Err(PcapError::IncompleteBuffer) if !feed.ended && feed.bytes().len() < LONGEST_BLOCK => {
                    feed.read_more();
                }
                Err(PcapError::IncompleteBuffer) => return Err("it ends within its own header".to_owned()),
                Err(why) => return Err(said(&why)),
            }
        }
    }

    /// The next packet, or what is wrong.
    pub(super) fn next(&mut self) -> Next<'_> {
        if self.over {
            return Next::End;
        }
        match self.whole() {
            Err(problem) => {
                self.over = true;
                problem.map_or(Next::End, Next::Fault)
            }
            Ok(()) => match &self.form {
                Form::Pcap(_) => self.pcap(),
                Form::Pcapng(_) => self.pcapng(),
            },
        }
    }

    /// Makes sure that the next block is there as a whole.
    fn whole(&mut self) -> Result<(), Option<Problem>> {
        let cut = |feed: &mut Feed<R>| {
            let problem = match feed.failure() {
                Some(e) => Problem::Unreadable(e.to_string()),
                None => Problem::Truncated(feed.bytes().len() as u64),
            };
            Err(Some(problem))
        };
        let header = if matches!(self.form, Form::Pcap(_)) { 16 } else { 12 };
        if !self.feed.fill(header) {
            return if self.feed.bytes().is_empty() && self.feed.failed.is_none() {
                Err(None)
            } else {
                cut(&mut self.feed)
            };
        }
        let len = self.length();
        if len > LONGEST_BLOCK {
            return Err(Some(Problem::Damaged { at: self.feed.taken, why: format!("a block of {len} bytes") }));
        }
        if self.feed.fill(len) { Ok(()) } else { cut(&mut self.feed) }
    }

    /// How long the next block says it is, all told.
    fn length(&self) -> usize {
        let bytes = self.feed.bytes();
        let number = |at: usize, endianness: Endianness| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or([0; 4]);
            let number = match endianness {
                Endianness::Big => u32::from_be_bytes(four),
                Endianness::Little => u32::from_le_bytes(four),
            };
            number as usize
        };
        match &self.form {
            Form::Pcap(parser) => number(8, parser.header().endianness).saturating_add(16),
            Form::Pcapng(_) if bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) => {
                let big = bytes.get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
                number(4, if big { Endianness::Big } else { Endianness::Little })
            }
            Form::Pcapng(parser) => number(4, parser.section().endianness),
        }
    }

    fn pcap(&mut self) -> Next<'_> {
        let Form::Pcap(parser) = &self.form else { return Next::End };
        let bytes = self.feed.buffer.get(self.feed.start..self.feed.end).unwrap_or_default();
        // Not the parsed one: it refuses packets longer than the snap length, of which any capture cut short is full.
        let (rest, raw) = match parser.next_raw_packet(bytes) {
            Ok(found) => found,
            Err(why) => {
                self.over = true;
                return Next::Fault(Problem::Damaged { at: self.feed.taken, why: said(&why) });
            }
        };
        let header = parser.header();
        let fraction = match header.ts_resolution {
            TsResolution::MicroSecond => u64::from(raw.ts_frac),
            TsResolution::NanoSecond => u64::from(raw.ts_frac) / 1000,
        };
        let at = Timestamp(u64::from(raw.ts_sec) * 1_000_000 + fraction);
        let used = bytes.len() - rest.len();
        let data = bytes.get(16..used).unwrap_or_default();
        self.frame += 1;
        self.feed.start += used;
        self.feed.taken += used as u64;
        // The upper bits say how long a checksum behind each packet is.
        let link = u32::from(header.datalink) & 0xffff;
        Next::Packet(Packet { at, frame: self.frame, section: 1, link, data, comment: None })
    }

    fn pcapng(&mut self) -> Next<'_> {
        loop {
            if let Err(problem) = self.whole() {
                self.over = true;
                return problem.map_or(Next::End, Next::Fault);
            }
            let (start, len) = (self.feed.start, self.length());
            let taken = self.feed.taken;
            self.feed.start += len.min(self.feed.end - start);
            self.feed.taken += len as u64;
            let Some(bytes) = self.feed.buffer.get(start..start + len) else { return Next::End };
            if !is_framed(bytes) {
                self.over = true;
                let why = "a block whose two lengths are not one".to_owned();
                return Next::Fault(Problem::Damaged { at: taken, why });
            }
            if bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
                self.section = self.section.saturating_add(1);
            }
            if matches!(bytes.get(..4), Some([2 | 3 | 6, 0, 0, 0] | [0, 0, 0, 2 | 3 | 6])) {
                self.frame += 1;
                return self.packet(start, len, taken);
            }
            let Form::Pcapng(parser) = &mut self.form else { return Next::End };
            // Only headers of sections and interfaces matter here.
            if let Err(why) = parser.next_raw_block(bytes)
                && matches!(bytes.get(..4), Some([0x0a, 0x0d, 0x0d, 0x0a] | [1, 0, 0, 0] | [0, 0, 0, 1]))
            {
                self.over = true;
                return Next::Fault(Problem::Damaged { at: taken, why: said(&why) });
            }
        }
    }

    /// A block that is a packet; its frame is there.
    fn packet(&mut self, start: usize, len: usize, taken: u64) -> Next<'_> {
        let Form::Pcapng(parser) = &mut self.form else { return Next::End };
        let bytes = self.feed.buffer.get(start..start + len).unwrap_or_default();
        let damaged = |why: &str| Next::Fault(Problem::Damaged { at: taken, why: why.to_owned() });
        let (interface, block) = match parser.next_block(bytes) {
            Ok((_, Block::EnhancedPacket(block))) => (block.interface_id, Block::EnhancedPacket(block)),
            Ok((_, Block::Packet(block))) => (u32::from(block.interface_id), Block::Packet(block)),
            Ok((_, block)) => (0, block),
            Err(why) => return damaged(&said(&why)),
        };
        let Some(interface) = parser.interfaces().get(interface as usize) else {
            return damaged("a packet of an interface that was not described");
        };
        let link = u32::from(interface.linktype);
        let (at, captured, comment) = match block {
            Block::EnhancedPacket(block) => {
                let ticks = u64::try_from(block.timestamp.as_nanos()).unwrap_or(u64::MAX);
                let comment = block.options.into_iter().find_map(|option| match option {
                    EnhancedPacketOption::Comment(std::borrow::Cow::Borrowed(text)) => Some(text),
                    _ => None,
                });
                (micros(ticks, interface), block.data, comment)
            }
            Block::Packet(block) => {
                // Two halves of 32 bits, the higher first, which the crate reads as one number.
                let ticks = match parser.section().endianness {
                    Endianness::Big => block.timestamp,
                    Endianness::Little => block.timestamp.rotate_left(32),
                };
                let comment = block.options.into_iter().find_map(|option| match option {
                    PacketOption::Comment(std::borrow::Cow::Borrowed(text)) => Some(text),
                    _ => None,
                });
                (micros(ticks, interface), block.data, comment)
            }
            Block::SimplePacket(block) => (self.last, block.data, None),
            _ => return damaged("a packet of no kind that is known"),
        };
        let std::borrow::Cow::Borrowed(data) = captured else { return damaged("a packet that was made up") };
        self.last = at;
        Next::Packet(Packet { at, frame: self.frame, section: self.section, link, data, comment })
    }
}

/// Whether a block says its length at both ends alike, and is long enough for that.
fn is_framed(block: &[u8]) -> bool {
    block.len() >= 12 && block.len().is_multiple_of(4) && block.get(4..8) == block.get(block.len() - 4..)
}

/// Ticks of an interface's clock in microseconds (`if_tsresol`, `if_tsoffset`).
fn micros(ticks: u64, interface: &InterfaceDescriptionBlock<'_>) -> Timestamp {
    let (mut resolution, mut offset) = (6, 0);
    for option in &interface.options {
        match option {
            InterfaceDescriptionOption::IfTsResol(value) => resolution = *value,
            InterfaceDescriptionOption::IfTsOffset(seconds) => offset = *seconds,
            _ => {}
        }
    }
    let exponent = u32::from(resolution & 0x7f);
    let per_second = if resolution & 0x80 == 0 { 10_u128.checked_pow(exponent) } else { 2_u128.checked_pow(exponent) };
    let micros = per_second.and_then(|per_second| (u128::from(ticks) * 1_000_000).checked_div(per_second));
    let micros = u64::try_from(micros.unwrap_or(0)).unwrap_or(u64::MAX);
    Timestamp(micros.saturating_add(offset.saturating_mul(1_000_000)))
}

fn said(why: &PcapError) -> String {
    match why {
        PcapError::IncompleteBuffer => "a block that is shorter than it says".to_owned(),
        PcapError::InvalidField(what) => (*what).to_owned(),
        PcapError::Utf8Error(_) | PcapError::FromUtf8Error(_) => "a text that is no UTF-8".to_owned(),
        other => other.to_string(),
    }
}
