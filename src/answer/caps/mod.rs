//! XEP-0115 and XEP-0390: what `<stream:features/>` say of the server's disco#info, and how it stays true when that is edited.
//!
//! A client that knows a hash never asks again, and one that asks believes only an answer of that hash.

mod hash;
#[cfg(test)]
mod tests;

use super::kept;
use crate::xml::{Element, Node};
use crate::xmpp::ns;
use bytes::Bytes;

/// The hash of a disco#info answer as XEP-0115 makes it (`sha-1`); nothing if the answer is ill-formed (§5.4).
#[must_use]
pub fn ver(query: &Element) -> Option<String> {
    hash::classic(query, "sha-1")
}

/// A disco#info answer, as it is kept.
#[must_use]
pub fn write(query: &Element) -> Bytes {
    kept::write(query)
}

/// What was kept; nothing if somebody has been at it.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Element> {
    kept::read(bytes).filter(|query| query.is(ns::DISCO_INFO, "query"))
}

/// What stream features say of the server's disco#info.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// XEP-0115: algorithm, node and hash.
    classic: Option<[String; 3]>,
    /// XEP-0390: algorithms and hashes.
    modern: Vec<(String, String)>,
}

impl Caps {
    /// What these features say, if they say anything.
    #[must_use]
    pub fn of(features: &Element) -> Option<Self> {
        let classic = features.child(ns::CAPS, "c").and_then(|c| {
            let algorithm = c.attr("hash").unwrap_or_default();
            Some([algorithm, c.attr("node")?, c.attr("ver")?].map(str::to_owned))
        });
        let modern = features.child(ns::CAPS2, "c").into_iter().flat_map(Element::children);
        let modern = modern.filter(|child| is_hash(child));
        let modern: Vec<_> = modern.filter_map(|hash| Some((hash.attr("algo")?.to_owned(), trimmed(hash)))).collect();
        (classic.is_some() || !modern.is_empty()).then_some(Self { classic, modern })
    }

    /// The node a client would ask for, which names this answer.
    #[must_use]
    pub fn key(&self) -> String {
        match (&self.classic, self.modern.first()) {
            (Some([_, node, ver]), _) => classic_node(node, ver),
            (None, Some((algorithm, hash))) => modern_node(algorithm, hash),
            (None, None) => String::new(),
        }
    }

    /// Whether a client that was told this asks for that answer by this node.
    #[must_use]
    pub fn names(&self, node: &str) -> bool {
        let classic = self.classic.iter().map(|[_, of, ver]| classic_node(of, ver));
        classic
            .chain(self.modern.iter().map(|(algorithm, hash)| modern_node(algorithm, hash)))
            .any(|known| known == node)
    }

    /// Whether it could be told that an answer is the one they speak of.
    #[must_use]
    pub fn can_verify(&self) -> bool {
        let classic = self.classic.iter().map(|[algorithm, ..]| algorithm);
        classic.chain(self.modern.iter().map(|(algorithm, _)| algorithm)).any(|algorithm| hash::knows(algorithm))
    }

    /// Bytes of memory this takes, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let classic = self.classic.iter().flatten().map(String::len);
        let modern =
            self.modern.iter().map(|(algorithm, hash)| size_of::<(String, String)>() + algorithm.len() + hash.len());
        classic.chain(modern).sum()
    }

    /// Whether this is the answer that they speak of: all hashes that we can compute, and at least one, are its own.
    #[must_use]
    pub fn verify(&self, query: &Element) -> bool {
        let classic = self.classic.iter().map(|[algorithm, _, ver]| (hash::classic(query, algorithm), algorithm, ver));
        let modern = self.modern.iter().map(|(algorithm, hash)| (hash::modern(query, algorithm), algorithm, hash));
        let mut known = classic.chain(modern).filter(|(_, algorithm, _)| hash::knows(algorithm)).peekable();
        known.peek().is_some() && known.all(|(ours, _, theirs)| ours.as_ref() == Some(theirs))
    }

    /// Makes features speak of an edited answer. What we cannot compute is removed: nothing may speak of the answer before it
    /// was edited. Gives which nodes stand for which now; nothing if the features say nothing any more.
    pub fn rewrite(features: &mut Element, edited: &Element) -> Option<Mapping> {
        let mut nodes = Vec::new();
        features.nodes.retain_mut(|node| match node {
            Node::Element(c) if c.is(ns::CAPS, "c") => {
                let said = rewrite_classic(c, edited);
                nodes.extend(said.clone());
                said.is_some()
            }
            Node::Element(c) if c.is(ns::CAPS2, "c") => {
                let before = nodes.len();
                c.nodes.retain_mut(|node| match node {
                    Node::Element(child) if is_hash(child) => {
                        let said = rewrite_modern(child, edited);
                        nodes.extend(said.clone());
                        said.is_some()
                    }
                    Node::Element(_) | Node::Text(_) => true,
                });
                nodes.len() > before
            }
            Node::Element(_) | Node::Text(_) => true,
        });
        (!nodes.is_empty()).then_some(Mapping { nodes })
    }

    /// Takes all that out of features; gives whether there was any.
    pub fn strip(features: &mut Element) -> bool {
        let before = features.nodes.len();
        let is_caps = |child: &Element| child.is(ns::CAPS, "c") || child.is(ns::CAPS2, "c");
        features.nodes.retain(|node| !matches!(node, Node::Element(child) if is_caps(child)));
        features.nodes.len() < before
    }
}

/// Nodes that clients were told, all in all: of the last features and of some before.
const MOST_TOLD: usize = 32;

/// Which node of the server's stands behind a node that clients were told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What clients ask for, what the server knows.
    nodes: Vec<(String, String)>,
}

impl Mapping {
    /// What the server must be asked for when a client asks for this node; nothing if the node is none of ours.
    #[must_use]
    pub fn to_server(&self, node: &str) -> Option<&str> {
        self.nodes.iter().find(|(told, _)| told == node).map(|(_, known)| known.as_str())
    }

    /// Whether no client was told anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Goes on knowing what the client was told before this.
    pub fn follow(&mut self, earlier: Self) {
        for (told, known) in earlier.nodes {
            if self.nodes.len() < MOST_TOLD && self.to_server(&told).is_none() {
                self.nodes.push((told, known));
            }
        }
    }

    /// Bytes of memory this takes, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.nodes.iter().map(|(told, known)| size_of::<(String, String)>() + told.len() + known.len()).sum()
    }
}

/// The two nodes, now and before.
fn rewrite_classic(c: &mut Element, edited: &Element) -> Option<(String, String)> {
    let new = hash::classic(edited, c.attr("hash")?)?;
    let node = c.attr("node")?;
    let nodes = (classic_node(node, &new), classic_node(node, c.attr("ver")?));
    c.set_attr("ver", new);
    Some(nodes)
}

fn rewrite_modern(hash: &mut Element, edited: &Element) -> Option<(String, String)> {
    let algorithm = hash.attr("algo")?;
    let new = hash::modern(edited, algorithm)?;
    let nodes = (modern_node(algorithm, &new), modern_node(algorithm, &trimmed(hash)));
    hash.nodes = vec![Node::Text(new)];
    Some(nodes)
}

fn is_hash(element: &Element) -> bool {
    element.is(ns::HASHES, "hash")
}

fn trimmed(hash: &Element) -> String {
    hash.text().split_ascii_whitespace().collect()
}

/// XEP-0115 §6.2.
fn classic_node(node: &str, ver: &str) -> String {
    format!("{node}#{ver}")
}

/// XEP-0390 §4.3.
fn modern_node(algorithm: &str, hash: &str) -> String {
    format!("{}#{algorithm}.{hash}", ns::CAPS2)
}
