//! The photo of a vCard that is kept here, as others see it: its hash stands in the account's presence (XEP-0153), and is said anew
//! when the photo changes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{CLEAR, Iqtap, Need, builtin, go, have, raw, somebody, text};
use serde_json::{Value, json};

const BALCONY: &str = "juliet@xmpp.test/balcony";
const CHAMBER: &str = "juliet@xmpp.test/chamber";

/// Two photos, as far as a hash can see, and the hashes of them that FIPS 180-4's examples tell.
const FIRST: [&str; 2] = ["abc", "a9993e364706816aba3e25717850c26c9cd0d89d"];
const SECOND: [&str; 2] =
    ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"];

fn publish(label: &str, photo: &str) -> Value {
    json!({ "do": "vcard_set", "as": label, "fn": "Juliet", "photo": photo })
}

fn presence(status: &str, more: &str) -> Value {
    raw(&format!("say {status}"), &format!("<presence><status>{status}</status>{more}</presence>"))
}

/// Romeo hears this of Juliet's presence.
fn hears(label: &str, from: &str, status: &str, photo: Option<&str>) -> Value {
    json!({ "do": "heard", "as": label, "like": { "type": "available", "from": from, "status": status, "photo": photo } })
}

/// Juliet has three sessions behind iqtap; one of them has not said that it is there. Romeo, at the server, sees her photo come,
/// change, outlive iqtap, and go.
#[test]
fn others_see_the_hash_of_the_photo_that_is_kept_here() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let (port, dir) = (builtin(), tempfile::tempdir().unwrap());
    let store = dir.path().join("kept.redb");
    let flags = ["--answer", "vcard-temp=local", "--store", store.to_str().unwrap()];
    let start = || Iqtap::run(port, &[&CLEAR[..], &flags].concat());
    let [first, second] = [FIRST, SECOND].map(|[_, hash]| Some(hash));
    let steps = json!([
        "login",
        "presence",
        hears("nothing is kept", BALCONY, "early", None),
        hears("hers come", CHAMBER, "early", None),
        hears("first", BALCONY, "early", first),
        hears("first elsewhere", CHAMBER, "early", first),
        hears("second", BALCONY, "early", second),
        hears("second elsewhere", CHAMBER, "early", second),
        hears("later", BALCONY, "later", second),
        hears("wrong", BALCONY, "wrong", second),
        hears("started again", BALCONY, "again", second),
        hears("none", BALCONY, "again", Some("")),
        "presences",
    ]);
    let mut romeo = somebody(port, "romeo", "orchard", &steps);
    romeo.reach("presence");

    let mut iqtap = start();
    let wrong = "<x xmlns='vcard-temp:x:update'><photo>0123456789012345678901234567890123456789</photo></x>";
    let steps = json!([
        "login",
        presence("early", ""),
        go("all are there"),
        publish("publish", FIRST[0]),
        go("first was seen"),
        publish("change", SECOND[0]),
        go("second was seen"),
        presence("later", ""),
        presence("wrong", wrong),
        go("last"),
    ]);
    let mut balcony = somebody(iqtap.port, "juliet", "balcony", &steps);
    let mut chamber = somebody(iqtap.port, "juliet", "chamber", &json!(["login", presence("early", ""), go("last")]));
    let mut garden = somebody(iqtap.port, "juliet", "garden", &json!(["login", go("last"), "ping"]));
    garden.reach("login");
    romeo.reach("hers come");
    for seen in ["first elsewhere", "second elsewhere", "wrong"] {
        balcony.go();
        romeo.reach(seen);
    }
    for client in [&mut balcony, &mut chamber, &mut garden] {
        client.go();
        client.rest();
    }
    assert!(iqtap.stop().success(), "{}", iqtap.log());

    let mut iqtap = start();
    let again = presence("again", "");
    let steps = json!(["login", again, go("seen"), { "do": "vcard_set", "fn": "Juliet" }, "vcard_get", go("last")]);
    let mut balcony = somebody(iqtap.port, "juliet", "balcony", &steps);
    romeo.reach("started again");
    balcony.go();
    romeo.reach("none");
    balcony.go();
    balcony.rest().ok("vcard_get");
    let romeo = romeo.rest();
    assert!(iqtap.stop().success(), "{}", iqtap.log());

    let presences = romeo.ok("presences")["presences"].as_array().unwrap();
    let heard: Vec<_> = presences.iter().filter(|one| text(&one["from"]).starts_with("juliet@")).collect();
    assert!(
        heard.iter().all(|one| one["from"] == BALCONY || one["from"] == CHAMBER),
        "nobody is in the garden: {heard:?}"
    );
    // From the first hash on, no available presence was without one.
    let begun = heard.iter().position(|one| one["photo"] == json!(FIRST[1])).unwrap();
    let without = heard[begun..].iter().find(|one| one["type"] == "available" && one["photo"] == json!(null));
    assert_eq!(without.map(|one| &one["status"]), None, "{heard:?}");
}

/// The control: the built-in server says nothing of any photo.
#[test]
fn without_iqtap_nobody_speaks_of_the_photo() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let port = builtin();
    let steps = json!(["login", "presence", hears("later", BALCONY, "later", None)]);
    let mut romeo = somebody(port, "romeo", "orchard", &steps);
    romeo.reach("presence");
    let steps =
        json!(["login", presence("early", ""), publish("publish", FIRST[0]), presence("later", ""), go("last")]);
    let mut balcony = somebody(port, "juliet", "balcony", &steps);
    balcony.reach("publish");
    romeo.rest().ok("later");
}
