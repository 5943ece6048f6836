//! Plays every playbook under `tests/playbooks/` and `scripts/` in every way; see `scripts/PLAYBOOKS.md`.
//!
//! `PLAY=rules/ cargo test --test playbooks` plays the books whose path contains `rules/`; `PLAY_SEEDS=100` cuts each
//! at a hundred random series of places instead of three; `PLAY_SEED=5` at the one that a failure named.

use iqtap::play::{Cut, Refuted, files, prove, read};
use rxml::{Parse as _, WithOptions as _};
use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any book takes by far: a session that never comes back is named and not waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a worker tells.
enum News {
    Began(PathBuf),
    Held(PathBuf, usize, Duration),
    Failed(PathBuf, String),
}

#[test]
fn every_book_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for shelf in ["tests/playbooks", "scripts"] {
        all.extend(files(&root.join(shelf), "play").unwrap_or_default());
    }
    let filter = env::var("PLAY").unwrap_or_default();
    let books: Vec<PathBuf> = all.iter().filter(|path| name(root, path).contains(&filter)).cloned().collect();
    assert!(!books.is_empty(), "no book's path contains '{filter}'");

    let (news, listen) = mpsc::channel();
    let next = AtomicUsize::new(0);
    let (mut held, mut plays, mut failures) = (0, 0, Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            let (news, next, books) = (news.clone(), &next, &books);
            scope.spawn(move || {
                while let Some(path) = books.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _ = news.send(News::Began(path.clone()));
                    let begun = Instant::now();
                    let _ = news.send(match read_and_prove(path, &name(root, path)) {
                        Ok(plays) => News::Held(path.clone(), plays, begun.elapsed()),
                        Err(why) => News::Failed(path.clone(), why),
                    });
                }
            });
        }
        drop(news);
        let mut running = BTreeSet::new();
        loop {
            match listen.recv_timeout(PATIENCE) {
                Ok(News::Began(path)) => drop(running.insert(path)),
                Ok(News::Held(path, count, took)) => {
                    running.remove(&path);
                    held += 1;
                    plays += count;
                    tell(&format!("book {} ... ok ({count} plays, {} ms)", name(root, &path), took.as_millis()));
                }
                Ok(News::Failed(path, why)) => {
                    running.remove(&path);
                    tell(&format!("book {} ... FAILED", name(root, &path)));
                    failures.push(why);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    tell(&format!("these books do not come to an end: {running:?}"));
                    std::process::exit(1);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    tell(&format!("{held} of {} books hold, in {plays} plays ({} on the shelf)", books.len(), all.len()));
    failures.sort();
    assert!(failures.is_empty(), "{} books failed\n{}", failures.len(), failures.concat());
}

/// Straight to standard error: counts are worth reading when all is well, too.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A book's path as people write it.
fn name(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Plays one book in every way; the error is a report between rulers.
fn read_and_prove(path: &Path, name: &str) -> Result<usize, String> {
    let book = read(path).map_err(|problem| format!("{problem}\n"))?;
    let (plays, played) = prove(&book, path, &seeds(name)).map_err(|Refuted { way, failure }| {
        const RULER: &str = "----------------------------------------------------------------------";
        let mut report = String::new();
        let _ = writeln!(report, "\n{RULER}\n{name}:{}  ({way})", failure.line);
        let _ = writeln!(report, "{}\n\n{}\n{}", book.about, failure.text, failure.why);
        if let Cut::Random(seed) = way.cut {
            let _ = writeln!(report, "PLAY={name} PLAY_SEED={seed} plays it again");
        }
        let _ = writeln!(report, "{RULER}");
        report
    })?;
    for (side, sent) in played.iter().flat_map(|heard| ["C", "S"].into_iter().zip(&heard.to)) {
        read_by_another(sent).map_err(|why| format!("{name}: rxml cannot read what was sent to {side}: {why}\n"))?;
    }
    Ok(plays)
}

/// What was sent must be legal for a parser that is not ours, document by document: each begins with our XML declaration,
/// which can stand nowhere else. The last may be unfinished.
fn read_by_another(sent: &[u8]) -> Result<(), String> {
    const BEGINNING: &str = "<?xml version='1.0'?>";
    let sent = std::str::from_utf8(sent).map_err(|e| e.to_string())?;
    let mut documents = sent.split(BEGINNING);
    if documents.next().is_some_and(|before| !before.is_empty()) {
        return Err("something stands before the first header".to_owned());
    }
    for document in documents {
        let options = rxml::Options { max_token_length: 1 << 20, ..rxml::Options::default() };
        let mut parser = rxml::Parser::with_options(options);
        let mut rest = document.as_bytes();
        loop {
            match parser.parse(&mut rest, false) {
                Ok(Some(_)) => {}
                Ok(None) | Err(rxml::error::EndOrError::NeedMoreData) => break,
                Err(rxml::error::EndOrError::Error(why)) => return Err(why.to_string()),
            }
        }
    }
    Ok(())
}

/// The seeds of a book's random cuts: its own, or the one asked for.
fn seeds(name: &str) -> Vec<u64> {
    let number = |key: &str| env::var(key).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("PLAY_SEED") {
        return vec![seed];
    }
    let of_name = name.bytes().fold(17_u64, |hash, byte| (hash * 31 + u64::from(byte)) % 1_000_003);
    (0..number("PLAY_SEEDS").unwrap_or(3)).map(|i| of_name * 1000 + i).collect()
}
