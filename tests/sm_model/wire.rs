//! Bytes to first-level items, for endpoints that know the plain XML their own kind writes. Not the proxy's scanner, on
//! purpose: what it lets through must be read by somebody else.

/// What stands on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `<stream:stream ...>`
    Open(Tag),
    /// A whole first-level element.
    Element(Tag),
    /// `</stream:stream>`
    Close,
}

/// An element: its start tag read, the rest as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Without a prefix.
    pub(crate) name: String,
    attrs: Vec<(String, String)>,
    /// What stands between the start tag and the end tag.
    pub(crate) inner: String,
    /// As it stood on the wire.
    pub(crate) raw: String,
}

impl Tag {
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its namespace, if it declares one.
    pub(crate) fn ns(&self) -> &str {
        self.attr("xmlns").unwrap_or("jabber:client")
    }

    pub(crate) fn is_stanza(&self) -> bool {
        matches!(self.name.as_str(), "message" | "presence" | "iq") && self.ns() == "jabber:client"
    }
}

/// Collects bytes until an item is whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splitter(Vec<u8>);

impl Splitter {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Whether bytes of an unfinished item wait.
    pub(crate) fn is_within(&self) -> bool {
        !self.0.is_empty()
    }

    /// The next whole item. White space between items and the XML declaration are passed over.
    pub(crate) fn pull(&mut self) -> Result<Option<Item>, String> {
        let Some(end) = whole(&self.0) else { return Ok(None) };
        let bytes: Vec<u8> = self.0.drain(..end).collect();
        let text = String::from_utf8(bytes).map_err(|_| "what came is not UTF-8".to_owned())?;
        let text = text.trim_start();
        if text.is_empty() || text.starts_with("<?") {
            return self.pull();
        }
        if text == "</stream:stream>" {
            return Ok(Some(Item::Close));
        }
        let tag = tag(text)?;
        Ok(Some(if tag.name == "stream" { Item::Open(tag) } else { Item::Element(tag) }))
    }
}

/// The length of the first whole item; what stands before its `<` belongs to it.
fn whole(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = bytes.iter().position(|b| *b == b'<')?;
    loop {
        let start = at + bytes[at..].iter().position(|b| *b == b'<')?;
        let end = tag_end(&bytes[start..])? + start;
        let inside = &bytes[start + 1..end];
        let alone = inside.starts_with(b"?") || inside.starts_with(b"stream:stream") || inside == b"/stream:stream";
        match inside {
            _ if alone => return Some(end + 1),
            [b'/', ..] => depth = depth.saturating_sub(1),
            [.., b'/'] => {}
            _ => depth += 1,
        }
        if depth == 0 {
            return Some(end + 1);
        }
        at = end + 1;
    }
}

/// Where the tag that begins here ends: its `>`, outside of quotes.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'\'' | b'"') => quote = Some(*byte),
            (Some(open), _) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

/// Reads the start tag of an element.
pub(crate) fn tag(raw: &str) -> Result<Tag, String> {
    let end = tag_end(raw.as_bytes()).ok_or_else(|| format!("no end of the tag: {raw}"))?;
    let inside = raw[1..end].trim_end_matches('/');
    let (name, mut rest) = inside.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((inside, ""));
    let mut attrs = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let quote =
            after.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(|| format!("no quote: {raw}"))?;
        let (value, after) = after[1..].split_once(quote).ok_or_else(|| format!("no second quote: {raw}"))?;
        attrs.push((name.trim().to_owned(), resolve(value)));
        rest = after;
    }
    let inner = raw[end + 1..].rsplit_once("</").map_or("", |(inner, _)| inner).to_owned();
    let name = name.rsplit_once(':').map_or(name, |(_, local)| local).to_owned();
    Ok(Tag { name, attrs, inner, raw: raw.to_owned() })
}

/// Resolves the references of an attribute's value.
fn resolve(value: &str) -> String {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((plain, after)) = rest.split_once('&') {
        let (name, after) = after.split_once(';').unwrap_or((after, ""));
        out.push_str(plain);
        let number = name.strip_prefix("#x").map(|hex| u32::from_str_radix(hex, 16));
        let number = number.or_else(|| name.strip_prefix('#').map(str::parse));
        match (name, number) {
            ("lt", _) => out.push('<'),
            ("gt", _) => out.push('>'),
            ("amp", _) => out.push('&'),
            ("apos", _) => out.push('\''),
            ("quot", _) => out.push('"'),
            (_, Some(Ok(number))) => out.extend(char::from_u32(number)),
            _ => out.push('?'),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_whole_however_bytes_come() {
        let text = "<?xml version='1.0'?><stream:stream to='x' a='>'> <iq id=\"a&amp;&#98;\"><q xmlns='u'><b/>t</q></iq>\
                    <r xmlns='urn:xmpp:sm:3'/></stream:stream>";
        let mut splitter = Splitter::default();
        let mut items = Vec::new();
        for byte in text.bytes() {
            splitter.push(&[byte]);
            items.extend(splitter.pull().unwrap());
        }
        let [Item::Open(open), Item::Element(iq), Item::Element(r), Item::Close] = items.as_slice() else {
            panic!("{items:?}");
        };
        assert_eq!((open.attr("to"), open.attr("a")), (Some("x"), Some(">")));
        assert_eq!((iq.attr("id"), iq.inner.as_str()), (Some("a&b"), "<q xmlns='u'><b/>t</q>"));
        assert_eq!((r.ns(), r.name.as_str(), r.is_stanza()), ("urn:xmpp:sm:3", "r", false));
        assert!(!splitter.is_within());
    }
}
