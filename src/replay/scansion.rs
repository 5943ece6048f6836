//! Recorded sessions as a script for Scansion, the test tool of Prosody: what each client sends, and what it gets.
//!
//! Takes a capture's events, gives text. Of each client what it saw is taken: in our own recording its leg. Addresses of
//! clients in the script are written as Scansion's names for them, times and the ids that others have chosen as `{scansion:any}`. A
//! recording holds no password: `password` stands for it. Must not tell of what is no stanza: Scansion negotiates by itself.

use super::script::{Deed, Scene, Script};
use crate::capture::read::Event;
use crate::session::Dir;
use crate::xml::{Element, Scope, parse_str, write_element};
use crate::xmpp::{Side, Timestamp, jid, ns};
use bytes::BytesMut;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Anything.
const ANY: &str = "{scansion:any}";

/// Sessions, on their way into a script.
#[derive(Debug)]
pub struct Scansion {
    script: Script,
}

/// One client of the script.
struct Actor {
    name: String,
    full: String,
    sent: BTreeSet<String>,
}

impl Scansion {
    /// Of one session, or of all.
    #[must_use]
    pub fn new(session: Option<u64>) -> Self {
        Self { script: Script::new(session) }
    }

    /// Something happened in the capture.
    ///
    /// # Errors
    /// If it is too long.
    pub fn event(&mut self, event: &Event) -> Result<(), String> {
        self.script.event(event)
    }

    /// The script's text. `name` is what was recorded, for its first line.
    ///
    /// # Errors
    /// Why there is none.
    pub fn finish(self, name: &str) -> Result<String, String> {
        let scenes = self.script.finish();
        if scenes.is_empty() {
            return Err("no session in it has bound a resource and gone on: there is nothing to play".to_owned());
        }
        let mut actors: Vec<Actor> = Vec::new();
        for scene in &scenes {
            let full = scene.jid.clone().unwrap_or_default();
            let name = name_for(&full, &actors);
            actors.push(Actor { name, full, sent: BTreeSet::new() });
        }
        let mut out = format!("# {}\n\n", name.replace(char::is_control, " "));
        for Actor { name, full, .. } in &actors {
            let resource = jid::resource(full).unwrap_or_default();
            let _ = writeln!(
                out,
                "[Client] {name}\n\tjid: {}\n\tpassword: password\n\tresource: {resource}\n",
                jid::bare(full)
            );
        }
        out.push_str("-----\n");
        act(&scenes, &mut actors, &mut out);
        Ok(out)
    }
}

/// All that happens, in its order.
fn act(scenes: &[Scene], actors: &mut [Actor], out: &mut String) {
    let mut deeds: Vec<(Timestamp, usize, &Deed)> = Vec::new();
    for (who, scene) in scenes.iter().enumerate() {
        deeds.extend(scene.deeds.iter().filter(|deed| is_seen(scene, deed)).map(|deed| (deed.at, who, deed)));
    }
    deeds.sort_by_key(|(at, ..)| *at);
    let mut here = vec![false; actors.len()];
    for (_, who, deed) in deeds {
        let Some(actor) = actors.get(who) else { continue };
        let name = actor.name.clone();
        if !here.get(who).copied().unwrap_or(true) {
            let _ = write!(out, "\n{name} connects\n");
            here.iter_mut().skip(who).take(1).for_each(|here| *here = true);
        }
        let sends = deed.side == Side::Client && deed.dir == Dir::In;
        if deed.closes {
            if sends {
                let _ = write!(out, "\n{name} disconnects\n");
            }
            continue;
        }
        let Some(mut tree) = std::str::from_utf8(&deed.bytes).ok().and_then(|text| parse_str(text).ok()) else {
            continue;
        };
        if tree.child(ns::SESSION, "session").is_some() {
            continue;
        }
        if sends {
            let id = tree.attr("id").map(str::to_owned);
            actors.iter_mut().skip(who).take(1).for_each(|actor| actor.sent.extend(id.clone()));
        } else if tree.attr("id").is_some_and(|id| actors.get(who).is_none_or(|actor| !actor.sent.contains(id))) {
            tree.set_attr("id", ANY);
        }
        named(&mut tree, actors, !sends);
        let verb = if sends { "sends" } else { "receives" };
        let _ = write!(out, "\n{name} {verb}:\n\t{}\n", text(&tree));
    }
    for (actor, _) in actors.iter().zip(&here).filter(|(_, here)| **here) {
        if !out.contains(&format!("\n{} disconnects\n", actor.name)) {
            let _ = write!(out, "\n{} disconnects\n", actor.name);
        }
    }
}

/// Whether a client took part in it: of two legs, its own.
fn is_seen(scene: &Scene, deed: &Deed) -> bool {
    let stanza = deed.stanza.is_some() || deed.closes;
    stanza && (!scene.ours || deed.side == Side::Client)
}

/// Puts names for the addresses of clients; in what is received also for what no two runs have in common.
fn named(tree: &mut Element, actors: &[Actor], received: bool) {
    for attr in &mut tree.attrs {
        for Actor { name, full, .. } in actors {
            if attr.value == *full {
                attr.value = format!("${{{name}'s full JID}}");
            }
        }
        if received && attr.name == "stamp" {
            attr.value = ANY.to_owned();
        }
    }
    for child in tree.children_mut() {
        named(child, actors, received);
    }
}

/// On one line. Scansion puts what its names stand for into the text as it is: they are not escaped.
fn text(tree: &Element) -> String {
    let mut bytes = BytesMut::new();
    write_element(tree, Scope::Stream, &mut bytes);
    let text = String::from_utf8_lossy(&bytes).replace('\r', "&#13;").replace('\n', "&#10;").replace('\t', "&#9;");
    let mut pieces = text.split("'${");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once("&apos;s full JID}'") {
            Some((name, rest)) => out.push_str(&format!("\"${{{name}'s full JID}}\"{rest}")),
            None => out.extend(["'${", piece]),
        }
    }
    out
}

/// The local part, in title case, with a number if there was one of that name.
fn name_for(full: &str, known: &[Actor]) -> String {
    let local = full.split('@').next().unwrap_or_default();
    let plain: String = local.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut letters = plain.chars();
    let title = letters
        .next()
        .map_or_else(|| "Client".to_owned(), |first| first.to_ascii_uppercase().to_string() + letters.as_str());
    let taken = |name: &str| known.iter().any(|actor| actor.name == name);
    if !taken(&title) {
        return title;
    }
    (2..).map(|number| format!("{title}{number}")).find(|name| !taken(name)).unwrap_or(title)
}
