//! What the command line says.

use crate::Outcome;
use crate::measure::Load;
use crate::proxies::Through;
use std::time::Duration;

pub(crate) const HELP: &str = "cargo bench --bench load [-- OPTIONS]
(`cargo test` runs it too, for a moment: whether all arrives as it was sent)
  --quick             a look: one short round, 200 idle sessions
  --only WORD[,WORD]  only what has such a word in its name: loads, what is between, `plain` or `tls`;
                      the server itself and the bare relay always stay
  --rounds N          how often everything is measured, in turn [4]
  --seconds S         for how long each time [0.3]
  --connections N     how many clients [50]
  --idle N            how many idle sessions [5000]";

/// What idle sessions are called by `--only`.
pub(crate) const IDLE: &str = "idle";

pub(crate) struct Options {
    /// Nothing is to be measured, only tried.
    pub(crate) smoke: bool,
    only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    pub(crate) idle: usize,
}

impl Options {
    pub(crate) fn read(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self {
            smoke: false,
            only: Vec::new(),
            rounds: 4,
            time: Duration::from_millis(300),
            connections: 50,
            idle: 5000,
        };
        if !arguments.iter().any(|word| word == "--bench") {
            options.smoke();
            return Ok(options); // what else is said is for the tests beside this one
        }
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value\n{HELP}"));
            match word.as_str() {
                "--bench" => {} // cargo says so
                "--quick" => (options.rounds, options.time, options.idle) = (1, Duration::from_millis(200), 200),
                "--only" => options.only = value()?.split(',').map(str::to_lowercase).collect(),
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--seconds" => options.time = Duration::try_from_secs_f64(value()?.parse()?)?,
                "--connections" => options.connections = value()?.parse::<usize>()?.max(1),
                "--idle" => options.idle = value()?.parse::<usize>()?.max(1),
                _ => return Err(format!("{word}: unknown\n{HELP}").into()),
            }
        }
        let known = |word: &&String| !loads().chain(between()).chain(transports()).any(|name| has(&name, word));
        match options.only.iter().find(known) {
            Some(word) => Err(format!("--only {word}: nothing has that in its name\n{HELP}").into()),
            None => Ok(options),
        }
    }

    /// No measurement: a few moments that show whether it works.
    fn smoke(&mut self) {
        self.only = vec![Through::Report.name().to_owned()];
        self.smoke = true;
        (self.rounds, self.time, self.connections, self.idle) = (1, Duration::from_millis(50), 3, 10);
    }

    /// Whether a run of tests means others only: a name of some is given, or they are only to be listed; or there is no `/proc`.
    pub(crate) fn is_left_out(arguments: &[String]) -> bool {
        let tests = !arguments.iter().any(|word| word == "--bench");
        let mut names = arguments.iter().filter(|word| !word.starts_with('-')).peekable();
        let others = names.peek().is_some() && !names.any(|name| "load".contains(name.as_str()));
        tests && (others || cfg!(not(target_os = "linux")) || arguments.iter().any(|word| word == "--list"))
    }

    /// Whether that is to be measured: for each of the three, some word fits it, or none is about it.
    pub(crate) fn wants(&self, tls: bool, load: &str, through: Through) -> bool {
        let yardstick = matches!(through, Through::Direct | Through::Relay);
        self.fits(transport(tls), transports())
            && self.fits(load, loads())
            && (yardstick || self.fits(through.name(), between()))
    }

    fn fits(&self, name: &str, all: impl Iterator<Item = String>) -> bool {
        let all: Vec<String> = all.collect();
        let mut about = self.only.iter().filter(|word| all.iter().any(|name| has(name, word))).peekable();
        about.peek().is_none() || about.any(|word| has(name, word))
    }
}

/// What the two ways of being connected are called.
pub(crate) fn transport(tls: bool) -> &'static str {
    if tls { "tls" } else { "plain" }
}

fn transports() -> impl Iterator<Item = String> {
    [false, true].into_iter().map(|tls| transport(tls).to_owned())
}

fn loads() -> impl Iterator<Item = String> {
    Load::ALL.iter().map(|load| load.name().to_owned()).chain([IDLE.to_owned()])
}

fn between() -> impl Iterator<Item = String> {
    Through::ALL.iter().map(|through| through.name().to_owned())
}

fn has(name: &str, word: &str) -> bool {
    name.to_lowercase().contains(word)
}
