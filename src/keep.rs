//! What is kept beyond a process, and the one interface of whatever keeps it: [`Store`].
//!
//! Takes operations, gives entries; a networked store would be a second implementation of the trait. Must not know what the
//! values mean: they are bytes under an account, a space (mostly a namespace) and a name.

use bytes::Bytes;
use std::borrow::Cow;

/// Under which account the entries are kept that belong to none: what scripts share, what is known of servers.
pub const NOBODY: &str = "";

/// What is kept under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it belongs to.
    pub space: String,
    /// What tells it from others there; may be empty.
    pub name: String,
    /// What is kept.
    pub value: Bytes,
}

/// A space, as code names it.
pub type Space = Cow<'static, str>;

/// One thing that is to be otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Kept, instead of what was there.
    Put(Space, String, Bytes),
    /// Kept no longer, if it was there.
    Delete(Space, String),
    /// Nothing is kept in that space any longer.
    Clear(Space),
}

impl Change {
    /// The space it is about.
    #[must_use]
    pub fn space(&self) -> &str {
        match self {
            Self::Put(space, ..) | Self::Delete(space, _) | Self::Clear(space) => space,
        }
    }
}

/// One thing that a store is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Gives one entry, or none.
    Get {
        /// Whose: a prepared bare JID, or [`NOBODY`].
        account: String,
        /// In which space.
        space: Space,
        /// Under which name.
        name: String,
    },
    /// Gives all entries of these spaces, by space and name.
    List {
        /// Whose.
        account: String,
        /// In which spaces.
        spaces: Vec<Space>,
    },
    /// Does all of that, in this order, or nothing; gives no entries.
    Write {
        /// Whose.
        account: String,
        /// What.
        changes: Vec<Change>,
        /// How many entries a space may hold that something is put into; more is [`Trouble::Full`], and nothing is
        /// done, unless it held as many before.
        most: usize,
    },
}

impl Op {
    /// Whose entries it is about.
    #[must_use]
    pub fn account(&self) -> &str {
        match self {
            Self::Get { account, .. } | Self::List { account, .. } | Self::Write { account, .. } => account,
        }
    }
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A space would hold more entries than it may; 0: whatever keeps them would hold more of accounts than it may.
    #[error("{}", if *.0 == 0 { "there is no room to keep more".to_owned() } else { format!("more than {} entries are not kept", .0) })]
    Full(usize),
    /// The store has failed: why, for people.
    #[error("the store has failed: {0}")]
    Failed(String),
}

/// What an operation has led to.
pub type Done = Result<Vec<Entry>, Trouble>;

/// What keeps entries.
pub trait Store: Send {
    /// Does these operations one after the other, each seeing what those before it have done; gives what each has led to, in
    /// their order. When it returns, what it says was written is durable: it outlives the process, and the machine's power.
    fn run(&mut self, ops: &[Op]) -> Vec<Done>;
}
