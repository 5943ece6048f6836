//! Rules 3 and 4, which speak of two stanzas at once: told here; to check them takes a memory of open requests.

use super::RuleInfo;

pub(super) const RULE3: RuleInfo = RuleInfo {
    number: 3,
    rule: None,
    title: "a get or set is answered, with its id",
    place: "RFC 6120 §8.2.3 rule 3; RFC 3920 §9.2.3 rule 3",
    explanation: "Whoever receives a get or set must answer with exactly one result or error that keeps the id (an empty \
        one if the request had none). Many old clients never answer roster pushes; RFC 6121 §2.1.6 tells servers to live \
        with it.",
    example: "<iq type='get' id='r3' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>  ... and nothing comes back",
    enforced: "Not checked yet.",
};

pub(super) const RULE4: RuleInfo = RuleInfo {
    number: 4,
    rule: None,
    title: "a result or error is not answered",
    place: "RFC 6120 §8.2.3 rule 4; RFC 3920 §9.2.3 rule 4",
    explanation: "An answer to an answer could go on for ever. iqtap keeps this rule itself: whatever a rule or a script \
        wants, a result or error is dropped and never bounced.",
    example: "<iq type='result' id='nobody-asked' to='example.org'/>  ... answered with an iq of type error",
    enforced: "Not checked yet in what peers send; always kept in what iqtap sends.",
};
