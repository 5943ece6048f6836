//! Names that are known to be in a capture, and finding them in texts.
//!
//! What looks like an address (`juliet@capulet.example`, with or without a resource) is one, known or not. Lone domains and
//! names are found as whole words if they are known and not too short to be anything else.

use super::pseudonym::Key;
use crate::xmpp::jid;
use std::collections::{BTreeMap, BTreeSet};

/// Shorter names are not looked for alone.
const SHORTEST: usize = 3;

/// The names of a capture, in lower case.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What stands before an `@`, nicknames, names on rosters.
    names: BTreeSet<String>,
    /// Those of several words.
    long_names: BTreeSet<String>,
    domains: BTreeSet<String>,
    /// Resources, by bare address.
    resources: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    pub(super) fn address(&mut self, text: &str) {
        let (bare, domain) = (jid::bare(text), jid::domain(text));
        if domain.is_empty() || bare.contains(char::is_whitespace) {
            return;
        }
        self.domains.insert(domain.to_lowercase());
        if let Some((local, _)) = bare.split_once('@') {
            self.name(local);
        }
        let resources = self.resources.entry(bare.to_lowercase()).or_default();
        resources.extend(jid::resource(text).map(str::to_owned));
    }

    pub(super) fn name(&mut self, name: &str) {
        let name = name.trim().to_lowercase();
        if name.chars().count() < SHORTEST {
            return;
        }
        if name.chars().all(is_word) {
            self.names.insert(name)
        } else {
            self.long_names.insert(name)
        };
    }

    /// Whether a text is an address that was seen as one.
    pub(super) fn is_address(&self, text: &str) -> bool {
        self.resources.contains_key(&jid::bare(text).to_lowercase())
    }

    /// A text of people: addresses, domains and names in it.
    pub(super) fn replace(&self, text: &str, key: &Key) -> String {
        let (mut text, lower) = (text.to_owned(), text.to_lowercase());
        for name in self.long_names.iter().filter(|name| lower.contains(name.as_str())) {
            text = replace_folded(&text, name, &key.name(name));
        }
        self.each_piece(&text, key, &|run| self.words(run, key))
    }

    /// A text that means something by itself: addresses in it, and domains if they have a dot; a domain without one only if it is all.
    pub(super) fn replace_addresses(&self, text: &str, key: &Key) -> String {
        if self.is_address(text) {
            return key.jid(text);
        }
        self.each_piece(text, key, &|word| self.word(word, false, key))
    }

    /// A text in which names stand in quotes.
    pub(super) fn replace_quoted(&self, text: &str, key: &Key) -> String {
        let quoted = |(at, piece): (usize, &str)| match at % 2 {
            1 if self.is_address(piece) => key.jid(piece),
            1 => self.replace(piece, key),
            _ => self.replace_addresses(piece, key),
        };
        text.split('"').enumerate().map(quoted).collect::<Vec<_>>().join("\"")
    }

    /// A run of letters and signs: a name as a whole, or the names in it.
    fn words(&self, run: &str, key: &Key) -> Option<String> {
        if let Some(whole) = self.word(run, true, key) {
            return Some(whole);
        }
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        let (mut out, mut rest, mut found) = (String::new(), run, false);
        while !rest.is_empty() {
            let len = rest.find(|c| !plain(c)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(len);
            let core = part.trim_matches(['.', '-', '_']);
            match self.word(core, true, key).filter(|_| !core.is_empty()) {
                Some(made) => {
                    found = true;
                    out += &part.replacen(core, &made, 1);
                }
                None => out.push_str(part),
            }
            let sign = after.chars().next().map_or(0, char::len_utf8);
            let (sign, after) = after.split_at(sign);
            out.push_str(sign);
            rest = after;
        }
        found.then_some(out)
    }

    /// A lone word.
    fn word(&self, word: &str, names: bool, key: &Key) -> Option<String> {
        let lower = word.to_lowercase();
        let bare = lower.trim_end_matches(['.', '-']);
        if bare.contains('.') && self.is_domain(bare) {
            return Some(key.domain(bare) + word.get(bare.len()..).unwrap_or_default());
        }
        if !names {
            return None;
        }
        if self.names.contains(bare) {
            return Some(key.name(bare) + word.get(bare.len()..).unwrap_or_default());
        }
        self.domains.contains(bare).then(|| key.domain(bare) + word.get(bare.len()..).unwrap_or_default())
    }

    /// Whether it is a known domain, or stands below one.
    fn is_domain(&self, domain: &str) -> bool {
        let mut rest = Some(domain);
        while let Some(suffix) = rest.filter(|suffix| suffix.contains('.')) {
            if self.domains.contains(suffix) {
                return true;
            }
            rest = suffix.split_once('.').map(|(_, rest)| rest);
        }
        false
    }

    /// Goes through a text: addresses are replaced, each word between them is asked for.
    fn each_piece(&self, text: &str, key: &Key, word: &dyn Fn(&str) -> Option<String>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(|c| is_word(c) || c == '@') {
            let (before, from) = rest.split_at(start);
            out.push_str(before);
            let len = from.find(|c| !is_word(c)).unwrap_or(from.len());
            let (run, after) = from.split_at(len);
            match after.strip_prefix('@').map(|after| (after, domain_len(after))) {
                Some((after, domain)) if !run.is_empty() && domain > 0 => {
                    let (domain, after) = after.split_at(domain);
                    let bare = format!("{run}@{domain}");
                    let resource = self.resource(&bare, after);
                    out += &key.jid(&bare);
                    if let Some(resource) = resource.and_then(|len| after.get(1..=len)) {
                        out.extend(["/", &key.resource(resource)]);
                    }
                    rest = after.get(resource.map_or(0, |len| len + 1)..).unwrap_or_default();
                }
                _ if run.is_empty() => {
                    out.push('@');
                    rest = from.get(1..).unwrap_or_default();
                }
                _ => {
                    let made = word(run);
                    let is_domain = made.is_some() && run.contains('.');
                    // Domains have resources too.
                    let resource = is_domain.then(|| self.resource(run, after)).flatten();
                    out += made.as_deref().unwrap_or(run);
                    if let Some(resource) = resource.and_then(|len| after.get(1..=len)) {
                        out.extend(["/", &key.resource(resource)]);
                    }
                    rest = after.get(resource.map_or(0, |len| len + 1)..).unwrap_or_default();
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// How long the resource is that stands behind a bare address: one that is known, or else up to a space or quote.
    fn resource(&self, bare: &str, after: &str) -> Option<usize> {
        let after = after.strip_prefix('/')?;
        let known = self.resources.get(&bare.to_lowercase()).into_iter().flatten();
        let longest = known.filter(|resource| after.starts_with(resource.as_str())).map(String::len).max();
        let end = |c: char| c.is_whitespace() || "\"'<>,;()[]{}&".contains(c);
        let len = longest
            .filter(|len| *len > 0)
            .or_else(|| bare.contains('@').then(|| after.find(end).unwrap_or(after.len())));
        len.filter(|len| *len > 0)
    }
}

/// What may stand in a local part or a domain.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "._-+%=!#$*^`|~?\\".contains(c)
}

/// How many bytes of a domain a text begins with.
fn domain_len(text: &str) -> usize {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-' || c == '_')).unwrap_or(text.len());
    text.get(..end).map_or(0, |domain| domain.trim_end_matches(['.', '-']).len())
}

/// Replaces what is the same in lower case, as whole words.
fn replace_folded(text: &str, lower: &str, with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let length = lower.chars().count();
    while !rest.is_empty() {
        let end = rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let (candidate, after) = rest.split_at(end);
        let free = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        if candidate.to_lowercase() == lower && free(out.chars().last()) && free(after.chars().next()) {
            out.push_str(with);
            rest = after;
        } else {
            let first = rest.chars().next().map_or(rest.len(), char::len_utf8);
            let (one, after) = rest.split_at(first);
            out.push_str(one);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        known.address("juliet@capulet.example/the balcony");
        known.address("capulet.example/x");
        known.address("localhost");
        known.address("conference.capulet.example");
        known.name("Romeo Montague");
        known.name("al");
        known
    }

    #[test]
    fn names_are_found_in_texts() {
        let (known, key) = (known(), Key::new("k"));
        let (juliet, domain) = (key.name("juliet"), key.domain("capulet.example"));
        let balcony = key.resource("the balcony");
        for (text, made) in [
            ("Hello Juliet!", format!("Hello {juliet}!")),
            ("*Juliet* and_juliet, juliet=juliet?", format!("*{juliet}* and_juliet, {juliet}={juliet}?")),
            ("Hello Juliet, dear", format!("Hello {juliet}, dear")),
            ("juliet@capulet.example is here.", format!("{juliet}@{domain} is here.")),
            ("<juliet@capulet.example/the balcony>", format!("<{juliet}@{domain}/{balcony}>")),
            ("ask capulet.example.", format!("ask {domain}.")),
            ("xmpp:juliet@capulet.example?message", format!("xmpp:{juliet}@{domain}?message")),
            ("https://capulet.example/x/y", format!("https://{domain}/{}/y", key.resource("x"))),
            ("at home.capulet.example", format!("at {}", key.domain("home.capulet.example"))),
            ("who is romeo montague?", format!("who is {}?", key.name("romeo montague"))),
            ("nobody@elsewhere.example", format!("{}@{}", key.name("nobody"), key.domain("elsewhere.example"))),
            ("localhost", key.domain("localhost")),
            ("al and juliette @ home", "al and juliette @ home".to_owned()),
        ] {
            assert_eq!(known.replace(text, &key), made, "{text}");
        }
    }

    #[test]
    fn what_means_something_by_itself_stays() {
        let (known, key) = (known(), Key::new("k"));
        assert_eq!(known.replace_addresses("juliet", &key), "juliet");
        assert_eq!(known.replace_addresses("localhost", &key), key.domain("localhost"));
        assert_eq!(known.replace_addresses("a localhost", &key), "a localhost");
        assert_eq!(known.replace_addresses("http://jabber.org/protocol/caps", &key), "http://jabber.org/protocol/caps");
        let comment = "#7 client->iqtap passed; rule4 violation: \"juliet\" of juliet@capulet.example";
        let made = known.replace_quoted(comment, &key);
        let (juliet, domain) = (key.name("juliet"), key.domain("capulet.example"));
        assert_eq!(made, format!("#7 client->iqtap passed; rule4 violation: \"{juliet}\" of {juliet}@{domain}"));
    }
}
