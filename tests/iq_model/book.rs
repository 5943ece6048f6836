//! The reference: which answer belongs to which request, written from `protocol.md` A4 and RFC 6120 §8 and not from the
//! proxy. Slow and plain on purpose: a list, looked through from its beginning.

use iqtap::xmpp::Side;

/// The client's full JID.
pub(crate) const ME: &str = "juliet@example.org/balcony";

/// Addresses, each with other ways of writing it (RFC 7622): local part and domain in any case, the resource as it stands.
const ADDRESSES: [&[&str]; 8] = [
    &[""],
    &["juliet@example.org", "Juliet@Example.ORG", "JULIET@example.org"],
    &["example.org", "EXAMPLE.org", "example.org."],
    &[ME, "JULIET@example.org/balcony", "juliet@EXAMPLE.ORG/balcony"],
    &["romeo@example.net/orchard", "Romeo@EXAMPLE.net/orchard"],
    &["romeo@example.net", "romeo@example.NET"],
    &["romeo@example.net/Orchard", "ROMEO@example.net/Orchard"],
    &["conference.example.org", "Conference.Example.Org"],
];

/// An address: its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) usize);

pub(crate) const NONE: Address = Address(0);
pub(crate) const BARE: Address = Address(1);
pub(crate) const DOMAIN: Address = Address(2);

impl Address {
    pub(crate) const COUNT: usize = ADDRESSES.len();

    /// How it may be written; nothing for no address.
    pub(crate) fn forms(self) -> &'static [&'static str] {
        ADDRESSES[self.0]
    }

    /// What this text means, if it is one of ours.
    pub(crate) fn read(text: Option<&str>) -> Option<Self> {
        let text = text.unwrap_or_default();
        ADDRESSES.iter().position(|forms| forms.contains(&text)).map(Self)
    }

    /// The addresses that an answer may bear (`from` of the server's, `to` of the client's) to a request that bears this
    /// one, best first.
    pub(crate) fn answers(self, requester: Side) -> Vec<Self> {
        match (requester, self) {
            // COMPAT: ejabberd answers <session/> from the domain.
            (Side::Client, NONE) => vec![NONE, BARE, DOMAIN],
            (_, NONE | BARE) => vec![NONE, BARE],
            (_, other) => vec![other],
        }
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// Its time is over, and its answer has not come yet.
    Late,
    Done,
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) by: Side,
    /// The other party: `to` of the client's, `from` of the server's.
    pub(crate) peer: Address,
    pub(crate) id: String,
    pub(crate) at: u64,
    /// A push: its sender does not wait for an answer.
    pub(crate) push: bool,
    /// A script has made it: the answer is for nobody else.
    pub(crate) scripted: bool,
    /// A script has kept it from getting there, or its answer from getting back: no other is expected.
    pub(crate) stopped: bool,
    pub(crate) state: State,
    /// How many answers have reached whoever sent it.
    pub(crate) answers: u32,
}

/// All requests of a history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(pub(crate) Vec<Request>);

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To this request, in time.
    Answers(usize),
    /// To this one, after its time.
    Late(usize),
    /// Its id is awaited, from somebody else.
    Forged,
    /// To nothing.
    Unasked,
}

impl Request {
    /// Its time is over.
    pub(crate) fn expire(&mut self) {
        self.state = if self.stopped { State::Done } else { State::Late };
    }
}

impl Book {
    /// Whether a request could be taken for one that is still remembered: their answers may look alike, although they are
    /// not to the same.
    pub(crate) fn is_confusing(&self, by: Side, peer: Address, id: &str) -> bool {
        self.remembered(by, id).any(|known| {
            let alike = known.peer.answers(by).iter().any(|answer| peer.answers(by).contains(answer));
            alike && (known.peer != peer || known.state == State::Late)
        })
    }

    /// Whether the same was asked of the same, and is not answered.
    pub(crate) fn is_repeated(&self, by: Side, peer: Address, id: &str) -> bool {
        self.remembered(by, id).any(|known| known.peer == peer)
    }

    /// Whether an answer with this id could be to anything.
    pub(crate) fn is_known(&self, by: Side, id: &str) -> bool {
        self.remembered(by, id).next().is_some()
    }

    fn remembered<'a>(&'a self, by: Side, id: &'a str) -> impl Iterator<Item = &'a Request> {
        self.0.iter().filter(move |known| known.by == by && known.id == id && known.state != State::Done)
    }

    /// What an answer to `requester` is: to the first request to the very one who answers, or else to the first that it
    /// fits, for whoever is asked the same twice answers in order.
    pub(crate) fn judge(&self, requester: Side, id: &str, from: Address) -> Verdict {
        let same =
            |known: &&(usize, &Request)| known.1.by == requester && known.1.id == id && known.1.state != State::Done;
        let all: Vec<_> = self.0.iter().enumerate().collect();
        let fits = |known: &&(usize, &Request)| known.1.peer.answers(requester).contains(&from);
        let exact = |known: &&(usize, &Request)| known.1.peer == from;
        match all.iter().filter(same).filter(fits).find(exact).or_else(|| all.iter().filter(same).find(fits)) {
            Some((place, request)) if request.state == State::Late => Verdict::Late(*place),
            Some((place, _)) => Verdict::Answers(*place),
            None if all.iter().filter(same).any(|(_, request)| request.state == State::Open) => Verdict::Forged,
            None => Verdict::Unasked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(by: Side, peer: Address, state: State) -> Request {
        Request { by, peer, id: "1".to_owned(), at: 0, push: false, scripted: false, stopped: false, state, answers: 0 }
    }

    #[test]
    fn answers_are_told_by_id_and_address() {
        let romeo = Address::read(Some("Romeo@EXAMPLE.net/orchard")).unwrap();
        let mut book = Book(vec![asked(Side::Client, NONE, State::Open), asked(Side::Client, romeo, State::Open)]);
        for (id, from, verdict) in [
            ("1", NONE, Verdict::Answers(0)),
            ("1", BARE, Verdict::Answers(0)),
            ("1", DOMAIN, Verdict::Answers(0)),
            ("1", romeo, Verdict::Answers(1)),
            ("1", Address(6), Verdict::Forged),
            ("2", romeo, Verdict::Unasked),
        ] {
            assert_eq!(book.judge(Side::Client, id, from), verdict, "{id} {from:?}");
        }
        assert_eq!(book.judge(Side::Server, "1", romeo), Verdict::Unasked, "each side has its own table");
        book.0[1].state = State::Late;
        assert_eq!(book.judge(Side::Client, "1", romeo), Verdict::Late(1));
        assert!(book.is_confusing(Side::Client, DOMAIN, "1") && !book.is_confusing(Side::Client, NONE, "1"));
    }
}
