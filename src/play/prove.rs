//! One book, many proofs: plays it in every way, and holds all plays to the same bytes.
//!
//! Takes a book, gives what came out and the number of plays, or the first failure with the way in which it came. A panic of the core is
//! a failure like any other.

use super::cut::Cut;
use super::expect::differ;
use super::parse::{Book, StepKind};
use super::run::{self, Failure, Way};
use super::seat::Heard;
use super::why::Why;
use crate::store::MemoryStore;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A failure, and in which way of playing it came.
#[derive(Clone, Debug)]
pub struct Refuted {
    /// The way.
    pub way: Way,
    /// Where and why.
    pub failure: Box<Failure>,
}

/// Plays a book in every way there is; random cuts follow from `seeds`.
pub fn prove(book: &Book, path: &Path, seeds: &[u64]) -> Result<(usize, Vec<Heard>), Refuted> {
    let plain = Way { cut: Cut::Lines, swap: false, watched: false, patient: false };
    let first = play(book, path, plain)?;
    let mut ways = vec![
        Way { watched: true, ..plain },
        Way { cut: Cut::Glued, ..plain },
        Way { cut: Cut::Bytes, ..plain },
        Way { swap: true, ..plain },
        Way { patient: true, ..plain },
    ];
    for seed in seeds {
        let random = Way { cut: Cut::Random(*seed), ..plain };
        ways.extend([random, Way { watched: true, ..random }]);
    }
    if let Some(seed) = seeds.first() {
        let random = Way { cut: Cut::Random(*seed), ..plain };
        ways.extend([Way { swap: true, ..random }, Way { patient: true, ..random }]);
    }
    for way in &ways {
        let again = play(book, path, *way)?;
        same(book, &first, &again).map_err(|why| Refuted {
            way: *way,
            failure: Box::new(Failure { text: "(as line by line)".to_owned(), why, ..Failure::default() }),
        })?;
    }
    Ok((1 + ways.len(), first))
}

/// Plays a book once; a panic becomes a failure at the line that was reached.
fn play(book: &Book, path: &Path, way: Way) -> Result<Vec<Heard>, Refuted> {
    let line = Cell::new(0);
    let played = catch_unwind(AssertUnwindSafe(|| run::play(book, path, way, &|at| line.set(at))));
    let played = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Box::new(Failure { line: line.get(), ..*Failure::whole(format!("panicked: {text}")) }))
    });
    played.map_err(|failure| Refuted { way, failure })
}

/// However bytes arrive, the same must come out. Where bytes stand directly behind the end of clear text, only the
/// request for the handshake may be missing.
fn same(book: &Book, first: &[Heard], again: &[Heard]) -> Result<(), Why> {
    let injects = book.steps.iter().any(|s| matches!(s.kind, StepKind::Send { behind: true, .. }));
    for (number, (first, again)) in first.iter().zip(again).enumerate() {
        let named = |why: Why| Why { reason: format!("session {}: {}", number + 1, why.reason), ..why };
        same_session(injects, first, again).map_err(named)?;
    }
    Ok(())
}

fn same_session(injects: bool, first: &Heard, again: &Heard) -> Result<(), Why> {
    for (side, (a, b)) in ["C", "S"].iter().zip(first.to.iter().zip(&again.to)) {
        if a != b {
            return Err(differ(&format!("other bytes to {side}"), a, b));
        }
    }
    if first.tally != again.tally {
        return Err(format!("other counts\nexpected: {:?}\ncame:     {:?}", first.tally, again.tally).into());
    }
    if first.kept != again.kept {
        let all = |kept: &MemoryStore| format!("{:?}", kept.entries().collect::<Vec<_>>());
        let (expected, came) = (all(&first.kept), all(&again.kept));
        return Err(format!("something else is kept at the end\nexpected: {expected}\ncame:     {came}").into());
    }
    if !injects && first.acts != again.acts {
        return Err(format!("other acts\nexpected: {:?}\ncame:     {:?}", first.acts, again.acts).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn prove_text(steps: &str) -> Result<(usize, Vec<Heard>), Refuted> {
        let book = parse::book(&format!("# A test of the runner.\n{steps}")).unwrap();
        prove(&book, Path::new("book.play"), &[1, 2])
    }

    #[test]
    fn a_book_that_holds_is_played_in_every_way() {
        let (plays, _) = prove_text("open juliet@example.org/balcony\nC: <presence/>\nC: <message/>\nsame S").unwrap();
        assert_eq!(plays, 12);
    }

    #[test]
    fn what_is_not_so_is_noticed() {
        const OPEN: &str = "open juliet@example.org/balcony\n";
        for (steps, line, why) in [
            ("C: <presence/>\nC: <presence/>\nto S: <presence/>", 0, "to S: <presence/>"),
            ("C: <presence/>\nto S: <presence type='x'/>", 4, "attribute type is missing"),
            ("C: <presence/>\nto S: <presence/>\nto S: <presence/>", 5, "nothing came"),
            ("C: <presence/>\nto C: <presence/>", 4, "nothing came"),
            ("C: <presence/>\nnothing", 4, "nobody expected it"),
            ("C: <presence/>\nbytes S: <presence />", 4, "other bytes came, from byte 9"),
            ("C: <presence/>\nsame S\nsame S", 5, "nothing was sent"),
            ("C: <presence/>\nsame S\nS: <message/>\nsame S", 6, "nothing was sent"),
            ("C-raw: \\s<presence/>\nto S: <presence/>", 4, "white space came"),
            ("C: <iq/>\nsame S", 0, "finding C rule1"),
            ("C: <iq/>\nsame S\nfinding S rule1", 5, "no such note"),
            ("C: <iq id='1'/>\nsame S\nfinding C rule1", 5, "no such note"),
            ("drop C\nclose S clean", 4, "close S clean was expected, close S abort came"),
            ("nothing\ndrop C", 0, "close S abort"),
            ("nothing\ntls S", 4, "nothing was asked for"),
            ("C: $x\nnothing", 3, "$x is not known here"),
            (
                "C: <message id='$$x'/>\nto S: <message id='$a'/>\nC: <message id='2'/>\nto S: <message id='$a'/>",
                6,
                "'$x'",
            ),
            ("C: <presence/>\nto S: <presence", 4, "the book's own XML"),
            ("nothing\nbound romeo@example.net/x", 4, "no such note"),
            ("policy-swap nonsense = 1\nnothing", 3, "nonsense"),
        ] {
            let Err(Refuted { failure, .. }) = prove_text(&format!("{OPEN}{steps}")) else {
                panic!("held: {steps}");
            };
            assert_eq!(failure.line, line, "{steps}\n{failure:?}");
            assert!(failure.why.to_string().contains(why), "{steps}\n{failure:?}");
        }
    }

    #[test]
    fn sessions_do_not_disturb_each_other() {
        let text = "open juliet@example.org/balcony\nsession 2\nopen juliet@example.org/orchard\n\
                    C: <message id='2'/>\nsession 1\nC: <message id='1'/>\nsame S\nsession 2\nto S: <message id='2'/>\n\
                    session 1\ndrop C\nclose S abort\nsession 2\nC: <presence/>\nsame S";
        let (_, heard) = prove_text(text).unwrap();
        assert_eq!(heard.len(), 2);
        assert_eq!(heard.iter().map(|h| h.acts.len()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn what_comes_out_of_any_session_must_be_expected() {
        let text = "open juliet@example.org/balcony\nsession 2\nopen juliet@example.org/orchard\n\
                    C: <message id='2'/>\nsession 1\nC: <message id='1'/>\nsame S\nC: <presence/>\nsame S";
        let Err(Refuted { failure, .. }) = prove_text(text) else { panic!("held") };
        assert_eq!(failure.line, 9);
        assert!(failure.why.to_string().contains("session 2: to S: <message id='2'/>"), "{failure:?}");
    }

    #[test]
    fn time_passes_for_all_sessions() {
        let late = "to C: <stream:stream ...>\nto C: <stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                    </stream:error>\nto C: </stream:stream>\nclose C clean\n";
        prove_text(&format!(
            "nothing\nwait 20s\nsession 2\nnothing\nwait 20s\nsession 1\n{late}wait 20s\nsession 2\n{late}"
        ))
        .unwrap();
    }

    #[test]
    fn names_bound_once_are_sent_as_bound() {
        prove_text(
            "open juliet@example.org/balcony\nC: <message id='7'/>\nto S: <message id='$a'/>\n\
             S: <message id='$a'/>\nto C: <message id='7'/>",
        )
        .unwrap();
    }
}
