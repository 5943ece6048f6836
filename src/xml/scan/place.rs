//! A start tag is whole: may the element stand where it stands, and what does the head (or the header) say?
//!
//! The rules of XMPP streams live here, and the limits on elements; the rules of XML do not.

use super::bytes::same;
use super::judge::{Around, judge};
use super::refs::value_text;
use super::scope::{Known, slice};
use super::tag::Written;
use super::{Bad, Fault, ItemKind, Opened, Place, Scanner};
use crate::xml::{Head, Name, OpenAttr, OpenTag, Root, XML_NS, shared_root};

impl Scanner {
    /// A start tag is whole; it was an empty element if `empty`.
    pub(super) fn start_tag(&mut self, buf: &[u8], empty: bool) -> Result<Option<ItemKind>, Bad> {
        let mark = self.scope.mark();
        let around = Around { buf, root: &self.root };
        let leans = judge(&self.tag, &mut self.scope, around, &self.limits, &mut self.scratch, &mut self.bound)?;
        if self.place == Place::Prolog {
            return self.root_tag(buf, empty);
        }
        self.place_element(buf, leans)?;
        if !empty {
            self.stack.push(Opened { name: self.tag.name.raw(), mark });
            return Ok(None);
        }
        self.scope.close(mark);
        if !self.stack.is_empty() {
            return Ok(None);
        }
        self.finish_element(buf);
        Ok(Some(ItemKind::Element))
    }
    /// May the element stand here? What does its head say?
    fn place_element(&mut self, buf: &[u8], leans: bool) -> Result<(), Bad> {
        let bad = |fault, why, at| Err(Bad { fault, why, at });
        let at = self.tag.start;
        let local = self.tag.name.local();
        let depth = self.stack.len() + 1;
        if depth == 1 {
            match self.bound.known {
                Known::None => return bad(Fault::Namespace, "a first-level element in no namespace", at),
                Known::Server => return bad(Fault::Namespace, "a first-level element in jabber:server", at),
                Known::Stream if same(slice(buf, local), b"stream") => {
                    return bad(Fault::Nested, "a stream header inside the stream", at);
                }
                _ => {}
            }
            self.own = self.bound;
            self.head = Head { name: Name { ns: self.scope.ns_ref(self.bound), local }, ..Head::default() };
            for attr in &self.tag.attrs {
                note(&mut self.head, buf, attr);
            }
        } else if self.bound.known == Known::Stream {
            return bad(Fault::Nested, "an element of the streams namespace inside a stanza", at);
        }
        if depth > self.limits.depth as usize {
            return bad(Fault::Limit, "elements nested too deeply", at);
        }
        let head = &mut self.head;
        head.elements += 1;
        if head.elements > self.limits.elements {
            return bad(Fault::Limit, "too many elements", at);
        }
        head.leans |= leans;
        head.untidy |= self.tag.untidy;
        if depth == 2 {
            let name = Name { ns: self.scope.ns_ref(self.bound), local };
            head.children += 1;
            head.first_child.get_or_insert(name);
            if same(slice(buf, local), b"error") && self.scope.equal(buf, &self.root, self.bound, self.own) {
                head.errors += 1;
            } else {
                head.payload.get_or_insert(name);
            }
        }
        Ok(())
    }
    /// The root's start tag is whole.
    fn root_tag(&mut self, buf: &[u8], empty: bool) -> Result<Option<ItemKind>, Bad> {
        if empty {
            return Err(Bad { fault: Fault::Format, why: "a stream that ends with its header", at: self.tag.start });
        }
        let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let none = Root::default();
        let mut attrs = Vec::new();
        for attr in self.tag.attrs.iter().filter(|a| !a.declares) {
            let ns = match slice(buf, attr.name.prefix()) {
                b"" => String::new(),
                b"xml" => XML_NS.to_owned(),
                prefix => {
                    let bound = self.scope.lookup(buf, &none, prefix).unwrap_or_default();
                    owned(self.scope.name(buf, &none, bound))
                }
            };
            let value = value_text(slice(buf, attr.value.span)).into_owned();
            attrs.push(OpenAttr { ns, name: owned(slice(buf, attr.name.local())), value });
        }
        let ns = owned(self.scope.name(buf, &none, self.bound));
        let root = self.scope.to_root(buf);
        self.root_name.clear();
        self.root_name.extend_from_slice(slice(buf, self.tag.name.raw()));
        self.scope.set_root(&root);
        self.root = shared_root(&root);
        self.open = Some(Box::new(OpenTag { ns, name: owned(slice(buf, self.tag.name.local())), attrs, root }));
        self.place = Place::Stream;
        Ok(Some(ItemKind::Open))
    }
}

/// Takes an attribute of the first-level element into its head, if that holds it.
fn note(head: &mut Head, buf: &[u8], attr: &Written) {
    if attr.name.colon != 0 {
        if slice(buf, attr.name.raw()) == b"xml:lang" {
            head.lang = Some(attr.value);
        }
        return;
    }
    match slice(buf, attr.name.raw()) {
        b"id" => head.id = Some(attr.value),
        b"to" => head.to = Some(attr.value),
        b"type" => head.kind = Some(attr.value),
        b"from" => head.from = Some(attr.value),
        _ => {}
    }
}
