//! What is taken out of the server's features, on lists as Prosody, ejabberd and odd servers send them.

#![expect(clippy::panic, reason = "a fixture that is not XML is a mistake in this file")]

use iqtap::xml::{Element, parse_str};
use iqtap::xmpp::features::{Edit, edit, offers_starttls, only_starttls};
use iqtap::xmpp::ns;
use iqtap::xmpp::sasl::{Failure, failure, is_stripped, says_y};

fn features(inside: &str) -> Element {
    let text = format!("<stream:features xmlns:stream='http://etherx.jabber.org/streams'>{inside}</stream:features>");
    parse_str(&text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

struct Case {
    name: &'static str,
    offered: &'static str,
    left: &'static str,
    stripped: &'static [&'static str],
    channel_binding: bool,
    no_mechanism_left: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "Prosody 0.12 before login, TLS 1.2",
        offered: "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
                  <mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms>\
                  <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>",
        left: "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism>\
               <mechanism>PLAIN</mechanism></mechanisms>\
               <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>",
        stripped: &["SCRAM-SHA-1-PLUS"],
        channel_binding: true,
        no_mechanism_left: false,
    },
    Case {
        name: "ejabberd before login, everything on",
        offered: "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
                  <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism>\
                  <mechanism>X-OAUTH2</mechanism><mechanism>SCRAM-SHA-512-PLUS</mechanism>\
                  <mechanism>SCRAM-SHA-512</mechanism><mechanism>DIGEST-MD5</mechanism></mechanisms>\
                  <authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism><inline>\
                  <sm xmlns='urn:xmpp:sm:3'/></inline></authentication>\
                  <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>\
                  <compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>\
                  <register xmlns='http://jabber.org/features/iq-register'/>",
        left: "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>X-OAUTH2</mechanism>\
               <mechanism>SCRAM-SHA-512</mechanism></mechanisms>\
               <register xmlns='http://jabber.org/features/iq-register'/>",
        stripped: &[
            "starttls",
            "EXTERNAL",
            "SCRAM-SHA-512-PLUS",
            "DIGEST-MD5",
            "sasl2",
            "sasl-channel-binding",
            "compression",
        ],
        channel_binding: true,
        no_mechanism_left: false,
    },
    Case {
        name: "Prosody after login",
        offered: "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>\
                  <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
                  <ver xmlns='urn:xmpp:features:rosterver'/><sm xmlns='urn:xmpp:sm:2'><optional/></sm>\
                  <sm xmlns='urn:xmpp:sm:3'><optional/></sm><csi xmlns='urn:xmpp:csi:0'/>\
                  <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://prosody.im' ver='x'/>",
        left: "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>\
               <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
               <ver xmlns='urn:xmpp:features:rosterver'/><csi xmlns='urn:xmpp:csi:0'/>\
               <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://prosody.im' ver='x'/>",
        stripped: &["sm:2", "sm:3"],
        channel_binding: false,
        no_mechanism_left: false,
    },
    Case {
        name: "stream management inside other features",
        offered: "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/>\
                  <feature var='urn:xmpp:carbons:2'/></inline></bind>\
                  <thing xmlns='x:y'><sm xmlns='urn:xmpp:sm:2'/>kept</thing>",
        left: "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/></inline></bind>\
               <thing xmlns='x:y'>kept</thing>",
        stripped: &["sm:3", "sm:2"],
        channel_binding: false,
        no_mechanism_left: false,
    },
    Case {
        name: "nothing left of the mechanisms",
        offered: "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism> SCRAM-SHA-1-PLUS </mechanism>\
                  <mechanism>EXTERNAL</mechanism></mechanisms>",
        left: "",
        stripped: &["SCRAM-SHA-1-PLUS", "EXTERNAL"],
        channel_binding: true,
        no_mechanism_left: true,
    },
    Case {
        name: "a binding list without -PLUS, which clients must abort on",
        offered: "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
                  <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'/></mechanisms>",
        left: "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>",
        stripped: &["sasl-channel-binding"],
        channel_binding: true,
        no_mechanism_left: false,
    },
    Case {
        name: "the same names in namespaces nobody knows",
        offered: "<starttls xmlns='x:1'/><mechanisms xmlns='x:2'><mechanism>EXTERNAL</mechanism></mechanisms>\
                  <sm xmlns='urn:xmpp:sm:4'/><compression xmlns='x:3'/>",
        left: "<starttls xmlns='x:1'/><mechanisms xmlns='x:2'><mechanism>EXTERNAL</mechanism></mechanisms>\
               <sm xmlns='urn:xmpp:sm:4'/><compression xmlns='x:3'/>",
        stripped: &[],
        channel_binding: false,
        no_mechanism_left: false,
    },
    Case {
        name: "no features at all",
        offered: "",
        left: "",
        stripped: &[],
        channel_binding: false,
        no_mechanism_left: false,
    },
];

#[test]
fn edits() {
    for case in CASES {
        let mut tree = features(case.offered);
        let edited = edit(&mut tree, Edit::default());
        assert_eq!(tree, features(case.left), "{}", case.name);
        assert_eq!(edited.stripped, case.stripped, "{}", case.name);
        assert_eq!(edited.channel_binding, case.channel_binding, "{}", case.name);
        assert_eq!(edited.no_mechanism_left, case.no_mechanism_left, "{}", case.name);
        assert!(edit(&mut tree, Edit::default()).stripped.is_empty(), "{}: twice", case.name);
    }
}

#[test]
fn our_starttls_takes_the_place_of_the_servers() {
    let mut tree = features("<a xmlns='x:a'/><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>");
    assert!(offers_starttls(&tree));
    edit(&mut tree, Edit { offer_starttls: true, ..Edit::default() });
    assert_eq!(tree, features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><a xmlns='x:a'/>"));
    edit(&mut tree, Edit::default());
    assert!(!offers_starttls(&tree));
    let only = features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>");
    assert_eq!(only_starttls(), only);
}

#[test]
fn mechanisms_that_cannot_pass() {
    let stripped = "SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS GS2-KRB5-PLUS EXTERNAL GSSAPI GSS-SPNEGO DIGEST-MD5 \
                    HT-SHA-256-UNIQ HT-SHA-256-EXPR HT-SHA-256-ENDP scram-sha-1-plus external";
    let passed = "PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512 ANONYMOUS X-OAUTH2 OAUTHBEARER CRAM-MD5 \
                  HT-SHA-256-NONE PLUS";
    assert!(stripped.split_whitespace().all(is_stripped));
    assert!(!passed.split_whitespace().any(is_stripped));
    assert!(!is_stripped(""));
}

#[test]
fn the_flag_y() {
    // `y,,n=user,r=fyko+d2lbbFgONRv9qkxdawL`, and the same with `n` and `p=tls-exporter`.
    assert!(says_y("eSwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM"));
    assert!(says_y(" eSws"), "white space around");
    assert!(says_y("eSxhPWJvYkBleGFtcGxlLm9yZyxuPXU="), "with an authzid: y,a=bob@example.org,n=u");
    assert!(!says_y("biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM"));
    assert!(!says_y("cD10bHMtZXhwb3J0ZXIsLG49dXNlcg=="));
    for odd in ["", "=", "eSw", "éSws", "eS*s", "====", "\u{1f600}"] {
        assert!(!says_y(odd), "{odd:?}");
    }
}

#[test]
fn our_sasl_failure() {
    let sent = parse_str(
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><encryption-required/>\
         <text xml:lang='en'>STARTTLS first</text></failure>",
    );
    assert_eq!(Ok(failure(Failure::EncryptionRequired, "STARTTLS first")), sent);
    assert_eq!(failure(Failure::InvalidMechanism, "").nodes.len(), 1);
    assert!(failure(Failure::InvalidMechanism, "").child(ns::SASL, "invalid-mechanism").is_some());
}

#[test]
fn short_names_of_namespaces() {
    let table = [
        ("vcard-temp", "vcard-temp"),
        ("jabber:iq:roster", "roster"),
        ("http://jabber.org/protocol/disco#info", "disco#info"),
        ("urn:xmpp:ping", "ping"),
        ("urn:ietf:params:xml:ns:xmpp-bind", "bind"),
        ("urn:xmpp:mam:2", "mam"),
        ("jabber:iq:auth", "iq-auth"),
    ];
    for (long, short) in table {
        assert_eq!(ns::short(long), Some(short));
    }
    assert_eq!(ns::short("urn:example:unknown"), None);
    assert_eq!(ns::short(""), None);
}

#[test]
fn advertised_limits_are_lowered_to_ours() {
    let limits = |bytes: &str| {
        format!(
            "<stream:features><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{bytes}</max-bytes>\
             <idle-seconds>60</idle-seconds></limits></stream:features>"
        )
    };
    for (theirs, ours, expected) in
        [("500000", 10_000, "10000"), ("8192", 10_000, "8192"), ("500000", 0, "500000"), ("many", 10_000, "many")]
    {
        let mut tree = parse_str(&limits(theirs)).unwrap();
        edit(&mut tree, Edit { max_bytes: ours, ..Edit::default() });
        assert_eq!(tree, parse_str(&limits(expected)).unwrap(), "{theirs} {ours}");
    }
}
