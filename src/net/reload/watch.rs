//! The system's word that files have changed: natively, or by looking again and again where there is no such thing.
//!
//! Takes [`Places`], gives signals. The only file that names notify. Must not read the files: it may not even be told which
//! of them changed.

use super::places::Places;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often files are looked at if the system does not tell.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Calls a function when one of some places may have changed.
pub(super) struct Watch {
    watcher: Box<dyn Watcher + Send>,
    filter: Arc<Filter>,
    /// Looks again and again.
    polls: bool,
    changed: Arc<dyn Fn() + Send + Sync>,
}

/// Which events matter.
#[derive(Default)]
struct Filter {
    places: Mutex<Places>,
    /// A watched directory may be another one now.
    moved: AtomicBool,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new(changed: impl Fn() + Send + Sync + 'static) -> Result<Self, notify::Error> {
        let changed: Arc<dyn Fn() + Send + Sync> = Arc::new(changed);
        let filter = Arc::<Filter>::default();
        match RecommendedWatcher::new(handler(&filter, &changed), Config::default()) {
            Ok(watcher) => Ok(Self { watcher: Box::new(watcher), filter, polls: false, changed }),
            Err(error) => Self::polling(filter, changed, &error),
        }
    }

    fn polling(
        filter: Arc<Filter>,
        changed: Arc<dyn Fn() + Send + Sync>,
        why: &notify::Error,
    ) -> Result<Self, notify::Error> {
        tracing::warn!("the system does not tell when scripts change ({why}): they are looked at every second");
        let config = Config::default().with_poll_interval(POLL_EVERY);
        let watcher = PollWatcher::new(handler(&filter, &changed), config)?;
        Ok(Self { watcher: Box::new(watcher), filter, polls: true, changed })
    }

    /// Watches these places from now on, and no others. What changed before this is done may not be told.
    pub(super) fn arm(&mut self, places: &Places) -> Result<(), notify::Error> {
        // Not under the lock: the watcher's thread answers, and may be about to ask the filter.
        let before = std::mem::replace(&mut *lock(&self.filter.places), places.clone());
        let moved = self.filter.moved.swap(false, Ordering::AcqRel);
        for old in before.directories.iter().filter(|old| moved || !places.directories.contains(*old)) {
            let _ = self.watcher.unwatch(old); // it may have gone by itself
        }
        let new = places.directories.iter().filter(|new| moved || !before.directories.contains(*new));
        for directory in new {
            let watched = self.watcher.watch(directory, RecursiveMode::NonRecursive);
            match watched {
                Err(error) if !self.polls && holds_a_file(places, directory) && directory.exists() => {
                    *self = Self::polling(Arc::clone(&self.filter), Arc::clone(&self.changed), &error)?;
                    *lock(&self.filter.places) = Places::default();
                    return self.arm(places);
                }
                // Gone, or one that only says whether the next one is still the same.
                Err(error) => {
                    self.filter.moved.store(true, Ordering::Release); // tried again next time
                    tracing::debug!(%error, "not watched");
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// Whether a directory holds more than directories that are watched themselves.
fn holds_a_file(places: &Places, directory: &Path) -> bool {
    places.names.iter().any(|name| name.parent() == Some(directory) && !places.directories.contains(name))
}

fn handler(
    filter: &Arc<Filter>,
    changed: &Arc<dyn Fn() + Send + Sync>,
) -> impl FnMut(notify::Result<Event>) + Send + 'static {
    let (filter, changed) = (Arc::clone(filter), Arc::clone(changed));
    move |event| {
        if filter.heeds(&event) {
            changed();
        }
    }
}

impl Filter {
    /// Whether an event may be about one of the places.
    fn heeds(&self, event: &notify::Result<Event>) -> bool {
        let Ok(event) = event else {
            self.moved.store(true, Ordering::Release);
            return true; // whatever was missed
        };
        if event.need_rescan() {
            self.moved.store(true, Ordering::Release);
            return true;
        }
        // Reading is no change: we read ourselves.
        let read = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        };
        if read {
            return false;
        }
        let places = lock(&self.places);
        if event.paths.iter().any(|path| places.directories.contains(path)) {
            self.moved.store(true, Ordering::Release);
        }
        event.paths.iter().any(|path| places.names.contains(path) || places.directories.contains(path))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::mpsc;

    /// A file, its places, and what is called when it changes.
    fn file() -> (tempfile::TempDir, PathBuf, mpsc::Receiver<()>, impl Fn() + Send + Sync) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("x.rhai");
        std::fs::write(&path, "one").unwrap();
        let (told, signals) = mpsc::channel();
        (directory, path, signals, move || told.send(()).unwrap_or_default())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn where_the_system_does_not_tell_files_are_looked_at() {
        let (_directory, path, signals, changed) = file();
        let why = notify::Error::generic("there is no such thing");
        let mut watch = Watch::polling(Arc::default(), Arc::new(changed), &why).unwrap();
        watch.arm(&Places::of(std::slice::from_ref(&path))).unwrap();
        // The first look may come late, when other tests want the processor.
        let told = (0..10).any(|times| {
            std::fs::write(&path, format!("another one, longer {times}")).unwrap();
            signals.recv_timeout(LONG / 5).is_ok()
        });
        assert!(told, "nobody has looked");
        std::fs::remove_file(&path).unwrap();
        signals.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn reading_is_no_change_and_other_names_do_not_matter() {
        let (directory, path, signals, changed) = file();
        let mut watch = Watch::new(changed).unwrap();
        watch.arm(&Places::of(std::slice::from_ref(&path))).unwrap();
        std::fs::read(&path).unwrap();
        std::fs::write(directory.path().join("y.rhai"), "").unwrap();
        assert!(signals.recv_timeout(Duration::from_millis(200)).is_err());
        std::fs::write(&path, "two").unwrap();
        signals.recv_timeout(LONG).unwrap();
        // Places that are no longer wanted say nothing.
        watch.arm(&Places::default()).unwrap();
        while signals.try_recv().is_ok() {}
        std::fs::write(&path, "three").unwrap();
        assert!(signals.recv_timeout(Duration::from_millis(200)).is_err());
    }
}
