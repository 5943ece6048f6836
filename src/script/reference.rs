//! All that scripts may use, in one table: what people read in their editor while they write one.
//!
//! Takes nothing, gives the definitions that the Rhai language server reads (`scripts/iqtap.d.rhai`). Must not differ from
//! what is registered: a test compares the two.

/// Whose it is (empty: nobody's, it is called by itself), how it is written, what it gives, what it does.
type Entry = (&'static str, &'static str, &'static str, &'static str);

/// Stanzas and elements have these, from where they stand downwards.
const BY_PATH: &[(&str, &str, &str)] = &[
    ("attr(name: String)", "String | ()", "an attribute, by a plain name or xml:lang; () if there is none"),
    ("set_attr(name: String, value: String | ())", "()", "sets an attribute; () removes it"),
    ("set_attr(path: String, name: String, value: String | ())", "()", "sets an attribute of something inside"),
    ("remove_attr(name: String)", "()", "removes an attribute"),
    ("remove_attr(path: String, name: String)", "()", "removes an attribute of something inside"),
    ("find(path: String)", "Element | ()", "the first element the path leads to, or ()"),
    ("find_all(path: String)", "Array", "all elements the path leads to, in their order"),
    ("each()", "Each", "the child elements, however many, for a loop"),
    ("each(path: String)", "Each", "all elements the path leads to, however many, for a loop"),
    ("count(path: String)", "int", "how many elements the path leads to"),
    ("children()", "Array", "the child elements"),
    (
        "text(path: String)",
        "String | ()",
        "the text directly inside of what the path leads to, or the attribute it ends in; () if there is none",
    ),
    (
        "set_text(path: String, text: String)",
        "()",
        "replaces all that is inside by the text, or sets the attribute the path ends in",
    ),
    ("append(xml: Xml)", "()", "adds a last child"),
    ("append(path: String, xml: Xml)", "()", "adds a last child to something inside"),
    ("replace(path: String, xml: Xml)", "()", "puts another element in the place of something inside"),
    ("remove(path: String)", "bool", "takes away the first thing the path leads to; whether there was one"),
    ("to_xml()", "String", "all of it as text"),
];

const ENTRIES: &[Entry] = &[
    ("", "pass()", "Verdict", "forward it, with the changes"),
    ("", "drop()", "Verdict", "do not forward it, do not answer it"),
    (
        "",
        "reject(condition: String)",
        "Verdict",
        "answer it with an error (RFC 6120 §8.3.3); a result or an error is dropped",
    ),
    ("", "reject(condition: String, text: String)", "Verdict", "the same, with a text for a person"),
    (
        "",
        "reject(condition: String, text: String, type: String)",
        "Verdict",
        "the same, with a type: auth, cancel, continue, modify, wait",
    ),
    ("", "reply()", "Verdict", "answer an iq with an empty result"),
    ("", "reply(xml: Xml)", "Verdict", "answer it with this: the payload of a result, or a whole stanza"),
    ("", "hold(seconds: float)", "Verdict", "forward it that much later (0.001 to 3600)"),
    ("", "xml(text: Xml)", "Element", "an element of one's own: from text, or a copy"),
    ("", "jid(text: String | ())", "Jid | ()", "an address, prepared (RFC 7622); () for what is none"),
    ("", "same_jid(one: String | (), other: String | ())", "bool", "whether two addresses are the same"),
    ("", "log(text: Loggable)", "()", "tells the operator a text, a number, true, false or ()"),
    ("", "log(level: String, text: Loggable)", "()", "the same at error, warn, info or debug"),
    ("", "tag(name: String)", "()", "puts a word on the stanza at hand, shown beside it"),
    ("", "after(seconds: float, function: String)", "Timer", "calls a function of this script later, with (session)"),
    ("", "after(seconds: float, function: String, value: ?)", "Timer", "the same with (session, value)"),
    (
        "",
        "every(seconds: float, function: String)",
        "Timer",
        "calls a function of this script again and again, with (session)",
    ),
    ("", "every(seconds: float, function: String, value: ?)", "Timer", "the same with (session, value)"),
    ("", "cancel(timer: Timer | ())", "()", "ends a timer"),
    (
        "",
        "list(name: String)",
        "List",
        "the list in the file of that name beside the script; the name stands there as it is",
    ),
    ("", "regex(pattern: String)", "Pattern", "a regular expression, to be used in the place of its text"),
    ("", "now()", "Time", "what time it is for this session, in UTC"),
    ("", "now(zone: String)", "Time", "the same in a zone, such as Europe/Berlin"),
    (
        "",
        "between(from: String, to: String)",
        "bool",
        "whether it is between two times of day, such as 22:00 and 06:00, in UTC",
    ),
    ("", "between(from: String, to: String, zone: String)", "bool", "the same in a zone"),
    ("", "state", "State", "what this script keeps of this session"),
    ("", "shared", "Shared", "what all scripts keep for all sessions"),
    ("Stanza", "kind", "String", "iq, message or presence"),
    ("Stanza", "direction", "String", "c2s from the client, s2c from the server"),
    ("Stanza", "type", "String | ()", "the attribute; can be set"),
    ("Stanza", "id", "String | ()", "the attribute; can be set"),
    ("Stanza", "to", "String | ()", "the attribute; can be set"),
    ("Stanza", "from", "String | ()", "the attribute; can be set"),
    ("Stanza", "lang", "String | ()", "its own xml:lang"),
    ("Stanza", "ns", "String | ()", "namespace of the payload: of the first child that is not <error/>"),
    ("Stanza", "name", "String | ()", "name of the payload"),
    ("Stanza", "payload_ns", "String | ()", "the same as ns"),
    ("Stanza", "payload_name", "String | ()", "the same as name"),
    ("Stanza", "size", "int", "bytes, as it came"),
    ("Element", "name", "String", "its name"),
    ("Element", "ns", "String", "its namespace"),
    ("Element", "text()", "String", "the text directly inside; empty if there is none"),
    ("Element", "set_text(text: String)", "()", "replaces all that is inside by the text"),
    ("Element", "remove()", "bool", "takes it out of what it is in; whether it was in something"),
    ("Session", "jid", "String | ()", "the client's full JID, once bound"),
    ("Session", "bare", "String | ()", "the same without its resource"),
    ("Session", "domain", "String", "what the client has connected to"),
    ("Session", "peer", "String", "the client's network address"),
    ("Session", "number", "int", "the session's number in this process"),
    ("Session", "tls", "bool", "whether TLS stands towards the client"),
    ("Session", "server_tls", "bool", "whether TLS stands towards the server"),
    ("Session", "mechanism", "String | ()", "the SASL mechanism the client has named"),
    ("Session", "phase", "String", "open, authenticated, bound or closed"),
    ("Session", "started", "float", "when it began, in seconds since 1970"),
    ("Session", "to_client(xml: Xml)", "()", "sends the client a whole stanza"),
    ("Session", "to_server(xml: Xml)", "()", "sends the server a whole stanza"),
    (
        "Session",
        "ask(iq: Xml, function: String)",
        "()",
        "asks the server; the answer, or () after 30 seconds, is given to a function of this script, with (answer, session)",
    ),
    ("Session", "ask(iq: Xml, function: String, seconds: float)", "()", "the same, with another time to wait"),
    ("Session", "ask_client(iq: Xml, function: String)", "()", "asks the client likewise"),
    ("Session", "ask_client(iq: Xml, function: String, seconds: float)", "()", "the same, with another time to wait"),
    ("Session", "close()", "()", "ends the session with policy-violation"),
    ("Session", "close(condition: String)", "()", "ends the session with this stream error (RFC 6120 §4.9.3)"),
    ("Session", "close(condition: String, text: String)", "()", "the same, with a text for a person"),
    ("Jid", "full", "String", "all of it"),
    ("Jid", "bare", "String", "without the resource"),
    ("Jid", "local", "String | ()", "what stands before the @"),
    ("Jid", "domain", "String", "the domain"),
    ("Jid", "resource", "String | ()", "what stands behind the /"),
    ("State", "contains(key: String)", "bool", "whether something is kept under this key"),
    ("State", "remove(key: String)", "?", "takes it away; gives what it was, or ()"),
    ("State", "keys()", "Array", "all keys"),
    ("State", "clear()", "()", "forgets everything"),
    ("Shared", "get(key: String)", "?", "a copy of the value, or ()"),
    ("Shared", "get(key: String, otherwise: ?)", "?", "a copy of the value, or what is given"),
    ("Shared", "set(key: String, value: ?)", "()", "keeps a value; () removes it"),
    ("Shared", "set(key: String, value: ?, seconds: float)", "()", "keeps it for so long"),
    (
        "Shared",
        "expire(key: String, seconds: float)",
        "bool",
        "keeps what is there for so long only; whether there is something",
    ),
    ("Shared", "keep(key: String)", "()", "what stands under this key outlives the process, from now on"),
    ("Shared", "keep(key: String, keeps: bool)", "()", "the same if true; no longer if false"),
    ("Shared", "incr(key: String)", "int", "adds 1 to a number that begins at 0; gives the new one"),
    ("Shared", "incr(key: String, by: int)", "int", "adds to a number; gives the new one"),
    ("Shared", "remove(key: String)", "?", "takes it away; gives what it was, or ()"),
    ("Shared", "contains(key: String)", "bool", "whether there is something under this key"),
    ("Shared", "push(key: String, value: ?)", "int", "adds to a list; gives how many there are"),
    ("Shared", "push(key: String, value: ?, most: int)", "int", "the same; of more than so many the oldest go"),
    ("Shared", "list(key: String)", "Array", "all of a list"),
    ("Shared", "has(key: String, value: ?)", "bool", "whether one of a list is this"),
    ("Shared", "take(key: String)", "?", "takes the oldest of a list, or gives ()"),
    (
        "Shared",
        "throttle(key: String, rate: float, burst: int)",
        "bool",
        "true if the key is over its rate: burst at once, rate more each second",
    ),
    ("List", "contains(entry: String)", "bool", "whether this text or address is an entry"),
    ("List", "covers(jid: String)", "bool", "whether the address, its bare one or its domain is an entry"),
    ("List", "len()", "int", "how many entries there are"),
    ("String", "matches(pattern: Pattern)", "bool", "whether the pattern fits anywhere"),
    ("String", "find_match(pattern: Pattern)", "String | ()", "the first piece that fits"),
    ("String", "captures(pattern: Pattern)", "Array | ()", "that piece and each group in it"),
    (
        "String",
        "replace_all(pattern: Pattern, replacement: String)",
        "String",
        "with each piece that fits replaced; $1 is a group",
    ),
    ("Time", "year", "int", "the year"),
    ("Time", "month", "int", "1 to 12"),
    ("Time", "day", "int", "1 to 31"),
    ("Time", "hour", "int", "0 to 23"),
    ("Time", "minute", "int", "0 to 59"),
    ("Time", "second", "int", "0 to 59"),
    ("Time", "weekday", "String", "mon, tue, wed, thu, fri, sat or sun"),
    ("Time", "unix", "int", "seconds since 1970"),
    ("Time", "iso", "String", "as in 2026-11-25T03:00:00+00:00"),
];

const HEAD: &str = "module static;

// What iqtap's scripts may use, for editors with the Rhai language server. Written by `iqtap script definitions`.
// `| ()`: it may be what is not there. `?`: any value. Xml is text of one element, an Element or a Stanza.
";

/// The table, with what is the same for stanzas and elements written out for both.
fn entries() -> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str)> {
    let by_path = ["Stanza", "Element"]
        .into_iter()
        .flat_map(|of| BY_PATH.iter().map(move |(call, gives, says)| (of, *call, *gives, *says)));
    ENTRIES.iter().copied().chain(by_path)
}

/// The names of the properties of a type (or else of its functions), each once.
pub(super) fn names(of: &str, properties: bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (owner, call, ..) in entries() {
        let name = call.split_once('(').map_or(call, |(name, _)| name);
        if owner == of && (name == call) == properties && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// How a function that is no method is called.
pub(super) fn calls(name: &str) -> Vec<&'static str> {
    let is_of_that_name = |call: &str| call.split_once('(').is_some_and(|(known, _)| known == name);
    entries().filter(|(of, call, ..)| of.is_empty() && is_of_that_name(call)).map(|(_, call, ..)| call).collect()
}

/// The definitions of all that scripts may use.
#[must_use]
pub fn definitions() -> String {
    let mut text = HEAD.to_owned();
    for (of, call, gives, says) in entries() {
        text.push_str(&format!("\n/// {says}\n"));
        text.push_str(&match (of, call.split_once('(')) {
            ("", None) => format!("const {call}: {gives};\n"),
            ("", Some(_)) => format!("fn {call} -> {gives};\n"),
            (of, None) => format!("fn get {call}(self: {of}) -> {gives};\n"),
            (of, Some((name, ")"))) => format!("fn {name}(self: {of}) -> {gives};\n"),
            (of, Some((name, rest))) => format!("fn {name}(self: {of}, {rest} -> {gives};\n"),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{ScriptLimits, engine, lists, sharing};
    use std::collections::BTreeSet;

    /// Name and number of parameters of what the table says there is.
    fn told() -> BTreeSet<(String, usize)> {
        entries()
            .map(|(of, call, ..)| {
                let own = usize::from(!of.is_empty());
                match call.split_once('(') {
                    None => (format!("get${call}"), 1),
                    Some((name, ")")) => (name.to_owned(), own),
                    Some((name, rest)) => (name.to_owned(), own + 1 + rest.matches(", ").count()),
                }
            })
            .filter(|(name, _)| !["get$state".to_owned(), format!("get${}", sharing::WORD)].contains(name))
            .collect()
    }

    /// The same of what is registered and not Rhai's own.
    fn registered() -> BTreeSet<(String, usize)> {
        let all = |info: rhai::FuncInfo<'_>| Some((info.metadata.name.to_string(), info.metadata.num_params));
        let mut engine = engine::engine(ScriptLimits::default());
        lists::register(&mut engine, lists::Lists::new());
        let ours: BTreeSet<_> = engine.collect_fn_metadata(None, all, false).into_iter().collect();
        let plain =
            |name: &str| name.strip_prefix("get$").unwrap_or(name).chars().all(|c| c.is_alphanumeric() || c == '_');
        // Rhai's own, made anew; what every value has; what must not be used.
        let known = ["pad", "replace", "to_string", "to_debug", "sleep"];
        ours.into_iter()
            .filter(|(name, _)| plain(name))
            .filter(|(name, count)| !known.contains(&name.as_str()) || (name == "replace" && *count == 3))
            .collect()
    }

    /// Words that the Rhai language server's grammar keeps for itself: none of them can be a name.
    const KEPT: &[&str] = &[
        "as",
        "async",
        "await",
        "break",
        "case",
        "catch",
        "const",
        "continue",
        "default",
        "do",
        "else",
        "exit",
        "export",
        "fn",
        "for",
        "go",
        "goto",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "match",
        "module",
        "new",
        "nil",
        "null",
        "package",
        "private",
        "protected",
        "public",
        "return",
        "spawn",
        "static",
        "super",
        "switch",
        "sync",
        "thread",
        "throw",
        "try",
        "until",
        "use",
        "var",
        "void",
        "while",
        "with",
        "yield",
    ];

    fn is_name(text: &str) -> bool {
        text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !KEPT.contains(&text)
    }

    /// `?` alone is any value; a `|` stands between those it may be.
    fn is_type(text: &str) -> bool {
        text.split(" | ").all(|one| one == "?" || one == "()" || is_name(one))
    }

    #[test]
    fn the_definitions_are_what_the_language_server_reads() {
        for (_, call, gives, _) in entries() {
            let (name, parameters) = call.split_once('(').unwrap_or((call, ")"));
            let parameters = parameters.strip_suffix(')').unwrap();
            let legal =
                |parameter: &str| parameter.split_once(": ").is_some_and(|(name, of)| is_name(name) && is_type(of));
            assert!(is_name(name) && is_type(gives), "{call} -> {gives}");
            assert!(parameters.split(", ").filter(|one| !one.is_empty()).all(legal), "{call}");
        }
        assert!(!is_type("String?") && !is_name("with"));
    }

    #[test]
    fn the_table_says_what_there_is() {
        let (told, registered) = (told(), registered());
        let missing: Vec<_> = registered.difference(&told).collect();
        let made_up: Vec<_> = told.difference(&registered).collect();
        assert!(missing.is_empty() && made_up.is_empty(), "not in the table: {missing:?}; not there: {made_up:?}");
    }
}
