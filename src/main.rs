//! The iqtap command.
fn main() {}
