//! One random history of iqs, held step by step to the reference.
//!
//! Everything a session does about an iq it does at once, so that after each step it is known what must have come out: these
//! bytes on the other side, this answer on this one, these findings, and nothing else.

use super::book::{Address, BARE, Book, DOMAIN, ME, NONE, Request, State, Verdict};
use super::dice::Dice;
use super::seat::{Came, Made, Seat};
use super::wire::Tag;
use iqtap::xmpp::Side;

/// What kind of history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) steps: usize,
    /// Whether the rules are enforced.
    pub(crate) enforce: bool,
    /// Whether there is a script.
    pub(crate) scripted: bool,
    /// Whether everybody keeps to the rules, and is in time.
    pub(crate) lawful: bool,
    /// `iq_timeout`, in microseconds.
    pub(crate) timeout: u64,
    /// `open_iqs`
    pub(crate) open: usize,
}

/// What happened, in words, and whether it was right.
pub(crate) fn play(plan: Plan, made: &Made) -> (Vec<String>, Result<(), String>) {
    let seat = match Seat::new(made) {
        Ok(seat) => seat,
        Err(why) => return (Vec::new(), Err(why)),
    };
    let dice = Dice::new(plan.seed);
    let mut history = History { plan, dice, seat, book: Book::default(), now: 0, fresh: 0, lines: Vec::new() };
    let result = history.play();
    (history.lines, result)
}

struct History {
    plan: Plan,
    dice: Dice,
    seat: Seat,
    book: Book,
    now: u64,
    /// Numbers what must not be mistaken for anything else.
    fresh: u32,
    lines: Vec<String>,
}

/// The namespaces the script knows; the first is nothing to it.
const PAYLOADS: [&str; 4] = ["urn:model:pass", "urn:model:drop", "urn:model:reply", "urn:model:reject"];
/// Ids that everybody uses, as written and as meant; the last two mean the same.
const IDS: [(&str, &str); 6] = [("1", "1"), ("2", "2"), ("3", "3"), ("A", "A"), ("a&amp;b", "a&b"), ("a&#38;b", "a&b")];
/// What is never answered for lack of an answer.
const PUSHES: [(&str, &str); 3] = [
    ("blocklist-push", "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>"),
    ("push1", "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>"),
    ("privacy", "<query xmlns='jabber:iq:privacy'><list name='x'/></query>"),
];

impl History {
    fn play(&mut self) -> Result<(), String> {
        let steps = 10 + self.dice.below(60);
        for _ in 0..steps.min(self.plan.steps) {
            self.step()?;
        }
        if self.plan.lawful {
            while let Some(place) = self.unanswered(|_| true).first().copied() {
                self.answer(place)?;
            }
        }
        self.pass(3 * self.plan.timeout)?;
        self.settled()
    }

    fn step(&mut self) -> Result<(), String> {
        let lawful = self.plan.lawful;
        match self.dice.below(20) {
            0..8 => self.request(),
            8..13 => match self.unanswered(|request| request.state == State::Open).as_slice() {
                [] => self.request(),
                open => {
                    let place = self.dice.pick(open);
                    self.answer(place)
                }
            },
            13 if !self.is_small() => self.push(),
            14 if self.plan.scripted && !self.is_small() => self.ask(),
            15 if !lawful => self.forge(),
            16 if !lawful => self.unasked(),
            17 if !lawful => {
                match self.unanswered(|request| request.state == State::Late && !request.scripted).as_slice() {
                    [] => Ok(()),
                    late => {
                        let place = self.dice.pick(late);
                        self.answer(place)
                    }
                }
            }
            18 => {
                let micros = 1 + self.dice.below(self.plan.timeout as usize / 3) as u64;
                self.pass_in_law(micros)
            }
            19 if !lawful => {
                let micros = self.dice.below(2 * self.plan.timeout as usize) as u64;
                self.pass(micros)
            }
            _ => Ok(()),
        }
    }

    /// Whether there is so little room that requests are turned away.
    fn is_small(&self) -> bool {
        self.plan.open < 100
    }

    /// Requests that can still be answered, and are like this.
    fn unanswered(&self, like: impl Fn(&Request) -> bool) -> Vec<usize> {
        let known = self.book.0.iter().enumerate();
        known.filter(|(_, known)| known.state != State::Done && like(known)).map(|(place, _)| place).collect()
    }

    fn side(&mut self) -> Side {
        self.dice.pick(&[Side::Client, Side::Server])
    }

    /// A payload; with a script, sometimes one that the script does something about.
    fn payload(&mut self) -> &'static str {
        let acts = self.plan.scripted && self.dice.one_in(3);
        match (acts, self.plan.lawful) {
            (false, _) => PAYLOADS[0],
            (true, true) => self.dice.pick(&PAYLOADS[2..]),
            (true, false) => self.dice.pick(&PAYLOADS),
        }
    }

    /// An address as an attribute, in one of its forms.
    fn attribute(&mut self, name: &str, address: Address) -> String {
        match address {
            NONE => String::new(),
            address => format!(" {name}='{}'", self.dice.pick(address.forms())),
        }
    }

    fn note(&mut self, by: Side, peer: Address, id: &str) -> usize {
        let (at, id) = (self.now, id.to_owned());
        let (push, scripted, stopped, state, answers) = (false, false, false, State::Open, 0);
        self.book.0.push(Request { by, peer, id, at, push, scripted, stopped, state, answers });
        self.book.0.len() - 1
    }

    fn request(&mut self) -> Result<(), String> {
        let (by, peer) = (self.side(), Address(self.dice.below(Address::COUNT)));
        let (mut written, mut id) = self.dice.pick(&IDS);
        let fresh = format!("fresh{}", self.fresh);
        self.fresh += 1;
        let unclear = self.book.is_confusing(by, peer, id);
        if unclear || self.plan.lawful && self.book.is_repeated(by, peer, id) {
            (written, id) = (&fresh, &fresh);
        }
        let repeated = self.book.is_repeated(by, peer, id);
        let (kind, ns) = (self.dice.pick(&["get", "set"]), self.payload());
        let address = self.attribute(if by == Side::Client { "to" } else { "from" }, peer);
        let text = format!("<iq type='{kind}' id='{written}'{address}><x xmlns='{ns}'/></iq>");
        let open = self.unanswered(|request| request.state == State::Open).len();
        let came = self.send(by, &text)?;
        let place = self.note(by, peer, id);
        let mut findings = Vec::new();
        if repeated {
            findings.push(("duplicate-id", by));
        }
        if open >= self.plan.open && came.findings.iter().any(|(code, ..)| *code == "iq-table-full") {
            return self.made_answer(place, &came, "resource-constraint");
        }
        match ns {
            "urn:model:drop" => {
                self.book.0[place].stopped = true;
                self.came(&came, ["", ""], &findings)
            }
            "urn:model:reply" => self.made_answer(place, &came, "result"),
            "urn:model:reject" => self.made_answer(place, &came, "not-allowed"),
            _ => self.came(&came, one_way(by, &text), &findings),
        }
    }

    /// One answer came, to whoever sent that request, and nothing else.
    fn made_answer(&mut self, place: usize, came: &Came, condition: &str) -> Result<(), String> {
        let by = self.book.0[place].by;
        if !came.to[by.other().index()].is_empty() {
            return Err(format!("it was answered here, and still went on: {came:?}"));
        }
        let tags = came.tags(by)?;
        let [tag] = tags.as_slice() else { return Err(format!("one answer was due: {came:?}")) };
        is_answer(tag, &self.book.0[place], condition)?;
        let request = &mut self.book.0[place];
        request.answers += 1;
        request.state = State::Done;
        Ok(())
    }

    /// The responder answers a request as it should, in time or late.
    fn answer(&mut self, place: usize) -> Result<(), String> {
        let Request { by, peer, id, scripted, .. } = self.book.0[place].clone();
        let mut from = peer.answers(by);
        // From the domain only if nobody asked the domain itself.
        from.retain(|from| *from == peer || *from != DOMAIN || !self.book.is_repeated(by, DOMAIN, &id));
        let from = self.dice.pick(&from);
        let ns = if scripted || self.plan.lawful { PAYLOADS[0] } else { self.payload() };
        self.say(by.other(), from, &id, ns)
    }

    /// An answer nobody waits for from there: from a stranger, or a friend with another resource.
    fn forge(&mut self) -> Result<(), String> {
        let open = self.unanswered(|request| request.state == State::Open && !request.scripted && !request.push);
        let Some(place) = (!open.is_empty()).then(|| self.dice.pick(&open)) else { return Ok(()) };
        let Request { by, id, .. } = self.book.0[place].clone();
        let from = Address(3 + self.dice.below(Address::COUNT - 3));
        let known = self.unanswered(|request| request.by == by && request.id == id);
        if known.iter().any(|place| self.book.0[*place].peer.answers(by).contains(&from)) {
            return Ok(());
        }
        self.say(by.other(), from, &id, PAYLOADS[0])
    }

    /// An answer to nothing: to what was answered already, or was never asked.
    fn unasked(&mut self) -> Result<(), String> {
        let by = self.side();
        let id = self.dice.pick(&IDS).1;
        let id = if self.book.is_known(by, id) { "never-asked" } else { id };
        let from = self.dice.pick(&[NONE, BARE, Address(4), Address(7)]);
        self.say(by.other(), from, id, PAYLOADS[0])
    }

    /// An answer is said, whatever it is; what must become of it is the reference's word.
    fn say(&mut self, from: Side, peer: Address, id: &str, ns: &str) -> Result<(), String> {
        let by = from.other();
        let address = self.attribute(if from == Side::Client { "to" } else { "from" }, peer);
        let written = id.replace('&', self.dice.pick(&["&amp;", "&#x26;"]));
        let result = format!("<iq type='result' id='{written}'{address}><x xmlns='{ns}'/></iq>");
        let condition = "<forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
        let error = format!(
            "<iq type='error' id='{written}'{address}><x xmlns='{ns}'/><error type='auth'>{condition}</error></iq>"
        );
        let text = if self.dice.one_in(3) { error } else { result };
        let verdict = self.book.judge(by, id, peer);
        let came = self.send(from, &text)?;
        let stopped = ns != PAYLOADS[0];
        let loops = matches!(ns, "urn:model:reply" | "urn:model:reject");
        let mut findings = match verdict {
            Verdict::Answers(_) => vec![],
            Verdict::Late(_) => vec![("late-answer", from)],
            Verdict::Forged if from == Side::Server => vec![("iq-spoof", from)],
            Verdict::Forged | Verdict::Unasked => vec![("rule4", from)],
        };
        // What an enforced rule has dropped, no script sees.
        let enforced = self.plan.enforce && !matches!(verdict, Verdict::Answers(_));
        if loops && !enforced {
            findings.push(("script-loop", from));
        }
        let scripted = match verdict {
            Verdict::Answers(place) | Verdict::Late(place) => self.book.0[place].scripted,
            _ => false,
        };
        let passes = !stopped && !scripted && !enforced;
        if self.is_small() && !matches!(verdict, Verdict::Answers(_)) {
            // What was answered for somebody may be forgotten when there is no room: then it is not said why it goes nowhere.
            findings = came.findings.iter().map(|(code, side, ..)| (*code, *side)).collect();
        }
        self.came(&came, if passes { one_way(from, &text) } else { ["", ""] }, &findings)?;
        match verdict {
            Verdict::Answers(place) if passes || scripted => self.done(place, passes),
            Verdict::Late(place) if passes || scripted || enforced => self.done(place, passes),
            // A script took it: whoever asked still waits, in vain.
            Verdict::Answers(place) => self.book.0[place].stopped = true,
            _ => {}
        }
        Ok(())
    }

    fn done(&mut self, place: usize, arrived: bool) {
        let request = &mut self.book.0[place];
        request.state = State::Done;
        request.answers += u32::from(arrived);
    }

    /// The server tells the client something and waits for no answer.
    fn push(&mut self) -> Result<(), String> {
        let (id, payload) = self.dice.pick(&PUSHES);
        let peer = self.dice.pick(&[NONE, BARE]);
        if self.book.is_confusing(Side::Server, peer, id) {
            return Ok(());
        }
        let address = self.attribute("from", peer);
        let text = format!("<iq type='set' id='{id}'{address}>{payload}</iq>");
        let came = self.send(Side::Server, &text)?;
        let place = self.note(Side::Server, peer, id);
        self.book.0[place].push = true;
        self.came(&came, one_way(Side::Server, &text), &[])
    }

    /// A message makes the script ask something, of the server or of the client.
    fn ask(&mut self) -> Result<(), String> {
        let by = self.side();
        let id = format!("ask{}", self.fresh);
        self.fresh += 1;
        let kind = if by == Side::Client { "headline" } else { "normal" };
        let text = format!("<message type='{kind}' id='{id}'/>");
        let came = self.send(Side::Client, &text)?;
        let place = self.note(by, DOMAIN, &id);
        self.book.0[place].scripted = true;
        let [tags_c, tags_s] = [came.tags(Side::Client)?, came.tags(Side::Server)?];
        let of = |tags: &[Tag], name: &str| tags.iter().filter(|tag| tag.name == name).count();
        let wanted = if by == Side::Client { [0, 0, 1, 1] } else { [0, 1, 1, 0] };
        let got = [of(&tags_c, "message"), of(&tags_c, "iq"), of(&tags_s, "message"), of(&tags_s, "iq")];
        if got == wanted && came.findings.is_empty() { Ok(()) } else { Err(format!("a script's request: {came:?}")) }
    }

    /// Time passes, and in a lawful history nobody is late.
    fn pass_in_law(&mut self, micros: u64) -> Result<(), String> {
        let soon = (self.now + micros).saturating_sub(self.plan.timeout / 2);
        while self.plan.lawful {
            let old = self.unanswered(|request| !request.push && request.at <= soon);
            let Some(place) = old.first().copied() else { break };
            self.answer(place)?;
        }
        self.pass(micros)
    }

    fn pass(&mut self, micros: u64) -> Result<(), String> {
        let until = self.now + micros;
        self.lines.push(format!("{micros} microseconds pass"));
        loop {
            let (passed, came) = self.seat.pass(until - self.now)?;
            self.now += passed;
            self.timed_out(&came)?;
            if self.now >= until {
                break;
            }
        }
        let forgotten = |request: &Request| {
            request.state == State::Open && !request.push && request.at + 2 * self.plan.timeout <= self.now
        };
        match self.book.0.iter().find(|request| forgotten(request) && !request.scripted) {
            Some(request) => Err(format!("its time is long over, and nothing was said: {request:?}")),
            None => Ok(()),
        }
    }

    /// What came out because time has passed: findings that stand alone, and answers in the place of those who owe one.
    fn timed_out(&mut self, came: &Came) -> Result<(), String> {
        if !came.findings.is_empty() {
            self.lines.push(format!("    {:?}", came.findings));
        }
        let mut told: Vec<(Side, String)> = Vec::new();
        for (code, owing, id, alone) in &came.findings {
            let id = id.clone().unwrap_or_default();
            if *code != "rule3" || !*alone {
                return Err(format!("nobody owed this: {code} {owing:?} {id}, alone: {alone}"));
            }
            told.push((owing.other(), id));
        }
        for side in [Side::Client, Side::Server] {
            for tag in came.tags(side)? {
                self.lines.push(format!("    to {side:?}: {}", tag.raw));
                let place = self.over(|request| {
                    let fits = is_answer(&tag, request, "remote-server-timeout").is_ok();
                    request.by == side && !request.scripted && fits
                });
                let Some(place) = place.filter(|_| self.plan.enforce) else {
                    return Err(format!("an answer to nothing: {}", tag.raw));
                };
                self.book.0[place].expire();
                self.book.0[place].answers = 1;
                let Some(at) = told.iter().position(|(by, id)| *by == side && *id == self.book.0[place].id) else {
                    return Err(format!("answered, and no finding says why: {}", tag.raw));
                };
                told.remove(at);
            }
        }
        // What is only reported, and what a script has asked.
        for (by, id) in told {
            let place =
                self.over(|request| request.by == by && request.id == id && (request.scripted || !self.plan.enforce));
            let Some(place) = place else { return Err(format!("{by:?} waits for no answer to {id}")) };
            self.book.0[place].expire();
        }
        Ok(())
    }

    /// The oldest request like this whose time is over.
    fn over(&self, like: impl Fn(&Request) -> bool) -> Option<usize> {
        self.book.0.iter().position(|request| {
            let over = request.at + self.plan.timeout <= self.now && !request.push;
            over && request.state == State::Open && like(request)
        })
    }

    fn send(&mut self, from: Side, text: &str) -> Result<Came, String> {
        self.lines.push(format!("{from:?}: {text}"));
        let came = self.seat.send(from, text)?;
        for side in [Side::Client, Side::Server] {
            if !came.to[side.index()].is_empty() {
                self.lines.push(format!("    to {side:?}: {}", String::from_utf8_lossy(&came.to[side.index()])));
            }
        }
        if !came.findings.is_empty() {
            self.lines.push(format!("    {:?}", came.findings));
        }
        Ok(came)
    }

    /// Exactly this came out, to client and server, and exactly this was found.
    fn came(&self, came: &Came, to: [&str; 2], findings: &[(&'static str, Side)]) -> Result<(), String> {
        for side in [Side::Client, Side::Server] {
            if came.to[side.index()] != to[side.index()].as_bytes() {
                return Err(format!("to {side:?} this was due: '{}'", to[side.index()]));
            }
        }
        let mut found: Vec<_> = came.findings.iter().map(|(code, side, ..)| (*code, *side)).collect();
        let mut wanted = findings.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        if came.findings.iter().any(|(.., alone)| *alone) {
            return Err("a finding stands alone, and there was a stanza".to_owned());
        }
        if found == wanted { Ok(()) } else { Err(format!("these findings were due: {wanted:?}")) }
    }

    /// Enforced, each request has led to one answer; nothing has led to two.
    fn settled(&self) -> Result<(), String> {
        for request in &self.book.0 {
            let due = if request.scripted || request.push || !self.plan.enforce { request.answers.min(1) } else { 1 };
            if request.answers != due {
                return Err(format!("{} answers to {request:?}", request.answers));
            }
        }
        Ok(())
    }
}

/// What is said on one side and comes out on the other.
fn one_way(from: Side, text: &str) -> [&str; 2] {
    match from {
        Side::Client => ["", text],
        Side::Server => [text, ""],
    }
}

/// Whether this answers that request, made here: an empty result, or an error of this condition.
fn is_answer(tag: &Tag, request: &Request, condition: &str) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{why}: {} to {request:?}", tag.raw));
    let kind = if condition == "result" { "result" } else { "error" };
    if tag.name != "iq" || tag.attr("type") != Some(kind) || tag.attr("id") != Some(&request.id) {
        return fail("not its answer");
    }
    if kind == "error" && !tag.inner.contains(&format!("<{condition} ")) {
        return fail("another condition was due");
    }
    let (here, there) = match request.by {
        Side::Client => (tag.attr("from"), tag.attr("to").is_none_or(|to| to == ME)),
        Side::Server => (tag.attr("to"), tag.attr("from").is_none_or(|from| from == ME)),
    };
    let peer = Address::read(here);
    let own = |address: Address| matches!(address, NONE | BARE);
    let fits = peer.is_some_and(|peer| peer == request.peer || own(peer) && own(request.peer));
    if fits && there { Ok(()) } else { fail("not from where it was asked") }
}
