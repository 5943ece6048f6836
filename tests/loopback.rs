//! The built-in server, spoken to directly over TCP by a client of forty lines.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must stop")]

#[path = "loopback/client.rs"]
mod client;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use client::{Client, HEADER};
use iqtap::loopback::{Loopback, Options, SAMPLE_PASSWORD};
use iqtap::xml::{Element, ItemKind};
use iqtap::xmpp::ns;
use sasl::client::Mechanism as _;
use sasl::client::mechanisms::Scram;
use sasl::common::ChannelBinding;
use sasl::common::scram::Sha1;
use std::net::SocketAddr;

/// A server on a free port, for as long as the test process lives.
fn server() -> SocketAddr {
    serve(Options::default(), std::future::pending())
}

fn serve(options: Options, shutdown: impl Future<Output = ()> + Send + 'static) -> SocketAddr {
    let (told, addr) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Loopback::bind(([127, 0, 0, 1], 0).into(), options).await.unwrap();
            told.send(server.local_addr().unwrap()).unwrap();
            server.run(shutdown).await;
        });
    });
    addr.recv().unwrap()
}

/// Type, condition, error type and legacy code of an error answer.
fn error(stanza: &Element) -> (&str, &str, &str, Option<&str>) {
    let error = stanza.child(ns::CLIENT, "error").expect("an <error/>");
    let condition = error.children().find(|c| c.ns == ns::STANZA_ERRORS && c.name != "text").unwrap();
    (stanza.attr("type").unwrap(), &condition.name, error.attr("type").unwrap(), error.attr("code"))
}

fn scram(client: &mut Client, user: &str, password: &str, binding: ChannelBinding) -> Element {
    client.open();
    let mut scram = Scram::<Sha1>::new(user, password, binding).unwrap();
    let challenge = client.auth("SCRAM-SHA-1", std::str::from_utf8(&scram.initial()).unwrap());
    if challenge.name != "challenge" {
        return challenge;
    }
    let answer = scram.response(&BASE64.decode(challenge.text()).unwrap()).unwrap();
    let last = client.ask(&format!("<response xmlns='{}'>{}</response>", ns::SASL, BASE64.encode(answer)));
    if last.name == "success" {
        scram.success(&BASE64.decode(last.text()).unwrap()).expect("the server proves that it knows the password");
    }
    last
}

#[test]
fn only_loopback_addresses_are_listened_on() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Loopback::bind(([0, 0, 0, 0], 0).into(), Options::default())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn plain_takes_anybody() {
    let addr = server();
    let mut client = Client::connect(addr);
    let features = client.open();
    let offered: Vec<String> = features.child(ns::SASL, "mechanisms").unwrap().children().map(Element::text).collect();
    assert_eq!(offered, ["SCRAM-SHA-1", "PLAIN", "ANONYMOUS"]);
    assert_eq!(client.auth("PLAIN", "\0Alice\0x").name, "success");
    client.bind("home");
    assert_eq!(client.jid, "alice@localhost/home");
}

#[test]
fn plain_without_an_initial_response_is_asked_for_it() {
    let mut client = Client::connect(server());
    client.open();
    let challenge = client.ask(&format!("<auth xmlns='{}' mechanism='PLAIN'/>", ns::SASL));
    assert_eq!((challenge.name.as_str(), challenge.text().as_str()), ("challenge", ""));
    let text = BASE64.encode("alice@localhost\0alice\0x");
    assert_eq!(client.ask(&format!("<response xmlns='{}'>{text}</response>", ns::SASL)).name, "success");
}

#[test]
fn failed_logins_say_why_and_three_are_enough() {
    let mut client = Client::connect(server());
    client.open();
    let reason = |failure: Element| failure.children().next().unwrap().name.clone();
    assert_eq!(reason(client.auth("PLAIN", "romeo@localhost\0juliet\0x")), "invalid-authzid");
    assert_eq!(reason(client.auth("DIGEST-MD5", "")), "invalid-mechanism");
    client.send(&format!("<auth xmlns='{}' mechanism='PLAIN'>*</auth>", ns::SASL));
    assert_eq!(reason(client.next()), "incorrect-encoding");
    client.ends_with("policy-violation");
}

#[test]
fn anonymous_gets_a_name_of_its_own() {
    let addr = server();
    let mut jids = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(addr);
        client.open();
        assert_eq!(client.ask(&format!("<auth xmlns='{}' mechanism='ANONYMOUS'/>", ns::SASL)).name, "success");
        client.bind("");
        jids.push(client.jid);
    }
    assert!(jids[0].starts_with("guest-") && jids[0] != jids[1], "{jids:?}");
}

#[test]
fn scram_wants_the_right_password() {
    let addr = server();
    // The flags 'n' and 'y' of RFC 5802 §6.
    for binding in [ChannelBinding::None, ChannelBinding::Unsupported] {
        let mut client = Client::connect(addr);
        assert_eq!(scram(&mut client, "juliet", SAMPLE_PASSWORD, binding).name, "success");
        client.bind("balcony");
        assert!(client.jid.starts_with("juliet@localhost/"));
    }
    for (user, password) in [("juliet", "wrong"), ("tybalt", SAMPLE_PASSWORD)] {
        let failure = scram(&mut Client::connect(addr), user, password, ChannelBinding::None);
        assert!(failure.is(ns::SASL, "failure"));
        assert!(failure.child(ns::SASL, "not-authorized").is_some(), "{failure:?}");
    }
}

#[test]
fn a_taken_resource_is_replaced() {
    let addr = server();
    let first = Client::login(addr, "alice", "home");
    let second = Client::login(addr, "alice", "home");
    assert_eq!(first.jid, "alice@localhost/home");
    assert!(second.jid.starts_with("alice@localhost/") && second.jid != first.jid);
}

#[test]
fn discovery_says_what_is_here() {
    let mut client = Client::login(server(), "juliet", "balcony");
    let ask = |client: &mut Client, to: &str, name: &str, node: &str| {
        let ns = format!("http://jabber.org/protocol/disco#{name}");
        client.ask(&format!("<iq type='get' id='d'{to}><query xmlns='{ns}'{node}/></iq>"))
    };
    let of = |answer: &Element| {
        let query = answer.child(ns::DISCO_INFO, "query").expect("a query");
        let identity = query.child(ns::DISCO_INFO, "identity").unwrap();
        let features: Vec<String> = query.children().filter_map(|c| c.attr("var")).map(str::to_owned).collect();
        (format!("{}/{}", identity.attr("category").unwrap(), identity.attr("type").unwrap()), features)
    };
    let answer = ask(&mut client, " to='localhost'", "info", "");
    assert_eq!((answer.attr("type"), answer.attr("from")), (Some("result"), Some("localhost")));
    let (identity, features) = of(&answer);
    assert_eq!(identity, "server/im");
    assert!([ns::DISCO_INFO, ns::PING, ns::VERSION, ns::VCARD].iter().all(|f| features.iter().any(|g| g == f)));
    assert!(!features.iter().any(|f| f == ns::BLOCKING));
    assert_eq!(of(&ask(&mut client, "", "info", "")).0, "account/registered");
    assert_eq!(of(&ask(&mut client, " to='romeo@localhost'", "info", "")).0, "account/registered");
    assert_eq!(error(&ask(&mut client, " to='tybalt@localhost'", "info", "")).1, "service-unavailable");
    assert_eq!(error(&ask(&mut client, " to='localhost'", "info", " node='x'")).1, "item-not-found");
    let items = ask(&mut client, " to='localhost'", "items", "");
    assert_eq!(items.child(ns::DISCO_ITEMS, "query").unwrap().nodes, []);
}

#[test]
fn a_vcard_is_kept() {
    let addr = server();
    let mut client = Client::login(addr, "juliet", "balcony");
    let get = "<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>";
    assert_eq!(error(&client.ask(get)).1, "item-not-found");
    let set = "<iq type='set' id='s'><vCard xmlns='vcard-temp'><NICKNAME>Jule</NICKNAME></vCard></iq>";
    let done = client.ask(set);
    assert_eq!((done.attr("type"), done.attr("id"), done.nodes.len()), (Some("result"), Some("s"), 0));
    let vcard = client.ask(get);
    assert_eq!(vcard.child(ns::VCARD, "vCard").unwrap().child(ns::VCARD, "NICKNAME").unwrap().text(), "Jule");
    drop(client);
    let mut romeo = Client::login(addr, "romeo", "orchard");
    let vcard = romeo.ask("<iq type='get' id='v' to='juliet@localhost'><vCard xmlns='vcard-temp'/></iq>");
    assert!(vcard.child(ns::VCARD, "vCard").is_some(), "kept although nobody is online: {vcard:?}");
    let set = "<iq type='set' id='s' to='juliet@localhost'><vCard xmlns='vcard-temp'/></iq>";
    assert_eq!(error(&romeo.ask(set)).1, "forbidden");
}

#[test]
fn small_requests() {
    let mut client = Client::login(server(), "juliet", "balcony");
    client.quiet();
    let pong = client.ask("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!((pong.attr("type"), pong.attr("from")), (Some("result"), Some("localhost")));
    let version = client.ask("<iq type='get' id='v' to='localhost'><query xmlns='jabber:iq:version'/></iq>");
    let query = version.child(ns::VERSION, "query").unwrap();
    assert_eq!(query.child(ns::VERSION, "name").unwrap().text(), "iqtap loopback");
    assert!(query.child(ns::VERSION, "version").is_some());
    let session = client.ask(&format!("<iq type='set' id='s'><session xmlns='{}'/></iq>", ns::SESSION));
    assert_eq!(session.attr("type"), Some("result"));
}

#[test]
fn what_is_not_here_says_so() {
    let mut client = Client::login(server(), "juliet", "balcony");
    for (kind, payload) in [("get", "<blocklist xmlns='B'/>"), ("set", "<block xmlns='B'><item jid='a@b'/></block>")] {
        let payload = payload.replace("'B'", "'urn:xmpp:blocking'");
        let answer = client.ask(&format!("<iq type='{kind}' id='b'>{payload}</iq>"));
        assert_eq!(error(&answer), ("error", "feature-not-implemented", "cancel", Some("501")));
    }
    for to in ["", " to='localhost'", " to='nobody@localhost'", " to='juliet@localhost/gone'"] {
        let answer = client.ask(&format!("<iq type='get' id='x'{to}><x xmlns='urn:nothing'/></iq>"));
        assert_eq!(error(&answer), ("error", "service-unavailable", "cancel", None));
    }
    let far = client.ask("<iq type='get' id='x' to='elsewhere.example'><x xmlns='urn:nothing'/></iq>");
    assert_eq!(error(&far).1, "remote-server-not-found");
    let bad = client.ask("<iq type='get' id='x' to='a@b@c'><x xmlns='urn:nothing'/></iq>");
    assert_eq!((error(&bad).1, bad.attr("from")), ("jid-malformed", None));
}

#[test]
fn broken_requests_are_refused_and_answers_are_not_answered() {
    let mut client = Client::login(server(), "juliet", "balcony");
    for broken in [
        "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='GET' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='get' id='1'/>",
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/><ping xmlns='urn:xmpp:ping'/></iq>",
    ] {
        assert_eq!(error(&client.ask(broken)).1, "bad-request", "{broken}");
    }
    client.send(
        "<iq type='result' id='1'/><iq type='error' id='1' to='localhost'/><iq type='result' to='a@localhost/b'/>",
    );
    client.send("<message type='error' to='romeo@localhost'/><presence type='error' to='romeo@localhost'/>");
    client.quiet();
}

#[test]
fn the_roster_is_kept_and_changes_are_pushed() {
    let addr = server();
    let mut balcony = Client::login(addr, "juliet", "balcony");
    let mut garden = Client::login(addr, "juliet", "garden");
    let get = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
    let items = |answer: &Element| -> Vec<(String, String)> {
        let query = answer.child(ns::ROSTER, "query").expect("a roster");
        let item = |i: &Element| (i.attr("jid").unwrap().to_owned(), i.attr("subscription").unwrap().to_owned());
        query.children().map(item).collect()
    };
    let both = |jid: &str| (jid.to_owned(), "both".to_owned());
    assert_eq!(items(&balcony.ask(get)), [both("nurse@localhost"), both("romeo@localhost")]);
    let set = |item: &str| format!("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
    let push = balcony.ask(&set("<item jid='paris@localhost' name='Paris'><group>Suitors</group></item>"));
    assert_eq!((push.attr("type"), push.attr("id")), (Some("result"), Some("s")));
    let push = balcony.next();
    assert_eq!((push.attr("type"), push.attr("to")), (Some("set"), Some("juliet@localhost/balcony")));
    assert_eq!(items(&push), [("paris@localhost".to_owned(), "none".to_owned())]);
    garden.quiet(); // it never asked for the roster
    assert_eq!(items(&garden.ask(get)).len(), 3);
    balcony.send(&set("<item jid='paris@localhost' subscription='remove'/>"));
    assert_eq!(items(&garden.next()), [("paris@localhost".to_owned(), "remove".to_owned())]);
    assert_eq!(balcony.next().attr("type"), Some("result"));
    assert_eq!(items(&balcony.next())[0].1, "remove");
    let refused = [
        ("<item jid='paris@localhost' subscription='remove'/>", "item-not-found"),
        ("<item/>", "bad-request"),
        ("", "bad-request"),
        ("<item jid='a@b'/><item jid='c@d'/>", "bad-request"),
        ("<item jid='juliet@localhost'/>", "not-allowed"),
    ];
    for (item, condition) in refused {
        assert_eq!(error(&balcony.ask(&set(item))).1, condition, "{item}");
    }
}

#[test]
fn presence_goes_to_own_resources_and_contacts() {
    let addr = server();
    let mut juliet = Client::online(addr, "juliet", "balcony");
    let mut stranger = Client::online(addr, "stranger", "street");
    let mut romeo = Client::online(addr, "romeo", "orchard");
    let seen = |client: &mut Client| {
        let presence = client.next();
        assert_eq!(presence.name, "presence", "{presence:?}");
        (presence.attr("from").unwrap().to_owned(), presence.attr("type").map(str::to_owned))
    };
    assert_eq!(seen(&mut romeo), ("juliet@localhost/balcony".to_owned(), None), "who is there is told to who comes");
    assert_eq!(seen(&mut juliet), ("romeo@localhost/orchard".to_owned(), None));
    let mut garden = Client::online(addr, "juliet", "garden");
    let mut there = [seen(&mut garden), seen(&mut garden)];
    there.sort();
    assert_eq!(there.map(|(from, _)| from), ["juliet@localhost/balcony", "romeo@localhost/orchard"]);
    assert_eq!(seen(&mut juliet).0, "juliet@localhost/garden");
    assert_eq!(seen(&mut romeo).0, "juliet@localhost/garden");
    drop(garden); // no farewell
    let gone = ("juliet@localhost/garden".to_owned(), Some("unavailable".to_owned()));
    assert_eq!(seen(&mut juliet), gone);
    assert_eq!(seen(&mut romeo), gone);
    romeo.send("<presence type='unavailable'/>");
    assert_eq!(seen(&mut juliet), ("romeo@localhost/orchard".to_owned(), Some("unavailable".to_owned())));
    stranger.quiet();
}

#[test]
fn a_subscription_is_asked_for_and_granted() {
    let addr = server();
    let mut alice = Client::online(addr, "alice", "a");
    let mut bob = Client::online(addr, "bob", "b");
    alice.send("<presence type='subscribed' to='bob@localhost'/>");
    alice.quiet();
    bob.quiet(); // nobody asked for that
    alice.send("<presence type='subscribe' to='bob@localhost'/>");
    let asked = bob.next();
    assert_eq!((asked.attr("type"), asked.attr("from")), (Some("subscribe"), Some("alice@localhost")));
    bob.send("<presence type='subscribed' to='alice@localhost'/>");
    assert_eq!(alice.next().attr("type"), Some("subscribed"));
    let there = alice.next();
    assert_eq!((there.attr("type"), there.attr("from")), (None, Some("bob@localhost/b")));
    let roster = alice.ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    let item = roster.child(ns::ROSTER, "query").unwrap().child(ns::ROSTER, "item").unwrap().clone();
    assert_eq!((item.attr("jid"), item.attr("subscription")), (Some("bob@localhost"), Some("to")));
    alice.send("<presence type='unsubscribe' to='bob@localhost'/>");
    assert_eq!(bob.next().attr("type"), Some("unsubscribe"));
}

#[test]
fn messages_find_their_way() {
    let addr = server();
    let mut juliet = Client::online(addr, "juliet", "balcony");
    let mut orchard = Client::login(addr, "romeo", "orchard");
    let mut street = Client::login(addr, "romeo", "street");
    let text = |message: Element| message.child(ns::CLIENT, "body").expect("a body").text();
    juliet.send("<message to='romeo@localhost/street' type='chat' id='1'><body>to one</body></message>");
    let message = street.next();
    assert_eq!((message.attr("from"), message.attr("id")), (Some("juliet@localhost/balcony"), Some("1")));
    assert_eq!(text(message), "to one");
    orchard.send("<presence><priority>5</priority></presence>");
    (0..2).for_each(|_| drop(orchard.next())); // its own, juliet's
    street.send("<presence><priority>-1</priority></presence>");
    (0..3).for_each(|_| drop(street.next()));
    assert_eq!(orchard.next().attr("from"), Some("romeo@localhost/street"));
    assert_eq!(juliet.next().attr("from"), Some("romeo@localhost/orchard"));
    assert_eq!(juliet.next().attr("from"), Some("romeo@localhost/street"));
    juliet.send("<message to='romeo@localhost' id='2'><body>to the best</body></message>");
    assert_eq!(text(orchard.next()), "to the best");
    juliet.send("<message type='chat' to='romeo@localhost/gone' id='3'><body>to whoever is there</body></message>");
    assert_eq!(text(orchard.next()), "to whoever is there");
    for to in ["tybalt@localhost", "romeo@localhost/gone", "localhost"] {
        let back = juliet.ask(&format!("<message to='{to}' id='4'><body>lost</body></message>"));
        assert_eq!((error(&back).1, back.attr("from"), back.attr("id")), ("service-unavailable", Some(to), Some("4")));
    }
    juliet.send("<message id='5'><body>note to self</body></message><message type='headline' to='tybalt@localhost'/>");
    assert_eq!(text(juliet.next()), "note to self");
    juliet.quiet();
}

#[test]
fn requests_between_clients_are_carried_with_their_answers() {
    let addr = server();
    let mut juliet = Client::login(addr, "juliet", "balcony");
    let mut romeo = Client::login(addr, "romeo", "orchard");
    juliet.send("<iq type='get' id='q' to='romeo@localhost/orchard'><query xmlns='jabber:iq:version'/></iq>");
    let asked = romeo.next();
    assert_eq!((asked.attr("from"), asked.attr("id")), (Some("juliet@localhost/balcony"), Some("q")));
    romeo.send("<iq type='result' id='q' to='juliet@localhost/balcony'><a xmlns='x:a'/><b xmlns='x:b'/></iq>");
    let answer = juliet.next();
    assert_eq!((answer.attr("from"), answer.attr("type")), (Some("romeo@localhost/orchard"), Some("result")));
    assert_eq!(answer.children().count(), 2, "delivered as it is");
}

#[test]
fn streams_end_as_they_should() {
    let addr = server();
    let cases = [
        ("<message to='romeo@localhost'><body></message>", "not-well-formed"),
        ("<message><!-- psst --></message>", "restricted-xml"),
        ("<x:message/>", "bad-namespace-prefix"),
        ("<nonsense xmlns='urn:nonsense'/>", "unsupported-stanza-type"),
        ("<message><stream:x/></message>", "invalid-xml"),
    ];
    for (bytes, condition) in cases {
        let mut client = Client::login(addr, "juliet", "");
        client.send(bytes);
        client.ends_with(condition);
    }
    let mut client = Client::login(addr, "juliet", "");
    client.send(&format!("<message><body>{}</body></message>", "x".repeat(300_000)));
    client.ends_with("policy-violation");
    let mut client = Client::login(addr, "juliet", "");
    client.send("<iq type='get' id='last'><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>");
    assert_eq!(client.next().attr("id"), Some("last"));
    assert_eq!(client.item().0, ItemKind::Close);
}

#[test]
fn bad_beginnings() {
    let addr = serve(Options { domains: vec!["example.org".to_owned()], ..Options::default() }, std::future::pending());
    let header = |to: &str| HEADER.replace(" to='localhost'", to);
    for (first, condition) in [
        (header(""), "improper-addressing"),
        (header(" to='a@b@c'"), "improper-addressing"),
        (header(" to='localhost'"), "host-unknown"),
        (HEADER.replace("jabber:client", "jabber:server"), "invalid-namespace"),
        ("\u{1}".to_owned(), "not-well-formed"),
    ] {
        let mut client = Client::connect(addr);
        client.send(&first);
        assert_eq!(client.item().0, ItemKind::Open, "{first}");
        client.ends_with(condition);
    }
    let mut client = Client::connect(addr);
    client.send(&header(" to='EXAMPLE.org'"));
    assert_eq!(client.item().0, ItemKind::Open);
    client.next();
    client.send("<message to='romeo@example.org'/>");
    client.ends_with("not-authorized");
}

#[test]
fn a_login_must_not_take_for_ever() {
    let mut client = Client::connect(serve(Options { login_seconds: 0, ..Options::default() }, std::future::pending()));
    assert_eq!(client.item().0, ItemKind::Open);
    client.ends_with("connection-timeout");
}

#[test]
fn being_stopped_is_said() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let addr = serve(Options::default(), async { drop(stopped.await) });
    let mut client = Client::login(addr, "juliet", "balcony");
    stop.send(()).unwrap();
    client.ends_with("system-shutdown");
}
