//! A capture against something else: another capture (`diff`), or the scripts of today (`scripts`).
//!
//! Takes the events of [`capture::read`](crate::capture::read), gives what is the same and what is not. `strand` puts a capture's items into
//! streams, `align` lays two lists side by side, `meaning` says what a value is (an id, a stamp, an address), `unify` holds
//! two stanzas together and remembers which names of one capture stand for which of the other; `past` is what the peers
//! of recorded sessions did, `stage` a session of today that sees it. Must not read a file or a clock.

mod align;
mod diff;
mod meaning;
mod past;
mod scripts;
mod stage;
mod strand;
mod unify;

pub use diff::{Change, Choice, Diff, Kind, Pairing, Place, diff};
pub use past::Past;
pub use scripts::{Line, Otherwise, Trial, trial};
pub use strand::{Recording, TooMuch};
