//! What there is to be called and read: asked of the engine itself, so that nothing need be kept in step.

use crate::script::lists::{self, Lists};
use crate::script::{ScriptLimits, element, engine, hooks, jid, session, stanza, verdict};
use rhai::Engine;
use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

/// What Rhai answers without a registered function.
const KEYWORDS: [&str; 8] = ["print", "debug", "type_of", "Fn", "call", "is_shared", "is_def_var", "is_def_fn"];

/// A kind of value whose members are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stanza,
    Element,
    /// An array of elements.
    Elements,
    Session,
    Jid,
}

impl Kind {
    /// As scripts know it, and `members` too.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stanza => "Stanza",
            Self::Element => "Element",
            Self::Elements => "Array",
            Self::Session => "Session",
            Self::Jid => "Jid",
        }
    }

    fn id(self) -> TypeId {
        match self {
            Self::Stanza => TypeId::of::<stanza::Stanza>(),
            Self::Element => TypeId::of::<element::Element>(),
            Self::Elements => TypeId::of::<rhai::Array>(),
            Self::Session => TypeId::of::<session::Session>(),
            Self::Jid => TypeId::of::<jid::Jid>(),
        }
    }
}

/// The engine, and what it knows.
pub(super) struct Known {
    pub(super) engine: Engine,
    /// All hooks: the name, and what it takes as its author writes it, as in `(stanza) or (stanza, session)`.
    hooks: Vec<(&'static str, &'static str)>,
    /// Functions that give a verdict.
    pub(super) verdicts: BTreeSet<String>,
    /// Native functions by name: the types of their parameters.
    functions: BTreeMap<String, Vec<Vec<TypeId>>>,
}

impl Known {
    pub(super) fn new(limits: ScriptLimits) -> Self {
        let mut engine = engine::engine(limits);
        lists::register(&mut engine, Lists::new());
        let mut functions: BTreeMap<String, Vec<Vec<TypeId>>> = BTreeMap::new();
        for (name, types) in registered(&engine) {
            functions.entry(name).or_default().push(types);
        }
        // An engine that knows nothing but verdicts says which they are.
        let mut only = Engine::new_raw();
        verdict::register(&mut only);
        let verdicts = registered(&only).into_iter().map(|(name, _)| name).collect();
        let hooks = hooks::HOOKS.iter().map(|(_, name, takes, _)| (*name, *takes)).collect();
        Self { engine, hooks, verdicts, functions }
    }

    /// The names of all hooks.
    pub(super) fn hooks(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.hooks.iter().map(|(name, _)| *name)
    }

    /// What the parameters of a hook are, from the left, as far as that is known; none if it is no hook.
    pub(super) fn parameters(&self, hook: &str) -> Option<Vec<Option<Kind>>> {
        let (_, takes) = self.hooks.iter().find(|(name, _)| *name == hook)?;
        let most = takes.split(" or ").max_by_key(|way| way.len()).unwrap_or_default();
        let names = most.trim_matches(['(', ')']).split(", ");
        let kind = |name| match name {
            "stanza" | "request" | "answer" => Some(Kind::Stanza),
            "features" => Some(Kind::Element),
            "session" => Some(Kind::Session),
            _ => None,
        };
        Some(names.map(kind).collect())
    }

    /// Whether there is any function of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        KEYWORDS.contains(&name) || self.functions.contains_key(name)
    }

    /// Whether Rhai itself answers it, with whatever arguments.
    pub(super) fn is_keyword(name: &str) -> bool {
        KEYWORDS.contains(&name)
    }

    /// The numbers of parameters that a function of that name takes.
    pub(super) fn counts(&self, name: &str) -> BTreeSet<usize> {
        self.functions.get(name).into_iter().flatten().map(Vec::len).collect()
    }

    /// The numbers of parameters behind the first, of the functions of that name for such a value.
    pub(super) fn counts_for(&self, kind: Kind, name: &str) -> BTreeSet<usize> {
        let takes = |types: &&Vec<TypeId>| types.first().is_some_and(|first| is_for(kind, *first));
        self.functions.get(name).into_iter().flatten().filter(takes).map(|types| types.len() - 1).collect()
    }

    /// Whether a property can be read.
    pub(super) fn can_read(&self, kind: Kind, property: &str) -> bool {
        !self.counts_for(kind, &format!("get${property}")).is_empty()
    }

    /// Whether a property can be set.
    pub(super) fn can_set(&self, kind: Kind, property: &str) -> bool {
        !self.counts_for(kind, &format!("set${property}")).is_empty()
    }

    /// The properties of such a value.
    pub(super) fn properties(&self, kind: Kind) -> Vec<&str> {
        let getters = self.functions.iter().filter_map(|(name, types)| Some((name.strip_prefix("get$")?, types)));
        getters.filter(|(_, types)| for_kind(types, kind)).map(|(name, _)| name).collect()
    }

    /// The functions of such a value and of no other than these.
    pub(super) fn methods(&self, kind: Kind) -> Vec<&str> {
        let plain = self.functions.iter().filter(|(name, _)| is_name(name));
        plain.filter(|(_, types)| for_kind(types, kind)).map(|(name, _)| name.as_str()).collect()
    }

    /// All functions that can be called by name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str).filter(|name| is_name(name)).chain(KEYWORDS)
    }
}

/// All functions of an engine.
fn registered(engine: &Engine) -> Vec<(String, Vec<TypeId>)> {
    let all = |info: rhai::FuncInfo<'_>| {
        let mut types = info.metadata.param_types.to_vec();
        types.resize(info.metadata.num_params, TypeId::of::<rhai::Dynamic>());
        Some((info.metadata.name.to_string(), types))
    };
    engine.collect_fn_metadata(None, all, true)
}

fn is_for(kind: Kind, first: TypeId) -> bool {
    first == kind.id() || first == TypeId::of::<rhai::Dynamic>()
}

fn for_kind(types: &[Vec<TypeId>], kind: Kind) -> bool {
    types.iter().any(|types| types.first() == Some(&kind.id()))
}

/// Whether it is called by name, and not by an operator or by `.`.
fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
