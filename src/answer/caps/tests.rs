//! Hashes against those of the XEPs, and against a second way to compute them.

use super::*;
use crate::answer::tests::with;
use crate::answer::{Mode, Target, disco};
use crate::xml::parse_str;
use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};

fn info(inside: &str) -> Element {
    parse_str(&format!("<query xmlns='http://jabber.org/protocol/disco#info'>{inside}</query>")).unwrap()
}

fn vars(vars: &[&str]) -> String {
    vars.iter().map(|var| format!("<feature var='{var}'/>")).collect()
}

const FEATURES: [&str; 4] = [
    "http://jabber.org/protocol/disco#items",
    "http://jabber.org/protocol/muc",
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/disco#info",
];
const SIMPLE_VER: &str = "QgayPKawpkPSDYmwT/WM94uAlu0=";

/// The example of XEP-0115 §5.2.
fn simple() -> Element {
    info(&format!("<identity category='client' type='pc' name='Exodus 0.9.1'/>{}", vars(&FEATURES)))
}

fn field(var: &str, kind: &str, values: &[&str]) -> String {
    let values: String = values.iter().map(|value| format!("<value>{value}</value>")).collect();
    format!("<field var='{var}'{kind}>{values}</field>")
}

fn form(fields: &[(&str, &[&str])]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, values)| field(var, if *var == "FORM_TYPE" { " type='hidden'" } else { "" }, values))
        .collect();
    format!("<x xmlns='jabber:x:data' type='result'>{fields}</x>")
}

const SOFTWARE: &str = "urn:xmpp:dataforms:softwareinfo";

/// The form of XEP-0115 §5.3.
fn psi_form() -> String {
    form(&[
        ("FORM_TYPE", &[SOFTWARE]),
        ("ip_version", &["ipv6", "ipv4"]),
        ("os", &["Mac"]),
        ("os_version", &["10.5.1"]),
        ("software", &["Psi"]),
        ("software_version", &["0.11"]),
    ])
}

/// The example of XEP-0115 §5.3.
fn complex() -> Element {
    let identities = "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
                      <identity xml:lang='el' category='client' name='\u{3a8} 0.11' type='pc'/>";
    info(&format!("{identities}{}{}", vars(&FEATURES), psi_form()))
}

#[test]
fn the_examples_of_xep_0115() {
    assert_eq!(ver(&simple()).as_deref(), Some(SIMPLE_VER));
    assert_eq!(ver(&complex()).as_deref(), Some("q07IKJEyjvHSyhy//CH0CxmKi8w="));
}

/// The first example of XEP-0390 §4.5.
fn bombus() -> Element {
    let jabber = ["si", "bytestreams", "chatstates", "disco#info", "disco#items", "rosterx", "ibb"];
    let jabber = jabber.map(|name| format!("http://jabber.org/protocol/{name}"));
    let mut all: Vec<&str> = jabber.iter().map(String::as_str).collect();
    all.extend(["urn:xmpp:ping", "jabber:iq:time", "jabber:iq:privacy", "jabber:iq:version", "urn:xmpp:time"]);
    all.extend(["jabber:x:oob", "urn:xmpp:receipts", "jabber:iq:roster", "jabber:iq:last"]);
    all.push("http://jabber.org/protocol/si/profile/file-transfer");
    info(&format!("<identity category='client' name='BombusMod' type='mobile'/>{}", vars(&all)))
}

/// The second example of XEP-0390 §4.5.
fn tkabber() -> Element {
    let jabber = [
        "activity",
        "activity+notify",
        "bytestreams",
        "chatstates",
        "commands",
        "disco#info",
        "disco#items",
        "evil",
        "feature-neg",
        "geoloc",
        "geoloc+notify",
        "ibb",
        "iqibb",
        "mood",
        "mood+notify",
        "rosterx",
        "si",
        "si/profile/file-transfer",
        "tune",
    ];
    let jabber = jabber.map(|name| format!("http://jabber.org/protocol/{name}"));
    let iqs = ["avatar", "browse", "dtcp", "filexfer", "ibb", "inband", "jidlink", "last", "oob", "privacy", "roster"];
    let iqs = iqs.map(|name| format!("jabber:iq:{name}"));
    let mut all: Vec<&str> = jabber.iter().chain(&iqs).map(String::as_str).collect();
    all.extend(["games:board", "http://www.facebook.com/xmpp/messages", "jabber:iq:time", "jabber:iq:version"]);
    all.extend(["http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify", "jabber:x:data", "jabber:x:event"]);
    all.extend([
        "jabber:x:oob",
        "urn:xmpp:avatar:metadata+notify",
        "urn:xmpp:ping",
        "urn:xmpp:receipts",
        "urn:xmpp:time",
    ]);
    let identities = "<identity category='client' name='Tkabber' type='pc' xml:lang='en'/>\
                      <identity category='client' name='\u{422}\u{43a}\u{430}\u{431}\u{431}\u{435}\u{440}' type='pc' xml:lang='ru'/>";
    let form = form(&[
        ("FORM_TYPE", &[SOFTWARE]),
        ("software", &["Tkabber"]),
        ("software_version", &["0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)"]),
        ("os", &["Windows"]),
        ("os_version", &["XP"]),
    ]);
    info(&format!("{identities}{}{form}", vars(&all)))
}

#[test]
fn the_examples_of_xep_0390() {
    let hash = |query| hash::modern(&query, "sha-256");
    assert_eq!(hash(bombus()).as_deref(), Some("kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8="));
    assert_eq!(hash(tkabber()).as_deref(), Some("u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY="));
    assert_eq!(hash::modern(&bombus(), "sha3-256"), None);
    assert_eq!(hash::modern(&bombus(), "sha-512").map(|hash| hash.len()), Some(88));
}

#[test]
fn an_inherited_language_counts_for_xep_0390() {
    let mut around = bombus();
    around.set_attr_ns(ns::XML, "lang", "en");
    let mut own = bombus();
    for identity in own.children_mut().filter(|child| child.name == "identity") {
        identity.set_attr_ns(ns::XML, "lang", "en");
    }
    assert_eq!(hash::modern(&around, "sha-256"), hash::modern(&own, "sha-256"));
    assert_ne!(hash::modern(&around, "sha-256"), hash::modern(&bombus(), "sha-256"));
}

#[test]
fn ill_formed_answers_have_no_hash() {
    let typed = |kind: &str| form(&[("FORM_TYPE", &[kind])]);
    let identity = "<identity category='client' type='pc'/>";
    let other = "<identity category='client' type='pc' xml:lang='de'/>";
    for inside in [
        format!("{identity}{identity}"),
        vars(&["a", "b", "a"]),
        typed("f") + &*typed("f"),
        form(&[("FORM_TYPE", &["f", "g"])]),
        vars(&["a<b"]).replace("a<b", "a&lt;b"),
        "<identity category='client' type='pc' name='x&lt;y'/>".to_owned(),
        "<feature/>".to_owned(),
    ] {
        assert_eq!(ver(&info(&inside)), None, "{inside}");
    }
    for inside in [format!("{identity}{other}"), typed("f") + &*typed("g"), form(&[("FORM_TYPE", &["f", "f"])])] {
        assert!(ver(&info(&inside)).is_some(), "{inside}");
    }
    let table = "<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>f</value></field><reported/></x>";
    for inside in [table, "<x xmlns='jabber:x:data'/>", "<y xmlns='urn:y'/>", "<identity/>"] {
        assert_eq!(hash::modern(&info(inside), "sha-256"), None, "{inside}");
    }
}

#[test]
fn a_form_of_no_type_does_not_count_for_xep_0115() {
    let mut query = simple();
    for form in [form(&[("x", &["y"])]), form(&[("FORM_TYPE", &["f"])]).replace(" type='hidden'", "")] {
        query.nodes.push(Node::Element(parse_str(&form).unwrap()));
        assert_eq!(ver(&query).as_deref(), Some(SIMPLE_VER));
    }
}

fn features(inside: &str) -> Element {
    parse_str(&format!("<features xmlns='urn:f'>{inside}</features>")).unwrap()
}

fn classic(algorithm: &str, ver: &str) -> String {
    format!("<c xmlns='http://jabber.org/protocol/caps' hash='{algorithm}' node='http://s.test' ver='{ver}'/>")
}

fn modern(hashes: &[(&str, &str)]) -> String {
    let hash =
        |(algorithm, hash): &(&str, &str)| format!("<hash xmlns='urn:xmpp:hashes:2' algo='{algorithm}'>{hash}</hash>");
    format!("<c xmlns='urn:xmpp:caps'>{}</c>", hashes.iter().map(hash).collect::<String>())
}

#[test]
fn features_name_the_answer() {
    assert_eq!(Caps::of(&features("<bind xmlns='urn:b'/>")), None);
    assert_eq!(Caps::of(&features("<c xmlns='urn:xmpp:caps'/>")), None);
    let key = |inside: &str| Caps::of(&features(inside)).unwrap().key();
    let both = modern(&[("sha-256", "H\n="), ("sha3-256", "I")]) + &*classic("sha-1", "V=");
    assert_eq!(key(&both), "http://s.test#V=");
    assert_eq!(key(&modern(&[("sha-256", "H\n="), ("sha3-256", "I")])), "urn:xmpp:caps#sha-256.H=");
}

#[test]
fn an_answer_is_believed_if_it_has_the_hashes() {
    let right = hash::modern(&simple(), "sha-256").unwrap();
    for (inside, believed) in [
        (classic("sha-1", SIMPLE_VER), true),
        (classic("sha-1", "x"), false),
        (classic("md5", "x"), false),
        (classic("sha-256", SIMPLE_VER), false),
        (modern(&[("sha-256", &right), ("sha3-256", "x")]), true),
        (modern(&[("sha-256", "x")]), false),
        (modern(&[("sha3-256", "x")]), false),
        (classic("sha-1", SIMPLE_VER) + &*modern(&[("sha-256", "x")]), false),
        (classic("md5", "x") + &*modern(&[("sha-256", &right)]), true),
    ] {
        let caps = Caps::of(&features(&inside)).unwrap();
        assert_eq!(caps.verify(&simple()), believed, "{inside}");
        assert!(caps.can_verify() || !believed, "{inside}");
    }
    let ill = info(&vars(&["a", "a"]));
    assert!(!Caps::of(&features(&classic("sha-1", "x"))).unwrap().verify(&ill));
}

#[test]
fn features_are_made_to_speak_of_the_edited_answer() {
    let other = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    let before = format!(
        "{other}{}{}",
        classic("sha-1", "OLD="),
        modern(&[("sha-256", "OLD2="), ("sha3-256", "x"), ("sha-512", "OLD5=")])
    );
    let edited = bombus();
    let [two, five] = ["sha-256", "sha-512"].map(|name| hash::modern(&edited, name).unwrap());
    let new = ver(&edited).unwrap();
    let mut given = features(&before);
    let mapping = Caps::rewrite(&mut given, &edited).unwrap();
    let after = format!("{other}{}{}", classic("sha-1", &new), modern(&[("sha-256", &two), ("sha-512", &five)]));
    assert_eq!(given, features(&after));
    assert!(Caps::of(&given).unwrap().verify(&edited));
    for (node, known) in [
        (format!("http://s.test#{new}"), Some("http://s.test#OLD=")),
        (format!("urn:xmpp:caps#sha-256.{two}"), Some("urn:xmpp:caps#sha-256.OLD2=")),
        (format!("urn:xmpp:caps#sha-512.{five}"), Some("urn:xmpp:caps#sha-512.OLD5=")),
        ("http://s.test#OLD=".to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(mapping.to_server(&node), known, "{node}");
    }
}

#[test]
fn it_is_known_what_could_be_believed() {
    for (inside, could) in [
        (classic("sha-1", "x"), true),
        (classic("md5", "x"), false),
        (modern(&[("sha3-256", "x"), ("sha-256", "x")]), true),
        (modern(&[("sha3-256", "x")]), false),
        ("<c xmlns='http://jabber.org/protocol/caps' node='n' ver='0.9'/>".to_owned(), false),
    ] {
        assert_eq!(Caps::of(&features(&inside)).unwrap().can_verify(), could, "{inside}");
    }
}

#[test]
fn it_is_known_by_its_nodes() {
    let both = classic("sha-1", "V=") + &*modern(&[("sha-256", "H="), ("sha3-256", "I")]);
    let caps = Caps::of(&features(&both)).unwrap();
    for (node, known) in [
        ("http://s.test#V=", true),
        ("urn:xmpp:caps#sha-256.H=", true),
        ("urn:xmpp:caps#sha3-256.I", true),
        ("http://s.test#W=", false),
        ("http://s.test", false),
        ("", false),
    ] {
        assert_eq!(caps.names(node), known, "{node}");
    }
}

#[test]
fn what_was_told_before_is_not_forgotten() {
    let told = |ver: &str, edited: &Element| Caps::rewrite(&mut features(&classic("sha-1", ver)), edited).unwrap();
    let (new, old) = (ver(&bombus()).unwrap(), ver(&tkabber()).unwrap());
    let mut mapping = told("2", &bombus());
    mapping.follow(told("1", &tkabber()));
    mapping.follow(told("1", &bombus()));
    assert_eq!(mapping.to_server(&format!("http://s.test#{new}")), Some("http://s.test#2"));
    assert_eq!(mapping.to_server(&format!("http://s.test#{old}")), Some("http://s.test#1"));
    assert!(!mapping.is_empty() && Mapping::default().is_empty());
    let before = mapping.weight();
    for number in 0..100 {
        let other = info(&vars(&[&format!("urn:{number}")]));
        mapping.follow(told("1", &other));
    }
    assert!(mapping.weight() < 20 * before, "{}", mapping.weight());
}

#[test]
fn what_cannot_be_computed_is_removed() {
    let other = "<bind xmlns='urn:b'/>";
    let legacy = "<c xmlns='http://jabber.org/protocol/caps' node='n' ver='0.9'/>";
    for said in [classic("md5", "x"), modern(&[("sha3-256", "x")]), legacy.to_owned()] {
        let mut given = features(&format!("{said}{other}"));
        assert_eq!(Caps::rewrite(&mut given, &simple()), None);
        assert_eq!(given, features(other));
    }
    let mut given = features(&(classic("sha-1", "x") + other));
    assert_eq!(Caps::rewrite(&mut given, &info(&vars(&["a", "a"]))), None);
    assert_eq!(given, features(other));
}

#[test]
fn all_of_it_is_taken_out() {
    let other = "<bind xmlns='urn:b'/>";
    let mut given = features(&(classic("sha-1", "x") + other + &*modern(&[("sha-256", "x")])));
    assert!(Caps::strip(&mut given));
    assert_eq!(given, features(other));
    assert!(!Caps::strip(&mut given));
}

#[test]
fn answers_are_kept() {
    assert_eq!(read(&write(&complex())), Some(complex()));
    assert_eq!(read(b"<query xmlns='urn:other'/>"), None);
    assert_eq!(read(b"<query"), None);
}

/// XEP-0115 §5.1 for answers with one identity and no forms, as simple as it can be.
fn plain_ver(identity: &str, mut features: Vec<String>) -> String {
    features.sort();
    let text = format!("{identity}<{}", features.iter().map(|feature| format!("{feature}<")).collect::<String>());
    let mut hash = sha1_again(text.as_bytes());
    hash.push('=');
    hash
}

/// SHA-1 (FIPS 180-4) and base64 once more; the last `=` is left to the caller.
fn sha1_again(text: &[u8]) -> String {
    let mut message = text.to_vec();
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend(((text.len() as u64) * 8).to_be_bytes());
    let mut h = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in message.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
        for t in 16..80 {
            let next = (w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1);
            w.push(next);
        }
        let [mut a, mut b, mut c, mut d, mut e] = h;
        for (t, word) in w.iter().enumerate() {
            let (f, k) = match t / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in h.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let bits: Vec<u8> = h.iter().flat_map(|word| word.to_be_bytes()).collect();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets = (0..27).map(|at| {
        (0..6).fold(0_usize, |value, bit| {
            let at = at * 6 + bit;
            value * 2 + bits.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1))
        })
    });
    sextets.map(|sextet| char::from(letters[sextet])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_edited_answer_has_the_hash_that_anybody_computes(
        given in prop::collection::btree_set("[a-z:#]{1,12}", 0..12),
    ) {
        let answers = with(&[
            (ns::PING, Mode::Local),
            (ns::BLOCKING, Mode::Fallback),
            (ns::MAM, Mode::Deny(crate::xmpp::Condition::NotAllowed)),
        ]);
        let given: Vec<&str> = given.iter().map(String::as_str).chain([ns::MAM]).collect();
        let mut query = info(&format!("<identity category='server' type='im' name='x'/>{}", vars(&given)));
        prop_assert!(disco::edit(&mut query, Target::Server, &answers));
        let mut given: Vec<String> = given.into_iter().filter(|var| *var != ns::MAM).map(str::to_owned).collect();
        given.extend([ns::PING.to_owned(), ns::BLOCKING.to_owned()]);
        prop_assert_eq!(ver(&query), Some(plain_ver("server/im//x", given)));
    }
}
