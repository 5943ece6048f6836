//! Every row of the redaction list (protocol.md C5), in many spellings: the secret is gone, the element is still there.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own file has failed")]

mod capture_support;
mod secrets;

use capture_support::Tape;
use iqtap::session::Dir;
use iqtap::xmpp::Side;
use secrets::{ROWS, SECRET};

/// Writes one item, alone on its stream, and gives the file's bytes as text.
fn recorded(header: &str, item: &str) -> String {
    let mut tape = Tape::new();
    tape.item(Side::Client, Dir::In, header.to_owned());
    tape.item(Side::Client, Dir::In, item.to_owned());
    let (_dir, path) = tape.finish();
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='d'>";

fn check(left: &str, header: &str, item: &str, secret: &str) {
    let file = recorded(header, item);
    let (_, rest) = file.split_once(HEADER.split_once(' ').unwrap().0).unwrap();
    assert!(!rest.contains(secret), "written: {item}");
    assert!(!rest.contains("urn:iqtap:redacted"), "not even read: {item}");
    assert!(rest.contains(left), "{left} is gone from {item}: {rest}");
    assert!(rest.contains("[redacted ") || rest.contains("W3JlZGFjdGVk"), "no marker for {item}: {rest}");
}

#[test]
fn no_row_is_written() {
    for (left, row) in ROWS {
        check(left, HEADER, &row.replace("SECRET", SECRET), SECRET);
    }
}

#[test]
fn nor_inside_an_error_or_a_copy() {
    // Handshakes, dialback and BOSH bodies are not parts of client streams, nor of any stanza.
    let nested = |row: &str| !["jabber:component", "jabber:server", "httpbind"].iter().any(|n| row.contains(n));
    for (left, row) in ROWS.iter().filter(|(_, row)| nested(row)) {
        let row = row.replace("SECRET", SECRET);
        let error = "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        check(left, HEADER, &format!("<iq type='error' id='e'>{row}{error}</iq>"), SECRET);
        let copy = format!(
            "<message><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>{row}</forwarded></sent></message>"
        );
        check(left, HEADER, &copy, SECRET);
    }
}

#[test]
fn nor_spelt_in_another_way() {
    for (left, row) in ROWS {
        let cdata = row.replace(">SECRET<", "><![CDATA[hunter2-Zq9]]><");
        check(left, HEADER, &cdata.replace("SECRET", SECRET), SECRET);
        let split = row.replace(">SECRET<", ">hun<![CDATA[ter2-]]>Zq9<");
        check(left, HEADER, &split.replace("SECRET", SECRET), "Zq9");
        check(left, HEADER, &row.replace("SECRET", "hunter2&#x2d;Zq9"), "hunter2");
    }
}

#[test]
fn nor_when_the_name_is_spelt_by_references() {
    for (old, new) in [
        ("'password'", "'passw&#111;rd'"),
        ("text-private", "text&#45;private"),
        ("jabber:iq:", "jabber:&#105;q:"),
        ("xmpp:fast", "xmpp:f&#x61;st"),
        ("http:upload", "http:&#117;pload"),
        ("'secret'", "'se&#99;ret'"),
        ("Authorization", "&#65;uthorization"),
    ] {
        let changed: Vec<_> = ROWS.iter().filter(|(_, row)| row.contains(old)).collect();
        assert!(!changed.is_empty(), "no row has {old}");
        for (_, row) in changed {
            check("", HEADER, &row.replace(old, new).replace("SECRET", SECRET), SECRET);
        }
    }
}

#[test]
fn nor_when_the_namespace_is_declared_on_the_stream() {
    let header = HEADER.replace(
        " to=",
        " xmlns:a='jabber:iq:auth' xmlns:x='jabber:x:data' xmlns:s='urn:ietf:params:xml:ns:xmpp-sasl' to=",
    );
    for item in [
        "<iq type='set' id='1'><a:query><a:digest>SECRET</a:digest></a:query></iq>",
        "<s:auth>SECRET</s:auth>",
        "<iq type='set' id='1'><x:x><x:field var='z' type='text-private'><x:value>SECRET</x:value></x:field></x:x></iq>",
    ] {
        check("", &header, &item.replace("SECRET", SECRET), SECRET);
    }
}

#[test]
fn nor_when_it_cannot_be_read() {
    for item in
        ["<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>SECRET</oops>", "<iq><x:password>SECRET</x:password></iq>"]
    {
        let file = recorded(HEADER, &item.replace("SECRET", SECRET));
        assert!(!file.contains(SECRET), "written: {item}");
        assert!(file.contains(&format!("<redacted xmlns='urn:iqtap:redacted' bytes='{}'/>", item.len() + 5)), "{file}");
    }
}

#[test]
fn what_holds_no_secret_is_written_as_it_was() {
    for item in [
        "<message   to='a@b'><body>the password is tulip</body></message>",
        "<iq type='result' id='1'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='muc_passwordprotected'/></query></iq>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL' >=</auth>",
        "<success  xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<r xmlns=\"urn:xmpp:sm:3\"/>",
        "<a  xmlns='urn:xmpp:sm:3' h='4'></a>",
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism >PLAIN</mechanism></mechanisms></stream:features>",
        "<message><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'><key rid='2'>AAAA</key></header></encrypted></message>",
        "<iq type='set' id='1'><x xmlns='jabber:x:data'><field var='muc#roomconfig_passwordprotectedroom'><value>1</value></field></x></iq>",
        "<message><body>a&#10;b</body></message>",
    ] {
        let file = recorded(HEADER, item);
        assert!(file.contains(item), "{item} became {file}");
    }
}

#[test]
fn on_a_stream_of_another_shape_namespaces_are_declared() {
    let header = "<stream xmlns='http://etherx.jabber.org/streams' to='d'>";
    let file = recorded(
        header,
        "<iq xmlns='jabber:client' type='set' id='1'><query xmlns='jabber:iq:auth'><password>x</password></query></iq>",
    );
    assert!(file.contains("<iq xmlns='jabber:client'") || file.contains("<iq xmlns=\"jabber:client\""), "{file}");
}

/// The markers in a file, in order.
fn markers(file: &str) -> Vec<&str> {
    let starts = file.match_indices("[redacted ").map(|(at, _)| &file[at..]);
    starts.map(|rest| &rest[..=rest.find(']').unwrap()]).collect()
}

#[test]
fn whether_two_resumption_ids_are_the_same_is_left() {
    let mut tape = Tape::new();
    tape.item(Side::Server, Dir::In, HEADER.replace("to=", "from="));
    for id in ["first", "other"] {
        tape.item(Side::Server, Dir::In, format!("<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='true'/>"));
    }
    tape.item(Side::Client, Dir::In, "<resume xmlns='urn:xmpp:sm:3' previd='other' h='3'/>");
    tape.item(Side::Server, Dir::In, "<resumed xmlns='urn:xmpp:sm:3' previd='first' h='3'/>");
    tape.item(Side::Client, Dir::In, format!("<resume xmlns='urn:xmpp:sm:3' previd='{}' h='3'/>", "x".repeat(4001)));
    let (_dir, path) = tape.finish();
    let file = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    assert!(!file.contains("first") && !file.contains("other"));
    let came = markers(&file);
    let short = ["#1", "#2", "#2", "#1"].map(|number| format!("[redacted 5 bytes {number}]"));
    assert_eq!(came[..4], short);
    assert!(came[4].starts_with("[redacted 4001 bytes #3.") && came[4].len() > 4000, "no id that could be resumed by");
}

#[test]
fn that_a_client_can_bind_channels_is_left() {
    let auth =
        |text: &str| format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{text}</auth>");
    let left = |text: &str| {
        let file = recorded(HEADER, &auth(text));
        file.split("SCRAM-SHA-1").nth(1).unwrap().split(['<', '>']).nth(1).unwrap().to_owned()
    };
    // y,,n=user,r=x and n,,n=user,r=x
    assert_eq!(left("eSwsbj11c2VyLHI9eA=="), "eSwsW3JlZGFjdGVkIDIwIGJ5dGVzXQ=="); // y,,[redacted 20 bytes]
    assert_eq!(left("biwsbj11c2VyLHI9eA=="), "W3JlZGFjdGVkIDIwIGJ5dGVzXQ=="); // [redacted 20 bytes]
}

#[test]
fn what_was_redacted_stays_as_it_is() {
    for (_, row) in ROWS {
        let once = recorded(HEADER, &row.replace("SECRET", SECRET));
        let name = row[1..].split(' ').next().unwrap();
        let name = name.rsplit(':').next().unwrap(); // it is written anew
        let item = &once[once.rfind(&format!("<{name} ")).unwrap()..];
        let end = format!("</{name}>");
        let (end, len) = item.find(&end).map_or_else(|| (item.find("/>").unwrap(), 2), |at| (at, end.len()));
        let item = &item[..end + len];
        assert!(item.contains("[redacted ") || item.contains("W3JlZGFjdGVk"), "{item}");
        assert!(recorded(HEADER, item).contains(item), "{item} became another one");
    }
}
