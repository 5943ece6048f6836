//! Lists in files of their own: `list("blocked.txt")`, read when the script is compiled.
//!
//! Takes a script's text, finds the names in it and reads the files beside the script; gives lists to look up in. Must not
//! touch a file while a hook runs.

use super::engine::{Fallible, fail};
use super::jid;
use super::{LoadError, budget, literals, members};
use rhai::{Dynamic, Engine, FuncRegistration, ImmutableString};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a file.
const BYTES: usize = 16 << 20;
/// Entries of a list.
const ENTRIES: usize = 1_000_000;
/// What looking for one text counts for.
const LOOKS: usize = 30;

/// A list as scripts see it; all copies share it.
#[derive(Clone, Debug)]
pub(super) struct List(Arc<Entries>);

/// Texts in order, in one piece: a million short ones cost little more than their file.
#[derive(Debug)]
struct Entries {
    text: String,
    /// Where each begins and ends.
    places: Vec<(u32, u32)>,
    /// How many there are as they were written: addresses are there prepared as well.
    len: usize,
}

/// The lists of a script by the names it uses.
pub(super) type Lists = BTreeMap<String, List>;

/// Reads the lists that a script names; gives their files as well.
///
/// # Errors
/// The first that cannot be read, or is none.
pub(super) fn read(path: &Path, text: &str) -> Result<(Lists, Vec<PathBuf>), LoadError> {
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let (mut lists, mut files) = (Lists::new(), Vec::new());
    for call in literals::calls(text, "list") {
        if lists.contains_key(&call.text) {
            continue;
        }
        let file = folder.join(&call.text);
        let refused = |why: String| {
            let message = format!("list({:?}): {why}", call.text);
            LoadError { path: path.to_owned(), line: call.line, column: call.column, message }
        };
        let entries = read_file(&file).map_err(&refused)?;
        // The mark that some editors put first is no part of the first entry.
        let entries = entries.strip_prefix('\u{feff}').unwrap_or(&entries);
        let entries = entries.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let list = List::new(entries).map_err(|why| refused(format!("{}: {why}", file.display())))?;
        lists.insert(call.text, list);
        files.push(file);
    }
    Ok((lists, files))
}

fn read_file(path: &Path) -> Result<String, String> {
    let cannot = |why: std::io::Error| format!("{} cannot be read: {why}", path.display());
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut text = String::new();
    let most = u64::try_from(BYTES + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_string(&mut text).map_err(cannot)?;
    if text.len() > BYTES {
        return Err(format!("{} is longer than {BYTES} bytes", path.display()));
    }
    Ok(text)
}

impl List {
    /// # Errors
    /// If there are too many.
    fn new<'a>(entries: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut all: Vec<Cow<'a, str>> = entries.map(Cow::Borrowed).collect();
        if all.len() > ENTRIES {
            return Err(format!("a list may have {ENTRIES} entries, and this one has {}", all.len()));
        }
        all.sort_unstable();
        all.dedup();
        let len = all.len();
        let prepared = |entry: &Cow<'a, str>| jid::prepare(entry).map(|jid| jid.as_str().to_owned());
        let prepared: Vec<_> = all.iter().filter_map(|entry| prepared(entry).filter(|jid| jid != entry)).collect();
        all.extend(prepared.into_iter().map(Cow::Owned));
        all.sort_unstable();
        all.dedup();
        let (mut text, mut places) = (String::new(), Vec::with_capacity(all.len()));
        let end = |text: &String| u32::try_from(text.len()).unwrap_or(u32::MAX);
        for entry in all {
            let begin = end(&text);
            text.push_str(&entry);
            places.push((begin, end(&text)));
        }
        Ok(Self(Arc::new(Entries { text, places, len })))
    }

    fn holds(&self, text: &str) -> bool {
        let Entries { text: all, places, .. } = &*self.0;
        let entry = |(begin, end): &(u32, u32)| all.get(*begin as usize..*end as usize).unwrap_or_default();
        places.binary_search_by(|place| entry(place).cmp(text)).is_ok()
    }

    fn contains(&self, value: &Dynamic) -> Fallible<bool> {
        budget::look(LOOKS)?;
        if value.is_unit() {
            return Ok(false);
        }
        if value.as_immutable_string_ref().is_ok_and(|text| self.holds(&text)) {
            return Ok(true);
        }
        let jid = jid::prepared("contains", value)?;
        Ok(jid.is_some_and(|jid| self.holds(jid.as_str())))
    }

    fn covers(&self, value: &Dynamic) -> Fallible<bool> {
        budget::look(3 * LOOKS)?;
        let jid = jid::prepared("covers", value)?;
        Ok(jid.is_some_and(|jid| {
            let (full, domain) = (jid.as_str(), jid.domain().as_str());
            self.holds(full) || self.holds(crate::xmpp::jid::bare(full)) || self.holds(domain)
        }))
    }
}

/// Registers `list` for one script, with the lists it has.
pub(super) fn register(engine: &mut Engine, lists: Lists) {
    engine.register_type_with_name::<List>("List");
    let find = move |name: &str| -> Fallible<List> {
        let Some(list) = lists.get(name) else {
            return fail(format!(
                "list({name:?}): no such list was read when the script was loaded: its name must stand in the script as it is, as in list(\"blocked.txt\")"
            ));
        };
        Ok(list.clone())
    };
    engine.register_fn("list", find);
    engine.register_indexer_get(|_: &mut List, name: &str| members::no_property::<Dynamic>("List", name));
    let pure = |name: &str| FuncRegistration::new(name).with_purity(true);
    pure("contains").register_into_engine(engine, |list: &mut List, value: Dynamic| list.contains(&value));
    pure("covers").register_into_engine(engine, |list: &mut List, value: Dynamic| list.covers(&value));
    let len = |list: &mut List| i64::try_from(list.0.len).unwrap_or(i64::MAX);
    pure("len").register_into_engine(engine, len);
    for name in ["to_string", "to_debug"] {
        let written = |list: &mut List| ImmutableString::from(format!("list of {}", list.0.len));
        pure(name).register_into_engine(engine, written);
    }
}
