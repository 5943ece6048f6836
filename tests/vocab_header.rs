//! Stream headers read and written, and the address helpers.

use bytes::BytesMut;
use iqtap::xml::{Limits, Scanner, Step};
use iqtap::xmpp::{Header, jid};

/// Reads a header through the scanner, as a session does.
fn read(text: &str) -> Result<Header, String> {
    let mut scanner = Scanner::new(Limits::BEFORE_LOGIN);
    let step = scanner.scan(text.as_bytes());
    assert!(matches!(step, Step::Item { .. }), "{text}: {step:?}");
    Header::read(scanner.open()).map_err(|error| error.condition.name().to_owned())
}

#[test]
fn headers_as_peers_write_them() {
    let streams = "xmlns:stream='http://etherx.jabber.org/streams'";
    let header = read(&format!(
        "<?xml version='1.0'?><stream:stream from='juliet@im.example.com' to='im.example.com' version='1.0' \
         xml:lang='en' xmlns='jabber:client' {streams}>"
    ));
    let header = header.expect("the RFC's own example");
    assert_eq!(header.to.as_deref(), Some("im.example.com"));
    assert_eq!(header.from.as_deref(), Some("juliet@im.example.com"));
    assert_eq!(header.id, None);
    assert_eq!(header.lang.as_deref(), Some("en"));
    assert!(header.has_features());

    let lawful = [
        "<x:stream xmlns:x='http://etherx.jabber.org/streams' xmlns='jabber:client' version='1.0'>".to_owned(),
        "<stream xmlns='http://etherx.jabber.org/streams' version='1.0'>".to_owned(),
        format!("<stream:stream {streams} version='1.0'>"),
        format!("<stream:stream {streams} xmlns='jabber:client' version='11.0'>"),
        format!("<stream:stream {streams} xmlns='jabber:client' version='01.00'>"),
        format!("<stream:stream {streams} xmlns='jabber:client' version='1'>"),
    ];
    for text in lawful {
        assert!(read(&text).is_ok_and(|h| h.has_features()), "{text}");
    }
    let old = read(&format!("<stream:stream {streams} xmlns='jabber:client'>")).expect("no version is 0.9");
    assert!(!old.has_features());
}

#[test]
fn headers_refused() {
    let streams = "xmlns:stream='http://etherx.jabber.org/streams'";
    let table = [
        (format!("<stream:stream {streams} xmlns='jabber:server' version='1.0'>"), "invalid-namespace"),
        (format!("<stream:features {streams} xmlns='jabber:client' version='1.0'>"), "invalid-namespace"),
        ("<stream:stream xmlns:stream='x:y' xmlns='jabber:client' version='1.0'>".to_owned(), "invalid-namespace"),
        ("<stream version='1.0'>".to_owned(), "invalid-namespace"),
        (format!("<stream:stream {streams} xmlns='jabber:client' version='0.9'>"), "unsupported-version"),
        (format!("<stream:stream {streams} xmlns='jabber:client' version=''>"), "unsupported-version"),
        (format!("<stream:stream {streams} xmlns='jabber:client' version='1.x'>"), "unsupported-version"),
        (format!("<stream:stream {streams} xmlns='jabber:client' version='-1.0'>"), "unsupported-version"),
    ];
    for (text, condition) in table {
        assert_eq!(read(&text), Err(condition.to_owned()), "{text}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let header = Header {
        to: Some("im.example.com".to_owned()),
        from: Some("o'hara@im.example.com".to_owned()),
        id: Some("<&\"\t\n>".to_owned()),
        lang: Some("de".to_owned()),
        version: Some("1.0".to_owned()),
    };
    let mut out = BytesMut::new();
    header.write(&mut out);
    let text = std::str::from_utf8(&out).expect("UTF-8");
    assert!(text.starts_with("<?xml version='1.0'?><stream:stream "), "{text}");
    assert!(text.ends_with(" xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"), "{text}");
    assert_eq!(read(text), Ok(header));

    let mut bare = BytesMut::new();
    Header::default().write(&mut bare);
    assert_eq!(
        &bare[..],
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
}

#[test]
fn addresses() {
    let table = [
        ("juliet@example.org/balcony", "juliet@example.org", "example.org", Some("balcony")),
        ("juliet@example.org", "juliet@example.org", "example.org", None),
        ("example.org", "example.org", "example.org", None),
        ("example.org/a@b/c", "example.org", "example.org", Some("a@b/c")),
        ("juliet@example.org/", "juliet@example.org", "example.org", Some("")),
        ("", "", "", None),
    ];
    for (full, bare, domain, resource) in table {
        assert_eq!(jid::bare(full), bare, "{full}");
        assert_eq!(jid::domain(full), domain, "{full}");
        assert_eq!(jid::resource(full), resource, "{full}");
    }
    assert!(jid::same("BoB@PL.test/X", "bob@pl.test/X"));
    assert!(!jid::same("bob@pl.test/X", "bob@pl.test/x"));
    assert!(jid::same("a@b@c", "a@b@c"));
    assert!(!jid::same("a@b@c", "A@b@c"));
}
