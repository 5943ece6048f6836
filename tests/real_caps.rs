//! What the server is said to be and to do, when some of it is answered here: slixmpp is told the truth by service discovery,
//! and by the hash that spares it the question (XEP-0115). The hash is reckoned anew by `client_answers.py` and by slixmpp.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{ANSWERABLE, LACKED, Make, Stage, tests, text};
use serde_json::{Value, json};

/// What is advertised is what a client reckons, of what it is told when it asks for just that; and slixmpp believes it.
#[track_caller]
fn check_hash(caps: &Value) {
    let advertised = &caps["advertised"];
    assert!(advertised.is_string(), "{caps}");
    for reckoned in ["hash", "slixmpp", "believed"] {
        assert_eq!(&caps[reckoned], advertised, "{reckoned}: {caps}");
    }
    assert_eq!(caps["node"], json!(format!("{}#{}", text(&caps["c"]["node"]), text(advertised))), "{caps}");
}

/// What a client is told behind iqtap, and what the server alone tells.
struct Told {
    here: Value,
    alone: Value,
}

impl Told {
    /// Asks both. The first session behind iqtap may be told no hash, for the server has not said yet what it is; but no
    /// wrong one.
    #[track_caller]
    fn by(stage: &mut Stage) -> Self {
        let alone = stage.outside(&json!(["login", "info", "caps"]));
        check_hash(alone.ok("caps"));
        let first = stage.inside(&json!(["login", "caps", "info"]));
        let early = first.ok("caps");
        if early["advertised"] != json!(null) {
            check_hash(early);
        }
        let again = stage.inside(&json!(["login", "info", "caps"]));
        let (info, caps) = (again.ok("info"), again.ok("caps"));
        check_hash(caps);
        assert_eq!(caps["features"], info["features"], "{caps}");
        assert_eq!(info["features"], first.ok("info")["features"]);
        assert_eq!(info["node"], json!(null), "{info}");
        Self { here: caps.clone(), alone: alone.ok("caps").clone() }
    }

    /// That nothing but features has changed.
    #[track_caller]
    fn check_rest(&self) {
        assert_eq!(self.here["identities"], self.alone["identities"]);
        assert_eq!(self.here["c"]["node"], self.alone["c"]["node"]);
    }
}

/// Each once.
#[track_caller]
fn features(told: &Value) -> Vec<&str> {
    let features: Vec<_> = told["features"].as_array().unwrap().iter().map(text).collect();
    let mut once = features.clone();
    once.dedup(); // they are sorted
    assert_eq!(features, once);
    features
}

fn forward(make: Make, number: usize) {
    let Some(mut stage) = Stage::of(make, "forward", number) else { return };
    let told = Told::by(&mut stage);
    told.check_rest();
    assert_eq!(features(&told.here), features(&told.alone));
    assert_eq!(told.here["advertised"], told.alone["advertised"]);
    stage.end();
}

/// What is answered here is shown, and nothing is lost.
fn local(make: Make, number: usize) {
    let Some(mut stage) = Stage::of(make, "local", number) else { return };
    let told = Told::by(&mut stage);
    told.check_rest();
    let (here, alone) = (features(&told.here), features(&told.alone));
    let mut expected = [&alone[..], &ANSWERABLE[..]].concat();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(here, expected);
    assert!(LACKED.iter().all(|namespace| !alone.contains(namespace)), "{alone:?}");
    assert_ne!(told.here["advertised"], told.alone["advertised"]);
    // It is right from the first session of the next run, or left out.
    stage.restart();
    let again = Told::by(&mut stage).here;
    for what in ["advertised", "features", "identities"] {
        assert_eq!(again[what], told.here[what]);
    }
    stage.end();
}

/// What the server lacks is shown.
fn fallback(make: Make, number: usize) {
    let Some(mut stage) = Stage::of(make, "fallback", number) else { return };
    let told = Told::by(&mut stage);
    told.check_rest();
    let here = features(&told.here);
    assert!(LACKED.iter().all(|namespace| here.contains(namespace)), "{here:?}");
    let unknown = |var: &&str| !ANSWERABLE.contains(var);
    assert_eq!(
        here.iter().filter(|var| unknown(var)).collect::<Vec<_>>(),
        features(&told.alone).iter().filter(|var| unknown(var)).collect::<Vec<_>>()
    );
    assert!(features(&told.alone).iter().all(|var| here.contains(var)), "{here:?}");
    stage.end();
}

/// What nobody answers is not shown.
fn deny(make: Make, number: usize) {
    let Some(mut stage) = Stage::of(make, "deny", number) else { return };
    let told = Told::by(&mut stage);
    told.check_rest();
    let alone = features(&told.alone);
    assert!(alone.contains(&"urn:xmpp:ping") && alone.contains(&"jabber:iq:version"), "{alone:?}");
    assert_eq!(features(&told.here), alone.into_iter().filter(|var| !ANSWERABLE.contains(var)).collect::<Vec<_>>());
    stage.end();
}

/// Where iqtap alone says what there is, the hash speaks of that.
fn described(make: Make, number: usize) {
    let answers = ["disco#info=local", "disco#items=local", "ping=local", "version=deny"];
    let Some(mut stage) = Stage::with(make, &answers, number) else { return };
    let told = Told::by(&mut stage);
    assert_eq!(told.here["identities"], json!([["server", "im", null]]));
    let [info, items] = ["info", "items"].map(|what| format!("http://jabber.org/protocol/disco#{what}"));
    assert_eq!(features(&told.here), [info.as_str(), &items, "urn:xmpp:ping"]);
    stage.end();
}

/// Where nobody says it, there is no hash.
fn undescribed(make: Make, number: usize) {
    let Some(stage) = Stage::with(make, &["disco#info=deny"], number) else { return };
    for _ in 0..2 {
        let seen = stage.inside(&json!(["login", "caps", "info"]));
        assert_eq!(seen.ok("caps")["advertised"], json!(null));
        assert_eq!(seen.failed("info")["condition"], "feature-not-implemented");
    }
    stage.end();
}

tests! {
    forwarded_to_prosody: forward(Make::Prosody, 0);
    forwarded_to_ejabberd: forward(Make::Ejabberd, 0);
    answered_before_prosody: local(Make::Prosody, 1);
    answered_before_ejabberd: local(Make::Ejabberd, 1);
    what_prosody_lacks: fallback(Make::Prosody, 2);
    what_ejabberd_lacks: fallback(Make::Ejabberd, 2);
    denied_before_prosody: deny(Make::Prosody, 3);
    denied_before_ejabberd: deny(Make::Ejabberd, 3);
    described_before_prosody: described(Make::Prosody, 4);
    described_before_ejabberd: described(Make::Ejabberd, 4);
    nothing_said_before_prosody: undescribed(Make::Prosody, 5);
    nothing_said_before_ejabberd: undescribed(Make::Ejabberd, 5);
}
