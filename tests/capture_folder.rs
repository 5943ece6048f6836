//! Files that follow one another, holes, policies: what stands in each file, and what happens to those beside it.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own file has failed")]
#![allow(dead_code, reason = "of what is shared a part is used")]

mod capture_support;
mod tape_support;

use capture_support::{START, seen};
use iqtap::capture::{Mark, Recorder, Rotation, Section, Target, check};
use iqtap::session::{Dir, Note, TlsInfo};
use iqtap::xmpp::{Side, Timestamp};
use jiff::tz::TimeZone;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tape_support::{Tape, tshark_likes};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='d'>";
const SECOND: u64 = 1_000_000;

fn rotation() -> Rotation {
    Rotation { name: "%Y-%m-%d_%H%M%S.pcapng".to_owned(), zone: TimeZone::UTC, size: 20_000, every: None, total: None }
}

/// A recorder, and the time.
struct Deck {
    recorder: Recorder,
    at: u64,
    number: u64,
}

impl Deck {
    fn new(folder: &Path, rotation: Rotation) -> Self {
        Self::with(folder, rotation, Section { app: "iqtap test".to_owned(), ..Section::default() })
    }

    fn with(folder: &Path, rotation: Rotation, section: Section) -> Self {
        let recorder = Recorder::folder(folder, rotation, section, START).unwrap();
        Self { recorder, at: START.0, number: 0 }
    }

    fn note(&mut self, session: u64, note: &Note) {
        self.recorder.note(session, "192.0.2.1:7", Timestamp(self.at), note).unwrap();
    }

    fn item(&mut self, session: u64, side: Side, dir: Dir, bytes: &str) {
        self.number += 1;
        let seen = seen(side, dir, self.number, bytes.to_owned().into());
        self.note(session, &Note::Seen(Box::new(seen)));
    }

    /// Headers on both legs, both ways.
    fn begin(&mut self, session: u64) {
        for side in [Side::Client, Side::Server] {
            for dir in [Dir::In, Dir::Out] {
                self.item(session, side, dir, HEADER);
            }
        }
    }
}

fn over() -> Note {
    Note::Over(Box::default())
}

/// The captures in a directory, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|ending| ending == "pcapng"));
    all.sort();
    all
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_file_is_a_capture_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut deck = Deck::new(dir.path(), rotation());
    deck.note(3, &Note::Tls(Side::Client, TlsInfo { version: "TLSv1.3".into(), ..TlsInfo::default() }));
    deck.begin(3);
    for i in 0..400 {
        deck.at += SECOND;
        let text = format!("<message id='m{i}'><body>{}</body></message>", "x".repeat(100));
        deck.item(3, Side::Client, Dir::In, &text);
        deck.item(3, Side::Server, Dir::Out, &text);
    }
    deck.item(3, Side::Client, Dir::In, "</stream:stream>");
    deck.note(3, &over());
    deck.recorder.finish().unwrap();

    let files = files(dir.path());
    assert!(files.len() > 5, "{files:?}");
    let mut messages = String::new();
    for (i, path) in files.iter().enumerate() {
        let tape = Tape::read(path);
        assert_eq!(tape.section, ["iqtap capture format 1"]);
        let size = fs::metadata(path).unwrap().len();
        assert!(size < 21_000, "{size}");
        assert!(i + 1 == files.len() || size >= 20_000, "{size}");
        let hello = &tape.packets[0];
        let first_leg = ["client leg", "server leg"][hello.interface as usize];
        assert!(hello.syn && hello.says(&format!("session 3, {first_leg}, client at 192.0.2.1:7, ")), "{hello:?}");
        assert_eq!(tape.packets.iter().filter(|p| p.syn).count(), 2, "a conversation on each leg");
        // What stands first on each way of each leg is its stream header: no hello is without one.
        let headers: Vec<_> = tape.packets.iter().filter(|p| p.payload == HEADER).collect();
        assert_eq!(headers.len(), 4);
        let repeated =
            headers.iter().filter(|p| p.comments.get(1).is_some_and(|c| c == "repeated from an earlier file"));
        assert_eq!(repeated.count(), if i == 0 { 0 } else { 4 });
        assert!(headers.iter().all(|p| p.says("#") && p.says(if p.port > 0 { "iqtap" } else { "" })));
        messages += &tape.text(0).replace(HEADER, "");
        tshark_likes(path);
    }
    let all: String =
        (0..400).map(|i| format!("<message id='m{i}'><body>{}</body></message>", "x".repeat(100))).collect();
    assert!(messages == all + "</stream:stream>", "the stream, joined over the files");
    assert_eq!(names(dir.path())[0], "2023-11-14_221320.pcapng");
}

#[test]
fn a_file_ends_with_its_time_and_names_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = Rotation { every: Some(10 * SECOND), name: "day-%d.pcapng".to_owned(), ..rotation() };
    fs::write(dir.path().join("day-14_2.pcapng"), "somebody else's").unwrap();
    let mut deck = Deck::new(dir.path(), rotation);
    for _ in 0..3 {
        deck.begin(1);
        deck.at += 9 * SECOND;
        deck.item(1, Side::Client, Dir::In, "<presence/>");
        deck.at += SECOND;
    }
    deck.recorder.finish().unwrap();
    // Where nothing happens no file is begun.
    assert_eq!(names(dir.path()), ["day-14.pcapng", "day-14_2.pcapng", "day-14_3.pcapng", "day-14_4.pcapng"]);
    assert_eq!(fs::read_to_string(dir.path().join("day-14_2.pcapng")).unwrap(), "somebody else's");
    for name in ["day-14.pcapng", "day-14_3.pcapng", "day-14_4.pcapng"] {
        assert!(Tape::read(&dir.path().join(name)).text(0).ends_with("<presence/>"));
    }
}

#[test]
fn the_oldest_go_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let alien = dir.path().join("2001-01-01_000000.pcapng");
    fs::write(&alien, b"\n\r\r\nan older capture of somebody's").unwrap();
    let capped = || Rotation { total: Some(65_000), ..rotation() };
    let fill = |deck: &mut Deck| {
        for _ in 0..60 {
            deck.at += SECOND;
            deck.item(1, Side::Client, Dir::In, &format!("<message><body>{}</body></message>", "y".repeat(5_000)));
        }
    };
    let sum = || files(dir.path()).iter().filter(|f| **f != alien).map(|f| fs::metadata(f).unwrap().len()).sum::<u64>();
    let mut deck = Deck::new(dir.path(), capped());
    fill(&mut deck);
    deck.recorder.finish().unwrap();
    assert!(alien.exists());
    assert!((20_000..=65_000).contains(&sum()), "{}", sum());
    let before = files(dir.path());

    // A later process knows them; what has become something else meanwhile is left alone.
    let changed = &before[1];
    fs::write(changed, "notes of mine").unwrap();
    let mut deck = Deck::new(dir.path(), capped());
    deck.at += 1_000 * SECOND;
    fill(&mut deck);
    deck.recorder.finish().unwrap();
    assert_eq!(fs::read_to_string(changed).unwrap(), "notes of mine");
    assert!(before[2..].iter().all(|path| !path.exists()), "the earlier ones are gone");
    assert!(alien.exists() && sum() <= 65_000 + 20, "{}", sum());
}

#[test]
fn a_directory_is_one_recorders_and_names_are_plain() {
    let dir = tempfile::tempdir().unwrap();
    let first = Deck::new(dir.path(), rotation());
    let again = || Recorder::folder(dir.path(), rotation(), Section::default(), START);
    let said = again().unwrap_err().to_string();
    assert!(said.contains("another iqtap records there"), "{said}");
    drop(first);
    again().unwrap();

    // Its list is written to: it must be nobody else's file.
    let (list, other) = (dir.path().join(".iqtap-record"), dir.path().join("other"));
    assert_eq!(fs::metadata(&list).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&other, "precious").unwrap();
    for lay in [|from: &Path, to: &Path| symlink(from, to), |from: &Path, to: &Path| fs::hard_link(from, to)] {
        fs::remove_file(&list).unwrap();
        lay(&other, &list).unwrap();
        let said = again().unwrap_err().to_string();
        assert!(said.contains(".iqtap-record: is a link to something else"), "{said}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    }
    for (name, why) in [
        ("a/%d.pcapng", "it has a name and no path"),
        ("../x", "no path"),
        (".hidden", "no name for a file"),
        ("", "no name for a file"),
        ("%!", "strftime's signs are meant"),
    ] {
        let said = Rotation { name: name.to_owned(), ..rotation() }.check().unwrap_err();
        assert!(said.contains(why), "{name}: {said}");
    }
    rotation().check().unwrap();
}

#[test]
fn a_path_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    fs::write(&file, "").unwrap();
    assert_eq!(Target::of(Path::new("-")), Target::Output);
    assert_eq!(Target::of(dir.path()), Target::Folder(dir.path().to_owned()));
    assert_eq!(Target::of(Path::new("new/")), Target::Folder("new/".into()));
    assert_eq!(Target::of(&file), Target::File(file.clone()));
    assert!(!Target::of(&file).is_pipe());
    check(Path::new("new/")).unwrap();
    let said = check(&file.join("")).unwrap_err().to_string();
    assert!(said.contains("ends like a directory and is none"), "{said}");
}

#[test]
fn each_packets_policy_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let source = |letter: &str| -> Arc<str> { letter.repeat(64).into() };
    let policy = Mark { number: 1, source: source("a") };
    let mut deck = Deck::with(dir.path(), rotation(), Section { policy, ..Section::default() });
    let say = |deck: &mut Deck, session: u64, policy: u64, source: &Arc<str>, id: &str| {
        deck.recorder.under(session, policy, source);
        deck.item(session, Side::Client, Dir::In, &format!("<message id='{id}'/>"));
    };
    let [a, b] = ["a", "b"].map(source);
    say(&mut deck, 1, 1, &a, "one");
    say(&mut deck, 1, 2, &b, "two");
    say(&mut deck, 2, 1, &a, "late");
    say(&mut deck, 1, 2, &b, "three");
    say(&mut deck, 3, 2, &b, "new");
    let long = format!("<message><body>{}</body></message>", "z".repeat(20_000));
    deck.item(2, Side::Client, Dir::In, &long);
    say(&mut deck, 2, 1, &a, "later");
    say(&mut deck, 1, 2, &b, "four");
    deck.recorder.finish().unwrap();

    let [first, second] = &files(dir.path())[..] else { panic!("{:?}", files(dir.path())) };
    let (first, second) = (Tape::read(first), Tape::read(second));
    let [one, two] = [format!("policy 1 sha256:{a}"), format!("policy 2 sha256:{b}")];
    let said = |tape: &Tape, id: &str| tape.with(&format!("id='{id}'")).comments[1..].to_vec();
    assert_eq!(first.section, ["iqtap capture format 1", &one]);
    assert_eq!(said(&first, "one"), [""; 0]);
    assert_eq!(said(&first, "two"), [two.as_str()]);
    assert_eq!(said(&first, "late"), [""; 0], "a session that has it still");
    assert_eq!(said(&first, "three"), [""; 0]);
    assert_eq!(said(&first, "new"), [two.as_str()]);
    assert_eq!(second.section, ["iqtap capture format 1", &two]);
    assert_eq!(said(&second, "later"), [one.as_str()]);
    assert_eq!(said(&second, "four"), [""; 0]);
}

#[test]
fn behind_a_hole_conversations_begin_anew_and_nobody_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let mut deck = Deck::new(dir.path(), rotation());
    deck.begin(1);
    deck.item(1, Side::Client, Dir::In, "<message id='before'/>");
    deck.recorder.missed(5);
    deck.recorder.missed(7);
    deck.item(1, Side::Client, Dir::In, "<message id='behind'/>");
    // Its stream may have begun anew meanwhile, with a header that declares this.
    deck.item(1, Side::Client, Dir::In, "<iq type='set' id='1'><a:query><a:digest>hunter2</a:digest></a:query></iq>");
    deck.item(1, Side::Server, Dir::Out, "<message id='other'/>");
    deck.item(2, Side::Client, Dir::In, HEADER);
    deck.recorder.finish().unwrap();

    let path = &files(dir.path())[0];
    let tape = Tape::read(path);
    let hello = tape.packets.iter().filter(|p| p.syn && p.says("session 1, client leg")).nth(1).unwrap();
    assert_eq!(hello.comments[1], "after 12 events that were not recorded");
    let behind = tape.with("'behind'");
    assert!(behind.port == hello.port && behind.port != tape.with("'before'").port, "a conversation of its own");
    let stand_in = "this stands for a stream header that was not recorded";
    assert_eq!(tape.packets.iter().filter(|p| p.says(stand_in)).count(), 2, "one for each way that goes on");
    assert!(!tape.text(0).contains("hunter2"));
    assert_eq!(tape.missed, [("12 events were not recorded".to_owned(), 12)]);
    tshark_likes(path);
}

#[test]
fn secrets_are_recorded_only_when_that_is_asked_for_and_the_file_says_so() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAaHVudGVyMg==</auth>";
    for secrets in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let filter = secrets.then(|| "stanza.kind\n== \"iq\"".to_owned());
        let section = Section { secrets, filter, lossy: secrets, ..Section::default() };
        let mut deck = Deck::with(dir.path(), rotation(), section);
        deck.begin(1);
        deck.item(1, Side::Client, Dir::In, auth);
        deck.recorder.finish().unwrap();
        let tape = Tape::read(&files(dir.path())[0]);
        assert_eq!(tape.text(0).contains(auth), secrets);
        let said: &[&str] = match secrets {
            true => &["secrets are recorded", "only stanzas with stanza.kind\\u{a}== \"iq\"", "events may be missing"],
            false => &[],
        };
        assert_eq!(&tape.section[1..], said);
    }
}

/// What was sent, with what is said of it; what is repeated is left out.
fn told(tapes: &[Tape]) -> Vec<(String, String)> {
    let packets = tapes.iter().flat_map(|tape| &tape.packets).filter(|p| !p.payload.is_empty());
    let packets = packets.filter(|p| !p.says("repeated from an earlier file"));
    packets.map(|p| (p.comments[0].clone(), p.payload.clone())).collect()
}

#[test]
fn files_that_follow_one_another_say_what_one_file_says() {
    for seed in 0..30_u64 {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole.pcapng");
        let parts = dir.path().join("parts");
        fs::create_dir(&parts).unwrap();
        let size = 10_000 + seed * 1_000;
        let mut deck = Deck::new(&parts, Rotation { size, every: Some(seed * SECOND), ..rotation() });
        let mut alone = Recorder::file(&whole, Section::default()).unwrap();
        let mut state = seed;
        let mut dice = |sides: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        for number in 1..=300 {
            let session = dice(4);
            let side = [Side::Client, Side::Server][usize::try_from(dice(2)).unwrap()];
            let dir = if dice(2) == 0 { Dir::In } else { Dir::Out };
            let note = match dice(40) {
                0 => Note::Tls(side, TlsInfo::default()),
                1 => over(),
                2..5 => Note::Seen(Box::new(seen(side, dir, number, HEADER.into()))),
                5 => Note::Seen(Box::new(seen(side, dir, number, "</stream:stream>".into()))),
                _ => {
                    let length = usize::try_from(if dice(60) == 0 { 100_000 } else { dice(900) }).unwrap();
                    let text = format!("<message id='{number}'><body>{}</body></message>", "b".repeat(length));
                    Note::Seen(Box::new(seen(side, dir, number, text.into())))
                }
            };
            deck.at += dice(3) * SECOND / 2;
            deck.note(session, &note);
            alone.note(session, "192.0.2.1:7", Timestamp(deck.at), &note).unwrap();
        }
        deck.recorder.finish().unwrap();
        alone.finish().unwrap();
        let tapes: Vec<Tape> = files(&parts).iter().map(|path| Tape::read(path)).collect();
        assert!(tapes.len() > 3, "seed {seed}");
        // Names count seconds: those of one second are listed in their order up to the ninth.
        assert!(told(&tapes) == told(&[Tape::read(&whole)]), "seed {seed}");
        for (tape, path) in tapes.iter().zip(files(&parts)) {
            let mut open = Vec::new();
            for packet in &tape.packets {
                let talk = (packet.interface, packet.port, packet.session);
                assert!(packet.syn || open.contains(&talk), "{}: {packet:?}", path.display());
                if packet.syn {
                    open.push(talk);
                }
            }
        }
    }
}
