//! iqtap: a man-in-the-middle for XMPP.
//!
//! ```text
//!             shell (tokio)                      core (no I/O, no clock, no task, no lock)
//! client <--> Wire --+                     +----------------------- Session ---------------------+
//!                    |  Input::Bytes(side) |  Leg(client): Scanner     Leg(server): Scanner      |
//!                    +-> one task: pump -->|  negotiate -> pipeline(rules, scripts) -> tally      |
//! server <--> Wire --+   <- Outbox --------|                                                      |
//!                            |             +------------------------------------------------------+
//!                            +-> Notes -> printer (terminal, JSON), recorder (pcapng)
//! ```
//!
//! One [`session::Session`] is two XML streams and all we know about them: bytes in, bytes and acts out, synchronously.
//! [`xml`] decides what counts as XML, [`xmpp`] is the vocabulary, [`rules`] and [`script`] judge, [`net`] owns the sockets,
//! [`capture`] and [`inspect`] show what happened, [`play`] holds it to playbooks. `ARCHITECTURE.md` says who may know whom.
//!
//! The whole proxy without a socket:
//!
//! ```
//! use iqtap::policy::{ClientTls, Policy, Route, ServerTls};
//! use iqtap::session::{Act, Input, Outbox, Session};
//! use iqtap::xmpp::{Side, Timestamp};
//! use std::sync::Arc;
//!
//! let route = Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..Route::default() };
//! let now = Timestamp(0);
//! let mut session = Session::new(now, Arc::new(route), Arc::new(Policy::default()), 1, "127.0.0.1:50000", 42);
//! let mut out = Outbox::default();
//! let header = b"<stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
//!                xmlns:stream='http://etherx.jabber.org/streams'>";
//! session.handle(now, Input::Bytes(Side::Client, header), &mut out);
//! assert_eq!(out.acts, [Act::Dial { domain: "example.org".to_owned() }]);
//! assert!(out.to[Side::Client.index()].is_empty(), "nothing is said before the server has spoken");
//! ```

pub mod answer;
pub mod capture;
pub mod cli;
pub mod config;
pub mod inspect;
pub mod keep;
pub mod login;
pub mod loopback;
pub mod net;
pub mod play;
pub mod policy;
pub mod replay;
pub mod rules;
pub mod script;
pub mod session;
pub mod store;
pub mod versus;
pub mod xml;
pub mod xmpp;
