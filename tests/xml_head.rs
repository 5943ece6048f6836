//! What the head, the view, the writer and the normaliser say of particular stanzas.

#![expect(clippy::unwrap_used, reason = "test code")]

mod xml;

use bytes::BytesMut;
use iqtap::xml::{
    CLIENT_NS, Element, Limits, STREAM_NS, Scope, Step, View, XML_NS, normalise, parse_element, parse_str,
    write_element,
};
use xml::{HEADER, one, whole};

fn written(element: &Element, scope: Scope) -> String {
    let mut out = BytesMut::new();
    write_element(element, scope, &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn view_of_an_error() {
    let (bytes, head, root) =
        one("<iq type='error' id='a&amp;b' to='x@y/z' from=\"q\" xml:lang='en'> <error xmlns='u:u'/>\
         <error><e xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error><p:ping xmlns:p='urn:xmpp:p&#105;ng'/></iq>");
    let view = View { bytes: &bytes, head: &head, root: &root };
    assert_eq!((view.ns().as_ref(), view.name()), (CLIENT_NS, "iq"));
    assert!(view.is(CLIENT_NS, "iq") && !view.is(CLIENT_NS, "i") && !view.is("", "iq"));
    assert_eq!(view.id().as_deref(), Some("a&b"));
    assert_eq!(view.kind().as_deref(), Some("error"));
    assert_eq!(view.to().as_deref(), Some("x@y/z"));
    assert_eq!(view.from().as_deref(), Some("q"));
    assert_eq!(view.lang().as_deref(), Some("en"));
    assert_eq!((head.children, head.errors, head.elements), (3, 1, 5));
    assert_eq!(view.first_child(), Some(("u:u".into(), "error")));
    assert_eq!(view.payload(), Some(("u:u".into(), "error")));
    assert!(head.payload.is_some_and(|p| view.name_is(&p, "u:u", "error")));
    assert!(!head.leans && !head.untidy);
}

#[test]
fn payload_behind_the_error() {
    let (bytes, head, root) =
        one("<c:iq xmlns:c='jabber:client'><error/><p:ping xmlns:p='urn:xmpp:p&#105;ng'/><c:error/></c:iq>");
    let view = View { bytes: &bytes, head: &head, root: &root };
    assert_eq!((head.errors, head.children), (2, 3));
    assert_eq!(view.payload(), Some(("urn:xmpp:ping".into(), "ping")));
    assert!(head.payload.is_some_and(|p| view.name_is(&p, "urn:xmpp:ping", "ping")));
}

#[test]
fn prefixed_attributes_are_others() {
    let (bytes, head, root) = one("<iq xmlns:p='u:u' p:id='1' p:type='2' p:to='3' p:from='4' lang='5' p:lang='6'/>");
    let view = View { bytes: &bytes, head: &head, root: &root };
    assert_eq!((view.id(), view.kind(), view.to(), view.from(), view.lang()), (None, None, None, None, None));
}

#[test]
fn leaning() {
    let leans = |header: &str, element: &str| {
        let out = whole(Limits::AFTER_LOGIN, format!("{header}{element}").as_bytes());
        assert_eq!(out.refused, None, "{header}{element}");
        out.elements().next().unwrap().1.leans
    };
    assert!(!leans(HEADER, "<a><b xmlns='u:u' c=''/></a>"));
    assert!(!leans(HEADER, "<stream:features/>"));
    assert!(!leans(HEADER, "<a xml:lang='en'/>"));
    let odd = "<s:stream xmlns='u:u' xmlns:s='http://etherx.jabber.org/streams' xmlns:x='jabber:client'>";
    assert!(leans(odd, "<a/>"));
    assert!(leans(odd, "<x:a/>"));
    assert!(leans(odd, "<a xmlns='u:u'><b x:c=''/></a>"));
    assert!(leans(odd, "<a xmlns='u:u'><x:b/></a>"));
    assert!(leans(odd, "<s:features/>"));
    assert!(!leans(odd, "<a xmlns='u:u'><x:b xmlns:x='v:v'/></a>"));
    // Nothing declared is a way to lean, too: under another root the name would fall into its default namespace.
    let bare = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>";
    assert!(leans(bare, "<x:a xmlns:x='jabber:client'><b/></x:a>"));
    assert!(!leans(bare, "<a xmlns='jabber:client'><b/></a>"));
    let swapped = "<s xmlns='jabber:client' xmlns:stream='u:u'>";
    assert!(leans(swapped, "<stream:a/>"));
}

#[test]
fn untidy_stanzas() {
    for (raw, tidy) in [
        ("<a>1\r\n2\r3\r\r\n4\t5\n</a>", "<a>1\n2\n3\n\n4\t5\n</a>"),
        ("<a\r\nb='1\r\n2\r3\n4\t5'\n/>", "<a\nb='1 2 3 4 5'\n/>"),
        ("<a b=\"'\n'>\"><![CDATA[\r'\n<\r\n]]>'\r'</a>", "<a b=\"' '>\"><![CDATA[\n'\n<\n]]>'\n'</a>"),
        ("<a b='&#13;&#10;&#9;'>&#13;\r</a>", "<a b='&#13;&#10;&#9;'>&#13;\n</a>"),
    ] {
        let (bytes, head, root) = one(raw);
        assert!(head.untidy, "{raw:?}");
        let (out, new_head) = normalise(&bytes, &root).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), tidy);
        assert!(!new_head.untidy, "{raw:?}");
        assert_eq!(parse_element(&out, &root, &new_head), parse_element(&bytes, &root, &head));
    }
    for tidy in ["<a>1\n2\t</a>", "<a b='&#13;&#10;&#9;'\n\t>&#13;</a>", "<a b='\u{10FFFF}'/>"] {
        assert!(!one(tidy).1.untidy, "{tidy:?}");
    }
    // The flag belongs to one stanza, not to its neighbours in the chunk.
    let out = whole(Limits::AFTER_LOGIN, format!("{HEADER}<a/>\r\n<a>\r</a>\r<a/>").as_bytes());
    assert_eq!(out.elements().map(|(_, h)| h.untidy).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn writing() {
    let message = Element::new(CLIENT_NS, "message")
        .with_attr("to", "a'\"<>&\t\r\nb")
        .with_child(Element::new(CLIENT_NS, "body").with_text("<&>'\"\r\n]]>"))
        .with_child(
            Element::new("urn:xmpp:forward:0", "forwarded")
                .with_child(Element::new(CLIENT_NS, "message").with_child(Element::new("", "x"))),
        );
    let inner = "message to='a&apos;&quot;&lt;&gt;&amp;&#x9;&#xD;&#xA;b'";
    let rest = "<body>&lt;&amp;&gt;'\"&#xD;\n]]&gt;</body><forwarded xmlns='urn:xmpp:forward:0'>\
                <message xmlns='jabber:client'><x xmlns=''/></message></forwarded></message>";
    assert_eq!(written(&message, Scope::Stream), format!("<{inner}>{rest}"));
    let alone = inner.replacen("message", "message xmlns='jabber:client'", 1);
    assert_eq!(written(&message, Scope::Alone), format!("<{alone}>{rest}"));

    let mut features = Element::new(STREAM_NS, "features").with_child(Element::new("urn:xmpp:sm:3", "sm"));
    features.set_attr_ns(XML_NS, "lang", "en");
    features.set_attr_ns("u:u", "a", "1");
    features.set_attr_ns("v:v", "a", "2");
    features.set_attr_ns("u:u", "b", "3");
    let rest =
        "xml:lang='en' ns0:a='1' ns1:a='2' ns0:b='3' xmlns:ns0='u:u' xmlns:ns1='v:v'><sm xmlns='urn:xmpp:sm:3'/>";
    assert_eq!(written(&features, Scope::Stream), format!("<stream:features {rest}</stream:features>"));
    assert_eq!(
        written(&features, Scope::Alone),
        format!("<features xmlns='http://etherx.jabber.org/streams' {rest}</features>")
    );
    assert_eq!(
        written(&Element::new("", "a").with_text("\0\u{1B}\u{FFFE}\t\n"), Scope::Alone),
        "<a>\u{FFFD}\u{FFFD}\u{FFFD}\t\n</a>"
    );
}

#[test]
fn text_by_people() {
    let ping = parse_str("\n  <iq type='get'>\r\n<ping xmlns='urn:xmpp:ping'/></iq> ").unwrap();
    assert_eq!((ping.attr("type"), ping.text().as_str()), (Some("get"), "\n"));
    assert!(ping.is(CLIENT_NS, "iq") && ping.child("urn:xmpp:ping", "ping").is_some());
    assert!(parse_str("<stream:features/>").unwrap().is(STREAM_NS, "features"));
    for (text, says) in [
        ("", "there is no element, at byte 0"),
        ("  ", "there is no element, at byte 2"),
        (" hello", "text between first-level elements, at byte 1"),
        (" <a>", "the element does not end, at byte 4"),
        ("<a/> <b/>", "something stands behind the element, at byte 4"),
        ("<a></b>", "an end tag that does not match, at byte 5"),
        ("<a/></stream:stream>", "something stands behind the element, at byte 4"),
        ("</stream:stream>", "an end tag with nothing open, at byte 0"),
    ] {
        assert_eq!(parse_str(text).unwrap_err(), says);
    }
}

#[test]
fn limits_may_change_between_stanzas() {
    let mut scanner = iqtap::xml::Scanner::new(Limits::BEFORE_LOGIN);
    let header = HEADER.as_bytes();
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    let long = format!("<a>{}</a>", "x".repeat(20_000));
    assert_eq!(scanner.scan(b"<a>"), Step::More);
    scanner.set_limits(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(long.as_bytes()), Step::Refused(_)), "not in the middle of one");
    let mut scanner = iqtap::xml::Scanner::new(Limits::BEFORE_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    scanner.set_limits(Limits::AFTER_LOGIN);
    assert_eq!(scanner.scan(long.as_bytes()), Step::Item { len: long.len(), kind: iqtap::xml::ItemKind::Element });
}
