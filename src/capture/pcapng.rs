//! The blocks of a pcapng file, through the pcap-file crate.
//!
//! Takes IP packets with their time and comment, gives bytes, always whole blocks. Must not know what is in a packet.

use super::{FORMAT, Section, comment};
use crate::xmpp::Timestamp;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

/// pcap-file 2 stores nanoseconds whatever `if_tsresol` says: so say so.
const NANOSECONDS: u8 = 9;
/// No packet is longer than an IPv4 packet can be.
const SNAPLEN: u32 = 65_535;

/// A section with its two interfaces, and the packets not yet taken away.
pub(super) struct Blocks {
    writer: PcapNgWriter<Vec<u8>>,
    /// The packet being built, kept for its capacity.
    pub(super) frame: Vec<u8>,
}

impl Blocks {
    /// Begins a section: its header and both interfaces wait at once.
    pub(super) fn new(section: &Section) -> io::Result<Self> {
        let format = format!("iqtap capture format {FORMAT}");
        let comments = std::iter::once(format).chain(comment::section(section));
        let mut options: Vec<_> = comments.map(|text| SectionHeaderOption::Comment(text.into())).collect();
        options.push(SectionHeaderOption::UserApplication(section.app.clone().into()));
        let section = SectionHeaderBlock { endianness: Endianness::Little, options, ..Default::default() };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section).map_err(io::Error::other)?;
        for (name, description) in
            [("client leg", "between the client and iqtap"), ("server leg", "between iqtap and the server")]
        {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: SNAPLEN,
                options: vec![
                    InterfaceDescriptionOption::IfName(name.into()),
                    InterfaceDescriptionOption::IfDescription(description.into()),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            writer.write_pcapng_block(interface).map_err(io::Error::other)?;
        }
        Ok(Self { writer, frame: Vec::new() })
    }

    /// Adds the packet in `frame`. A comment that says nothing is none.
    pub(super) fn packet(&mut self, interface: u32, at: Timestamp, comments: &[&str]) -> io::Result<()> {
        let comments = comments.iter().filter(|text| !text.is_empty());
        let block = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: Duration::from_micros(at.0),
            original_len: u32::try_from(self.frame.len()).map_err(io::Error::other)?,
            data: Cow::Borrowed(&self.frame),
            options: comments.map(|text| EnhancedPacketOption::Comment((*text).into())).collect(),
        };
        self.writer.write_pcapng_block(block).map_err(io::Error::other)?;
        Ok(())
    }

    /// Says how much was missed, as a counter of the first interface and in words.
    pub(super) fn missed(&mut self, events: u64, at: Timestamp) -> io::Result<()> {
        let block = InterfaceStatisticsBlock {
            interface_id: 0,
            // The library writes this as one number; it is two, the upper half first.
            timestamp: at.0.saturating_mul(1000).rotate_left(32),
            options: vec![
                InterfaceStatisticsOption::Comment(comment::missed(events).into()),
                InterfaceStatisticsOption::IsbIfDrop(events),
            ],
        };
        self.writer.write_pcapng_block(block).map_err(io::Error::other)?;
        Ok(())
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.writer.get_ref().len()
    }

    /// What waits.
    pub(super) fn bytes(&self) -> &[u8] {
        self.writer.get_ref()
    }

    /// What waits was taken away.
    pub(super) fn clear(&mut self) {
        self.writer.get_mut().clear();
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
