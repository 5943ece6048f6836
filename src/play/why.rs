//! Why a line of a book does not hold: a sentence, what was expected beside what came, and what came besides.
//!
//! Takes what `expect`, `seat` and `run` found, gives something to show. Must not decide anything.

use super::compare::show;
use std::fmt;

/// Why something did not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// In a sentence or two.
    pub reason: String,
    /// What was expected and what came, where the two can be shown side by side.
    pub contrast: Option<Box<Contrast>>,
    /// What came out and nobody has expected, as a book would write it.
    pub left: Vec<String>,
}

/// What was expected, what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contrast {
    /// As the book writes it, names filled in as far as they are known.
    pub expected: String,
    /// As it came.
    pub came: String,
    /// Whether both are to be read as XML; otherwise every byte matters, and both are escaped already.
    pub xml: bool,
}

impl Why {
    /// With what was expected and what came.
    pub(super) fn contrast(reason: String, contrast: Contrast) -> Self {
        Self { reason, contrast: Some(Box::new(contrast)), left: Vec::new() }
    }
}

impl From<String> for Why {
    fn from(reason: String) -> Self {
        Self { reason, ..Self::default() }
    }
}

impl From<&str> for Why {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        if let Some(contrast) = &self.contrast {
            let shown = |text: &str| if contrast.xml { show(text.as_bytes()) } else { text.to_owned() };
            write!(f, "\nexpected: {}\ncame:     {}", shown(&contrast.expected), shown(&contrast.came))?;
        }
        self.left.iter().try_for_each(|left| write!(f, "\n{left}"))
    }
}
