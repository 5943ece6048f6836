//! A whole start tag is judged: its declarations, its names, no attribute twice.
//!
//! Takes a [`Tag`] and the [`Scope`] around it, gives the element's expanded name. Must not know where the element may
//! stand: that is the scanner's business.

use super::bytes::same;
use super::scope::{Bound, Known, Scope, slice};
use super::tag::{Tag, Written};
use super::{Bad, Fault};
use crate::xml::{Limits, Root};
use std::cmp::Ordering;

/// Up to so many attributes are compared each with each; more are sorted first.
const FEW: usize = 8;

/// What must be at hand to read a name.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) buf: &'a [u8],
    pub(super) root: &'a Root,
}

/// Judges a tag; its declarations are in force afterwards. Gives what its name is bound to (in `bound`, for it is too large
/// to be handed around quickly) and whether any of its names leans on the root. `order` is scratch space.
pub(super) fn judge(
    tag: &Tag,
    scope: &mut Scope,
    around: Around<'_>,
    limits: &Limits,
    order: &mut Vec<Prefixed>,
    bound: &mut Bound,
) -> Result<bool, Bad> {
    if tag.attrs.len() > 1 && repeated(tag, around.buf, order) {
        return Err(bad(tag, Fault::NotWellFormed, "an attribute twice"));
    }
    if tag.declarations > 0 {
        for attr in tag.attrs.iter().filter(|a| a.declares) {
            scope.declare(around.buf, &attr.name, attr.value, limits.name_bytes)?;
        }
    }
    *bound = if tag.name.colon == 0 {
        scope.unprefixed()
    } else {
        match scope.lookup(around.buf, around.root, slice(around.buf, tag.name.prefix())) {
            // xml-rs refuses an element with the prefix xml, and there is none to be had.
            Some(Bound { known: Known::Xml, .. }) => {
                return Err(bad(tag, Fault::Prefix, "an element with the prefix xml"));
            }
            Some(bound) => bound,
            None => return Err(bad(tag, Fault::Prefix, "an element with an unbound prefix")),
        }
    };
    let mut leans = bound.leans;
    if tag.prefixed > 0 {
        leans |= prefixes(tag, scope, around, order)?;
    }
    Ok(leans)
}

fn bad(tag: &Tag, fault: Fault, why: &'static str) -> Bad {
    Bad { fault, why, at: tag.start }
}

/// Whether two attributes have the same name as written.
fn repeated(tag: &Tag, buf: &[u8], order: &mut Vec<Prefixed>) -> bool {
    let text = |a: &Written| slice(buf, a.name.raw());
    if tag.attrs.len() <= FEW {
        return tag.attrs.iter().enumerate().any(|(i, a)| {
            let before = tag.attrs.get(..i).unwrap_or_default();
            before.iter().any(|b| a.key == b.key && same(text(a), text(b)))
        });
    }
    order.clear();
    order.extend(tag.attrs.iter().map(|&attr| Prefixed { attr, bound: Bound::default() }));
    order.sort_unstable_by(|a, b| text(&a.attr).cmp(text(&b.attr)));
    order.windows(2).any(|w| matches!(w, [a, b] if text(&a.attr) == text(&b.attr)))
}

/// An attribute with what its prefix is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefixed {
    attr: Written,
    bound: Bound,
}

/// Every prefix must be bound, and no two attributes may have the same expanded name. Says whether one leans.
fn prefixes(tag: &Tag, scope: &Scope, around: Around<'_>, order: &mut Vec<Prefixed>) -> Result<bool, Bad> {
    let mut leans = false;
    order.clear();
    for attr in tag.attrs.iter().filter(|a| !a.declares && a.name.colon != 0) {
        let prefix = slice(around.buf, attr.name.prefix());
        let Some(bound) = scope.lookup(around.buf, around.root, prefix) else {
            let at = attr.name.start as usize;
            return Err(Bad { fault: Fault::Prefix, why: "an attribute with an unbound prefix", at });
        };
        leans |= bound.leans;
        order.push(Prefixed { attr: *attr, bound });
    }
    if order.len() < 2 {
        return Ok(leans);
    }
    let local = |p: &Prefixed| slice(around.buf, p.attr.name.local());
    let by_name = |a: &Prefixed, b: &Prefixed| match local(a).cmp(local(b)) {
        Ordering::Equal if a.bound.is(b.bound) => Ordering::Equal,
        Ordering::Equal => {
            let name = |p: &Prefixed| scope.name(around.buf, around.root, p.bound);
            name(a).cmp(name(b))
        }
        unequal => unequal,
    };
    order.sort_unstable_by(by_name);
    if order.windows(2).any(|w| matches!(w, [a, b] if by_name(a, b) == Ordering::Equal)) {
        return Err(bad(tag, Fault::NotWellFormed, "two attributes with the same expanded name"));
    }
    Ok(leans)
}
