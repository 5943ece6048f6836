//! `iqtap replay --as client`: plays the client's part against a server, and says what is not as it was.

mod tell;

use super::{AgentArgs, Failure, Speed};
use crate::cli::print;
use crate::net::agents::{Client, Played, Steps};
use crate::net::printable;
use crate::policy::ServerTls;
use crate::replay::agents::{Pace, Tape};
use crate::xml::{Element, Scope, write_element};
use bytes::BytesMut;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{BufRead as _, IsTerminal, stderr, stdin};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(super) fn run(capture: &Path, json: bool, args: AgentArgs) -> Result<(), Failure> {
    if args.sessions > 1 && args.speed == Speed::Step {
        return Err(Failure::usage("--speed step is for one session, not for --sessions"));
    }
    let speed = match args.speed {
        Speed::Times(times) => Some(times),
        Speed::Max | Speed::Step => None,
    };
    let pace = Pace { speed, step: args.speed == Speed::Step, patience: args.timeout };
    let how = args.tls.unwrap_or(ServerTls::Starttls);
    let client = super::client(&args, "--as client", how, pace)?;
    let tape = super::tape(capture, &args)?;
    let own = args.jid.as_ref().and_then(|jid| jid.resource()).map(ToString::to_string);
    let runtime = Runtime::new().map_err(|error| Failure::runtime(format!("no threads: {error}")))?;
    let resource = own.or_else(|| tape.asked.clone());
    let done = if args.sessions == 1 {
        runtime.block_on(one(&client, tape, resource, json))
    } else {
        runtime.block_on(many(client, tape, resource, args.sessions, json))
    };
    runtime.shutdown_background(); // nobody waits for a line of stdin any more
    done
}

async fn one(client: &Client, tape: Tape, resource: Option<String>, json: bool) -> Result<(), Failure> {
    let number = tape.number;
    let (go, going) = mpsc::unbounded_channel();
    let steps = Steps { show: &show, go: going };
    let steps = client.is_stepwise().then(|| {
        std::thread::spawn(move || lines(&go));
        steps
    });
    let played = client.play(Arc::new(tape), resource, steps, &|_, _| {}).await.map_err(Failure::runtime)?;
    print::out(&if json { tell::json(number, &played) } else { tell::text(&played) });
    tell::verdict(&played)
}

/// What would be sent next.
fn show(element: &Element) {
    let mut bytes = BytesMut::new();
    write_element(element, Scope::Stream, &mut bytes);
    print::aside(&format!("{}\n  Enter sends it\n", printable(&String::from_utf8_lossy(&bytes))));
}

/// Each line of stdin says go.
fn lines(go: &mpsc::UnboundedSender<()>) {
    for line in stdin().lock().lines() {
        if line.is_err() || go.send(()).is_err() {
            return;
        }
    }
}

async fn many(client: Client, tape: Tape, resource: Option<String>, sessions: u16, json: bool) -> Result<(), Failure> {
    let (client, tape) = (Arc::new(client), Arc::new(tape));
    let bar = bar(tape.turns.len() * usize::from(sessions));
    let mut tasks = JoinSet::new();
    for number in 1..=sessions {
        let (client, tape, bar) = (Arc::clone(&client), Arc::clone(&tape), bar.clone());
        let resource = format!("{}-{number}", resource.as_deref().unwrap_or("replay"));
        tasks.spawn(async move {
            let before = AtomicUsize::new(0);
            let progress = |past: usize, _| {
                let before = before.swap(past, Ordering::Relaxed);
                bar.inc(past.saturating_sub(before) as u64);
            };
            client.play(tape, Some(resource), None, &progress).await
        });
    }
    let mut total = tell::Total::default();
    while let Some(done) = tasks.join_next().await {
        total.add(done.unwrap_or_else(|why| Err(why.to_string())));
    }
    bar.finish_and_clear();
    print::out(&if json { total.json() } else { total.text() });
    total.verdict()
}

/// A bar, if somebody sees it.
fn bar(turns: usize) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(turns as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} stanzas {eta}") {
        bar.set_style(style);
    }
    bar
}
