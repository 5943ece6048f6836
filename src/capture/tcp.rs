//! Made-up TCP conversations over IPv4 around the payload.
//!
//! Takes items with their direction, gives packets with right lengths, checksums, sequence and acknowledgement
//! numbers, so that Wireshark's analysis finds nothing to say. Must not look into a payload, except to cut it.

use super::pcapng::Blocks;
use crate::session::Dir;
use crate::xmpp::{Side, Timestamp};
use etherparse::{IpNumber, Ipv4Header, TcpHeader, TcpOptionElement};
use std::fmt::Display;
use std::io;

/// The port called, on both legs: what makes tshark see XMPP.
const PORT: u16 = 5222;
/// Callers' ports begin here: above [`PORT`], because tshark looks the lower one up first.
const FIRST_PORT: u16 = 49_152;
/// A conversation of one leg takes the next port; this many before they would meet another session's.
const EPOCHS: u16 = 16;
/// The most payload in one packet.
const SEGMENT_BYTES: usize = 60_000;
/// So many bytes are sent before the other end acknowledges them without having anything to say.
const UNACKED_BYTES: u32 = 1 << 20;
/// Both ends' window, scaled: far above [`UNACKED_BYTES`].
const WINDOW: u16 = 65_535;
const WINDOW_SHIFT: u8 = 14;
/// The largest segment: an IPv4 packet less its headers.
const MSS: u16 = 65_495;

/// The two ends of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// Who connected: the client on its leg, iqtap on the server's.
    Caller,
    /// Who listened.
    Listener,
}

impl End {
    /// Which end sends what goes this way on this leg.
    pub(super) const fn sender(side: Side, dir: Dir) -> Self {
        match (side, dir) {
            (Side::Client, Dir::In) | (Side::Server, Dir::Out) => Self::Caller,
            (Side::Client, Dir::Out) | (Side::Server, Dir::In) => Self::Listener,
        }
    }
    const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Listener,
            Self::Listener => Self::Caller,
        }
    }
}

/// What a packet does beside carrying payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    Syn,
    SynAck,
    Ack,
    Push,
    Fin,
    Rst,
}

/// One conversation. Indices are by [`End`].
#[derive(Debug)]
pub(super) struct Talk {
    interface: u32,
    addresses: [[u8; 4]; 2],
    ports: [u16; 2],
    /// The next sequence number of each end.
    next: [u32; 2],
    /// What of each end the other has acknowledged.
    acked: [u32; 2],
}

impl Talk {
    /// Shakes hands; the comments stand on the SYN.
    ///
    /// Addresses are loopback ones: 127.1.x.y for the client and 127.2.x.y for iqtap as the server sees it, x and y from the
    /// session's number; 127.0.0.1 for iqtap and 127.0.0.2 for the server.
    pub(super) fn open(
        session: u64,
        side: Side,
        epoch: u16,
        at: Timestamp,
        comments: &[&str],
        blocks: &mut Blocks,
    ) -> io::Result<Self> {
        let mut talk = Self::amidst(session, side, epoch);
        talk.packet(End::Caller, Flag::Syn, at, &[], comments, blocks)?;
        talk.packet(End::Listener, Flag::SynAck, at, &[], &[], blocks)?;
        talk.packet(End::Caller, Flag::Ack, at, &[], &[], blocks)?;
        Ok(talk)
    }

    /// One whose handshake was not seen.
    pub(super) fn amidst(session: u64, side: Side, epoch: u16) -> Self {
        let [.., third, second, x, y] = session.to_be_bytes();
        let round = u16::from_be_bytes([third, second]) % ((u16::MAX - FIRST_PORT) / EPOCHS);
        let leg = match side {
            Side::Client => 1,
            Side::Server => 2,
        };
        Self {
            interface: u32::from(leg == 2),
            addresses: [[127, leg, x, y], [127, 0, 0, leg]],
            ports: [FIRST_PORT + round * EPOCHS + epoch % EPOCHS, PORT],
            next: [0; 2],
            acked: [0; 2],
        }
    }

    /// Leaves out bytes that were lost.
    pub(super) fn skip(&mut self, from: End, lost: u64) {
        let lost = u32::try_from(lost % (1 << 32)).unwrap_or_default();
        self.next[from as usize] = self.next[from as usize].wrapping_add(lost);
    }

    /// Sends one item, in as few packets as it fits.
    pub(super) fn send(
        &mut self,
        from: End,
        at: Timestamp,
        item: &[u8],
        number: u64,
        comments: &[&str],
        blocks: &mut Blocks,
    ) -> io::Result<()> {
        if item.len() <= SEGMENT_BYTES {
            self.packet(from, Flag::Push, at, item, comments, blocks)?;
        } else {
            let mut rest = item;
            let mut part = 1;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cut(rest));
                let flag = if after.is_empty() { Flag::Push } else { Flag::Ack };
                let more = format!("#{number} part {part}");
                let texts = if part == 1 { comments } else { &[more.as_str()] };
                self.packet(from, flag, at, piece, texts, blocks)?;
                rest = after;
                part += 1;
            }
        }
        let sent = self.next[from as usize];
        if sent.wrapping_sub(self.acked[from as usize]) >= UNACKED_BYTES {
            self.packet(from.other(), Flag::Ack, at, &[], &[], blocks)?;
        }
        Ok(())
    }

    /// Ends it in order; the comment stands on the first FIN.
    pub(super) fn close(mut self, first: End, at: Timestamp, comment: &str, blocks: &mut Blocks) -> io::Result<()> {
        self.packet(first, Flag::Fin, at, &[], &[comment], blocks)?;
        self.packet(first.other(), Flag::Fin, at, &[], &[], blocks)?;
        self.packet(first, Flag::Ack, at, &[], &[], blocks)
    }

    /// Ends it with an RST.
    pub(super) fn reset(mut self, from: End, at: Timestamp, comment: &str, blocks: &mut Blocks) -> io::Result<()> {
        self.packet(from, Flag::Rst, at, &[], &[comment], blocks)
    }

    fn packet(
        &mut self,
        from: End,
        flag: Flag,
        at: Timestamp,
        payload: &[u8],
        comments: &[&str],
        blocks: &mut Blocks,
    ) -> io::Result<()> {
        let (tcp, ip) = self.headers(from, flag, payload)?;
        let frame = &mut blocks.frame;
        frame.clear();
        frame.extend_from_slice(&ip.to_bytes());
        frame.extend_from_slice(&tcp.to_bytes());
        frame.extend_from_slice(payload);
        blocks.packet(self.interface, at, comments)?;

        let counted = u32::from(matches!(flag, Flag::Syn | Flag::SynAck | Flag::Fin));
        let len = u32::try_from(payload.len()).map_err(refused)?;
        self.next[from as usize] = self.next[from as usize].wrapping_add(len).wrapping_add(counted);
        if flag != Flag::Syn {
            self.acked[from.other() as usize] = self.next[from.other() as usize];
        }
        Ok(())
    }

    fn headers(&self, from: End, flag: Flag, payload: &[u8]) -> io::Result<(TcpHeader, Ipv4Header)> {
        let (here, there) = (from as usize, from.other() as usize);
        let mut tcp = TcpHeader::new(self.ports[here], self.ports[there], self.next[here], WINDOW);
        tcp.syn = matches!(flag, Flag::Syn | Flag::SynAck);
        tcp.psh = flag == Flag::Push;
        tcp.fin = flag == Flag::Fin;
        tcp.rst = flag == Flag::Rst;
        if flag != Flag::Syn {
            tcp.ack = true;
            tcp.acknowledgment_number = self.next[there];
        }
        if tcp.syn {
            let options = [TcpOptionElement::MaximumSegmentSize(MSS), TcpOptionElement::WindowScale(WINDOW_SHIFT)];
            tcp.set_options(&options).map_err(refused)?;
        }
        let len = u16::try_from(tcp.header_len() + payload.len()).map_err(refused)?;
        let (source, destination) = (self.addresses[here], self.addresses[there]);
        let mut ip = Ipv4Header::new(len, 64, IpNumber::TCP, source, destination).map_err(refused)?;
        ip.header_checksum = ip.calc_header_checksum();
        tcp.checksum = tcp.calc_checksum_ipv4_raw(source, destination, payload).map_err(refused)?;
        Ok((tcp, ip))
    }
}

/// Where to cut a long item: not behind a `>`, for there tshark takes what it has for whole XML.
fn cut(rest: &[u8]) -> usize {
    if rest.len() <= SEGMENT_BYTES {
        return rest.len();
    }
    let back = rest[..SEGMENT_BYTES].iter().rev().take(1000).position(|&b| b != b'>' && b > b' ');
    SEGMENT_BYTES - back.unwrap_or(0)
}

/// Sizes are kept in bounds above, so that no header refuses them; should one, it is the file that suffers.
fn refused(e: impl Display) -> io::Error {
    io::Error::other(e.to_string())
}
