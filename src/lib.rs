//! iqtap: a man-in-the-middle for XMPP.

pub mod capture;
pub mod cli;
pub mod config;
pub mod inspect;
pub mod loopback;
pub mod net;
pub mod policy;
pub mod rules;
pub mod script;
pub mod session;
pub mod xml;
pub mod xmpp;
