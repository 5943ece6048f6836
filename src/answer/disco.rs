//! XEP-0030: what the account and the server are and can, said here or mended in what the server says.

use super::{Answer, Answers, Asked, Mode, Target, error, unavailable};
use crate::xml::{Element, Node};
use crate::xmpp::{Condition, Timestamp, ns};

/// Shows that the answer has passed through here, if that is wanted.
const MARK: &str = "urn:iqtap:0";
/// What an account can, of all that is answered here: it is asked, and it has a vCard. All else belongs to the server, which is
/// where clients look for it (XEP-0191 §3.1; the others likewise).
const OF_ACCOUNTS: &[&str] = &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::VCARD];

/// What it is and can. There are no nodes here.
pub(super) fn info(answers: &Answers, asked: &Asked<'_>) -> Answer {
    let (category, kind, name) = match asked.target {
        Target::Other => return Answer::Forward,
        Target::Account => ("account", "registered", None),
        Target::Server => ("server", "im", answers.options.identity_name.as_deref()),
    };
    if asked.set || asked.payload.name != "query" {
        return unavailable();
    }
    if asked.payload.attr("node").is_some_and(|node| !node.is_empty()) {
        return error(Condition::ItemNotFound);
    }
    let mut identity = Element::new(ns::DISCO_INFO, "identity").with_attr("category", category).with_attr("type", kind);
    if let Some(name) = name {
        identity.set_attr("name", name);
    }
    let mut query = mirrored(asked).with_child(identity);
    let ours = [ns::DISCO_INFO, ns::DISCO_ITEMS].into_iter().filter(|namespace| !answers.denies(namespace));
    for namespace in ours.chain(answers.features(asked.target)) {
        add(&mut query, namespace);
    }
    Answer::Result(Some(query))
}

/// What belongs to it: nothing that we know of.
pub(super) fn items(_: &Answers, asked: &Asked<'_>) -> Answer {
    match asked.target {
        Target::Other => Answer::Forward,
        _ if asked.set || asked.payload.name != "query" => unavailable(),
        Target::Account | Target::Server => Answer::Result(Some(mirrored(asked))),
    }
}

/// The query as it was asked, with its node (XEP-0030 §3.2), and nothing in it.
fn mirrored(asked: &Asked<'_>) -> Element {
    let query = Element::new(asked.payload.ns.as_str(), "query");
    match asked.payload.attr("node") {
        Some(node) => query.with_attr("node", node),
        None => query,
    }
}

/// Makes a disco#info answer of the account's or the server's tell the truth: adds what is answered here, removes what is
/// denied; identities and forms stay. Gives whether anything has changed. Only for answers about the account or the server
/// itself: without a node, or with that of its capabilities.
pub fn edit(query: &mut Element, target: Target, answers: &Answers) -> bool {
    if !query.is(ns::DISCO_INFO, "query") || target == Target::Other {
        return false;
    }
    let before = query.nodes.len();
    let denied = |child: &Element| is_feature(child) && child.attr("var").is_some_and(|var| answers.denies(var));
    query.nodes.retain(|node| !matches!(node, Node::Element(child) if denied(child)));
    let removed = query.nodes.len() < before;
    let added =
        answers.features(target).into_iter().map(|feature| add(query, feature)).fold(false, |any, one| any | one);
    removed || added
}

fn is_feature(element: &Element) -> bool {
    element.is(ns::DISCO_INFO, "feature")
}

/// Adds a feature behind the others, if it is not there yet; gives whether it was added.
fn add(query: &mut Element, namespace: &str) -> bool {
    if query.children().any(|child| is_feature(child) && child.attr("var") == Some(namespace)) {
        return false;
    }
    let feature = Element::new(ns::DISCO_INFO, "feature").with_attr("var", namespace);
    let after = |node: &Node| matches!(node, Node::Element(child) if child.ns == ns::DISCO_INFO);
    let at = query.nodes.iter().rposition(after).map_or(0, |at| at + 1);
    query.nodes.insert(at, Node::Element(feature));
    true
}

/// Whose it is to say what the server is and can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Informant {
    /// The server's.
    Server,
    /// Ours, and this is what we say.
    Here(Element),
    /// Nobody's: who asks is answered with an error.
    Nobody,
}

impl Answers {
    /// Whose it is to say what the server is and can to this account.
    #[must_use]
    pub fn informant(&self, account: &str, now: Timestamp, since: Timestamp) -> Informant {
        let payload = &Element::new(ns::DISCO_INFO, "query");
        let written = self.fixed.iter().any(|fixed| payload.is(&fixed.namespace, &fixed.element));
        match self.mode(ns::DISCO_INFO) {
            Mode::Deny(_) if !written => return Informant::Nobody,
            Mode::Forward | Mode::Fallback if !written => return Informant::Server,
            _ => {}
        }
        match self.answer(&Asked { set: false, payload, target: Target::Server, account, now, since }) {
            Answer::Result(Some(query)) if query.is(ns::DISCO_INFO, "query") => Informant::Here(query),
            _ => Informant::Nobody,
        }
    }

    /// Whether anything of the server's own disco#info could be otherwise.
    #[must_use]
    pub fn alters_info(&self) -> bool {
        let denies = self.rules.iter().any(|(namespace, _)| self.denies(namespace));
        denies || !self.features(Target::Server).is_empty()
    }

    fn denies(&self, namespace: &str) -> bool {
        matches!(self.mode(namespace), Mode::Deny(_))
    }

    /// What must be among the features of an answer about this.
    fn features(&self, target: Target) -> Vec<&str> {
        let here = self.rules.iter().map(|(namespace, _)| namespace.as_str()).filter(|namespace| self.needs(namespace));
        match target {
            Target::Other => Vec::new(),
            Target::Account => here.filter(|namespace| OF_ACCOUNTS.contains(namespace)).collect(),
            Target::Server => {
                let fixed = self.fixed.iter().map(|fixed| fixed.namespace.as_str());
                let fixed = fixed.filter(|namespace| !self.denies(namespace));
                here.chain(fixed).chain(self.mark.then_some(MARK)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets, with};
    use crate::xml::parse_str;
    use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeSet;

    const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    const DENY: Mode = Mode::Deny(Condition::ServiceUnavailable);

    fn query(inside: &str) -> String {
        format!("<query xmlns='http://jabber.org/protocol/disco#info'>{inside}</query>")
    }

    fn features(vars: &[&str]) -> String {
        vars.iter().map(|var| format!("<feature var='{var}'/>")).collect()
    }

    fn edited(inside: &str, target: Target, answers: &Answers) -> Option<String> {
        let mut query = parse_str(&query(inside)).unwrap();
        edit(&mut query, target, answers)
            .then(|| String::from_utf8(crate::answer::kept::write(&query).to_vec()).unwrap())
    }

    #[test]
    fn the_server_says_what_is_answered_here() {
        let mut answers = with(&[(ns::DISCO_INFO, Mode::Local), (ns::PING, Mode::Fallback), (ns::TIME, DENY)]);
        let vars = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING];
        let identity = "<identity category='server' type='im'/>";
        assert_eq!(asks(&answers, Target::Server, INFO), query(&(identity.to_owned() + &*features(&vars))));
        answers.options.identity_name = Some("ex".to_owned());
        let identity = "<identity category='server' type='im' name='ex'/>";
        assert_eq!(asks(&answers, Target::Server, INFO), query(&(identity.to_owned() + &*features(&vars))));
    }

    #[test]
    fn the_account_says_what_is_its_own() {
        let identity = "<identity category='account' type='registered'/>";
        let vars = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::VCARD];
        assert_eq!(asks(&local(), Target::Account, INFO), query(&(identity.to_owned() + &*features(&vars))));
    }

    #[test]
    fn there_are_no_nodes() {
        let with_node = |query: &str, node: &str| query.replace("/>", &format!(" node='{node}'/>"));
        for target in [Target::Server, Target::Account] {
            assert_eq!(asks(&local(), target, &with_node(INFO, "x")), "cancel item-not-found");
            let said = asks(&local(), target, &with_node(INFO, ""));
            assert!(
                said.starts_with("<query xmlns='http://jabber.org/protocol/disco#info' node=''><identity"),
                "{said}"
            );
            assert_eq!(asks(&local(), target, &with_node(ITEMS, "x")), with_node(ITEMS, "x"));
            assert_eq!(asks(&local(), target, ITEMS), ITEMS);
        }
    }

    #[test]
    fn nothing_of_it_can_be_set() {
        for query in [INFO, ITEMS] {
            assert_eq!(sets(&local(), Target::Server, query), "cancel service-unavailable");
            assert_eq!(asks(&local(), Target::Other, query), "forward");
        }
    }

    #[test]
    fn what_is_answered_here_is_added_and_what_is_denied_removed() {
        let answers = with(&[(ns::PING, Mode::Local), (ns::VCARD, Mode::Fallback), (ns::MAM, DENY), (ns::TIME, DENY)]);
        let identity = "<identity category='server' type='im' name='x'/>";
        let form =
            "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>f</value></field></x>";
        let inside = |vars: &[&str]| format!("{identity}{}{form}", features(vars));
        for (before, target, after) in [
            (&["urn:xmpp:mam:2", "a"][..], Target::Server, Some(&["a", ns::PING, ns::VCARD][..])),
            (&["urn:xmpp:mam:2", "a"], Target::Account, Some(&["a", ns::VCARD])),
            (&["urn:xmpp:mam:2", ns::VCARD, ns::PING], Target::Server, Some(&[ns::VCARD, ns::PING])),
            (&[ns::VCARD, ns::PING], Target::Server, None),
            (&[ns::VCARD], Target::Account, None),
            (&["urn:xmpp:mam:2"], Target::Other, None),
        ] {
            assert_eq!(edited(&inside(before), target, &answers), after.map(|vars| query(&inside(vars))), "{before:?}");
        }
    }

    #[test]
    fn the_mark_is_shown_if_wanted() {
        let mut answers = Answers::default();
        assert_eq!(edited("", Target::Server, &answers), None);
        assert!(!answers.alters_info());
        answers.mark = true;
        assert!(answers.alters_info());
        assert_eq!(edited("", Target::Server, &answers), Some(query(&features(&[MARK]))));
        assert_eq!(edited("", Target::Account, &answers), None);
    }

    #[test]
    fn it_is_known_whether_anything_changes() {
        assert!(with(&[(ns::PING, Mode::Local)]).alters_info());
        assert!(with(&[(ns::PING, Mode::Fallback)]).alters_info());
        assert!(with(&[(ns::MAM, DENY)]).alters_info());
        assert!(!with(&[(ns::PING, Mode::Forward)]).alters_info());
    }

    fn informant(answers: &Answers) -> Informant {
        answers.informant("juliet@example.org", Timestamp(1), Timestamp(0))
    }

    #[test]
    fn it_is_known_whose_it_is_to_inform() {
        for mode in [Mode::Forward, Mode::Fallback] {
            assert_eq!(informant(&with(&[(ns::DISCO_INFO, mode), (ns::PING, Mode::Local)])), Informant::Server);
        }
        let Informant::Here(said) = informant(&local()) else { panic!("not here") };
        assert_eq!(Some(said), crate::answer::caps::read(asks(&local(), Target::Server, INFO).as_bytes()));
        let mut denied = with(&[(ns::DISCO_INFO, DENY)]);
        assert_eq!(informant(&denied), Informant::Nobody);
        let written = query(&features(&["urn:x"]));
        denied.fix(ns::DISCO_INFO, "query", &written).unwrap();
        assert_eq!(informant(&denied), Informant::Here(parse_str(&written).unwrap()));
        denied.fix(ns::DISCO_INFO, "query", "<other xmlns='urn:other'/>").unwrap();
        assert_eq!(informant(&denied), Informant::Nobody);
    }

    #[test]
    fn other_elements_are_left_alone() {
        let mut other = parse_str(ITEMS).unwrap();
        assert!(!edit(&mut other, Target::Server, &local()));
    }

    const VARS: [&str; 6] = [ns::PING, ns::VCARD, ns::MAM, ns::TIME, ns::DISCO_INFO, "urn:x"];

    fn modes() -> impl Strategy<Value = Vec<Mode>> {
        let mode = prop::sample::select(vec![Mode::Forward, Mode::Local, Mode::Fallback, DENY]);
        prop::collection::vec(mode, VARS.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn nothing_is_there_twice(
            modes in modes(),
            given in prop::collection::btree_set(prop::sample::select(VARS.to_vec()), 0..6),
            mark in any::<bool>(),
            server in any::<bool>(),
        ) {
            let rules: Vec<_> = VARS.into_iter().zip(modes).collect();
            let answers = Answers { mark, ..with(&rules) };
            let given: Vec<&str> = given.into_iter().collect();
            let mut query = parse_str(&query(&features(&given))).unwrap();
            let before = query.clone();
            let target = if server { Target::Server } else { Target::Account };
            let changed = edit(&mut query, target, &answers);
            prop_assert_eq!(changed, query != before);
            let vars: Vec<&str> = query.children().filter_map(|child| child.attr("var")).collect();
            prop_assert_eq!(vars.iter().collect::<BTreeSet<_>>().len(), vars.len());
            for (var, mode) in rules {
                match mode {
                    Mode::Deny(_) => prop_assert!(!vars.contains(&var)),
                    Mode::Forward => prop_assert_eq!(vars.contains(&var), given.contains(&var)),
                    Mode::Local | Mode::Fallback => prop_assert!(vars.contains(&var) || !server),
                }
            }
            // Once is enough.
            prop_assert!(!edit(&mut query, target, &answers));
        }
    }
}
