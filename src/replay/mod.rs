//! A capture as the source of what is played again: [`agents`] plays one peer's part of a recorded session against a living one.

pub mod agents;
