//! How people say who answers what: names of namespaces, of modes, and what cannot be chosen.

use super::fixed::Fixed;
use super::{Answers, Mode, TABLE};
use crate::xmpp::{Condition, ns};
use std::fmt;

/// Short names that are not those of `ns::short`.
const SHORT: &[(&str, &str)] = &[("vcard", ns::VCARD)];

impl Mode {
    /// Reads a mode as it stands on the command line: `local`, `fallback`, `forward`, `deny` or `deny:CONDITION`.
    ///
    /// # Errors
    /// What it could have been.
    pub fn read(text: &str) -> Result<Self, String> {
        match text {
            "forward" => Ok(Self::Forward),
            "local" => Ok(Self::Local),
            "fallback" => Ok(Self::Fallback),
            "deny" => Ok(Self::Deny(Condition::FeatureNotImplemented)),
            _ => match text.strip_prefix("deny:") {
                Some(name) => condition(name).map(Self::Deny),
                None => Err(format!("`{text}` is none of forward, local, fallback and deny")),
            },
        }
    }
}

/// Reads the condition of a mode.
///
/// # Errors
/// What it could have been.
pub fn condition(name: &str) -> Result<Condition, String> {
    Condition::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Condition::ALL.iter().map(|condition| condition.name()).collect();
        format!("`{name}` is no condition of RFC 6120; known: {}", known.join(", "))
    })
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward => f.write_str("forward"),
            Self::Local => f.write_str("local"),
            Self::Fallback => f.write_str("fallback"),
            Self::Deny(condition) => write!(f, "deny:{}", condition.name()),
        }
    }
}

/// The namespace that is meant by its own or its short name.
///
/// # Errors
/// If it looks like a short name, and none is known.
pub fn namespace(name: &str) -> Result<&str, String> {
    let short = SHORT.iter().find(|(short, _)| *short == name).map(|(_, namespace)| *namespace);
    match short.or_else(|| ns::named(name)) {
        Some(namespace) => Ok(namespace),
        None if name.contains([':', '/']) && !name.contains(char::is_whitespace) => Ok(name),
        None => {
            let known: Vec<&str> = TABLE.iter().filter_map(|(namespace, _)| ns::short(namespace)).collect();
            Err(format!("`{name}` is no namespace, nor the short name of one, such as {}", known.join(", ")))
        }
    }
}

/// Reads `NAMESPACE=MODE`.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str) -> Result<(String, Mode), String> {
    let (name, mode) = text.rsplit_once('=').ok_or("it is NAMESPACE=MODE, such as urn:xmpp:ping=local")?;
    let (namespace, mode) = (namespace(name)?, Mode::read(mode)?);
    Answers::default().set(namespace, mode)?;
    Ok((namespace.to_owned(), mode))
}

impl Answers {
    /// Chooses who answers a namespace from now on.
    ///
    /// # Errors
    /// If it is to be answered here and cannot be.
    pub fn set(&mut self, namespace: &str, mode: Mode) -> Result<(), String> {
        let known = TABLE.iter().any(|(known, _)| *known == namespace);
        if matches!(mode, Mode::Local | Mode::Fallback) && !known {
            let known: Vec<&str> = TABLE.iter().map(|(namespace, _)| *namespace).collect();
            return Err(format!(
                "{namespace} cannot be answered here, only denied or forwarded; what can: {}",
                known.join(", ")
            ));
        }
        match self.rules.iter_mut().find(|(known, _)| known == namespace) {
            Some(rule) => rule.1 = mode,
            None => self.rules.push((namespace.to_owned(), mode)),
        }
        self.rules.retain(|(_, mode)| *mode != Mode::Forward);
        Ok(())
    }

    /// Says this to the account's and the server's requests with such a payload: `text` is XML, an `<iq/>` of type result or
    /// error, or the payload of a result.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn fix(&mut self, namespace: &str, element: &str, text: &str) -> Result<(), String> {
        let fixed = Fixed::read(namespace, element, text)?;
        self.fixed.retain(|known| (known.namespace.as_str(), known.element.as_str()) != (namespace, element));
        self.fixed.push(fixed);
        Ok(())
    }

    /// What is chosen, in words: `urn:xmpp:ping local, jabber:iq:version fallback`.
    #[must_use]
    pub fn words(&self) -> String {
        let rules: Vec<String> = self.rules.iter().map(|(namespace, mode)| format!("{namespace} {mode}")).collect();
        rules.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read() {
        let deny = Mode::Deny;
        for (text, namespace, mode) in [
            ("urn:xmpp:ping=local", ns::PING, Mode::Local),
            ("ping=fallback", ns::PING, Mode::Fallback),
            ("vcard=local", ns::VCARD, Mode::Local),
            ("vcard-temp=forward", ns::VCARD, Mode::Forward),
            ("mam=deny", ns::MAM, deny(Condition::FeatureNotImplemented)),
            ("urn:x?a=b=deny:not-allowed", "urn:x?a=b", deny(Condition::NotAllowed)),
            ("disco#info=local", ns::DISCO_INFO, Mode::Local),
            ("disco#items=local", ns::DISCO_ITEMS, Mode::Local),
        ] {
            assert_eq!(read(text), Ok((namespace.to_owned(), mode)), "{text}");
            if !matches!(mode, Mode::Deny(_)) {
                assert_eq!(Mode::read(&mode.to_string()), Ok(mode));
            }
        }
        for (namespace, _) in TABLE {
            assert_eq!(ns::short(namespace).map(super::namespace), Some(Ok(*namespace)));
        }
    }

    #[test]
    fn what_cannot_be_chosen_is_said_with_what_can() {
        for (text, words) in [
            ("urn:xmpp:ping", "NAMESPACE=MODE"),
            ("pnig=local", "no namespace, nor the short name of one, such as ping, version, time"),
            ("urn:x y=deny", "no namespace"),
            ("ping=here", "none of forward, local, fallback and deny"),
            ("ping=deny:no", "known: bad-request, conflict"),
            ("urn:xmpp:mam:2=local", "only denied or forwarded; what can: urn:xmpp:ping, jabber:iq:version"),
            ("mam=fallback", "only denied or forwarded"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn the_last_choice_holds() {
        let mut answers = Answers::default();
        answers.set(ns::PING, Mode::Local).unwrap();
        answers.set(ns::TIME, Mode::Deny(Condition::NotAllowed)).unwrap();
        answers.set(ns::PING, Mode::Fallback).unwrap();
        assert_eq!(answers.words(), "urn:xmpp:ping fallback, urn:xmpp:time deny:not-allowed");
        answers.set(ns::PING, Mode::Forward).unwrap();
        answers.set(ns::TIME, Mode::Forward).unwrap();
        assert_eq!(answers, Answers::default());
        assert!(answers.is_empty());
    }
}
