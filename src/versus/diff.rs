//! Two recordings of what should be the same: what is the same, and what is not.
//!
//! Sessions are laid side by side in the order in which they began, or as they are chosen; of each session the streams of each leg, one
//! by one; names are bound in the order in which things happened in the first recording.

use super::align::{Shape, Step, align};
use super::strand::{Line, Recording, Strand};
use super::unify::{self, Names};
use crate::capture::read::{End, ItemKind};
use crate::play::Contrast;
use crate::xml::{Element, Scope, write_element};
use crate::xmpp::{Side, Timestamp};
use bytes::BytesMut;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What to compare.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice {
    /// This leg, or all that both have.
    pub leg: Option<Side>,
    /// This session of the first and that of the second, or all in their order.
    pub sessions: Option<(u64, u64)>,
}

/// Where something stands in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// When.
    pub at: Timestamp,
    /// In which packet, as Wireshark counts them.
    pub frame: u64,
    /// On which leg, which way.
    pub way: &'static str,
}

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Both have it, and it differs.
    Differs,
    /// Only the first has it.
    Missing,
    /// Only the second has it.
    Extra,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What kind.
    pub kind: Kind,
    /// Where in the first and in the second.
    pub places: [Option<Place>; 2],
    /// Which stanza, in a few words.
    pub about: String,
    /// Names that do not agree with what was seen before.
    pub conflicts: Vec<String>,
    /// The first, as it would be in the second, beside the second.
    pub contrast: Contrast,
}

/// Two sessions side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// Their numbers.
    pub sessions: [u64; 2],
    /// The legs that were compared.
    pub legs: Vec<Side>,
    /// What is the same.
    pub same: u64,
    /// What is not.
    pub changes: Vec<Change>,
    /// Acknowledgements of both, which are not compared.
    pub acknowledgements: [u64; 2],
}

/// Two recordings side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The sessions that both have.
    pub pairings: Vec<Pairing>,
    /// Sessions that only one has.
    pub alone: [Vec<u64>; 2],
}

impl Diff {
    /// Whether both say the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.alone.iter().all(Vec::is_empty) && self.pairings.iter().all(|pairing| pairing.changes.is_empty())
    }
}

/// Lays two recordings side by side.
///
/// # Errors
/// If one has not what was chosen.
pub fn diff(one: &Recording, other: &Recording, choice: Choice) -> Result<Diff, String> {
    let mut diff = Diff::default();
    if let Some((first, second)) = choice.sessions {
        let chosen = |recording: &Recording, number: u64, which: &str| {
            let found = recording.strands.iter().position(|strand| strand.number == number);
            found.ok_or_else(|| format!("the {which} capture has no session {number}{}", known(recording)))
        };
        let (first, second) = (chosen(one, first, "first")?, chosen(other, second, "second")?);
        let pair = one.strands.get(first).zip(other.strands.get(second));
        diff.pairings.extend(pair.map(|(one, other)| pairing(one, other, choice.leg)));
        return Ok(diff);
    }
    let both = one.strands.iter().zip(&other.strands);
    diff.pairings = both.map(|(one, other)| pairing(one, other, choice.leg)).collect();
    let shorter = one.strands.len().min(other.strands.len());
    diff.alone = [one, other].map(|recording| recording.sessions().skip(shorter).collect());
    Ok(diff)
}

/// Which sessions there are, for people.
fn known(recording: &Recording) -> String {
    const MOST: usize = 10;
    let mut numbers: Vec<String> = recording.sessions().take(MOST).map(|number| number.to_string()).collect();
    match recording.strands.len() {
        0 => return "; there is none in it".to_owned(),
        count if count > MOST => numbers.push("...".to_owned()),
        _ => {}
    }
    format!("; there are {}", numbers.join(", "))
}

/// A step through two streams, with its place in the order of things.
struct Beside<'a> {
    order: u64,
    lines: [Option<&'a Line>; 2],
}

fn pairing(one: &Strand, other: &Strand, leg: Option<Side>) -> Pairing {
    let both = |leg: &Side| one.has(*leg) || other.has(*leg);
    let legs: Vec<Side> = match leg {
        Some(leg) => vec![leg],
        None if one.ours && other.ours => [Side::Client, Side::Server].into_iter().filter(both).collect(),
        // A recording of somebody else's has one leg: the client's, if the other has two.
        None => vec![Side::Client],
    };
    let mut steps = Vec::new();
    for leg in &legs {
        for from in [End::Caller, End::Listener] {
            lay(one.stream(*leg, from), other.stream(*leg, from), &mut steps);
        }
    }
    steps.sort_by_key(|step| step.order);
    let acknowledged = |strand: &Strand| legs.iter().map(|leg| strand.acknowledgements(*leg)).sum();
    let acknowledgements = [acknowledged(one), acknowledged(other)];
    let sessions = [one.number, other.number];
    let mut pairing = Pairing { sessions, legs, same: 0, changes: Vec::new(), acknowledgements };
    let mut names = Names::default();
    for step in steps {
        match compare(step.lines, &mut names) {
            None => pairing.same += 1,
            Some(change) => pairing.changes.push(change),
        }
    }
    pairing
}

/// Two streams, step by step. What only the second has stands behind what the first had before it.
fn lay<'a>(one: &'a [Line], other: &'a [Line], steps: &mut Vec<Beside<'a>>) {
    let shapes = |lines: &[Line]| -> Vec<Shape> { lines.iter().map(shape).collect() };
    let mut order = 0;
    for step in align(&shapes(one), &shapes(other)) {
        let lines = match step {
            Step::Both(i, j) => [one.get(i), other.get(j)],
            Step::Left(i) => [one.get(i), None],
            Step::Right(j) => [None, other.get(j)],
        };
        order = lines[0].map_or(order, |line| line.order);
        steps.push(Beside { order, lines });
    }
}

fn number(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// What is known of an item without its names.
fn shape(line: &Line) -> Shape {
    let Some(mut tree) = line.tree() else {
        let kind = match line.kind {
            ItemKind::Close => 1_u8,
            ItemKind::Refused { .. } => 2,
            _ => 3,
        };
        return Shape { whole: number((kind, &line.bytes)), kind: number(kind) };
    };
    unify::put_in_order(&mut tree);
    let payload = tree.children().find(|child| child.name != "error").map(|child| (&child.ns, &child.name));
    let payload = payload.filter(|_| tree.name == "iq");
    Shape {
        whole: unify::digest(&tree),
        kind: number((&tree.ns, &tree.name, tree.attr("type").filter(|_| tree.name != "message"), payload)),
    }
}

/// What two items differ in; nothing if they say the same.
fn compare(lines: [Option<&Line>; 2], names: &mut Names) -> Option<Change> {
    let place = |line: &Line| Place { at: line.at, frame: line.frame, way: line.way };
    let places = lines.map(|line| line.map(place));
    let change = |kind, about: &Line, conflicts, contrast| {
        Some(Change { kind, places: places.clone(), about: words(about), conflicts, contrast })
    };
    match lines {
        [Some(one), Some(other)] => {
            let (mut conflicts, [mut left, mut right]) = (Vec::new(), [one, other].map(Line::tree));
            let same = match (&mut left, &mut right) {
                (Some(left), Some(right)) => {
                    unify::put_in_order(left);
                    unify::put_in_order(right);
                    conflicts = unify::fit(left, right, one.from, names);
                    unify::same(left, right)
                }
                _ => one.bytes == other.bytes,
            };
            if same {
                return None;
            }
            let contrast = contrast(text(one, left.as_ref()), text(other, right.as_ref()));
            change(Kind::Differs, other, conflicts, contrast)
        }
        [Some(one), None] => {
            change(Kind::Missing, one, Vec::new(), contrast(text(one, one.tree().as_ref()), String::new()))
        }
        [None, Some(other)] => {
            change(Kind::Extra, other, Vec::new(), contrast(String::new(), text(other, other.tree().as_ref())))
        }
        [None, None] => None,
    }
}

fn contrast(expected: String, came: String) -> Contrast {
    Contrast { expected, came, xml: true }
}

/// An item as a book would write it.
fn text(line: &Line, tree: Option<&Element>) -> String {
    let Some(tree) = tree else { return String::from_utf8_lossy(&line.bytes).into_owned() };
    let mut bytes = BytesMut::new();
    write_element(tree, Scope::Stream, &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match line.kind {
        ItemKind::Header => text.replace("/>", ">"),
        _ => text,
    }
}

/// Which stanza it is: `iq get urn:xmpp:ping`.
fn words(line: &Line) -> String {
    match (line.kind, line.tree()) {
        (ItemKind::Header, _) => "the stream header".to_owned(),
        (ItemKind::Close, _) => "the stream's end".to_owned(),
        (_, Some(tree)) => {
            let kind = tree.attr("type").filter(|_| ["iq", "message", "presence"].contains(&tree.name.as_str()));
            let payload = tree.children().find(|child| child.name != "error").filter(|_| tree.name == "iq");
            let parts = [Some(tree.name.as_str()), kind, payload.map(|child| child.ns.as_str())];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
        _ => "what is no XML".to_owned(),
    }
}
