//! What must hold of one session, whatever its peers do: looks at all that comes out, and says which promise is broken.
//!
//! * What is told is what was sent: the items of a leg and way, joined, are the bytes that came, and the very bytes that left.
//! * What leaves is well-formed, item by item, to a parser that is not ours; a header stands only where a stream may begin; behind the end
//!   of a stream there is nothing.
//! * What is forwarded has come, once, from the other side, in that order, and is the same: byte for byte, or as the same tree. What was dropped or
//!   answered here has not left.
//! * No more is acknowledged than came, and of what was forwarded no more than the receiver has acknowledged.
//! * With the rules enforced a request has one answer at most, and one in the end.

use super::seen::{Top, tops};
use super::worlds::World;
use iqtap::session::{Act, Dir, Fate, Note, Origin, Seen, What};
use iqtap::xmpp::Side;
use std::collections::BTreeMap;
use std::sync::Arc;

const SM: [&str; 2] = ["urn:xmpp:sm:2", "urn:xmpp:sm:3"];
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// What is known of one leg.
#[derive(Debug, Default)]
struct Leg {
    /// What came, and how much of it was told.
    fed: Vec<u8>,
    told: usize,
    /// The present headers: what came, what left.
    came: Arc<[u8]>,
    left: Option<Vec<u8>>,
    /// Our stream was ended.
    ended: bool,
}

/// An item that came in.
#[derive(Debug)]
struct Came {
    side: Side,
    what: What,
    bytes: Vec<u8>,
    header: Arc<[u8]>,
    fate: Fate,
}

/// How far stream management has counted what a side has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Items of a greater number are counted.
    from: u64,
    /// What was counted before.
    base: u32,
    /// The most the receiver has acknowledged.
    heard: u32,
}

/// Requests of one id, and answers to them.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    requests: u32,
    answers: u32,
    /// Requests of a bound client.
    due: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Witness {
    enforces: bool,
    /// All that comes is answered by rules alone.
    plain: bool,
    /// What is not changed leaves as it came.
    exact: bool,
    resumed: bool,
    bound: bool,
    legs: [Leg; 2],
    /// Whether a header may be sent to that side.
    may_open: [bool; 2],
    came: BTreeMap<u64, Came>,
    /// How often it was forwarded.
    left: BTreeMap<u64, u32>,
    /// What was forwarded last, by the side that it went to.
    last: [u64; 2],
    asked: [BTreeMap<String, Asked>; 2],
    /// What of stream management the client has asked for and not been told yet.
    wanted: Vec<u64>,
    counts: [Option<Count>; 2],
    /// What was told since it was last looked at: to whom, how many.
    told: Vec<(Side, u32)>,
    /// What the server was told in a resumption under way.
    resuming: Option<u32>,
    enabled: Option<u64>,
    /// What was forwarded by this input, and is still to be compared with what came.
    pending: Vec<Forwarded>,
}

/// Number of the item, to whom it went, whether untouched, its bytes, and what they say.
type Forwarded = (u64, Side, bool, Vec<u8>, String);
type Check = Result<(), String>;

fn hold(so: bool, why: impl FnOnce() -> String) -> Check {
    if so { Ok(()) } else { Err(why()) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Witness {
    pub(crate) fn new(world: &World) -> Self {
        let (enforces, plain, exact) = (world.enforces, !world.scripted, world.exact);
        Self { enforces, plain, exact, may_open: [true; 2], ..Self::default() }
    }

    /// Another policy holds.
    pub(crate) fn under(&mut self, world: &World) {
        self.enforces &= world.enforces;
        self.plain &= !world.scripted;
        self.exact &= world.exact;
    }

    /// A side sends that.
    pub(crate) fn fed(&mut self, side: Side, bytes: &[u8]) {
        self.legs[side.index()].fed.extend_from_slice(bytes);
    }

    /// Everything that one input has brought; gives the number of the session that is resumed.
    pub(crate) fn saw(
        &mut self,
        to: &[Vec<u8>; 2],
        acts: &[Act],
        notes: Vec<Note>,
        watched: bool,
        gone: [bool; 2],
    ) -> (Option<u64>, Check) {
        if !watched {
            return (None, Ok(()));
        }
        let mut resumed = None;
        let checked = self.look(to, acts, notes, gone, &mut resumed);
        (resumed, checked)
    }

    fn look(
        &mut self,
        to: &[Vec<u8>; 2],
        acts: &[Act],
        notes: Vec<Note>,
        gone: [bool; 2],
        resumed: &mut Option<u64>,
    ) -> Check {
        let mut said = [Vec::new(), Vec::new()];
        for act in acts {
            match act {
                Act::Dial { .. } => self.begin(Side::Server),
                Act::StartTls(side) => self.may_open[side.index()] = true,
                _ => {}
            }
        }
        for note in notes {
            match note {
                Note::Seen(seen) if seen.dir == Dir::In => self.came(*seen)?,
                Note::Seen(seen) => {
                    said[seen.side.index()].extend_from_slice(&seen.bytes);
                    self.left(&seen)?;
                }
                Note::Bound(_) => self.bound = true,
                Note::Resumed { session, .. } => *resumed = Some(session),
                _ => {}
            }
        }
        for side in [Side::Client, Side::Server] {
            let at = side.index();
            hold(said[at] == to[at], || {
                format!("to the {} went {:?}, told was {:?}", side.name(), text(&to[at]), text(&said[at]))
            })?;
            let new = acts.iter().any(|act| matches!(act, Act::Dial { .. })) && side == Side::Server;
            hold(!gone[at] || new || to[at].is_empty(), || {
                format!("the {} is gone: {:?}", side.name(), text(&to[at]))
            })?;
        }
        self.all_came()?;
        if resumed.is_none() { self.acknowledged() } else { Ok(()) }
    }

    /// Another connection to that side.
    fn begin(&mut self, side: Side) {
        let leg = &mut self.legs[side.index()];
        (leg.told, leg.ended, leg.left) = (leg.fed.len(), false, None);
        self.may_open[side.index()] = true;
    }

    fn came(&mut self, seen: Seen) -> Check {
        let Seen { side, number, what, bytes, fate, .. } = seen;
        let leg = &mut self.legs[side.index()];
        let end = leg.told + bytes.len();
        let fed = leg.fed.get(leg.told..end);
        hold(fed == Some(&bytes[..]), || {
            format!("the {} has not sent {:?} but {:?}", side.name(), text(&bytes), fed.map(text))
        })?;
        leg.told = end;
        if what == What::Header {
            leg.came = bytes[..].into();
        }
        let header = Arc::clone(&leg.came);
        if matches!(what, What::Stanza(_) | What::Other) {
            let [top] = one(&header, &bytes)?;
            self.heard(side, number, &top, &fate);
        }
        let stopped = matches!(fate, Fate::Dropped(_) | Fate::Rejected(..) | Fate::Answered(_));
        hold(!stopped || !self.left.contains_key(&number), || format!("{fate:?}, and forwarded: {:?}", text(&bytes)))?;
        let before = self.came.insert(number, Came { side, what, bytes: bytes.to_vec(), header, fate });
        hold(before.is_none(), || format!("two items have the number {number}"))
    }

    /// What a side has said.
    fn heard(&mut self, side: Side, number: u64, top: &Top, fate: &Fate) {
        if SM.contains(&top.ns.as_str()) {
            match (side, top.name.as_str()) {
                (Side::Client, "enable" | "resume") => self.wanted.push(number),
                (Side::Server, "enabled" | "resumed") => self.enabled = Some(number),
                (_, "a") => {
                    let h = top.attr("h").and_then(|h| h.trim().parse::<u32>().ok());
                    // It speaks of what the other side has sent.
                    if let (Some(h), Some(count)) = (h, &mut self.counts[side.other().index()])
                        && h.wrapping_sub(count.heard) < 1 << 31
                    {
                        count.heard = h;
                    }
                }
                _ => {}
            }
        }
        let kind = top.attr("type").unwrap_or_default();
        if top.name == "iq" && !matches!(kind, "result" | "error") {
            let asked = self.asked[side.index()].entry(top.attr("id").unwrap_or_default().to_owned()).or_default();
            asked.requests += 1;
            let told = !matches!(fate, Fate::Dropped(_) | Fate::Handled);
            asked.due += u32::from(self.bound && told && matches!(kind, "get" | "set"));
        }
    }

    fn left(&mut self, seen: &Seen) -> Check {
        let at = seen.side.index();
        hold(!self.legs[at].ended, || format!("behind the end of the stream: {:?}", text(&seen.bytes)))?;
        match seen.what {
            What::Header => {
                hold(self.may_open[at], || format!("a header where none may stand: {:?}", text(&seen.bytes)))?;
                hold(tops(&seen.bytes, b"")?.is_empty(), || "a header with something in it".to_owned())?;
                self.legs[at].left = Some(seen.bytes.to_vec());
                self.may_open[at] = false;
            }
            What::Space => {
                hold(seen.bytes.iter().all(u8::is_ascii_whitespace), || format!("no space: {:?}", text(&seen.bytes)))?;
            }
            What::Close => {
                let whole = [self.legs[at].left.as_deref().unwrap_or_default(), &seen.bytes].concat();
                super::seen::document(&whole)
                    .map_err(|why| format!("no end of a stream ({why}): {:?}", text(&whole)))?;
                self.legs[at].ended = true;
            }
            What::Stanza(_) | What::Other => {
                let header =
                    self.legs[at].left.clone().ok_or_else(|| format!("before any header: {:?}", text(&seen.bytes)))?;
                let [top] = one(&header, &seen.bytes)?;
                self.said(seen, &top)?;
                self.forwarded(seen, &top)?;
            }
        }
        Ok(())
    }

    /// What a side was told.
    fn said(&mut self, seen: &Seen, top: &Top) -> Check {
        let side = seen.side;
        if top.ns == SASL && top.name == "success" && side == Side::Client {
            self.may_open = [true; 2];
        }
        if SM.contains(&top.ns.as_str()) {
            let h = top.attr("h").and_then(|h| h.parse::<u32>().ok());
            match (side, top.name.as_str(), h) {
                (Side::Client, "enabled", _) => {
                    let enabled = self.enabled.ok_or("stream management is enabled, and the server has not said so")?;
                    let from =
                        self.wanted.first().copied().ok_or("stream management is enabled, and nobody wanted it")?;
                    self.wanted.remove(0);
                    self.counts = [from, enabled].map(|from| Some(Count { from, ..Count::default() }));
                }
                (Side::Client, "failed", _) if !self.wanted.is_empty() => drop(self.wanted.remove(0)),
                (Side::Server, "resume", h) => self.resuming = h,
                (Side::Client, "resumed", Some(h)) => {
                    let from = self.enabled.ok_or("a session is resumed, and the server has not said so")?;
                    let server = self.resuming.ok_or("a session is resumed, and the server was not asked")?;
                    self.counts = [h, server].map(|base| Some(Count { from, base, heard: base }));
                    self.resumed = true;
                }
                (_, "a", Some(h)) => self.told.push((side, h)),
                _ => {}
            }
        }
        if top.name == "iq" && matches!(top.attr("type"), Some("result" | "error")) && self.enforces {
            let id = top.attr("id").unwrap_or_default();
            let asked = self.asked[side.index()].entry(id.to_owned()).or_default();
            asked.answers += 1;
            let (asked, resumed) = (*asked, self.resumed);
            // A script may answer with what it likes, and a resumed session has asked before.
            return hold(asked.answers <= asked.requests || resumed || !self.plain, || {
                format!("{asked:?} of the id {id:?}: {:?}", text(&seen.bytes))
            });
        }
        Ok(())
    }

    /// What is said to be another item is that item. Whether it came is looked at in the end, for it is told behind this.
    fn forwarded(&mut self, seen: &Seen, top: &Top) -> Check {
        let number = match &seen.origin {
            Origin::Forwarded(number) | Origin::Rewritten(number, _) if *number > 0 => *number,
            _ => return Ok(()),
        };
        let times = self.left.entry(number).or_default();
        *times += 1;
        if let Some(Came { fate: Fate::Dropped(_) | Fate::Rejected(..) | Fate::Answered(_), .. }) =
            self.came.get(&number)
        {
            return Err(format!("it was stopped, and is forwarded: {:?}", text(&seen.bytes)));
        }
        hold(*times == 1, || format!("item {number} is forwarded again: {:?}", text(&seen.bytes)))?;
        let last = std::mem::replace(&mut self.last[seen.side.index()], number);
        hold(last < number, || format!("item {number} is forwarded behind item {last}: {:?}", text(&seen.bytes)))?;
        let exact = matches!(seen.origin, Origin::Forwarded(_));
        self.pending.push((number, seen.side, exact, seen.bytes.to_vec(), top.dump.clone()));
        Ok(())
    }

    /// Everything that was forwarded has come, from the other side, and is the same.
    fn all_came(&mut self) -> Check {
        for (number, side, exact, bytes, dump) in std::mem::take(&mut self.pending) {
            let said = || format!("item {number} to the {}: {:?}", side.name(), text(&bytes));
            let came = self.came.get(&number).ok_or_else(|| format!("it was never judged: {}", said()))?;
            hold(came.side == side.other(), || format!("it came from there: {}", said()))?;
            if exact && came.bytes != bytes {
                hold(!self.exact || !is_plain(came), || {
                    format!("other bytes than {:?}: {}", text(&came.bytes), said())
                })?;
                // Tidied, at home under another root, or written anew: the same tree all the same.
                let [top] = one(&came.header, &came.bytes)?;
                hold(top.dump == dump, || format!("another tree than {:?}: {}", text(&came.bytes), said()))?;
            }
        }
        Ok(())
    }

    /// What was told of how much has arrived is true.
    fn acknowledged(&mut self) -> Check {
        for (side, h) in std::mem::take(&mut self.told) {
            let Some(count) = self.counts[side.index()] else { continue };
            let most = self.counted(side);
            let told = || format!("the {} is told that {h} have arrived, {count:?}", side.name());
            hold(most.wrapping_sub(h) < 1 << 31, || format!("{}, and {most} have come", told()))?;
            if !self.resumed {
                let first = self.stanzas(side, count.from).take(h as usize);
                let gone = first.filter(|(number, _)| self.left.contains_key(number)).count();
                hold(gone <= count.heard as usize, || format!("{}, {gone} of them forwarded", told()))?;
            }
        }
        Ok(())
    }

    fn stanzas(&self, side: Side, from: u64) -> impl Iterator<Item = (&u64, &Came)> {
        self.came.range(from + 1..).filter(move |(_, came)| came.side == side && matches!(came.what, What::Stanza(_)))
    }

    /// What can be acknowledged at most of what a side has sent.
    fn counted(&self, side: Side) -> u32 {
        let Some(count) = self.counts[side.index()] else { return 0 };
        let came = self.stanzas(side, count.from).count();
        count.base.wrapping_add(u32::try_from(came).unwrap_or(u32::MAX))
    }

    /// What can be acknowledged at most, by sender.
    pub(crate) fn counts(&self) -> [u32; 2] {
        [Side::Client, Side::Server].map(|side| self.counted(side))
    }

    /// This session goes on with one of which no more can be acknowledged than that.
    pub(crate) fn resumes(&mut self, before: [u32; 2]) -> Check {
        for (side, most) in [Side::Client, Side::Server].into_iter().zip(before) {
            let base = self.counts[side.index()].map_or(0, |count| count.base);
            hold(most.wrapping_sub(base) < 1 << 31, || {
                format!("resumed, the {} is told that {base} have arrived, and {most} had come", side.name())
            })?;
        }
        self.acknowledged()
    }

    /// Each request of the client was answered, if that was promised.
    pub(crate) fn all_answered(&self) -> Check {
        if !self.enforces || !self.plain || self.resumed {
            return Ok(());
        }
        let open = self.asked[0].iter().find(|(_, asked)| asked.answers < asked.due);
        hold(open.is_none(), || format!("a request of the client was never answered: {open:?}"))
    }
}

/// An act that peers can see, for comparing.
pub(crate) fn seen_by_peers(act: &Act) -> Option<String> {
    matches!(act, Act::Dial { .. } | Act::StartTls(_) | Act::Close(..)).then(|| format!("{act:?}"))
}

/// Whether there is no reason to touch an item: it is tidy, and its stream's root declares no more than ours.
fn is_plain(came: &Came) -> bool {
    let header = text(&came.header).replace('"', "'");
    let usual = ["xmlns='jabber:client'", "xmlns:stream='http://etherx.jabber.org/streams'"];
    usual.iter().all(|declared| header.contains(declared))
        && header.matches("xmlns").count() == 2
        && !came.bytes.iter().any(|byte| b"\r\n\t".contains(byte))
}

/// The one element that these bytes are, under that header.
fn one(header: &[u8], bytes: &[u8]) -> Result<[Top; 1], String> {
    let tops = tops(header, bytes).map_err(|why| format!("not well-formed ({why}): {:?}", text(bytes)))?;
    <[Top; 1]>::try_from(tops).map_err(|tops| format!("{} elements and not one: {:?}", tops.len(), text(bytes)))
}

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
