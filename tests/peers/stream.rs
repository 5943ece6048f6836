//! Cutting an XMPP stream into its first-level elements: just enough XML for a scripted peer.

use quick_xml::Reader;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use std::collections::BTreeMap;

/// What a stream is made of.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// `<stream:stream ...>`
    Header,
    /// A whole first-level element.
    Element(Element),
    /// `</stream:stream>`
    Close,
}

/// A first-level element: shallow.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    /// With its prefix, as written.
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Name and `xmlns` of each child.
    pub(crate) children: Vec<(String, String)>,
    /// As on the wire.
    pub(crate) xml: String,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Whether it is an IQ of this type and id.
    pub(crate) fn is_iq(&self, kind: &str, id: &str) -> bool {
        self.name == "iq" && self.attribute("type") == Some(kind) && self.attribute("id") == Some(id)
    }

    /// Whether it has a child of this namespace.
    pub(crate) fn has(&self, xmlns: &str) -> bool {
        self.children.iter().any(|(_, ns)| ns == xmlns)
    }
}

/// Bytes in, items out.
#[derive(Default)]
pub(crate) struct Splitter(Vec<u8>);

impl Splitter {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Whether nothing is waiting for its end.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next item, if all of it is there.
    pub(crate) fn next(&mut self) -> Option<Item> {
        let (item, end) = first(&self.0)?;
        self.0.drain(..end);
        Some(item)
    }
}

/// All first-level elements of what was sent one way, restarts included.
pub(crate) fn items(stream: &str) -> Vec<Element> {
    let mut splitter = Splitter::default();
    splitter.push(stream.as_bytes());
    let element = |item| if let Item::Element(element) = item { Some(element) } else { None };
    std::iter::from_fn(|| splitter.next()).filter_map(element).collect()
}

/// The first item of some bytes and where it ends.
fn first(bytes: &[u8]) -> Option<(Item, usize)> {
    let mut reader = Reader::from_reader(bytes);
    reader.config_mut().allow_unmatched_ends = true;
    reader.config_mut().check_end_names = false;
    let (mut depth, mut begin) = (0_usize, 0);
    let mut element: Option<Element> = None;
    loop {
        let before = usize::try_from(reader.buffer_position()).ok()?;
        // An error is a tag that is not whole yet: whoever sends what is no XML gets no answer from this peer.
        let event = reader.read_event().ok()?;
        let end = usize::try_from(reader.buffer_position()).ok()?;
        let opens = matches!(event, Event::Start(_));
        match event {
            Event::Start(tag) | Event::Empty(tag) => {
                if depth == 0 && opens && tag.name().as_ref() == "stream:stream" {
                    return Some((Item::Header, end));
                }
                match &mut element {
                    None => {
                        begin = before;
                        element = Some(shallow(&tag));
                    }
                    Some(element) if depth == 1 => {
                        let child = shallow(&tag);
                        let xmlns = child.attribute("xmlns").unwrap_or_default().to_owned();
                        element.children.push((child.name, xmlns));
                    }
                    Some(_) => {}
                }
                depth += usize::from(opens);
            }
            Event::End(_) if depth == 0 => return Some((Item::Close, end)),
            Event::End(_) => depth -= 1,
            Event::Eof => return None,
            _ => {}
        }
        if depth == 0
            && let Some(mut element) = element.take()
        {
            element.xml = String::from_utf8_lossy(&bytes[begin..end]).into_owned();
            return Some((Item::Element(element), end));
        }
    }
}

fn shallow(tag: &BytesStart<'_>) -> Element {
    let pair = |a: Attribute<'_>| (a.key.as_ref().to_owned(), a.value.into_owned());
    let attributes = tag.attributes().flatten().map(pair).collect();
    Element { name: tag.name().as_ref().to_owned(), attributes, children: Vec::new(), xml: String::new() }
}
