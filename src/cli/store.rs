//! `iqtap store`: what is kept, for people and for programs, and how to get rid of it.

use super::ca::{data_directory, default_store};
use super::{Failure, print};
use crate::config::Config;
use crate::keep::{Change, NOBODY, Op, Store};
use crate::net::printable;
use crate::store::{FileStore, OpenError};
use crate::xmpp::jid::BareJid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Arguments of `iqtap store`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The store holds what clients have had iqtap keep in the server's place: vCards, blocked addresses, private storage
(bookmarks, and the passwords of rooms in them), and what scripts keep for all sessions (space \"shared\", account \"\"). It is open to
its owner only; an export is, too.

Examples:
  iqtap store list                                  what is kept, for whom
  iqtap store list --space jabber:iq:private        only that namespace's
  iqtap store list --space shared                   only what scripts keep
  iqtap store export -o kept.json                   everything, secrets included
  iqtap store clear --account juliet@example.org    says what would go; --yes does it

Exit codes: 0 fine, 2 there is no such store or nothing was done for want of --yes, 3 a running iqtap has it open."
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is kept, without its contents
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        place: Place,
    },
    /// Write all that is kept as JSON, private storage and the passwords in it included
    Export {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        place: Place,
        /// Write to this file, for its owner only, instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Delete what is kept
    Clear {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        place: Place,
        /// Do it, and do not only say what would go
        #[arg(long)]
        yes: bool,
    },
}

/// Which entries.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only what is kept for this account; \"\" is what belongs to none
    #[arg(long, value_name = "JID", value_parser = parse_account)]
    account: Option<String>,
    /// Only what is kept in this space: mostly a namespace
    #[arg(long, value_name = "NS")]
    space: Option<String>,
}

impl Which {
    fn is(&self, account: &str, space: &str) -> bool {
        self.account.as_ref().is_none_or(|only| only == account) && self.space.as_ref().is_none_or(|only| only == space)
    }
}

fn parse_account(text: &str) -> Result<String, String> {
    if text == NOBODY {
        return Ok(text.to_owned());
    }
    let bare = BareJid::new(text).map_err(|why| format!("no bare JID (such as juliet@example.org): {why}"))?;
    Ok(bare.to_string())
}

/// Where the store is.
#[derive(Debug, clap::Args)]
struct Place {
    /// The store's file [default: that of the configuration, or else iqtap.redb in the data directory]
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    /// A configuration that names it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory [default: $IQTAP_DATA_DIR, or else the user's]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn open(&self) -> Result<FileStore, Failure> {
        FileStore::open_existing(&self.path()?).map_err(|error| match error {
            OpenError::InUse(path) => Failure::runtime(format!(
                "{}: a running iqtap has this store open; stop it first, or name another file with --store",
                path.display()
            )),
            error => Failure::usage(error),
        })
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        let config = match &self.config {
            Some(path) => Config::from_file(path).map_err(Failure::usage)?,
            None => Config::default(),
        };
        match self.store.clone().or(config.store) {
            Some(path) => Ok(path),
            None => Ok(default_store(&data_directory(self.data_dir.clone().or(config.data_dir))?)),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List { which, place } => list(&mut place.open()?, which),
        Command::Export { which, place, output } => export(&mut place.open()?, which, output.as_deref()),
        Command::Clear { which, place, yes } => clear(&mut place.open()?, which, *yes),
    }
}

fn list(store: &mut FileStore, which: &Which) -> Result<(), Failure> {
    let mut rows = vec![["account", "space", "name", "bytes"].map(str::to_owned)];
    let each = |account: &str, space: &str, name: &str, value: &[u8]| {
        if which.is(account, space) {
            rows.push([shown(account), shown(space), shown(name), value.len().to_string()]);
        }
    };
    store.each(each).map_err(Failure::runtime)?;
    let entries = rows.len() - 1;
    let text = if entries == 0 { String::new() } else { table(&rows) };
    print::out(&format!("{text}{}\n", counted(entries)));
    Ok(())
}

/// A word of a table: what may be nothing is seen all the same.
fn shown(text: &str) -> String {
    if text.is_empty() { "\"\"".to_owned() } else { printable(text).into_owned() }
}

/// Rows in columns; the last one is of numbers.
fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [account, space, name, bytes] in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{account:<a$}  {space:<b$}  {name:<c$}  {bytes:>d$}");
    }
    text
}

fn counted(entries: usize) -> String {
    if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") }
}

fn export(store: &mut FileStore, which: &Which, output: Option<&Path>) -> Result<(), Failure> {
    let mut entries = Vec::new();
    let each = |account: &str, space: &str, name: &str, value: &[u8]| {
        if which.is(account, space) {
            let value = match std::str::from_utf8(value) {
                Ok(text) => Value::from(text),
                Err(_) => json!({ "base64": STANDARD.encode(value) }),
            };
            entries.push(json!({ "account": account, "space": space, "name": name, "value": value }));
        }
    };
    store.each(each).map_err(Failure::runtime)?;
    let mut text = serde_json::to_string_pretty(&entries).map_err(Failure::runtime)?;
    text.push('\n');
    let Some(path) = output else {
        print::out(&text);
        return Ok(());
    };
    write_private(path, &text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    print::aside(&format!("{} in {}\n", counted(entries.len()), path.display()));
    Ok(())
}

/// Writes a file that only its owner can read, also if it was there before.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    #[cfg(unix)]
    if file.metadata()?.is_file() {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())
}

fn clear(store: &mut FileStore, which: &Which, yes: bool) -> Result<(), Failure> {
    let mut spaces = BTreeMap::<(String, String), usize>::new();
    let each = |account: &str, space: &str, _: &str, _: &[u8]| {
        if which.is(account, space) {
            *spaces.entry((account.to_owned(), space.to_owned())).or_default() += 1;
        }
    };
    store.each(each).map_err(Failure::runtime)?;
    let entries: usize = spaces.values().sum();
    if entries == 0 {
        print::out("nothing of that is kept\n");
        return Ok(());
    }
    if !yes {
        for ((account, space), count) in &spaces {
            print::out(&format!("{} {}: {}\n", shown(account), shown(space), counted(*count)));
        }
        return Err(Failure::usage(format!("{} would go for good; add --yes if that is meant", counted(entries))));
    }
    let clear = |(account, space): (String, String)| Op::Write {
        account,
        changes: vec![Change::Clear(space.into())],
        most: usize::MAX,
    };
    let ops: Vec<Op> = spaces.into_keys().map(clear).collect();
    for done in store.run(&ops) {
        done.map_err(Failure::runtime)?;
    }
    print::out(&format!("{} gone\n", counted(entries)));
    Ok(())
}
