//! The thread with a clock that looks at runs of scripts, so that none of them holds up its session for long.
//!
//! Takes a server's shared part, and ends with it. Must not do anything that may wait.

use super::listen::Shared;
use crate::script::Watch;
use std::sync::Weak;
use std::thread;
use std::time::{Duration, Instant};

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Starts looking, for as long as the server lives.
pub(super) fn start(shared: Weak<Shared>) {
    let look = move || {
        let (mut watch, mut looked) = (Watch::default(), Instant::now());
        while shared.strong_count() > 0 {
            thread::sleep(PAUSE);
            let millis = looked.elapsed().as_millis();
            looked = Instant::now();
            let stopped = watch.look(u64::try_from(millis).unwrap_or(u64::MAX));
            if stopped > 0 {
                tracing::debug!(stopped, "scripts ran too long");
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("script-watch".to_owned()).spawn(look) {
        tracing::warn!(%error, "no thread to watch over scripts: only their operations are limited");
    }
}
