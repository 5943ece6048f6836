//! What stream features say of the server through iqtap, held to what a client makes of it (XEP-0115 §5.4): it asks for the node
//! that it was told, and hashes the answer by itself.

#![expect(clippy::expect_used, reason = "a test ends where something is not as it must be")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use iqtap::answer::{Answers, Mode};
use iqtap::keep::Store as _;
use iqtap::policy::{ClientTls, Policy, Route, ServerTls};
use iqtap::session::{Act, Dir, Input, Note, Origin, Outbox, Session, What};
use iqtap::store::MemoryStore;
use iqtap::xml::{Element, parse_str};
use iqtap::xmpp::{Condition, Side, Timestamp, ns};
use sha1::{Digest as _, Sha1};
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_767_427_200_000_000);
const INFO: &str = "http://jabber.org/protocol/disco#info";
const NODE: &str = "http://s.test";

/// One login, with a store that outlives it.
struct Login<'a> {
    session: Session,
    out: Outbox,
    store: &'a mut MemoryStore,
}

impl<'a> Login<'a> {
    /// As far as the server's last features.
    fn begin(answers: &Answers, store: &'a mut MemoryStore) -> Self {
        let route = Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..Route::default() };
        let policy = Policy { answers: answers.clone(), ..Policy::default() };
        let session = Session::new(NOW, Arc::new(route), Arc::new(policy), 1, "127.0.0.1:1", 7);
        let mut login = Self { session, out: Outbox { watched: true, ..Outbox::default() }, store };
        let stream = |attributes: &str| {
            format!(
                "<stream:stream {attributes} version='1.0' xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams'>"
            )
        };
        let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
        login.say(Side::Client, &stream("to='example.org'"));
        login.give(Input::Dialed);
        login.say(Side::Server, &stream("from='example.org' id='1'"));
        let mechanisms = format!("<mechanisms xmlns='{sasl}'><mechanism>PLAIN</mechanism></mechanisms>");
        login.say(Side::Server, &format!("<stream:features>{mechanisms}</stream:features>"));
        login.say(Side::Client, &format!("<auth xmlns='{sasl}' mechanism='PLAIN'>AGp1bGlldABwdw==</auth>"));
        login.say(Side::Server, &format!("<success xmlns='{sasl}'/>"));
        login.say(Side::Client, &stream("to='example.org'"));
        login.say(Side::Server, &stream("from='example.org' id='2'"));
        login
    }

    /// What the client is told about the server whose answer has this hash.
    fn advertised(&mut self, ver: &str) -> Option<String> {
        let c = format!("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{NODE}' ver='{ver}'/>");
        let [to_client, _] =
            self.say(Side::Server, &format!("<stream:features><bind xmlns='{}'/>{c}</stream:features>", ns::BIND));
        let (_, features) = to_client.split_once("<stream:features>").expect("features");
        let features = format!("<stream:features xmlns:stream='{}'>{features}", ns::STREAM);
        let features = parse_str(&features).expect(&features);
        let c = features.child("http://jabber.org/protocol/caps", "c")?;
        assert_eq!([c.attr("hash"), c.attr("node")], [Some("sha-1"), Some(NODE)]);
        Some(c.attr("ver").expect("a hash").to_owned())
    }

    /// Binds; gives what the server hears besides.
    fn bind(&mut self) -> String {
        self.say(Side::Client, &format!("<iq type='set' id='b'><bind xmlns='{}'/></iq>", ns::BIND));
        let jid = "<jid>juliet@example.org/balcony</jid>";
        let [_, to_server] =
            self.say(Side::Server, &format!("<iq type='result' id='b'><bind xmlns='{}'>{jid}</bind></iq>", ns::BIND));
        to_server
    }

    fn say(&mut self, side: Side, text: &str) -> [String; 2] {
        self.give(Input::Bytes(side, text.as_bytes()))
    }

    fn give(&mut self, input: Input<'_>) -> [String; 2] {
        self.session.handle(NOW, input, &mut self.out);
        while let Some(at) = self.out.acts.iter().position(|act| matches!(act, Act::Store(..))) {
            let Act::Store(number, op) = self.out.acts.remove(at) else { break };
            let done = self.store.run(&[op]).remove(0);
            self.session.handle(NOW, Input::Stored(number, done), &mut self.out);
        }
        self.out.acts.clear();
        [Side::Client, Side::Server].map(|side| {
            let bytes = self.out.to[side.index()].split();
            String::from_utf8(bytes.to_vec()).expect("UTF-8")
        })
    }
}

/// The method of XEP-0115 §5.1, over texts.
fn hash(query: &Element) -> String {
    let attr = |element: &Element, name: &str| element.attr(name).unwrap_or_default().to_owned();
    let named = |element: &Element, name: &str| -> Vec<Element> {
        element.children().filter(|child| child.name == name).cloned().collect()
    };
    let mut text = String::new();
    let mut identities: Vec<String> = named(query, "identity")
        .iter()
        .map(|one| {
            let lang = one.attr_ns("http://www.w3.org/XML/1998/namespace", "lang").unwrap_or_default();
            format!("{}/{}/{lang}/{}<", attr(one, "category"), attr(one, "type"), attr(one, "name"))
        })
        .collect();
    identities.sort();
    let mut features: Vec<String> = named(query, "feature").iter().map(|one| attr(one, "var") + "<").collect();
    features.sort();
    text += &identities.concat();
    text += &features.concat();
    let mut forms: Vec<String> = named(query, "x").iter().map(form).collect();
    forms.sort();
    text += &forms.concat();
    STANDARD.encode(Sha1::digest(text.as_bytes()))
}

/// A form, its type first.
fn form(form: &Element) -> String {
    let mut fields: Vec<(bool, String, String)> = form
        .children()
        .map(|field| {
            let mut values: Vec<String> = field.children().map(|value| value.text() + "<").collect();
            values.sort();
            let var = field.attr("var").unwrap_or_default();
            match var {
                "FORM_TYPE" => (false, String::new(), values.concat()),
                var => (true, format!("{var}<"), values.concat()),
            }
        })
        .collect();
    fields.sort();
    fields.into_iter().map(|(_, var, values)| var + &*values).collect()
}

fn query(inside: &str, node: &str) -> String {
    format!("<query xmlns='{INFO}'{node}>{inside}</query>")
}

fn with(modes: &[(&str, Mode)]) -> Answers {
    let mut answers = Answers::default();
    for (namespace, mode) in modes {
        answers.set(namespace, *mode).expect(namespace);
    }
    answers
}

/// Two logins: the first learns, the second is told. What the client then gets has the hash that it was told, and what it must
/// and must not show.
fn check(answers: &Answers, inside: &str, shown: &[&str], hidden: &[&str]) {
    let mut store = MemoryStore::new();
    let servers = hash(&parse_str(&query(inside, "")).expect(inside));

    let mut first = Login::begin(answers, &mut store);
    assert_eq!(first.advertised(&servers), None, "nobody knows it yet");
    let asked = parse_str(&first.bind()).expect("a question of ours");
    assert!(asked.child(INFO, "query").is_some() && asked.attr("to") == Some("example.org"), "{asked:?}");
    let id = asked.attr("id").expect("an id");
    let answer = format!("<iq type='result' id='{id}' from='example.org'>{}</iq>", query(inside, ""));
    assert_eq!(first.say(Side::Server, &answer), ["", ""], "it is for nobody else");

    let mut second = Login::begin(answers, &mut store);
    let told = second.advertised(&servers).expect("it is known now");
    assert_ne!(told, servers);
    assert_eq!(second.bind(), "", "there is nothing to ask");
    let get = format!("<iq type='get' id='1' to='example.org'>{}</iq>", query("", &format!(" node='{NODE}#{told}'")));
    let [_, asked] = second.say(Side::Client, &get);
    assert!(asked.contains(&format!("{NODE}#{servers}")) && !asked.contains(&told), "{asked}");
    let answer = query(inside, &format!(" node='{NODE}#{servers}'"));
    let [answer, _] = second.say(Side::Server, &format!("<iq type='result' id='1' from='example.org'>{answer}</iq>"));
    let answer = parse_str(&answer).expect("an answer");
    let query = answer.child(INFO, "query").expect("a query");
    assert_eq!(query.attr("node"), Some(&*format!("{NODE}#{told}")));
    assert_eq!(hash(query), told);
    let has = |var: &&str| query.children().any(|child| child.attr("var") == Some(var));
    assert!(shown.iter().all(has) && !hidden.iter().any(has), "{query:?}");
}

#[test]
fn a_client_finds_the_hash_that_it_was_told() {
    let vars = |vars: &[&str]| vars.iter().map(|var| format!("<feature var='{var}'/>")).collect::<String>();
    let identity = "<identity category='server' type='im' name='ejabberd'/>";
    let second = "<identity category='pubsub' type='pep' xml:lang='de' name='Ü &amp; mehr'/>";
    let form = |kind: &str, var: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='result'><field var='{var}'><value>b</value><value>a</value></field>\
             <field var='FORM_TYPE' type='hidden'><value>{kind}</value></field></x>"
        )
    };
    let forms = form("urn:form:2", "os") + &*form("urn:form:1", "admin-addresses");
    let deny = Mode::Deny(Condition::FeatureNotImplemented);
    let answers = with(&[(ns::PING, Mode::Local), (ns::VERSION, Mode::Fallback), (ns::MAM, deny)]);
    let (shown, hidden) = ([ns::PING, ns::VERSION], [ns::MAM]);
    for inside in [
        identity.to_owned() + &*vars(&[INFO, ns::MAM]),
        identity.to_owned() + second + &*vars(&[ns::MAM, INFO, ns::VERSION]) + &*forms,
        vars(&[INFO]) + identity,
    ] {
        check(&answers, &inside, &shown, &hidden);
    }
    check(&with(&[(ns::MAM, deny)]), &vars(&[INFO, ns::MAM]), &[INFO], &hidden);
    let mut marked = Answers::default();
    marked.mark = true;
    check(&marked, &vars(&[INFO]), &["urn:iqtap:0"], &[]);
}

#[test]
fn there_is_no_end_to_what_can_be_learnt() {
    let mut store = MemoryStore::new();
    let answers = with(&[(ns::PING, Mode::Local)]);
    for number in 0..600 {
        let inside = format!("<feature var='urn:{number}'/>");
        let ver = hash(&parse_str(&query(&inside, "")).expect(&inside));
        let mut login = Login::begin(&answers, &mut store);
        assert_eq!(login.advertised(&ver), None);
        let asked = parse_str(&login.bind()).expect("a question");
        let id = asked.attr("id").expect("an id").to_owned();
        login.say(Side::Server, &format!("<iq type='result' id='{id}' from='example.org'>{}</iq>", query(&inside, "")));
        assert!(Login::begin(&answers, &mut store).advertised(&ver).is_some(), "{number}");
        assert!(store.entries().count() <= 256);
    }
}

#[test]
fn a_watcher_knows_which_features_were_edited() {
    let mut store = MemoryStore::new();
    for answers in [Answers::default(), with(&[(ns::PING, Mode::Local)])] {
        let mut login = Login::begin(&answers, &mut store);
        login.advertised("x");
        let features = |note: &Note, way: Dir| match note {
            Note::Seen(seen)
                if seen.dir == way && seen.what == What::Other && seen.bytes.starts_with(b"<stream:features") =>
            {
                Some((seen.number, seen.origin.clone()))
            }
            _ => None,
        };
        let all = |way: Dir| login.out.notes.iter().filter_map(move |note| features(note, way));
        let came: Vec<u64> = all(Dir::In).map(|(number, _)| number).collect();
        let left: Vec<_> = all(Dir::Out).map(|(_, origin)| origin).collect();
        let origins: Vec<_> = came.into_iter().map(|number| Origin::Rewritten(number, "features".to_owned())).collect();
        assert_eq!(left, origins);
        assert_eq!(left.len(), 2);
    }
}
