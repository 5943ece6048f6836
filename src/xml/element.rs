//! [`Element`]: the tree, for whoever really opens a stanza. Pure data: finders, builder, edits.

/// An attribute; namespace declarations are not attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Namespace name, empty for none.
    pub ns: String,
    /// Local name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A child of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data; never empty, never two in a row in a parsed tree.
    Text(String),
}

/// An element with its expanded name, attributes in document order, and children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Namespace name, empty for none.
    pub ns: String,
    /// Local name.
    pub name: String,
    /// Attributes.
    pub attrs: Vec<Attr>,
    /// Children.
    pub nodes: Vec<Node>,
}

impl Element {
    /// An empty element.
    #[must_use]
    pub fn new(ns: impl Into<String>, name: impl Into<String>) -> Self {
        Self { ns: ns.into(), name: name.into(), attrs: Vec::new(), nodes: Vec::new() }
    }
    /// Builder: with an attribute in no namespace.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: impl Into<String>) -> Self {
        self.set_attr(name, value);
        self
    }
    /// Builder: with a child element.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.nodes.push(Node::Element(child));
        self
    }
    /// Builder: with text (nothing is added when it is empty).
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.nodes.push(Node::Text(text));
        }
        self
    }
    /// Whether it has this expanded name.
    #[must_use]
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }
    /// Value of an attribute in no namespace.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns("", name)
    }
    /// Value of an attribute by expanded name.
    #[must_use]
    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<&str> {
        self.attrs.iter().find(|a| a.name == name && a.ns == ns).map(|a| a.value.as_str())
    }
    /// Sets an attribute in no namespace, in its place if it is there already.
    pub fn set_attr(&mut self, name: &str, value: impl Into<String>) {
        self.set_attr_ns("", name, value);
    }
    /// Sets an attribute by expanded name.
    pub fn set_attr_ns(&mut self, ns: &str, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.attrs.iter_mut().find(|a| a.name == name && a.ns == ns) {
            Some(a) => a.value = value,
            None => self.attrs.push(Attr { ns: ns.to_owned(), name: name.to_owned(), value }),
        }
    }
    /// Removes an attribute in no namespace; gives its value.
    pub fn remove_attr(&mut self, name: &str) -> Option<String> {
        let at = self.attrs.iter().position(|a| a.name == name && a.ns.is_empty())?;
        Some(self.attrs.remove(at).value)
    }
    /// Child elements in document order.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.nodes.iter().filter_map(|n| match n {
            Node::Element(e) => Some(e),
            Node::Text(_) => None,
        })
    }
    /// Child elements in document order, for editing.
    pub fn children_mut(&mut self) -> impl Iterator<Item = &mut Self> {
        self.nodes.iter_mut().filter_map(|n| match n {
            Node::Element(e) => Some(e),
            Node::Text(_) => None,
        })
    }
    /// The first child with this expanded name.
    #[must_use]
    pub fn child(&self, ns: &str, name: &str) -> Option<&Self> {
        self.children().find(|c| c.is(ns, name))
    }
    /// The character data directly inside, joined.
    #[must_use]
    pub fn text(&self) -> String {
        self.nodes
            .iter()
            .filter_map(|n| match n {
                Node::Text(t) => Some(t.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }
}
