//! Whatever a playbook lets happen, its recording lets happen again: the same comes out, byte for byte, secrets replaced.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own file has failed")]

use iqtap::capture::Recorder;
use iqtap::capture::read::{Options, Reader};
use iqtap::play::{self, Cut, Way};
use iqtap::policy::Policy;
use iqtap::replay::rerun::{Law, Replayed, Tape, replay};
use iqtap::session::{Dir, Note};
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a book has sent: how many items by session, and which of them are not as sent in the recording.
#[derive(Default)]
struct Sent {
    items: BTreeMap<u64, usize>,
}

fn record(book: &play::Book, path: &Path, way: Way, capture: &Path) -> Sent {
    let mut recorder = Recorder::create(capture, "iqtap").unwrap();
    let mut sent = Sent::default();
    let mut listener = |session: u64, peer: &str, at, note: &Note| {
        recorder.note(session, peer, at, note).unwrap();
        if let Note::Seen(seen) = note
            && seen.dir == Dir::Out
        {
            *sent.items.entry(session).or_default() += 1;
        }
    };
    play::record(book, path, way, &mut listener).unwrap();
    recorder.finish().unwrap();
    sent
}

fn rerun(book: &play::Book, path: &Path, capture: &Path) -> Replayed {
    let tape = Tape::read(Reader::new(File::open(capture).unwrap(), &Options::default()).unwrap());
    let laws = play::laws(book, path).unwrap();
    let policies: Vec<Arc<Policy>> = laws.policies.into_iter().map(Arc::new).collect();
    let policy = |number: u64| Arc::clone(&policies[usize::try_from(number).unwrap() - 1]);
    let mut route = laws.route;
    route.started = iqtap::xmpp::Timestamp::default();
    replay(&tape, Law { route, policy: &policy, vault: laws.vault, store: laws.store })
}

/// What is wrong with a replay of that; how many sessions and items were the same.
fn check(sent: &Sent, replayed: &Replayed, counts: &mut [usize; 4]) -> Result<(), String> {
    let mut wrong = String::new();
    for outcome in &replayed.sessions {
        let number = outcome.number;
        if let Some(why) = &outcome.spoilt {
            let _ = writeln!(wrong, "  session {number} was not played: {why}");
        }
        if outcome.seeded && outcome.renamed > 0 {
            let _ = writeln!(wrong, "  session {number} made up other ids, though its seed is known");
        }
        let items = sent.items.get(&number).copied().unwrap_or_default();
        if outcome.outs != items {
            let _ = writeln!(wrong, "  session {number} sent {items} items, {} were compared", outcome.outs);
        }
        for difference in &outcome.differences {
            let shown = |said: &Option<iqtap::replay::rerun::Said>| {
                let said = said.as_ref();
                said.map(|said| format!("{} {:?}", String::from_utf8_lossy(&said.bytes), said.origin))
            };
            let (recorded, now) = (shown(&difference.recorded), shown(&difference.now));
            let _ = writeln!(
                wrong,
                "  session {number}, to {:?}, {:?} (packet {}):\n    recorded {recorded:?}\n    now      {now:?}\n    cause {:?}",
                difference.to, difference.kind, difference.frame, difference.cause
            );
        }
        *counts = [counts[0] + 1, counts[1] + outcome.outs, counts[2] + outcome.renamed, counts[3] + outcome.stored];
    }
    let played = replayed.sessions.len();
    if sent.items.len() > played {
        let _ = writeln!(wrong, "  {} sessions sent something, {played} were played", sent.items.len());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

#[test]
fn every_book_comes_out_the_same_from_its_recording() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for shelf in ["tests/playbooks", "scripts"] {
        all.extend(play::files(&root.join(shelf), "play").unwrap());
    }
    let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    let filter = env::var("PLAY").unwrap_or_default();
    let books: Vec<PathBuf> = all.into_iter().filter(|path| name(path).contains(&filter)).collect();
    assert!(!books.is_empty(), "no book's path contains '{filter}'");

    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("play.pcapng");
    let (mut failures, mut counts) = (Vec::new(), [0; 4]);
    for path in &books {
        let book = play::read(path).unwrap();
        for cut in [Cut::Lines, Cut::Random(7)] {
            let way = Way { cut, swap: false, watched: true, patient: false };
            let sent = record(&book, path, way, &capture);
            if let Err(wrong) = check(&sent, &rerun(&book, path, &capture), &mut counts) {
                failures.push(format!("{} ({way})\n{wrong}", name(path)));
            }
        }
    }
    let [sessions, items, renamed, stored] = counts;
    let told = format!(
        "{} books, {sessions} sessions, {items} items sent, {renamed} ids renamed, {stored} sent for what the store said",
        books.len()
    );
    assert!(failures.is_empty(), "{} plays differ; {told}\n{}", failures.len(), failures.concat());
    if filter.is_empty() {
        assert!(sessions > 2 * books.len() && items > 20 * books.len() && stored > 100, "{told}");
    }
}
