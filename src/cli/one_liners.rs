//! `--drop`, `--reject` and `--modify`: scripts of one line, in the order in which they stand on the command line, whichever
//! they are.

use crate::script::{Deed, OneLiner};
use clap::{Arg, ArgAction, ArgMatches, Command, Error};

const DEEDS: [Deed; 3] = [Deed::Drop, Deed::Reject, Deed::Modify];

/// The options and what was given for them. Derived arguments would know the order of each, but not across them.
#[derive(Clone, Debug, Default)]
pub(super) struct OneLiners(pub(super) Vec<OneLiner>);

impl OneLiners {
    /// Puts them behind those of a file. An option that is given replaces the key of its name.
    pub(super) fn replace(self, lines: &mut Vec<OneLiner>) {
        lines.retain(|known| self.0.iter().all(|line| line.deed != known.deed));
        lines.extend(self.0);
    }
}

fn option(deed: Deed) -> Arg {
    let (value, help) = match deed {
        Deed::Drop => ("EXPR", "Drop the stanzas for which this Rhai expression over `stanza` (and `session`) is true"),
        Deed::Reject => ("EXPR=CONDITION", "Reject them with this error, such as not-allowed"),
        Deed::Modify => ("EXPR=STATEMENT", "Change them by this Rhai statement"),
    };
    Arg::new(deed.name()).long(deed.name()).value_name(value).help(help).action(ArgAction::Append)
}

impl clap::Args for OneLiners {
    fn augment_args(command: Command) -> Command {
        command.args(DEEDS.map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for OneLiners {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut all = Vec::new();
        for deed in DEEDS {
            let texts = matches.get_many::<String>(deed.name()).into_iter().flatten();
            let places = matches.indices_of(deed.name()).into_iter().flatten();
            all.extend(places.zip(texts).map(|(place, text)| (place, OneLiner { deed, text: text.clone(), line: 0 })));
        }
        all.sort_by_key(|(place, _)| *place);
        Ok(Self(all.into_iter().map(|(_, line)| line).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
