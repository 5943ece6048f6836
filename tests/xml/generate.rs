//! Documents that look like XMPP, mostly right, and ways to spoil them. Everything follows from one number, the seed.

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const HEADERS: &[&str] = &[
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'",
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'",
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'",
    "<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client'",
    "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:p='u:u' xmlns:q='v:v' xmlns='jabber:client'",
    "<s:stream xmlns:s='http://etherx.jabber.org/streams'",
    "<stream:stream xmlns='u:u' xmlns:stream='http://etherx.jabber.org/streams' xmlns:c='jabber:client'",
];
const NAMES: &[&str] = &[
    "message",
    "iq",
    "presence",
    "body",
    "error",
    "ping",
    "query",
    "a",
    "b",
    "x",
    "item",
    "features",
    "_",
    "A.b-c9",
    "\u{E9}",
    "\u{4E2D}\u{6587}",
    "a\u{B7}",
    "xm",
    "xmlx",
    "stream",
];
const PREFIXES: &[&str] = &["p", "q", "c", "stream", "s", "xml", "pp", "\u{E9}"];
const NAMESPACES: &[&str] = &[
    "u:u",
    "v:v",
    "jabber:client",
    "urn:xmpp:ping",
    "urn:xmpp:forward:0",
    "jabber:iq:roster",
    "u&#58;u",
    "http://jabber.org/protocol/disco#info",
    "urn:a&amp;b",
    "\u{E9}",
    "jabber:clien",
    "jabber:Client",
    "http://etherx.jabber.org/stream",
    "urn:with:a:rather:long:name:that:goes:beyond:sixty:four:bytes:and:then:some",
];
const ODD_NAMESPACES: &[&str] = &[
    "",
    "jabber:server",
    "http://etherx.jabber.org/streams",
    "http://www.w3.org/XML/1998/namespace",
    "http://www.w3.org/2000/xmlns/",
    "xml",
    "xmlns",
    "u u",
    "u\tu",
    "u&#10;u",
    " ",
    "http://www.w3.org/XML/1998/namespac&#101;",
];
const ATTRIBUTES: &[&str] = &["id", "type", "to", "from", "a", "b", "xmlnsx", "ver", "\u{E9}", "node", "lang", "d.e-f"];
const TEXTS: &[&str] = &[
    "hi",
    " ",
    "\n  ",
    "a > b",
    "&lt;",
    "&amp;amp;",
    "&#65;",
    "&#x1F600;",
    "\u{1F600}",
    "\u{E9}\u{4E2D}",
    "]]",
    "]",
    "]] >",
    "<![CDATA[<b>&]] ]]>",
    "<![CDATA[]]>",
    "<![CDATA[]]]]><![CDATA[>]]>",
    "'\"",
    "\t",
    "\r\n",
    "\r",
    "&#13;",
    "&apos;&quot;",
    "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=",
    "\u{FEFF}",
    "\u{85}\u{2028}",
    "\u{FFFD}\u{EFFF}\u{F900}",
    "&#0065;",
    "/>",
    "=",
    "--",
    "?>",
];
const VALUES: &[&str] = &[
    "",
    "a",
    "get",
    "result",
    "error",
    "juliet@example.org/balcony",
    "&amp;",
    "&#10;",
    "&#9;&#13;",
    "]]>",
    "/>",
    ">",
    "\u{E9}",
    "\u{1F600}",
    " a  b ",
    "=",
    "&lt;&gt;&apos;&quot;",
    "a long value, longer than sixty-four bytes, so that the other way is taken, too",
    "1\n2",
    "1\t2",
    "\r\n",
    "\r",
];
/// What a document may be spoilt with.
const EVIL: &[&[u8]] = &[
    b"<!-- c -->",
    b"<?p?>",
    b"<?xml version='1.0'?>",
    b"<!DOCTYPE a>",
    b"]]>",
    b"&nbsp;",
    b"&",
    b"&#0;",
    b"&#xD800;",
    b"&#xFFFE;",
    b"<",
    b">",
    b"</",
    b"/>",
    b"'",
    b"\"",
    b"=",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\0",
    b"\x01",
    b"\x1B",
    b"\x7F",
    b"\xC0\x80",
    b"\xED\xA0\x80",
    b"\xEF\xBF\xBE",
    b"\xEF\xBF\xBF",
    b"\xEF\xBB\xBF",
    b"\xF4\x90\x80\x80",
    b"\xC2\x85",
    b"\xE2\x82",
    b"\x80",
    b"\xFF",
    b":",
    b"::",
    b"1",
    b"-",
    b"xml:",
    b"xmlns:",
    b" xmlns='u:u'",
    b" xmlns=''",
    b" xmlns:p='u:u'",
    b" xmlns:p=''",
    b" xmlns:p='v:v'",
    b" xmlns:q='u:u'",
    b" p:a='' q:a=''",
    b" a='' a=''",
    b" id=''",
    b"<xml:a/>",
    b"<xmlns:a/>",
    b"<p:a/>",
    b"<p:1/>",
    b"<stream:stream/>",
    b"<stream:error/>",
    b"<a xmlns='jabber:server'/>",
    b"<a/>",
    b"</a>",
    b"<a>",
    b"<![CDATA[",
    b"<![CDATA[x]]>",
    b"]]",
    b"\xCD\xBF",
    b"\xE2\xB0\x80",
    b"\xF0\x90\x90\x80",
    b"\xCC\x80",
    b"\xC2\xB7",
    b"\xC3\x97",
    b"&#x110000;",
    b"&#65",
    b"&amp",
    b"x",
    b"</stream:stream>",
    b" version='1.1'",
    b" encoding='ISO-8859-1'",
    b"&#00000000000000000000000000000000000000000000000000000000000000000065;",
    b" xmlns:xml='u:u'",
    b" xmlns:xmlns='u:u'",
    b" xmlns:r='http://www.w3.org/2000/xmlns/'",
    b" xmlns:r='http://www.w3.org/XML/1998/namespace'",
    b" xml:lang='en'",
];

/// A whole document: header, first-level elements, end.
pub(crate) fn document(dice: &mut Dice) -> Vec<u8> {
    let mut out = String::new();
    match dice.below(8) {
        0 => out.push_str("<?xml version='1.0'?>"),
        1 => out.push_str("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n"),
        2 => out.push_str("<?xml version='1.0' standalone='yes'?>\r\n"),
        3 if dice.one_in(4) => out.push_str("<?xml version='1.0' encoding='ISO-8859-1'?>"),
        4 => out.push_str("\n "),
        _ => {}
    }
    let header = dice.pick(HEADERS);
    out.push_str(header);
    attributes(dice, &mut out, 3, &mut Vec::new());
    out.push('>');
    for _ in 0..dice.below(5) {
        element(dice, &mut out, 1);
        if dice.one_in(3) {
            out.push_str(dice.pick(&[" ", "\n", "\r\n\t"]));
        }
    }
    let name = header.split([' ']).next().unwrap_or_default().trim_start_matches('<');
    out.push_str(&format!("</{name}>"));
    if dice.one_in(5) {
        out.push('\n');
    }
    out.into_bytes()
}

fn space<'a>(dice: &mut Dice) -> &'a str {
    if dice.one_in(12) { dice.pick(&["  ", "\n", "\t", "\r\n"]) } else { " " }
}

/// Attributes, seldom one twice, their prefixes seldom unbound.
fn attributes(dice: &mut Dice, out: &mut String, most: usize, declared: &mut Vec<String>) {
    let mut used: Vec<String> = Vec::new();
    for _ in 0..dice.below(most) {
        let mut name = dice.pick(ATTRIBUTES).to_owned();
        match dice.below(16) {
            0 => name = "xml:lang".to_owned(),
            1 => {
                let prefix = dice.pick(PREFIXES).to_owned();
                name = format!("{prefix}:{name}");
                if !declared.contains(&prefix) && prefix != "xml" && !dice.one_in(12) {
                    declare(dice, out, &prefix);
                    declared.push(prefix);
                }
            }
            _ => {}
        }
        if used.contains(&name) && !dice.one_in(40) {
            continue;
        }
        out.push_str(space(dice));
        out.push_str(&name);
        assign(dice, out, VALUES);
        used.push(name);
    }
}

fn declare(dice: &mut Dice, out: &mut String, prefix: &str) {
    out.push_str(space(dice));
    out.push_str(if prefix.is_empty() { "xmlns" } else { "xmlns:" });
    out.push_str(prefix);
    let odd = dice.one_in(40);
    assign(dice, out, if odd { ODD_NAMESPACES } else { NAMESPACES });
}

fn assign(dice: &mut Dice, out: &mut String, values: &[&str]) {
    let (mut value, quote) = (dice.pick(values).to_owned(), dice.pick(&["'", "\""]));
    if dice.one_in(10) {
        value.push_str(dice.pick(values));
    }
    let equals = if dice.one_in(20) { " = " } else { "=" };
    out.push_str(&format!("{equals}{quote}{value}{quote}"));
}

fn element(dice: &mut Dice, out: &mut String, depth: usize) {
    let prefixed = dice.one_in(6);
    let mut name = if depth == 1 { dice.pick(&NAMES[..3]) } else { dice.pick(NAMES) }.to_owned();
    let prefix = dice.pick(PREFIXES);
    let prefixed = prefixed && (prefix != "xml" || dice.one_in(10));
    if prefixed {
        name = format!("{prefix}:{name}");
    }
    out.push_str(&format!("<{name}"));
    let mut declared = Vec::new();
    if prefixed && prefix != "xml" && !dice.one_in(12) {
        declare(dice, out, prefix);
        declared.push(prefix.to_owned());
    }
    attributes(dice, out, 5, &mut declared);
    if dice.one_in(3) {
        declare(dice, out, "");
    }
    while dice.one_in(8) {
        let prefix = dice.pick(PREFIXES).to_owned();
        if prefix != "xml" && !declared.contains(&prefix) || dice.one_in(30) {
            declare(dice, out, &prefix);
            declared.push(prefix);
        }
    }
    if dice.one_in(10) {
        out.push_str(space(dice));
    }
    if depth > 5 || dice.one_in(4) {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for _ in 0..dice.below(4) {
        if dice.one_in(2) {
            element(dice, out, depth + 1);
        } else {
            out.push_str(dice.pick(TEXTS));
        }
    }
    out.push_str(&format!("</{name}{}>", if dice.one_in(20) { " " } else { "" }));
}

/// Spoils a document a little; it may survive.
pub(crate) fn mutate(dice: &mut Dice, document: &mut Vec<u8>) {
    for _ in 0..=dice.below(2) {
        let at = dice.below(document.len() + 1);
        let to = (at + dice.below(12)).min(document.len());
        match dice.below(9) {
            0..=3 => drop(document.splice(at..at, dice.pick(EVIL).iter().copied())),
            4 => drop(document.splice(at..to, dice.pick(EVIL).iter().copied())),
            5 => drop(document.drain(at..to)),
            6 => {
                let piece = document[at..to].to_vec();
                let elsewhere = dice.below(document.len() + 1);
                drop(document.splice(elsewhere..elsewhere, piece));
            }
            7 => {
                if let Some(byte) = document.get_mut(at) {
                    *byte = (dice.roll() & 0xFF) as u8;
                }
            }
            _ => {
                // At a place where it tells: next to markup.
                let places: Vec<usize> = (0..document.len()).filter(|&i| b"<>='\" /".contains(&document[i])).collect();
                if !places.is_empty() {
                    let at = places[dice.below(places.len())] + dice.below(2);
                    drop(document.splice(at..at, dice.pick(EVIL).iter().copied()));
                }
            }
        }
    }
}
