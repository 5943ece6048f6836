//! How much of anything one stanza may hold. Takes nothing, gives numbers; the scanner enforces them.

/// Limits on one first-level element. All are inclusive: a stanza of exactly `stanza_bytes` bytes is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one first-level element, its tags included (RFC 6120 §13.12: never below 10,000).
    pub stanza_bytes: usize,
    /// Elements in one first-level element, itself included.
    pub elements: u32,
    /// Nesting: the first-level element has depth 1.
    pub depth: u32,
    /// Attributes on one element, namespace declarations included.
    pub attributes: u32,
    /// Bytes of one element or attribute name, prefix included, or of one namespace name.
    pub name_bytes: usize,
    /// Bytes of one attribute value, as written.
    pub value_bytes: usize,
}

impl Limits {
    /// Before the client has authenticated (`security.md` P7).
    pub const BEFORE_LOGIN: Self =
        Self { stanza_bytes: 10_000, elements: 32, depth: 16, attributes: 64, name_bytes: 1024, value_bytes: 4096 };
    /// After authentication (`security.md` P7).
    pub const AFTER_LOGIN: Self = Self {
        stanza_bytes: 262_144,
        elements: 25_000,
        depth: 128,
        attributes: 1000,
        name_bytes: 1024,
        value_bytes: 262_144,
    };
    /// The deepest nesting that may be configured: code that walks trees by recursion is safe up to here.
    pub const MAX_DEPTH: u32 = 512;
}
