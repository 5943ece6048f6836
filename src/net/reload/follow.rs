//! [`Scripts`], loaded, and the [`Follower`] that loads them again when their files have changed.
//!
//! ```text
//! a signal -> wait until nothing has moved for 100 ms -> arm the watch -> compare contents -> compile -> publish or tell why not
//! ```
//! Takes a [`Config`] as it is in memory, and as [`Again`] reads it when somebody asks for a reload; gives policies and terms to a
//! [`Reloader`]. All of it on a thread of its own. Must not publish
//! what is not whole, nor try the same contents twice.

use super::super::listen::BindError;
use super::super::terms::TermsSetup;
use super::super::tls::TlsError;
use super::places::Places;
use super::prints::Prints;
use super::watch::Watch;
use super::{News, Reloader};
use crate::config::{Config, ConfigError};
use crate::policy::Policy;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Files are looked at when nothing has happened to them for so long...
const QUIET: Duration = Duration::from_millis(100);
/// ...or, if something happens all the time, after this; what is broken then may be half written, and is not told.
const RESTLESS: Duration = Duration::from_secs(2);
/// Some editors take a file away before they put the new one in its place.
const MISSING: Duration = Duration::from_millis(500);
/// Signals that may wait; more would say nothing new.
const SIGNALS: usize = 16;
/// As much as the main thread has, on which scripts are compiled the first time.
const STACK_BYTES: usize = 8 << 20;

/// What is configured, read again.
#[derive(Debug)]
pub struct Anew {
    /// All of it.
    pub config: Config,
    /// What sessions begin with, by it.
    pub terms: TermsSetup,
    /// The files that say so, but for scripts.
    pub files: Vec<PathBuf>,
}

/// Reads the configuration again.
pub type Again = Box<dyn Fn() -> Result<Anew, ConfigError> + Send>;

/// Scripts that have been compiled, and what their files held.
pub struct Scripts {
    config: Config,
    again: Option<Again>,
    files: Vec<PathBuf>,
    prints: Prints,
}

impl Scripts {
    /// Compiles a configuration's scripts; gives the policy that they are part of.
    ///
    /// # Errors
    /// The first script that cannot be loaded.
    pub fn load(config: &Config) -> Result<(Self, Policy), ConfigError> {
        // Before they are compiled: what changes meanwhile has then changed.
        let mut prints = Prints::of(&named(config));
        let policy = config.policy()?;
        let files = made_of(&policy);
        prints.add(&files);
        Ok((Self { config: config.clone(), again: None, files, prints }, policy))
    }

    /// When a reload is asked for, the whole configuration is read, and not the scripts alone.
    #[must_use]
    pub fn reading(self, again: Again) -> Self {
        Self { again: Some(again), ..self }
    }

    /// Loads them again from now on, whenever their files have changed (unless the configuration says `reload = false`) and
    /// whenever it is asked to.
    pub fn follow(self, reloader: Reloader) -> Follower {
        let (signals, heard) = sync_channel(SIGNALS);
        let watching = signals.clone();
        let thread = thread::Builder::new().name("reload".to_owned()).stack_size(STACK_BYTES);
        let started = thread.spawn(move || {
            let watch = self.config.reload.then(|| watch(watching)).flatten();
            let Self { config, again, files, prints } = self;
            let follow =
                Follow { config, again, reloader, watch, files, prints, changed: BTreeSet::new(), missing: None };
            follow.run(&heard);
        });
        if let Err(error) = started {
            tracing::warn!(%error, "no thread: scripts are not reloaded");
        }
        Follower { signals }
    }
}

/// The files that a configuration names.
fn named(config: &Config) -> Vec<PathBuf> {
    config.scripts.iter().chain(&config.shadow).cloned().collect()
}

/// The files that a policy was made of.
fn made_of(policy: &Policy) -> Vec<PathBuf> {
    let mut files = policy.scripts.files();
    files.extend(policy.shadow.files());
    files
}

/// A watch that sends signals; none if there cannot be one.
fn watch(signals: SyncSender<Signal>) -> Option<Watch> {
    // If there is no room, a signal is waiting already.
    let watch = Watch::new(move || drop(signals.try_send(Signal::Changed)));
    watch.inspect_err(|error| tracing::warn!("scripts cannot be watched: {error}")).ok()
}

/// Reloads scripts for as long as it is kept.
#[derive(Debug)]
pub struct Follower {
    signals: SyncSender<Signal>,
}

impl Follower {
    /// Loads everything again now, changed or not.
    pub fn reload(&self) {
        let _ = self.signals.try_send(Signal::Asked); // full: it is about to look anyway
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::End); // its thread may have ended
    }
}

#[derive(Debug)]
enum Signal {
    /// Something may have changed.
    Changed,
    /// Somebody wants it done.
    Asked,
    End,
}

/// The thread's.
struct Follow {
    config: Config,
    again: Option<Again>,
    reloader: Reloader,
    watch: Option<Watch>,
    /// What the policy in force was made of.
    files: Vec<PathBuf>,
    /// What the files held when they were last tried.
    prints: Prints,
    /// What has changed since they were last published.
    changed: BTreeSet<PathBuf>,
    /// Since when one of them is missing.
    missing: Option<Instant>,
}

impl Follow {
    fn run(mut self, heard: &Receiver<Signal>) {
        // What has changed before the watch was armed.
        let mut next = if self.watch.is_some() { self.look(true) } else { None };
        let mut first: Option<Instant> = None;
        let mut last = Instant::now();
        let mut asked = false;
        loop {
            let signal = match next {
                None => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => heard.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let now = Instant::now();
            match signal {
                Ok(Signal::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Signal::Asked) => asked = true,
                Ok(Signal::Changed) => {
                    last = now;
                    next = Some((now + QUIET).min(*first.get_or_insert(now) + RESTLESS));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if asked || next.is_some_and(|at| at <= now) {
                first = None;
                next = if std::mem::take(&mut asked) { self.renew() } else { self.look(now >= last + QUIET) };
            }
        }
    }

    /// Reads all that is configured, and puts it in force, changed or not.
    fn renew(&mut self) -> Option<Instant> {
        let Some(again) = &self.again else {
            let prints = Prints::of(&self.all_files());
            let tried = compile(&self.config, || self.changed.first().cloned());
            self.conclude(tried, prints, Vec::new(), named(&self.config));
            return None;
        };
        let anew = again().map(|anew| Anew { config: anew.config.sharing_with(&self.config), ..anew });
        let tried = anew.and_then(|anew| {
            let prints = Prints::of(&all_files(&anew.config, &self.files));
            let policy = compile(&anew.config, || self.changed.first().cloned())?;
            let terms = self.reloader.house.terms.make(anew.terms, anew.config.limits);
            let terms = terms.map_err(|why| unusable(&anew.config.path, why))?;
            Ok((anew.config, policy, terms, prints, anew.files))
        });
        match tried {
            Ok((config, policy, terms, prints, mut files)) => {
                let restart = self.config.needs_restart(&config);
                files.extend(named(&config));
                self.config = config;
                self.reloader.house.renew(terms, self.config.limits);
                self.conclude(Ok(policy), prints, restart, files);
            }
            Err(error) => {
                let prints = Prints::of(&self.all_files());
                self.conclude(Err(error), prints, Vec::new(), Vec::new());
            }
        }
        None
    }

    /// Tries what the files hold now, if it was not tried yet; when to look again. `quiet`: nobody is about to write them.
    fn look(&mut self, quiet: bool) -> Option<Instant> {
        let files = self.all_files();
        self.arm(&files);
        let prints = Prints::of(&files);
        if prints.misses(&self.prints) {
            let now = Instant::now();
            let until = *self.missing.get_or_insert(now) + MISSING;
            if now < until {
                return Some(until);
            }
        }
        self.missing = None;
        let changed = prints.changed_since(&self.prints);
        if changed.is_empty() {
            return None;
        }
        let tried = compile(&self.config, || self.changed.first().cloned());
        if tried.is_err() && !quiet {
            return Some(Instant::now() + QUIET);
        }
        self.changed.extend(changed);
        let changed = self.changed.iter().cloned().collect();
        self.conclude(tried, prints, Vec::new(), changed);
        None
    }

    /// What is named and what is in force: a new version that is broken may have come to depend on fewer.
    fn all_files(&self) -> Vec<PathBuf> {
        all_files(&self.config, &self.files)
    }

    fn arm(&mut self, files: &[PathBuf]) {
        if let Some(watch) = &mut self.watch
            && let Err(error) = watch.arm(&Places::of(files))
        {
            tracing::warn!("scripts are no longer watched: {error}");
            self.watch = None;
        }
    }

    /// Publishes what is whole, and tells it; or tells why it is not.
    fn conclude(
        &mut self,
        tried: Result<Policy, ConfigError>,
        prints: Prints,
        restart: Vec<&'static str>,
        files: Vec<PathBuf>,
    ) {
        self.prints = prints;
        self.missing = None;
        let news = match tried {
            Ok(policy) => {
                self.files = made_of(&policy);
                self.prints.add(&self.files);
                self.warn_of_memory(&policy);
                let policy = self.reloader.publish(policy);
                self.changed.clear();
                self.arm(&self.all_files());
                News::Reloaded { files, policy, restart }
            }
            Err(error) => {
                let (policy, since) = self.reloader.policies.in_force();
                News::NotReloaded { error, policy, since }
            }
        };
        self.reloader.tell(news);
    }

    /// The store is opened once, when the server starts: what begins to be kept later may find none that lasts.
    fn warn_of_memory(&self, policy: &Policy) {
        let begins = policy.scripts.keeps() && !self.reloader.in_force().scripts.keeps();
        if begins && !self.reloader.lasts {
            tracing::warn!(
                "the scripts keep values beyond the process now (shared.keep), but there is no file for them: \
                 what they keep ends with this process; start iqtap again, and it opens one"
            );
        }
    }
}

/// What is named and what is in force.
fn all_files(config: &Config, in_force: &[PathBuf]) -> Vec<PathBuf> {
    let all: BTreeSet<PathBuf> = named(config).into_iter().chain(in_force.iter().cloned()).collect();
    all.into_iter().collect()
}

/// Aside: nothing of it is seen by anybody. `suspect`: the file that a panic is laid to.
fn compile(config: &Config, suspect: impl FnOnce() -> Option<PathBuf>) -> Result<Policy, ConfigError> {
    catch_unwind(AssertUnwindSafe(|| config.policy())).unwrap_or_else(|_| {
        let message = "the script engine panicked; please report this".to_owned();
        Err(ConfigError { path: suspect().unwrap_or_default(), line: 0, column: 0, message })
    })
}

/// Why sessions cannot begin so, and which file it is about.
fn unusable(config: &Path, why: BindError) -> ConfigError {
    let (path, message) = match why {
        BindError::Tls(TlsError::BadFile { path, reason }) => (path, reason),
        why => (config.to_owned(), why.to_string()),
    };
    ConfigError { path, line: 0, column: 0, message }
}
