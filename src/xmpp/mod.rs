//! The vocabulary of XMPP as pure data: namespaces, addresses, errors, stream headers, features, SASL elements.
//!
//! Takes and gives trees and strings; knows no session, no socket, no clock.

pub mod account;
pub mod error;
pub mod facts;
pub mod features;
pub mod header;
pub mod jid;
pub mod ns;
pub mod sasl;

pub use account::{Account, Peer};
pub use error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
pub use facts::{Facts, Kind, Phase, Side, Timestamp};
pub use header::Header;
