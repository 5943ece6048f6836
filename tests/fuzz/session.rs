//! Sessions: a list of operations, one a line, and what must hold whatever they are.
//!
//! ```text
//! 4         the first line: the world all sessions live in (see `worlds`)
//! #1        this session (0 to 3) from here on; a new connection, if there was none of that number
//! @b @m @r  the usual opening: to the bound resource; with stream management; up to where a client resumes
//! C... S... the client (server) of this session sends what follows; with a line end behind it: c... s...
//! /7        from here on what is sent comes in pieces of 7 bytes; /0: whole
//! +900      so many milliseconds pass; ticks come at the sessions' deadlines
//! !C !S ?   a connection ends without a word; the process is being stopped
//! %3        the policy of another world is in force
//! -         the next handshake, or the next call to the server, fails
//! ~h ~f ~g  the store holds, fails, goes on
//! ```
//!
//! [`Witness`] looks at all that comes out. Each list is played twice, cut and watched, then whole and unwatched: the same must come out.
#![expect(clippy::panic, reason = "this is how a fuzzer is told")]

use super::witness::{Witness, seen_by_peers};
use super::worlds::{World, world};
use iqtap::play::{House, Shell, serve};
use iqtap::policy::{ClientTls, ServerTls, VaultLimits};
use iqtap::session::{Act, Input, Outbox, Session, TlsInfo, Vault};
use iqtap::xmpp::{Side, Timestamp};
use std::sync::Arc;

/// So many operations are played; what follows is left alone.
const OPERATIONS: usize = 256;
/// So many connections there may be.
const CONNECTIONS: usize = 4;
/// So many ticks one wait may bring.
const TICKS: usize = 2_000;
const START: Timestamp = Timestamp(1_767_427_200_000_000);

pub(crate) fn run(data: &[u8]) {
    let first = play(data, true).unwrap_or_else(|why| panic!("{why}"));
    let second = play(data, false).unwrap_or_else(|why| panic!("unwatched: {why}"));
    if !first.greeted {
        assert!(
            first.said == second.said,
            "cut and watched other bytes came out than whole and unwatched\n{}",
            first.said.differs(&second.said)
        );
    }
}

/// All that came out of a list, as text: for looking at what seeds reach.
#[cfg(test)]
pub(crate) fn transcript(data: &[u8]) -> String {
    let play = play(data, true).unwrap_or_else(|why| panic!("{why}"));
    let operation = |(at, said): &(usize, Vec<String>)| format!("{at}: {}\n", said.join("\n   "));
    play.said.0.iter().map(operation).collect()
}

/// What came out, by operation.
#[derive(Debug, Default, PartialEq)]
struct Said(Vec<(usize, Vec<String>)>);

impl Said {
    fn differs(&self, other: &Self) -> String {
        let at = self.0.iter().zip(&other.0).position(|(one, other)| one != other);
        let at = at.unwrap_or_else(|| self.0.len().min(other.0.len()));
        format!("{:#?}\n{:#?}", self.0.get(at), other.0.get(at))
    }
}

/// A play of a list.
struct Play {
    said: Said,
    /// Whether a handshake was asked for: then it matters in which piece bytes come.
    greeted: bool,
}

/// Plays a list; or says which promise was broken.
fn play(data: &[u8], watched: bool) -> Result<Play, String> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut stage = Stage::new(world(number(first)), watched);
    stage.connect(0)?;
    for (at, line) in lines.take(OPERATIONS).enumerate() {
        stage.operation(line)?;
        stage.end_of_operation(at);
    }
    stage.finish()?;
    stage.end_of_operation(OPERATIONS);
    Ok(Play { said: stage.said, greeted: stage.greeted })
}

/// The digits a text begins with, four at most.
fn number(text: &[u8]) -> usize {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).take(4);
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// What a handshake comes to.
fn up() -> TlsInfo {
    TlsInfo { version: "TLSv1.3".to_owned(), ..TlsInfo::default() }
}

/// A connection.
struct Seat {
    session: Session,
    witness: Witness,
    /// Which sides of it are gone, because they went or were closed.
    gone: [bool; 2],
    over: bool,
}

struct Stage {
    world: &'static World,
    policy: &'static World,
    watched: bool,
    seats: Vec<Seat>,
    /// Of the session numbers of a list, the places among the seats.
    places: [Option<usize>; CONNECTIONS],
    at: usize,
    piece: usize,
    fails: bool,
    now: Timestamp,
    shell: Shell,
    out: Outbox,
    said: Said,
    now_said: Vec<String>,
    greeted: bool,
    holds: bool,
}

impl House for Stage {
    fn shell(&mut self) -> &mut Shell {
        &mut self.shell
    }

    fn session(&self, number: u64) -> &Session {
        &self.seats[number as usize - 1].session
    }

    fn answer(&mut self, number: u64, input: Input<'_>) -> Result<(), String> {
        self.hand(number as usize - 1, input)
    }
}

impl Stage {
    fn new(world: &'static World, watched: bool) -> Self {
        let limits = VaultLimits { sessions: 8, seconds: 600, bytes: 1 << 24 };
        Self {
            world,
            policy: world,
            watched,
            seats: Vec::new(),
            places: [None; CONNECTIONS],
            at: 0,
            piece: 0,
            fails: false,
            now: START,
            shell: Shell::new(Vault::new(limits)),
            out: Outbox { watched, ..Outbox::default() },
            said: Said::default(),
            now_said: Vec::new(),
            greeted: false,
            holds: false,
        }
    }

    fn connect(&mut self, number: usize) -> Result<(), String> {
        let number = number % CONNECTIONS;
        if let Some(place) = self.places[number] {
            self.at = place;
            return Ok(());
        }
        self.at = self.seats.len();
        self.places[number] = Some(self.at);
        let (route, policy) = (Arc::clone(&self.world.route), Arc::clone(&self.policy.policy));
        let id = self.at as u64 + 1;
        let session = Session::new(self.now, route, policy, id, "192.0.2.1:40000", id);
        self.seats.push(Seat { session, witness: Witness::new(self.policy), gone: [false; 2], over: false });
        match self.world.route.client_tls {
            ClientTls::Direct => self.outside(Input::TlsUp(Side::Client, up())),
            _ => Ok(()),
        }
    }

    fn operation(&mut self, line: &[u8]) -> Result<(), String> {
        let Some((what, rest)) = line.split_first() else { return Ok(()) };
        match what {
            b'#' => self.connect(number(rest))?,
            b'@' => self.open(rest)?,
            b'C' => self.send(Side::Client, rest)?,
            b'S' => self.send(Side::Server, rest)?,
            b'c' => self.send(Side::Client, &[rest, b"\n"].concat())?,
            b's' => self.send(Side::Server, &[rest, b"\n"].concat())?,
            b'/' if self.watched => self.piece = number(rest),
            b'+' => self.wait(number(rest) as u64 * 1000)?,
            b'!' if rest.first() == Some(&b'C') => self.eof(Side::Client)?,
            b'!' => self.eof(Side::Server)?,
            b'?' => self.outside(Input::Stop)?,
            b'%' => self.swap(number(rest))?,
            b'-' => self.fails = true,
            b'~' => self.store(rest)?,
            _ => {}
        }
        Ok(())
    }

    fn store(&mut self, what: &[u8]) -> Result<(), String> {
        match what.first() {
            Some(b'h') => self.shell.hold(),
            Some(b'f') => self.shell.fail("no room"),
            _ => self.shell.go_on(),
        }
        self.holds = what.first() == Some(&b'h');
        serve(self, self.now)
    }

    /// A new policy, for all.
    fn swap(&mut self, number: usize) -> Result<(), String> {
        self.policy = world(number);
        for place in 0..self.seats.len() {
            let policy = self.policy;
            self.seats[place].witness.under(policy);
            self.hand(place, Input::Policy(Arc::clone(&policy.policy)))?;
        }
        serve(self, self.now)
    }

    fn send(&mut self, side: Side, bytes: &[u8]) -> Result<(), String> {
        let most = if self.piece == 0 { usize::MAX } else { self.piece };
        for piece in bytes.chunks(most) {
            if self.seats[self.at].gone[side.index()] {
                return Ok(());
            }
            self.seats[self.at].witness.fed(side, piece);
            self.outside(Input::Bytes(side, piece))?;
        }
        Ok(())
    }

    /// What waited goes first, to that side too: its peer may have closed one way only.
    fn eof(&mut self, side: Side) -> Result<(), String> {
        if self.seats[self.at].gone[side.index()] {
            return Ok(());
        }
        self.hand(self.at, Input::Eof(side))?;
        self.seats[self.at].gone[side.index()] = true;
        serve(self, self.now)
    }

    /// Something from outside, and all that the shell has to do about it.
    fn outside(&mut self, input: Input<'_>) -> Result<(), String> {
        self.hand(self.at, input)?;
        serve(self, self.now)
    }

    /// Time passes; each session is told when it has asked for that.
    fn wait(&mut self, micros: u64) -> Result<(), String> {
        let until = Timestamp(self.now.0 + micros);
        for _ in 0..TICKS {
            let due = (0..self.seats.len()).filter_map(|place| Some((self.seats[place].session.deadline()?, place)));
            let Some((at, place)) = due.min().filter(|(at, _)| *at <= until) else {
                self.now = until;
                return Ok(());
            };
            // Who asks for the same moment again gets a later one, as in a living process.
            self.now = if at > self.now { at } else { Timestamp(self.now.0 + 1000) };
            self.hand(place, Input::Tick)?;
            serve(self, self.now)?;
        }
        Err(format!("{TICKS} ticks within {micros} us"))
    }

    /// One input to one session; what comes of it.
    fn hand(&mut self, place: usize, input: Input<'_>) -> Result<(), String> {
        let seat = &mut self.seats[place];
        seat.session.handle(self.now, input, &mut self.out);
        let to = [Side::Client, Side::Server].map(|side| self.out.to[side.index()].split().to_vec());
        let (acts, notes) = (std::mem::take(&mut self.out.acts), std::mem::take(&mut self.out.notes));
        for (side, bytes) in ["to C", "to S"].iter().zip(&to).filter(|(_, bytes)| !bytes.is_empty()) {
            self.now_said.push(format!("{place} {side}: {}", String::from_utf8_lossy(bytes)));
        }
        let (resumed, broken) = seat.witness.saw(&to, &acts, notes, self.watched, seat.gone);
        broken.map_err(|why| format!("session {}: {why}", place + 1))?;
        if let Some(from) = resumed {
            let before = from as usize - 1;
            let counts = self.seats.get(before).map(|seat| seat.witness.counts());
            self.seats[place].witness.resumes(counts.ok_or("it resumes a session that never was")?)?;
        }
        let mut answers = Vec::new();
        for act in acts {
            self.now_said.extend(seen_by_peers(&act).map(|act| format!("{place} {act}")));
            match self.shell.ask(place as u64 + 1, act) {
                Some(Act::Dial { .. }) => {
                    self.seats[place].gone[Side::Server.index()] = false;
                    let fails = std::mem::take(&mut self.fails);
                    answers.push(if fails { Input::DialFailed("refused".to_owned()) } else { Input::Dialed });
                }
                Some(Act::StartTls(side)) => {
                    self.greeted = true;
                    let fails = std::mem::take(&mut self.fails);
                    answers.push(if fails {
                        Input::TlsFailed(side, "no".to_owned())
                    } else {
                        Input::TlsUp(side, up())
                    });
                }
                Some(Act::Close(side, _)) => self.seats[place].gone[side.index()] = true,
                Some(other) => return Err(format!("the shell does not know {other:?}")),
                None => {}
            }
        }
        let seat = &mut self.seats[place];
        if seat.session.is_over() && !std::mem::replace(&mut seat.over, true) {
            self.shell.over(place as u64 + 1);
        }
        answers.into_iter().try_for_each(|answer| self.hand(place, answer))
    }

    fn end_of_operation(&mut self, at: usize) {
        // How acknowledgements of one moment are spread over the pieces is nobody's business; what is said in all is.
        let mut by_leg: Vec<String> = Vec::new();
        for said in self.now_said.drain(..) {
            let (leg, text) = said.split_once(": ").unwrap_or((&said, ""));
            match by_leg.iter_mut().find(|known| !text.is_empty() && known.starts_with(&format!("{leg}: "))) {
                Some(known) => known.push_str(text),
                None => by_leg.push(said),
            }
        }
        by_leg.sort();
        self.said.0.push((at, by_leg));
    }

    /// The standard opening of the session at hand.
    fn open(&mut self, how: &[u8]) -> Result<(), String> {
        const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
        const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
        const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
        const SM: &str = "urn:xmpp:sm:3";
        let stream = |who: &str| {
            format!(
                "<stream:stream {who}='example.org' id='s' version='1.0' xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams'>"
            )
        };
        let (c, s) = (Side::Client, Side::Server);
        let features = |inner: &str| format!("<stream:features>{inner}</stream:features>");
        let number = self.at + 1;
        let mut lines = vec![(c, stream("to"))];
        if matches!(self.world.route.client_tls, ClientTls::Offer | ClientTls::Require) {
            lines.extend([(c, format!("<starttls xmlns='{TLS}'/>")), (c, stream("to"))]);
        }
        lines.push((s, stream("from")));
        if self.world.route.server_tls == ServerTls::Starttls {
            lines.push((s, features(&format!("<starttls xmlns='{TLS}'/>"))));
            lines.extend([(s, format!("<proceed xmlns='{TLS}'/>")), (s, stream("from"))]);
        }
        let mechanisms = format!("<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>");
        lines.push((s, features(&mechanisms)));
        lines.push((c, format!("<auth xmlns='{SASL}' mechanism='PLAIN'>AGp1bGlldABwdw==</auth>")));
        lines.push((s, format!("<success xmlns='{SASL}'/>")));
        lines.extend([(c, stream("to")), (s, stream("from"))]);
        lines.push((s, features(&format!("<bind xmlns='{BIND}'/><sm xmlns='{SM}'/>"))));
        if how.first() != Some(&b'r') {
            lines.push((c, format!("<iq type='set' id='b'><bind xmlns='{BIND}'/></iq>")));
            let jid = format!("<bind xmlns='{BIND}'><jid>juliet@example.org/balcony</jid></bind>");
            lines.push((s, format!("<iq type='result' id='b'>{jid}</iq>")));
        }
        if how.first() == Some(&b'm') {
            lines.push((c, format!("<enable xmlns='{SM}' resume='true'/>")));
            lines.push((s, format!("<enabled xmlns='{SM}' resume='true' id='sm-{number}'/>")));
        }
        lines.into_iter().try_for_each(|(side, text)| self.send(side, text.as_bytes()))
    }

    /// All that is under way comes to an end: what must have been answered has been, and then nothing is left.
    fn finish(&mut self) -> Result<(), String> {
        // Twice as long as a request may wait, and nothing that a script lets wait waits longer.
        self.wait(20_000_000)?;
        for place in 0..self.seats.len() {
            let seat = &self.seats[place];
            if !seat.session.is_over() && !self.holds && seat.gone == [false; 2] && seat.session.jid().is_some() {
                seat.witness.all_answered().map_err(|why| format!("session {}: {why}", place + 1))?;
            }
        }
        self.shell.go_on();
        serve(self, self.now)?;
        for place in 0..self.seats.len() {
            self.at = place;
            self.eof(Side::Client)?;
            self.eof(Side::Server)?;
            if !self.seats[place].session.is_over() {
                return Err(format!("session {}: both ends are gone, and it goes on", place + 1));
            }
        }
        Ok(())
    }
}
