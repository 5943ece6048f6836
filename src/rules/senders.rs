//! What only one's own server may send: roster pushes, carbons, results of an archive.
//!
//! Takes a stanza from the server and whose session it is, gives findings. Must not build a tree, nor walk along a message in
//! which nothing of this can be. The namespaces are looked for as text: a reference that could spell one is walked after.

use super::iq::quoted;
use super::{Enforce, Finding, Mode, Modes, Rule, RuleInfo};
use crate::xml::View;
use crate::xmpp::{Account, Condition, Kind, Peer, Side, StanzaError, ns};
use memchr::memmem::Finder;
use std::sync::LazyLock;

pub(super) const PUSH: RuleInfo = RuleInfo {
    rule: Rule::PushSpoof,
    title: "a roster push comes from the own account",
    place: "RFC 6121 §2.1.6; CVE-2015-8688, CVE-2016-9928",
    explanation: "Any stranger may send a set with a roster to a full JID, and servers deliver it: a client that believes it \
        has its contacts changed for it. A push comes without `from` or from the own bare JID. Outdated servers send it from \
        their domain or from the full JID: that is told as push-odd and left alone.",
    example: "<iq type='set' id='x' from='mallory@example.net/x'><query xmlns='jabber:iq:roster'>...</query></iq>",
    enforced: "Answered with service-unavailable, as if the client were not there.",
};

pub(super) const CARBON: RuleInfo = RuleInfo {
    rule: Rule::CarbonSpoof,
    title: "a carbon comes from the own account",
    place: "XEP-0280 §11; CVE-2017-5589 and others, CVE-2019-16235, CVE-2020-26547",
    explanation: "A carbon is a copy of a message to or from another resource of the own account, made by the own server. One \
        that comes from anybody else puts words into the mouths of others.",
    example: "<message from='mallory@example.net'><received xmlns='urn:xmpp:carbons:2'>...</received></message>",
    enforced: "Dropped.",
};

pub(super) const ARCHIVE: RuleInfo = RuleInfo {
    rule: Rule::ArchiveSpoof,
    title: "an archived message comes from an archive that was asked",
    place: "XEP-0313 §5.1; CVE-2017-5589 and others",
    explanation: "Results of an archive query come from the own bare JID, or from the room or service whose archive is being \
        asked. From anybody else they are forged.",
    example: "<message from='mallory@example.net'><result xmlns='urn:xmpp:mam:2'>...</result></message>",
    enforced: "Dropped.",
};

const CARBONS: &str = "urn:xmpp:carbons:";
const MAM: &str = "urn:xmpp:mam:";

/// Whether a request with such a payload asks an archive.
#[must_use]
pub fn is_archive(namespace: &str) -> bool {
    namespace.starts_with(MAM)
}

/// Whether any rule looks at a stanza at all: at each iq, and at messages from the server in which a copy may be.
#[must_use]
pub fn looks_at(stanza: &View<'_>, kind: Kind, sender: Side) -> bool {
    match kind {
        Kind::Iq => true,
        Kind::Message => sender == Side::Server && may_carry(stanza),
        Kind::Presence => false,
    }
}

/// Checks who a stanza from the server comes from; gives what to do if an enforced rule is broken, and which. `asked`: whether this peer's archive is being asked.
pub fn check_sender(
    stanza: &View<'_>,
    kind: Kind,
    account: &Account,
    modes: &Modes,
    asked: &dyn Fn(Peer) -> bool,
    found: &mut Vec<Finding>,
) -> Option<(Rule, Enforce)> {
    match kind {
        Kind::Iq => push(stanza, account, modes.get(Side::Server, Rule::PushSpoof), found),
        Kind::Message if may_carry(stanza) => {
            let peer = account.peer(stanza.from().as_deref());
            let own = matches!(peer, Peer::Absent | Peer::OwnBare);
            if own { None } else { copies(stanza, modes, &|| asked(peer), found) }
        }
        Kind::Message | Kind::Presence => None,
    }
}

/// Looks into a message of a stranger for copies that only an account's own server may make.
fn copies(
    stanza: &View<'_>,
    modes: &Modes,
    asked: &dyn Fn() -> bool,
    found: &mut Vec<Finding>,
) -> Option<(Rule, Enforce)> {
    if [Rule::CarbonSpoof, Rule::ArchiveSpoof].iter().all(|rule| modes.get(Side::Server, *rule) == Mode::Off) {
        return None;
    }
    let [carbon, archived] = carried(stanza);
    let from = stanza.from();
    let mut done = None;
    for (rule, what, forged) in
        [(Rule::CarbonSpoof, "a carbon", carbon), (Rule::ArchiveSpoof, "a message of an archive", archived && !asked())]
    {
        let mode = modes.get(Side::Server, rule);
        if mode == Mode::Off || !forged {
            continue;
        }
        let text = format!(
            "{what} from {}, who is neither the account nor asked",
            quoted(from.as_deref().unwrap_or_default())
        );
        found.push(Finding::violation(rule, text));
        if mode == Mode::Enforce {
            done = done.or(Some((rule, Enforce::Drop)));
        }
    }
    done
}

fn push(stanza: &View<'_>, account: &Account, mode: Mode, found: &mut Vec<Finding>) -> Option<(Rule, Enforce)> {
    if mode == Mode::Off || stanza.kind().as_deref() != Some("set") || !holds_a_roster(stanza) {
        return None;
    }
    let from = stanza.from();
    let peer = account.peer(from.as_deref());
    let from = quoted(from.as_deref().unwrap_or_default());
    match peer {
        Peer::Absent | Peer::OwnBare => None,
        Peer::OwnDomain | Peer::OwnFull => {
            let text = format!("a roster push from {from}: outdated servers do so; it should come from the account");
            found.push(Finding::info(Rule::PushSpoof, "push-odd", text));
            None
        }
        Peer::Other(_) => {
            let text = format!("a roster push from {from}, who is not the account");
            found.push(Finding::violation(Rule::PushSpoof, text));
            let error = StanzaError::new(Condition::ServiceUnavailable);
            (mode == Mode::Enforce).then_some((Rule::PushSpoof, Enforce::Bounce(error)))
        }
    }
}

/// Whether any child is a roster. There should be one child only (rule 5); with more, each library picks its own.
fn holds_a_roster(stanza: &View<'_>) -> bool {
    let first = stanza.head.payload.is_some_and(|payload| stanza.name_is(&payload, ns::ROSTER, "query"));
    let more = || {
        let mut walk = stanza.inside(1);
        std::iter::from_fn(|| walk.next().map(|child| child.is(ns::ROSTER, "query"))).any(|roster| roster)
    };
    first || stanza.head.children > 1 && more()
}

/// Whether a carbon or an archive's message can be in there at all.
#[must_use]
pub fn may_carry(stanza: &View<'_>) -> bool {
    // Both begin so: the bytes are gone over once.
    static BEGINNING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("urn:xmpp:"));
    let named = |at: usize| {
        let here = stanza.bytes.get(at..).unwrap_or_default();
        here.starts_with(CARBONS.as_bytes()) || here.starts_with(MAM.as_bytes())
    };
    BEGINNING.find_iter(stanza.bytes).any(named)
        || memchr::memchr_iter(b'&', stanza.bytes).any(|at| stanza.bytes.get(at + 1) == Some(&b'#'))
        || stanza.root.decls.iter().any(|(_, namespace)| namespace.starts_with(CARBONS) || namespace.starts_with(MAM))
}

/// Whether there is a carbon among its children, and whether an archive's message.
fn carried(stanza: &View<'_>) -> [bool; 2] {
    let (mut found, mut walk) = ([false; 2], stanza.inside(1));
    while let Some(child) = walk.next() {
        match child.name {
            "received" | "sent" if !found[0] => found[0] = child.ns().starts_with(CARBONS),
            "result" if !found[1] => found[1] = is_archive(child.ns()),
            _ => {}
        }
    }
    found
}
