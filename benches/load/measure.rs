//! One measurement: one load through one proxy for some time. Gives what arrived in that time, what the proxy used for it, and how
//! long single things took.

use crate::Outcome;
use crate::client::{Client, Door, PATIENCE, logins, one_at_a_time, paced, pipelined, soon};
use crate::flood;
use crate::proxies::Proxy;
use crate::speech::Part;
use crate::stage::Stage;
use crate::wire::Keys;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Before it is counted, a fifth of the time that is.
const WARM_UP: u32 = 5;
/// How many requests each client keeps under way.
const DEPTH: u64 = 16;
/// How often each client asks, when it does not hurry: a thousand requests a second with 50 of them.
const PACE: Duration = Duration::from_millis(50);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// IQs, 16 under way for each client.
    Pipelined,
    /// Mixed stanzas from the server.
    Down,
    /// Mixed stanzas from the client.
    Up,
    /// 20 KB stanzas from the server.
    Large,
    /// Logins, one after the other for each client.
    Logins,
    /// One client, one IQ after the other.
    Single,
    /// All clients, each an IQ every 50 ms.
    Paced,
}

impl Load {
    pub(crate) const ALL: [Self; 7] =
        [Self::Pipelined, Self::Down, Self::Up, Self::Large, Self::Logins, Self::Single, Self::Paced];

    /// What tables call it, and `--only`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pipelined => "pipelined IQs",
            Self::Down => "flood s->c",
            Self::Up => "flood c->s",
            Self::Large => "20 KB stanzas",
            Self::Logins => "logins",
            Self::Single => "one at a time",
            Self::Paced => "paced",
        }
    }

    /// What one unit of it is.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Pipelined | Self::Single | Self::Paced => "round trip",
            Self::Down | Self::Up | Self::Large => "stanza",
            Self::Logins => "login",
        }
    }

    fn part(self) -> Part {
        match self {
            Self::Down => Part::Down,
            Self::Up => Part::Up,
            Self::Large => Part::Large,
            _ => Part::Echo,
        }
    }
}

/// What one measurement gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) units: u64,
    pub(crate) seconds: f64,
    /// CPU seconds of the proxy; none if there is no proxy.
    pub(crate) cpu: Option<f64>,
    pub(crate) resident_kib: Option<u64>,
    /// How long single things took, in order of length; empty where only the whole counts.
    pub(crate) times: Vec<Duration>,
}

impl Sample {
    pub(crate) fn rate(&self) -> f64 {
        self.units as f64 / self.seconds
    }
}

/// Who measures.
pub(crate) struct Measure {
    pub(crate) keys: Keys,
    pub(crate) stage: Arc<Stage>,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
}

impl Measure {
    pub(crate) async fn sample(&self, load: Load, proxy: &Proxy, tls: bool) -> Outcome<Sample> {
        let door = Door { keys: self.keys.clone(), address: proxy.address, tls };
        self.stage.stop(false);
        let connections = if load == Load::Single { 1 } else { self.connections };
        let mut tasks = JoinSet::new();
        if load == Load::Logins {
            for number in 0..connections {
                let (door, stage) = (door.clone(), Arc::clone(&self.stage));
                tasks.spawn(async move { logins(&door, number, &stage).await });
            }
        } else {
            // All log in before anybody begins.
            for client in self.clients(load.part(), connections, &door).await? {
                tasks.spawn(play(load, client, tasks.len(), connections, Arc::clone(&self.stage)));
            }
        }
        let mut sample = self.watch(proxy).await?;
        self.stage.stop(true);
        let ends = async {
            while let Some(ended) = tasks.join_next().await {
                sample.times.append(&mut ended??);
            }
            Ok::<_, crate::Failure>(())
        };
        let ended = timeout(PATIENCE, ends).await;
        ended.map_err(|_| format!("{} does not end", load.name()))??;
        sample.times.sort_unstable();
        Ok(sample)
    }

    /// Clients that have logged in, one after the other.
    async fn clients(&self, part: Part, count: usize, door: &Door) -> Outcome<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            clients.push(soon(Client::log_in(door, part, number)).await?);
        }
        Ok(clients)
    }

    /// Counts for some time.
    async fn watch(&self, proxy: &Proxy) -> Outcome<Sample> {
        sleep(self.time / WARM_UP).await;
        let (before, counted, began) = (proxy.usage()?, self.stage.counted(), Instant::now());
        sleep(self.time).await;
        let (units, seconds, after) = (self.stage.counted() - counted, began.elapsed().as_secs_f64(), proxy.usage()?);
        let cpu = after.zip(before).map(|(after, before)| (after.cpu - before.cpu).as_secs_f64());
        let resident_kib = after.map(|after| after.resident_kib);
        Ok(Sample { units, seconds, cpu, resident_kib, times: Vec::new() })
    }

    /// How much memory the proxy has at first, and how much more for each of so many sessions that do nothing.
    pub(crate) async fn idle(&self, count: usize, proxy: &Proxy, tls: bool) -> Outcome<Idle> {
        let door = Door { keys: self.keys.clone(), address: proxy.address, tls };
        let Some(base) = proxy.usage()? else { return Err("nobody is between".into()) };
        let mut idle = Vec::with_capacity(count);
        while idle.len() < count {
            let mut tasks = JoinSet::new();
            for number in idle.len()..count.min(idle.len() + self.connections) {
                let door = door.clone();
                tasks.spawn(async move { soon(Client::log_in(&door, Part::Echo, number)).await });
            }
            while let Some(client) = tasks.join_next().await {
                idle.push(client??);
            }
        }
        sleep(Duration::from_secs(1)).await;
        let Some(after) = proxy.usage()? else { return Err("nobody is between".into()) };
        sleep(Duration::from_secs(1)).await;
        let Some(later) = proxy.usage()? else { return Err("nobody is between".into()) };
        for client in &mut idle {
            soon(client.round_trip()).await?;
        }
        let each = after.resident_kib.saturating_sub(base.resident_kib) as f64 / count as f64;
        Ok(Idle { base_kib: base.resident_kib, each_kib: each, cpu: (later.cpu - after.cpu).as_secs_f64() })
    }
}

/// What idle sessions cost.
pub(crate) struct Idle {
    pub(crate) base_kib: u64,
    pub(crate) each_kib: f64,
    /// CPU seconds in a second.
    pub(crate) cpu: f64,
}

/// One client's part.
async fn play(load: Load, mut client: Client, number: usize, of: usize, stage: Arc<Stage>) -> Outcome<Vec<Duration>> {
    match load {
        Load::Pipelined => pipelined(client, DEPTH, &stage).await?,
        Load::Up => flood::source(client.wire, load.part(), &stage).await?,
        Load::Down | Load::Large => {
            client.say(b"<presence to='example.org' id='go'/>").await?;
            flood::sink(client.wire, load.part(), &[], &stage).await?;
        }
        Load::Single => return one_at_a_time(client, &stage).await,
        Load::Paced => return paced(client, PACE, PACE * number as u32 / of as u32, &stage).await,
        Load::Logins => {} // these begin before they have logged in
    }
    Ok(Vec::new())
}
