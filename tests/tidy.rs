//! The rules of the house, read from the source: who may know whom, which names belong to which room, how long a file
//! may be. Each complaint names file and line and the rule (ARCHITECTURE.md says why each rule is there).

#![expect(clippy::panic, reason = "a file that cannot be read cannot be judged")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every room of `src/`, and the rooms it may use. A room may use only rooms that stand above it in this table, so that
/// there can be no circle.
const ROOMS: &[(&str, &[&str])] = &[
    ("xml", &[]),
    ("xmpp", &["xml"]),
    ("login", &["xml", "xmpp"]),
    ("rules", &["xml", "xmpp"]),
    ("keep", &[]),
    ("answer", &["xml", "xmpp", "keep"]),
    ("script", &["xml", "xmpp", "keep"]),
    ("policy", &["xml", "xmpp", "rules", "answer", "script"]),
    ("session", &["xml", "xmpp", "rules", "keep", "answer", "script", "policy"]),
    ("config", &["xml", "xmpp", "rules", "answer", "script", "policy"]),
    ("store", &["keep"]),
    ("capture", &["xml", "xmpp", "rules", "session"]),
    ("inspect", &["xml", "xmpp", "rules", "script", "session"]),
    ("play", &["xml", "xmpp", "rules", "keep", "script", "policy", "session", "config", "store"]),
    ("versus", &["xml", "xmpp", "rules", "script", "policy", "session", "capture", "play"]),
    ("replay", &["xml", "xmpp", "login", "rules", "keep", "policy", "session", "config", "store", "capture", "play"]),
    ("loopback", &["xml", "xmpp", "login"]),
    (
        "net",
        &[
            "xml", "xmpp", "login", "rules", "keep", "script", "policy", "session", "config", "store", "capture",
            "replay",
        ],
    ),
    ("web", &["xmpp", "rules", "session", "inspect", "net"]),
    (
        "cli",
        &[
            "xml", "xmpp", "login", "rules", "keep", "answer", "script", "policy", "session", "config", "store",
            "capture", "inspect", "replay", "play", "versus", "loopback", "net", "web",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// The rooms that live outside of the pure world.
const SHELL: &[&str] = &["net", "web", "loopback", "store", "cli", "main"];

/// Names that only some rooms may say.
const NAMES: &[(&str, &[&str], &str)] = &[
    ("tokio", SHELL, "the core is driven, it does not wait"),
    ("std::fs", SHELL, "the core touches no file"),
    ("std::thread", SHELL, "the core starts no thread"),
    ("TcpStream", SHELL, "the core touches no socket"),
    ("TcpListener", SHELL, "the core touches no socket"),
    ("UdpSocket", SHELL, "the core touches no socket"),
    ("ToSocketAddrs", SHELL, "the core asks no name server"),
    ("Instant", SHELL, "the core is told the time"),
    ("SystemTime", SHELL, "the core is told the time"),
    ("xml_rs", &["xml"], "one room knows the XML parser"),
    ("rhai", &["script"], "one room knows the script engine"),
    ("regex", &["script"], "one room knows the patterns"),
    ("pcap_file", &["capture"], "one room knows the capture format"),
    ("etherparse", &["capture"], "one room knows packets"),
    ("indicatif", &["cli"], "only commands show how far they are"),
    ("redb", &["store"], "one room knows how the store's file is made"),
    ("notify", &["net"], "one room knows how files are watched"),
    ("rustls", &["net"], "one room knows TLS"),
    ("tokio_rustls", &["net"], "one room knows TLS"),
];

/// Files that may say a name all the same, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/config.rs", "std::fs", "reads the configuration file it is named for"),
    ("src/config/answers.rs", "std::fs", "reads the answers that were written down, when a policy is made"),
    ("src/config/source.rs", "std::fs", "reads what a policy was made of, to name it by its hash"),
    ("src/script/mod.rs", "std::fs", "reads scripts when they are compiled, never while one runs"),
    ("src/play/shelf.rs", "std::fs", "reads books, before any is played"),
    ("src/script/lists.rs", "std::fs", "reads the lists of a script when it is compiled, never while one runs"),
    ("src/capture/place.rs", "std::fs", "creates the capture file, readable by its owner only"),
    ("src/capture/folder.rs", "std::fs", "lets capture files follow one another in a directory"),
];

/// No file may be longer: one file, one idea.
const LONGEST: usize = 600;

#[test]
fn imports_point_one_way() {
    for (at, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            let above = ROOMS[..at].iter().any(|(name, _)| name == used);
            assert!(above, "the table itself: {room} may not use {used}, which does not stand above it");
        }
    }
    complain(&sources(), |file, complaints| {
        let Some((_, uses)) = ROOMS.iter().find(|(name, _)| *name == file.room) else {
            complaints.push((1, format!("the room '{}' is not in the table of rooms (tests/tidy.rs)", file.room)));
            return;
        };
        for (line, used) in file.rooms_used() {
            if used != file.room && ROOMS.iter().any(|(name, _)| *name == used) && !uses.contains(&used.as_str()) {
                complaints.push((line, format!("'{}' may not use '{used}'", file.room)));
            }
        }
        // The way up must end in the room: `super::super::x` from its first floor is `crate::x` in disguise.
        for (line, code) in file.code() {
            if code.contains(&"super::".repeat(file.floor + usize::from(line > file.inline_from) + 1)) {
                complaints.push((line, format!("'super' leads out of '{}': write crate::", file.room)));
            }
        }
    });
}

#[test]
fn names_stay_in_their_rooms() {
    complain(&sources(), |file, complaints| {
        for (name, rooms, why) in NAMES {
            let excepted = EXCEPTIONS.iter().any(|(path, known, _)| *path == file.name && known == name);
            if rooms.contains(&file.room.as_str()) || excepted {
                continue;
            }
            for (line, code) in file.code() {
                if says(&code, name) {
                    complaints.push((line, format!("'{name}' has no place in '{}': {why}", file.room)));
                }
            }
        }
    });
}

#[test]
fn every_exception_is_needed() {
    let files = sources();
    for (path, name, _) in EXCEPTIONS {
        let needed = files.iter().any(|f| f.name == *path && f.code().any(|(_, code)| says(&code, name)));
        assert!(needed, "{path} does not say '{name}' any more: take it off the list of exceptions");
    }
}

#[test]
fn files_are_short_and_begin_with_what_they_are_for() {
    complain(&sources(), |file, complaints| {
        let lines = file.text.lines().count();
        if lines > LONGEST {
            complaints.push((lines, format!("{lines} lines; the limit is {LONGEST}")));
        }
    });
    let mut all = sources();
    all.extend(files("tests", "rs"));
    all.extend(files("fuzz/fuzz_targets", "rs"));
    complain(&all, |file, complaints| {
        if !file.text.starts_with("//!") {
            complaints.push((1, "a file begins with //!, what it is for".to_owned()));
        }
    });
}

#[test]
fn nothing_is_left_open() {
    let unfinished = ["todo!", "unimplemented!", concat!("FIX", "ME"), concat!("X", "XX")];
    complain(&sources(), |file, complaints| {
        for (at, text) in file.text.lines().enumerate() {
            if let Some(mark) = unfinished.iter().find(|mark| text.contains(**mark)) {
                complaints.push((at + 1, format!("'{mark}': finish it, or write an issue")));
            }
        }
    });
    let bare = concat!("#[ig", "nore]");
    let mut all = sources();
    all.extend(files("tests", "rs"));
    complain(&all, |file, complaints| {
        for (at, _) in file.text.lines().enumerate().filter(|(_, text)| text.contains(bare)) {
            complaints.push((at + 1, format!("{bare} without a reason: {}", bare.replace(']', " = \"why\"]"))));
        }
    });
}

#[test]
fn every_script_has_its_play() {
    complain(&files("scripts", "rhai"), |file, complaints| {
        // What tells editors of scripts is none.
        if !file.name.ends_with(".d.rhai") && !file.path.with_extension("play").exists() {
            complaints.push((1, "a script of the gallery has a .play beside it that shows and proves it".to_owned()));
        }
    });
}

/// A source file.
struct Source {
    path: PathBuf,
    /// Its path as people write it.
    name: String,
    /// The room it belongs to: the first part of its path below `src/`.
    room: String,
    /// How many modules lie between it and the room's own.
    floor: usize,
    text: String,
    /// The line from which on it is an inline module (`mod tests`), if it has one.
    inline_from: usize,
}

impl Source {
    /// The lines with their numbers, what stands in quotes and comments taken off.
    fn code(&self) -> impl Iterator<Item = (usize, String)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, without_quotes_and_comments(line)))
    }

    /// The first names of all `crate::` paths, groups included.
    fn rooms_used(&self) -> Vec<(usize, String)> {
        let code: String = self.code().map(|(_, line)| line + "\n").collect();
        let mut used = Vec::new();
        for (at, path) in code.match_indices("crate::") {
            let line = 1 + code[..at].matches('\n').count();
            let rest = &code[at + path.len()..];
            match rest.strip_prefix('{') {
                Some(group) => used.extend(firsts_of_group(group).map(|name| (line, name))),
                None => used.push((line, first_name(rest))),
            }
        }
        used
    }
}

/// A line of code with its strings emptied and its comment gone. A string of several lines is code to it, in the middle:
/// wrong, and harmless so far.
fn without_quotes_and_comments(line: &str) -> String {
    let (mut kept, mut inside, mut before) = (String::new(), false, ' ');
    for c in line.replace("'\"'", "").replace(r#"'\"'"#, "").replace(r"\\", "").chars() {
        if c == '"' && before != '\\' {
            inside = !inside;
        } else if !inside {
            kept.push(c);
        }
        before = c;
    }
    if let Some(at) = kept.find("//") {
        kept.truncate(at);
    }
    kept
}

/// The first name of each member of `{a::b, c::{d, e}}`, given what follows the brace.
fn firsts_of_group(group: &str) -> impl Iterator<Item = String> {
    let (mut depth, mut members, mut member) = (0_usize, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(std::mem::take(&mut member)),
            _ => {}
        }
        if c != ',' || depth > 0 {
            member.push(c);
        }
    }
    members.push(member);
    members.into_iter().map(|member| first_name(member.trim_start())).filter(|name| !name.is_empty())
}

fn first_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether code says a name as a whole word.
fn says(code: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    // `x.rhai` is the name of a file.
    let longer = |c: char| word(c) || c == '.';
    code.match_indices(name).any(|(at, _)| !code[..at].ends_with(longer) && !code[at + name.len()..].starts_with(word))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let sources = files("src", "rs");
    assert!(!sources.is_empty(), "src/ is empty?");
    sources
}

/// All files under a folder whose name ends so, in order; none if the folder is not there.
fn files(folder: &str, extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    gather(&root().join(folder), extension, &mut found);
    found.sort();
    found.into_iter().map(|path| source(path, folder)).collect()
}

fn gather(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            gather(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

fn source(path: PathBuf, folder: &str) -> Source {
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let name = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().replace('\\', "/");
    let inside = name.strip_prefix(folder).unwrap_or(&name).trim_start_matches('/').to_owned();
    let modules: Vec<&str> = inside.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    let inline = text.lines().position(|line| line.starts_with("mod ") && line.ends_with('{'));
    Source {
        room: modules.first().map_or_else(String::new, |room| (*room).to_owned()),
        floor: modules.len().saturating_sub(1),
        inline_from: inline.map_or(usize::MAX, |at| at + 1),
        path,
        name,
        text,
    }
}

/// Looks at each file and fails with all complaints at once.
fn complain(files: &[Source], look: impl Fn(&Source, &mut Vec<(usize, String)>)) {
    let mut all = Vec::new();
    for file in files {
        let mut complaints = Vec::new();
        look(file, &mut complaints);
        all.extend(complaints.into_iter().map(|(line, why)| format!("{}:{line}: {why}", file.name)));
    }
    assert!(all.is_empty(), "{} complaints\n{}\n", all.len(), all.join("\n"));
}

#[test]
fn the_reader_of_imports_can_read() {
    let text =
        "use crate::xml::{Head, View};\nuse crate::{\n    policy::Policy,\n    xmpp::{Side, ns},\n};\n// crate::net\n";
    let file = Source {
        path: PathBuf::new(),
        name: String::new(),
        room: String::new(),
        floor: 0,
        text: text.to_owned(),
        inline_from: usize::MAX,
    };
    let used: Vec<String> = file.rooms_used().into_iter().map(|(line, room)| format!("{line} {room}")).collect();
    assert_eq!(used, ["1 xml", "2 policy", "2 xmpp"]);
    assert_eq!(without_quotes_and_comments(r#"a("x\" // y", '"'); b("") // tokio"#), "a(, ); b() ");
    assert!(says("use std::fs;", "std::fs") && !says("use tokio_rustls::x;", "tokio"));
}
