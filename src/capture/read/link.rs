//! From a packet to its TCP segment, through whatever it was carried in.
//!
//! Takes a link type and a packet's bytes, gives addresses, flags and payload. Ethernet with VLAN tags, Linux cooked
//! captures of both versions, loopback and raw IP; IPv4 and IPv6, put together again where they came in fragments. Must not
//! keep anything but fragments, and of those no more than [`MOST_FRAGMENTED`] packets.

use super::Problem;
use etherparse::defrag::IpDefragBuf;
use etherparse::{
    EtherType, IpFragOffset, IpNumber, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice,
    ether_type,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Packets whose fragments are waited for; one more, and the oldest is given up.
const MOST_FRAGMENTED: usize = 256;

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
}

/// Unpacks packets.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Packets of which fragments are missing, by who sends them to whom and their number, and when they began.
    fragments: BTreeMap<(IpAddr, IpAddr, u32), (u64, IpDefragBuf)>,
    /// Counts packets that came in fragments.
    begun: u64,
    /// The packet put together last.
    whole: Vec<u8>,
    /// Link types that were complained of.
    unknown: BTreeSet<u32>,
}

impl Links {
    /// The segment in a packet; `None` if it holds none, or only a part of one.
    ///
    /// # Errors
    /// What should be said about the packet.
    pub(super) fn open<'a>(&'a mut self, link: u32, data: &'a [u8]) -> Result<Option<Segment<'a>>, Problem> {
        let Some(packet) = sliced(link, data) else {
            return match link {
                _ if is_known(link) || !self.unknown.insert(link) => Ok(None),
                _ => Err(Problem::Link(link)),
            };
        };
        let Some((from, to)) = addresses(&packet) else { return Ok(None) };
        match &packet.transport {
            Some(TransportSlice::Tcp(tcp)) => Ok(Some(segment(from, to, tcp))),
            Some(_) => Ok(None),
            None => self.fragment(&packet, from, to),
        }
    }

    /// A fragment, which may be the last that was missing.
    fn fragment(
        &mut self,
        packet: &LaxSlicedPacket<'_>,
        from: IpAddr,
        to: IpAddr,
    ) -> Result<Option<Segment<'_>>, Problem> {
        let Some(Fragment { number, offset, more, payload }) = packet.net.as_ref().and_then(Fragment::of) else {
            return Ok(None);
        };
        let key = (from, to, number);
        if self.fragments.len() >= MOST_FRAGMENTED && !self.fragments.contains_key(&key) {
            let oldest = self.fragments.iter().min_by_key(|(_, (begun, _))| *begun).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.fragments.remove(&oldest));
        }
        self.begun += 1;
        let begun = self.begun;
        let (_, buffer) = self
            .fragments
            .entry(key)
            .or_insert_with(|| (begun, IpDefragBuf::new(IpNumber::TCP, Vec::new(), Vec::new())));
        if let Err(why) = buffer.add(offset, more, payload) {
            self.fragments.remove(&key);
            return Err(Problem::Fragment(why.to_string()));
        }
        if !buffer.is_complete() {
            return Ok(None);
        }
        if let Some((_, buffer)) = self.fragments.remove(&key) {
            self.whole = buffer.take_bufs().0;
        }
        Ok(TcpSlice::from_slice(&self.whole).ok().map(|tcp| segment(from, to, &tcp)))
    }
}

/// A part of an IP packet that holds TCP.
struct Fragment<'a> {
    number: u32,
    offset: IpFragOffset,
    more: bool,
    payload: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn of(net: &LaxNetSlice<'a>) -> Option<Self> {
        let ip = net.ip_payload_ref()?;
        if !ip.fragmented || ip.incomplete || ip.ip_number != IpNumber::TCP {
            return None;
        }
        let (number, offset, more) = match net {
            LaxNetSlice::Ipv4(v4) => {
                let header = v4.header();
                (u32::from(header.identification()), header.fragments_offset(), header.more_fragments())
            }
            LaxNetSlice::Ipv6(v6) => {
                let found = v6.extensions().clone().into_iter().find_map(|extension| match extension {
                    Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment.to_header()),
                    _ => None,
                })?;
                (found.identification, found.fragment_offset, found.more_fragments)
            }
            LaxNetSlice::Arp(_) => return None,
        };
        Some(Self { number, offset, more, payload: ip.payload })
    }
}

/// Link types that are read.
fn is_known(link: u32) -> bool {
    matches!(link, 0 | 1 | 12 | 14 | 101 | 108 | 113 | 228 | 229 | 276)
}

/// The packet's headers (see <https://www.tcpdump.org/linktypes.html>); `None` if it holds no IP.
fn sliced(link: u32, data: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match link {
        1 => LaxSlicedPacket::from_ethernet(data).ok(),
        // Loopback: the address family first, in an order that depends on the machine. IP says itself which it is.
        0 | 108 => LaxSlicedPacket::from_ip(data.get(4..)?).ok(),
        12 | 14 | 101 | 228 | 229 => LaxSlicedPacket::from_ip(data).ok(),
        113 => typed(data.get(14..16)?, data.get(16..)?),
        276 => typed(data.get(..2)?, data.get(20..)?),
        _ => None,
    }
}

fn typed<'a>(kind: &[u8], data: &'a [u8]) -> Option<LaxSlicedPacket<'a>> {
    let kind = EtherType(u16::from_be_bytes(kind.try_into().ok()?));
    let carries = [ether_type::IPV4, ether_type::IPV6, ether_type::VLAN_TAGGED_FRAME, ether_type::PROVIDER_BRIDGING];
    carries.contains(&kind).then(|| LaxSlicedPacket::from_ether_type(kind, data))
}

fn addresses(packet: &LaxSlicedPacket<'_>) -> Option<(IpAddr, IpAddr)> {
    match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        LaxNetSlice::Ipv6(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        LaxNetSlice::Arp(_) => None,
    }
}

fn segment<'a>(from: IpAddr, to: IpAddr, tcp: &TcpSlice<'a>) -> Segment<'a> {
    Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
    }
}
