//! [`Filter`]: whether a stanza is shown.
//!
//! Takes an expression over `stanza`, gives yes or no for each. Must not do anything besides: what the expression logs, tags or
//! sends is lost.

use super::call::{Called, call};
use super::compile::Script;
use super::hooks::On;
use super::run::{self, Functions};
use super::stanza::Stanza;
use super::state::Kept;
use super::{ScriptLimits, members, oneliner};
use crate::xml::View;
use crate::xmpp::{Kind, Side, Timestamp};

/// An expression over `stanza`, compiled.
#[derive(Debug)]
pub struct Filter {
    script: Script,
    limits: ScriptLimits,
}

impl Filter {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, on one line.
    pub fn new(text: &str, limits: ScriptLimits) -> Result<Self, String> {
        Ok(Self { script: oneliner::filter(text, limits)?, limits })
    }

    /// Whether it is true for a stanza that came from `side`.
    ///
    /// # Errors
    /// Where and why it failed, or that it gave something else than true or false.
    pub fn shows(&self, kind: Kind, view: &View<'_>, side: Side) -> Result<bool, String> {
        let Some(hook) = self.script.hook(On::Stanza) else { return Ok(true) };
        run::begin(Timestamp(0), false, self.limits, Kept::new(), &Functions::default(), 0, None);
        let ran = call(&self.script, &Called::hook(0, hook), (Stanza::new(kind, view, side),), self.limits);
        let _ = run::end();
        let value = ran.map_err(|failure| self.script.located(&failure))?;
        let found = members::type_name(&value);
        value
            .as_bool()
            .map_err(|_| format!("{}: gives a value of type {found}, not true or false", self.script.path.display()))
    }
}
