//! Pseudonyms: what follows from a name and a key.
//!
//! Takes a name, gives another one that says which of the three it is (`n...` a name, `r...` a resource, `d....example` a domain), or a text of
//! the same length. The same name gives the same; two names give two. Must not keep anything.

use crate::xmpp::jid;
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;

/// What pseudonyms follow from.
pub(super) struct Key(String);

/// Letters and digits that are not mistaken for each other.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 50 bits: two of a million names are given one pseudonym once in two thousand captures.
const LETTERS: usize = 10;
/// Parts of domains that say what a service is, and not whose.
const SERVICES: [&str; 18] = [
    "conference",
    "muc",
    "chat",
    "rooms",
    "groups",
    "pubsub",
    "pep",
    "upload",
    "share",
    "proxy",
    "proxy65",
    "search",
    "vjud",
    "irc",
    "xmpp",
    "echo",
    "www",
    "biboumi",
];

impl Key {
    pub(super) fn new(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// An address: each of its parts by itself. Addresses differ in the case of their letters only if their resources do.
    pub(super) fn jid(&self, text: &str) -> String {
        let (bare, domain) = (jid::bare(text), jid::domain(text));
        let mut out = String::new();
        if let Some((local, _)) = bare.split_once('@') {
            out = self.name(local) + "@";
        }
        out += &self.domain(domain);
        if let Some(resource) = jid::resource(text) {
            out.push('/');
            out += &self.resource(resource);
        }
        out
    }

    /// What somebody or something is called: the part before the `@`, a nickname, a name on a roster.
    pub(super) fn name(&self, name: &str) -> String {
        if name.is_empty() {
            String::new()
        } else {
            format!("n{}", self.letters("name", &name.to_lowercase(), LETTERS))
        }
    }

    /// A resource, or a nickname in a room.
    pub(super) fn resource(&self, resource: &str) -> String {
        if resource.is_empty() { String::new() } else { format!("r{}", self.letters("resource", resource, LETTERS)) }
    }

    /// A domain: what stands below another still does.
    pub(super) fn domain(&self, domain: &str) -> String {
        let lower = domain.trim_end_matches('.').to_lowercase();
        let labels: Vec<&str> = lower.split('.').collect();
        let digits = lower.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':') || lower.starts_with('[');
        let made = |suffix: &str| format!("d{}", self.letters("domain", suffix, LETTERS));
        if lower.is_empty() {
            return String::new();
        }
        if labels.len() < 2 || digits {
            return made(&lower);
        }
        let mut parts: Vec<String> = (0..labels.len() - 1)
            .map(|at| match labels.get(at) {
                Some(label) if at + 2 < labels.len() && SERVICES.contains(label) => (*label).to_owned(),
                _ => made(&labels.get(at..).unwrap_or_default().join(".")),
            })
            .collect();
        parts.push("example".to_owned());
        parts.join(".")
    }

    /// A network address and port: of those that are meant for tests between networks.
    pub(super) fn network_address(&self, address: &str) -> String {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        let [a, b, c, ..] = self.bytes("network", host, 0);
        format!("{}:{port}", Ipv4Addr::new(198, 18 | (a & 1), b, c))
    }

    /// A text of as many bytes.
    pub(super) fn text(&self, text: &str) -> String {
        const WORD: usize = 7;
        let letters = self.letters("text", text, text.len());
        let spaced = letters.bytes().enumerate().map(|(at, b)| if at % WORD == WORD - 1 { ' ' } else { char::from(b) });
        let spaced: String = spaced.collect();
        // White space at the end might be taken for none.
        match spaced.strip_suffix(' ') {
            Some(start) => format!("{start}x"),
            None => spaced,
        }
    }

    /// So many letters that follow from what something is, and its text.
    fn letters(&self, kind: &str, text: &str, count: usize) -> String {
        let mut out = String::with_capacity(count);
        let mut block = 0;
        while out.len() < count {
            for byte in self.bytes(kind, text, block).into_iter().take(count - out.len()) {
                out.push(char::from(ALPHABET[usize::from(byte % 32)]));
            }
            block += 1;
        }
        out
    }

    fn bytes(&self, kind: &str, text: &str, block: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.0.as_bytes(), kind.as_bytes(), text.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(block.to_be_bytes());
        hash.finalize().into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_pseudonym() {
        let key = Key::new("k");
        let one = key.jid("Juliet@Capulet.example/balcony");
        assert_eq!(one, key.jid("juliet@capulet.example/balcony"));
        assert_ne!(one, key.jid("juliet@capulet.example/Balcony"), "resources have case");
        assert_ne!(one, Key::new("l").jid("juliet@capulet.example/balcony"));
        assert!(one.starts_with(&(key.name("juliet") + "@")));
        for part in ["uliet", "apulet", "alcony"] {
            assert!(!one.contains(part), "{one}");
        }
        assert_ne!(key.domain("juliet"), key.name("juliet"), "domains are kept apart");
        assert_ne!(key.domain("capulet.example"), key.domain("capulet.org"));
    }

    #[test]
    fn what_is_below_a_domain_stays_there() {
        let key = Key::new("k");
        let domain = key.domain("capulet.example");
        assert_eq!(key.domain("conference.capulet.example"), format!("conference.{domain}"));
        let other = key.domain("home.capulet.example");
        assert!(other.ends_with(&format!(".{domain}")) && !other.contains("home"), "{other}");
        assert!(!key.domain("localhost").contains("localhost"));
        assert!(!key.domain("192.0.2.7").contains("192"));
        // Who lives at a domain called like a service is not told.
        assert!(!key.domain("chat.example").contains("chat"));
    }

    #[test]
    fn texts_keep_their_length() {
        let key = Key::new("k");
        for text in ["a", "hello", "seven77", "grüße 🦀", &"long ".repeat(50)] {
            let made = key.text(text);
            assert_eq!(made.len(), text.len(), "{made}");
            assert_eq!(made.trim(), made);
            assert_eq!(made, key.text(text));
        }
        let address = key.network_address("203.0.113.9:40000");
        assert!(address.starts_with("198.1") && address.ends_with(":40000"), "{address}");
    }
}
