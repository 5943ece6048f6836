//! A script's text as tokens: calls with a literal text (`list("blocked.txt")`), and a variable that Rhai knows otherwise.
//!
//! Takes a script's text, gives the literals with their places, or the text anew. Must not look inside comments or other texts.

/// A call of a function with one literal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) text: String,
    /// Of the literal, both from 1.
    pub(super) line: usize,
    pub(super) column: usize,
}

/// All calls of that function, in order. A method of the same name (`shared.list("x")`) is another function.
pub(super) fn calls(script: &str, function: &str) -> Vec<Call> {
    let (mut found, mut before) = (Vec::new(), [Token::Other, Token::Other, Token::Other]);
    each(script, |token, place| {
        if let ([first, Token::Name(name), Token::Sign('(')], Token::Text(text)) = (&before, &token)
            && *name == function
            && !matches!(first, Token::Sign('.'))
        {
            found.push(Call { text: text.clone(), line: place.line, column: place.column });
        }
        before.rotate_left(1);
        before[2] = token;
    });
    found
}

/// Whether a name stands anywhere in a script, outside of comments and texts.
pub(super) fn names(script: &str, name: &str) -> bool {
    let mut found = false;
    each(script, |token, _| found |= matches!(token, Token::Name(known) if known == name));
    found
}

/// The script with one variable called otherwise; properties and keys of maps are no variables.
pub(super) fn renamed(script: &str, from: &str, to: &str) -> String {
    let (mut written, mut end, mut dot) = (String::with_capacity(script.len()), 0, false);
    each(script, |token, place| {
        let begin = script.len() - place.rest.len();
        let after = place.rest.get(from.len()..).unwrap_or_default().trim_start();
        let key = after.starts_with(':') && !after.starts_with("::");
        if matches!(token, Token::Name(name) if name == from) && !dot && !key {
            written.push_str(script.get(end..begin).unwrap_or_default());
            written.push_str(to);
            end = begin + from.len();
        }
        dot = matches!(token, Token::Sign('.'));
    });
    written.push_str(script.get(end..).unwrap_or_default());
    written
}

/// Shows each token, and what is to be read from its beginning on.
fn each<'a>(script: &'a str, mut see: impl FnMut(Token<'a>, &Reader<'a>)) {
    let mut reader = Reader { rest: script, line: 1, column: 1 };
    // How deep in braces each `${` stands that is open, as its text goes on behind the brace.
    let mut inside: Vec<usize> = Vec::new();
    loop {
        reader.skip_blanks();
        let begin = reader;
        let Some(c) = reader.rest.chars().next() else { return };
        let token = match c {
            '"' => Token::Text(reader.quoted()),
            '\'' => reader.character(),
            '#' if reader.raw() => Token::Other,
            '`' => {
                reader.next();
                reader.template(&mut inside);
                Token::Other
            }
            '{' | '}' => {
                reader.next();
                reader.brace(c, &mut inside);
                Token::Sign(c)
            }
            c if c.is_alphanumeric() || c == '_' => Token::Name(reader.word()),
            c => {
                reader.next();
                Token::Sign(c)
            }
        };
        see(token, &begin);
    }
}

enum Token<'a> {
    Text(String),
    Name(&'a str),
    Sign(char),
    Other,
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        Some(c)
    }

    fn skip(&mut self, bytes: usize) {
        let left = self.rest.len().saturating_sub(bytes);
        while self.rest.len() > left && self.next().is_some() {}
    }

    fn skip_blanks(&mut self) {
        loop {
            if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.comment();
            } else if self.rest.starts_with(char::is_whitespace) {
                self.next();
            } else {
                return;
            }
        }
    }

    /// Comments may stand inside of each other.
    fn comment(&mut self) {
        let mut depth = 0_usize;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                self.skip(2);
            } else {
                self.next();
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn word(&mut self) -> &'a str {
        let text = self.rest;
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        self.skip(end);
        text.get(..end).unwrap_or_default()
    }

    /// A text in quotes. What is escaped is taken as it stands, but for the quote and the backslash: names of files are plain.
    fn quoted(&mut self) -> String {
        self.next();
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '"' => break,
                '\\' => text.extend(self.next()),
                c => text.push(c),
            }
        }
        text
    }

    fn character(&mut self) -> Token<'a> {
        self.next();
        while let Some(c) = self.next() {
            match c {
                '\'' | '\n' => break,
                '\\' => drop(self.next()),
                _ => {}
            }
        }
        Token::Other
    }

    /// A raw text, `#"..."#` with any number of `#`; whether there is one.
    fn raw(&mut self) -> bool {
        let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
        if !self.rest.get(hashes..).is_some_and(|rest| rest.starts_with('"')) {
            return false;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let body = self.rest.get(hashes + 1..).unwrap_or_default();
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        self.skip(hashes + 1 + length);
        true
    }

    fn brace(&mut self, c: char, inside: &mut Vec<usize>) {
        match (c, inside.last_mut()) {
            ('{', Some(depth)) => *depth += 1,
            ('}', Some(0)) => {
                inside.pop();
                self.template(inside);
            }
            ('}', Some(depth)) => *depth -= 1,
            _ => {}
        }
    }

    /// Up to the end of the text, or to the code in its middle.
    fn template(&mut self, inside: &mut Vec<usize>) {
        while let Some(c) = self.next() {
            if c == '`' {
                return;
            }
            if c == '$' && self.rest.starts_with('{') {
                self.next();
                inside.push(0);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_calls_and_nothing_else() {
        let script = r##"
            const A = list("a.txt"); // list("comment")
            /* list("x") /* list("y") */ list("z") */
            fn f(x) { x == "list(\"text\")" && list ( "b\\c.txt" ).contains('"') }
            let s = `list("no") ${ #{ a: list("in.txt") } } list("no") ${`${list("deep")}`}`;
            shared.list("key"); my_list("no"); list(name); #"list("raw")"#; list("d" + 1)
        "##;
        let found = calls(script, "list");
        let texts: Vec<&str> = found.iter().map(|call| call.text.as_str()).collect();
        assert_eq!(texts, ["a.txt", r"b\c.txt", "in.txt", "deep", "d"]);
        assert_eq!((found[0].line, found[0].column), (2, 28));
    }

    #[test]
    fn renames_a_variable_and_nothing_else() {
        let script =
            "shared.get(`${shared.a} shared`); x.shared; #{ shared: \"shared\" }; y = shared[1]; // shared\nunshared";
        let expected =
            "Shared.get(`${Shared.a} shared`); x.shared; #{ shared: \"shared\" }; y = Shared[1]; // shared\nunshared";
        assert_eq!(renamed(script, "shared", "Shared"), expected);
    }

    #[test]
    fn ends_whatever_the_text_is() {
        for text in ["\"", "'", "`", "`${", "/*", "#\"", "list(\"", "list(\"\\", "}", "#"] {
            calls(text, "list");
            assert_eq!(renamed(text, "a", "b"), text);
        }
    }
}
