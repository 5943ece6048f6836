//! The clients: logging in, asking with answers checked in their order, logging in again and again, being idle.

use crate::Outcome;
use crate::speech::{AUTH, CLIENT_HEADER, CLOSE, Part, bind, id, is_ping, ping};
use crate::stage::Stage;
use crate::wire::{Keys, Wire};
use memchr::memmem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval_at, timeout};

/// Nothing here takes so long, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where to connect, and how.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) keys: Keys,
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
}

/// A client that has logged in.
pub(crate) struct Client {
    pub(crate) wire: Wire,
    read: Vec<u8>,
    asked: u64,
    answered: u64,
}

impl Client {
    pub(crate) async fn log_in(door: &Door, part: Part, number: usize) -> Outcome<Self> {
        let wire = door.keys.connect(door.address, door.tls).await?;
        let mut client = Self { wire, read: Vec::new(), asked: 0, answered: 0 };
        client.say(CLIENT_HEADER.as_bytes()).await?;
        client.hear("</stream:features>").await?;
        client.say(AUTH.as_bytes()).await?;
        client.hear("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await?;
        client.say(CLIENT_HEADER.as_bytes()).await?;
        client.hear("</stream:features>").await?;
        client.say(bind(part, number).as_bytes()).await?;
        client.hear("</iq>").await?;
        if !client.read.is_empty() {
            return Err("something came behind the login".into());
        }
        client.read = Vec::new();
        Ok(client)
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.wire.write_all(bytes).await?;
        Ok(self.wire.flush().await?)
    }

    async fn hear(&mut self, text: &str) -> Outcome<()> {
        loop {
            if let Some(at) = memmem::find(&self.read, text.as_bytes()) {
                self.read.drain(..at + text.len());
                return Ok(());
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> Outcome<()> {
        if self.wire.read_buf(&mut self.read).await? == 0 {
            return Err("the connection ended early, at the client".into());
        }
        Ok(())
    }

    /// Asks so many times, in one write.
    async fn ask(&mut self, times: u64) -> Outcome<()> {
        let mut out = Vec::with_capacity(times as usize * 96);
        for _ in 0..times {
            ping(self.asked, &mut out);
            self.asked += 1;
        }
        self.say(&out).await
    }

    /// Waits for answers, which must be those to what was asked, in order; gives how many came.
    async fn answers(&mut self) -> Outcome<u64> {
        let (mut used, before) = (0, self.answered);
        while self.answered == before {
            self.receive().await?;
            used = 0;
            for at in memmem::find_iter(&self.read, b"/>") {
                let answer = &self.read[used..at];
                let right = answer.starts_with(b"<iq ") && memmem::find(answer, b"result").is_some();
                if !right || !id(answer).is_some_and(|id| is_ping(id, self.answered)) {
                    let answer = String::from_utf8_lossy(answer);
                    return Err(format!("no answer to ping {}: {answer}/>", self.answered).into());
                }
                self.answered += 1;
                used = at + 2;
            }
        }
        self.read.drain(..used);
        Ok(self.answered - before)
    }

    /// One request and its answer; how long it took.
    pub(crate) async fn round_trip(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        self.ask(1).await?;
        self.answers().await?;
        Ok(began.elapsed())
    }

    /// Says goodbye and waits for the end.
    pub(crate) async fn leave(mut self) -> Outcome<()> {
        self.say(CLOSE.as_bytes()).await?;
        self.read.clear();
        while self.wire.read_buf(&mut self.read).await? > 0 {}
        if self.read != CLOSE.as_bytes() {
            return Err("something else than a goodbye came at the end".into());
        }
        Ok(())
    }
}

/// Keeps so many requests under way until the stage says stop.
pub(crate) async fn pipelined(mut client: Client, depth: u64, stage: &Stage) -> Outcome<()> {
    client.ask(depth).await?;
    while client.answered < client.asked {
        let count = client.answers().await?;
        stage.count(count);
        if !stage.stops() {
            client.ask(count).await?;
        }
    }
    client.leave().await
}

/// One request after the other until the stage says stop; gives how long each took.
pub(crate) async fn one_at_a_time(mut client: Client, stage: &Stage) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while !stage.stops() {
        times.push(client.round_trip().await?);
        stage.count(1);
    }
    client.leave().await?;
    Ok(times)
}

/// A request every now and then; gives how long each took.
pub(crate) async fn paced(
    mut client: Client,
    every: Duration,
    first: Duration,
    stage: &Stage,
) -> Outcome<Vec<Duration>> {
    let mut ticks = interval_at(tokio::time::Instant::now() + first, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Vec::new();
    while !stage.stops() {
        ticks.tick().await;
        times.push(client.round_trip().await?);
        stage.count(1);
    }
    client.leave().await?;
    Ok(times)
}

/// Logs in and leaves, until the stage says stop; gives how long each login took.
pub(crate) async fn logins(door: &Door, number: usize, stage: &Stage) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while !stage.stops() {
        let began = Instant::now();
        let client = Client::log_in(door, Part::Echo, number).await?;
        times.push(began.elapsed());
        client.leave().await?;
        stage.count(1);
    }
    Ok(times)
}

/// Something that must not hang.
pub(crate) async fn soon<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    timeout(PATIENCE, work).await.map_err(|_| "something hangs")?
}
