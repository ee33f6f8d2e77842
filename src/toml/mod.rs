//! The TOML of a file as a tree in which everything knows its line.
//!
//! toml.io/en/v1.1.0, but for dates, of which no key of ours has any: they are refused like any
//! other word without quotes. Tables keep the order of the file. The unit tests hold it to the
//! same answers as the crate `toml`.

use crate::error::Error;
use std::fmt::Write;

/// How deep arrays and tables may nest: each level is one of recursion.
const DEEPEST: usize = 32;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub line: u32,
    pub value: Value,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    /// A number with a fraction or an exponent, inf or nan, as it is written (without underscores).
    Decimal(String),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
}

/// Keys and what they stand for, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    pub entries: Vec<Entry>,
    origin: Origin,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub key: String,
    /// Where the key is. The value may begin elsewhere.
    pub line: u32,
    pub node: Node,
}

/// How a table came into being, which says whether it may be added to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Origin {
    /// On the way to another: `a` in `[a.b]`.
    #[default]
    Implied,
    /// `[a]`, or an element of `[[a]]`.
    Header,
    /// `a` in `a.b = 1`.
    Dotted,
    /// `{ ... }`
    Inline,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of `key`, made if it is not there yet.
    fn place(&mut self, key: &Key, new: impl FnOnce() -> Value) -> Option<&mut Value> {
        let at = self.entries.iter().position(|entry| entry.key == key.text);
        let at = at.unwrap_or_else(|| {
            let node = Node { line: key.line, value: new() };
            self.entries.push(Entry { key: key.text.clone(), line: key.line, node });
            self.entries.len().saturating_sub(1)
        });
        self.entries.get_mut(at).map(|entry| &mut entry.node.value)
    }

    fn insert(&mut self, key: Key, node: Node) -> Result<()> {
        if let Some(first) = self.get(&key.text) {
            return fault(key.line, format!("\"{}\" was set in line {}", key.text, first.line));
        }
        self.entries.push(Entry { key: key.text, line: key.line, node });
        Ok(())
    }
}

/// What is wrong, and in which line.
#[derive(Debug)]
pub struct Fault {
    pub line: u32,
    pub error: Error,
}

type Result<T> = std::result::Result<T, Fault>;

fn fault<T>(line: u32, what: impl Into<String>) -> Result<T> {
    Err(Fault { line, error: Error::invalid(what) })
}

struct Key {
    text: String,
    line: u32,
}

/// Reads a whole file.
pub fn parse(bytes: &[u8]) -> Result<Table> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
            let lines = before.iter().filter(|byte| **byte == b'\n').count();
            let line = u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1);
            return fault(line, "not UTF-8");
        }
    };
    let mut cursor = Cursor { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut root = Table { origin: Origin::Header, ..Table::default() };
    cursor.body(&mut root)?;
    while cursor.eat("[") {
        let array = cursor.eat("[");
        let path = cursor.path()?;
        let close = if array { "]]" } else { "]" };
        if !cursor.eat(close) {
            return fault(cursor.line, format!("the header does not end in {close}"));
        }
        cursor.end_of_line()?;
        let table = header(&mut root, path, array)?;
        cursor.body(table)?;
    }
    Ok(root)
}

/// The table that a header opens.
fn header(root: &mut Table, mut path: Vec<Key>, array: bool) -> Result<&mut Table> {
    let Some(last) = path.pop() else { return fault(1, "a header without a name") };
    let mut table = root;
    for key in &path {
        let implied = || Value::Table(Table::default());
        table = match table.place(key, implied) {
            Some(Value::Table(table)) if table.origin != Origin::Inline => table,
            Some(Value::Array(nodes)) => match last_table(nodes) {
                Some(table) => table,
                None => return fault(key.line, format!("\"{}\" is no table", key.text)),
            },
            _ => return fault(key.line, format!("\"{}\" is no table", key.text)),
        };
    }
    let new = || Table { origin: Origin::Header, ..Table::default() };
    let taken = || fault(last.line, format!("\"{}\" was defined before", last.text));
    let known = table.get(&last.text).is_some();
    if array {
        let Some(Value::Array(nodes)) = table.place(&last, || Value::Array(Vec::new())) else {
            return taken();
        };
        if known && last_table(nodes).is_none() {
            return taken();
        }
        nodes.push(Node { line: last.line, value: Value::Table(new()) });
        return match last_table(nodes) {
            Some(table) => Ok(table),
            None => taken(),
        };
    }
    match table.place(&last, || Value::Table(new())) {
        Some(Value::Table(table)) if !known || table.origin == Origin::Implied => {
            table.origin = Origin::Header;
            Ok(table)
        }
        _ => taken(),
    }
}

/// The newest element of `[[a]]`; `None` for an array that was written as a value.
fn last_table(nodes: &mut [Node]) -> Option<&mut Table> {
    match nodes.last_mut().map(|node| &mut node.value) {
        Some(Value::Table(table)) if table.origin == Origin::Header => Some(table),
        _ => None,
    }
}

/// What is still to be read.
struct Cursor<'a> {
    rest: &'a str,
    line: u32,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        if next == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(next)
    }

    /// Takes `word`, which holds no newline, if it comes next.
    fn eat(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn newline(&mut self) -> bool {
        let newline = self.rest.starts_with('\n') || self.rest.starts_with("\r\n");
        if newline {
            while self.next() == Some('\r') {}
        }
        newline
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// The characters that come next, as long as they are such.
    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &str {
        let rest = self.rest;
        let after = rest.trim_start_matches(is_part);
        self.rest = after;
        rest.strip_suffix(after).unwrap_or_default()
    }

    fn comment(&mut self) -> Result<()> {
        if self.eat("#") {
            while let Some(next) = self.peek().filter(|next| *next != '\n') {
                if is_control(next) && !self.rest.starts_with("\r\n") {
                    return fault(self.line, "a control character in a comment");
                }
                self.next();
            }
        }
        Ok(())
    }

    /// Blanks, comments and newlines.
    fn filler(&mut self) -> Result<()> {
        loop {
            self.blanks();
            self.comment()?;
            if !self.newline() {
                return Ok(());
            }
        }
    }

    fn end_of_line(&mut self) -> Result<()> {
        self.blanks();
        self.comment()?;
        match self.newline() || self.rest.is_empty() {
            true => Ok(()),
            false => fault(self.line, format!("{} where the line should end", self.seen())),
        }
    }

    /// What comes next, for messages.
    fn seen(&self) -> String {
        let mut words = String::new();
        match self.peek() {
            None => words.push_str("the end of the file"),
            Some('\n' | '\r') => words.push_str("the end of the line"),
            Some(next) => {
                let _ = match next.is_control() {
                    true => write!(words, "U+{:04X}", u32::from(next)),
                    false => write!(words, "\"{next}\""),
                };
            }
        }
        words
    }

    /// The lines up to the next header.
    fn body(&mut self, table: &mut Table) -> Result<()> {
        loop {
            self.filler()?;
            if self.rest.is_empty() || self.rest.starts_with('[') {
                return Ok(());
            }
            self.pair(table, 0)?;
            self.end_of_line()?;
        }
    }

    /// `a.b = value`, into `table`.
    fn pair(&mut self, table: &mut Table, depth: usize) -> Result<()> {
        let mut path = self.path()?;
        if !self.eat("=") {
            return fault(self.line, format!("{} where = should be", self.seen()));
        }
        self.blanks();
        let node = self.node(depth)?;
        let Some(last) = path.pop() else { return Ok(()) };
        let mut table = table;
        for key in &path {
            let dotted = || Table { origin: Origin::Dotted, ..Table::default() };
            table = match table.place(key, || Value::Table(dotted())) {
                Some(Value::Table(table))
                    if matches!(table.origin, Origin::Dotted | Origin::Implied) =>
                {
                    // What a header only passed through is defined by this.
                    table.origin = Origin::Dotted;
                    table
                }
                _ => return fault(key.line, format!("\"{}\" was defined before", key.text)),
            };
        }
        table.insert(last, node)
    }

    /// `a . "b"`, and the blanks around it.
    fn path(&mut self) -> Result<Vec<Key>> {
        let mut path = Vec::new();
        loop {
            self.blanks();
            let line = self.line;
            let text = match self.peek() {
                Some('"') => self.basic()?,
                Some('\'') => self.literal()?,
                _ => {
                    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                    let text = self.word(is_bare).to_string();
                    if text.is_empty() {
                        return fault(line, format!("{} where a key should be", self.seen()));
                    }
                    text
                }
            };
            path.push(Key { text, line });
            if path.len() > DEEPEST {
                return fault(line, "nested too deep");
            }
            self.blanks();
            if !self.eat(".") {
                return Ok(path);
            }
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node> {
        let line = self.line;
        let value = match self.peek() {
            Some('"') if self.eat("\"\"\"") => Value::Text(self.lines('"')?),
            Some('"') => Value::Text(self.basic()?),
            Some('\'') if self.eat("\'\'\'") => Value::Text(self.lines('\'')?),
            Some('\'') => Value::Text(self.literal()?),
            Some('[' | '{') if depth >= DEEPEST => return fault(line, "nested too deep"),
            Some('[') => self.array(depth.saturating_add(1))?,
            Some('{') => self.inline_table(depth.saturating_add(1))?,
            _ => self.scalar()?,
        };
        Ok(Node { line, value })
    }

    fn array(&mut self, depth: usize) -> Result<Value> {
        let mut nodes = Vec::new();
        self.eat("[");
        loop {
            self.filler()?;
            if self.eat("]") {
                return Ok(Value::Array(nodes));
            }
            nodes.push(self.node(depth)?);
            self.filler()?;
            if !self.eat(",") && !self.rest.starts_with(']') {
                return fault(self.line, format!("{} where , or ] should be", self.seen()));
            }
        }
    }

    fn inline_table(&mut self, depth: usize) -> Result<Value> {
        let mut table = Table { origin: Origin::Inline, ..Table::default() };
        self.eat("{");
        loop {
            self.filler()?;
            if self.eat("}") {
                return Ok(Value::Table(table));
            }
            self.pair(&mut table, depth)?;
            self.filler()?;
            if !self.eat(",") && !self.rest.starts_with('}') {
                return fault(self.line, format!("{} where , or }} should be", self.seen()));
            }
        }
    }

    /// A number or a truth value.
    fn scalar(&mut self) -> Result<Value> {
        let line = self.line;
        let is_part = |c: char| {
            c.is_ascii_alphanumeric() || !c.is_ascii() || matches!(c, '+' | '-' | '.' | '_' | ':')
        };
        let word = self.word(is_part).to_string();
        let value = match word.as_str() {
            "" => return fault(line, format!("{} where a value should be", self.seen())),
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            number => number_of(number),
        };
        let hint = "put a text into quotes";
        let error = || Error::invalid(format!("\"{word}\" is no value")).hint(hint);
        value.ok_or_else(|| Fault { line, error: error() })
    }

    /// A string in double quotes, on one line.
    fn basic(&mut self) -> Result<String> {
        let mut text = String::new();
        self.eat("\"");
        loop {
            match self.next_in_string(false)? {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                next => text.push(next),
            }
        }
    }

    /// A string in single quotes, on one line.
    fn literal(&mut self) -> Result<String> {
        let mut text = String::new();
        self.eat("'");
        loop {
            match self.next_in_string(false)? {
                '\'' => return Ok(text),
                next => text.push(next),
            }
        }
    }

    /// A string of several lines, after its three quotes. A newline is always `\n`.
    fn lines(&mut self, quote: char) -> Result<String> {
        let mut text = String::new();
        self.newline();
        loop {
            match self.next_in_string(true)? {
                next if next == quote => {
                    let mut count = 1_usize;
                    while count < 5 && self.peek() == Some(quote) {
                        self.next();
                        count = count.saturating_add(1);
                    }
                    // Up to two quotes may stand in front of the three that end it.
                    text.extend(std::iter::repeat_n(
                        quote,
                        if count < 3 { count } else { count.saturating_sub(3) },
                    ));
                    if count >= 3 {
                        return Ok(text);
                    }
                }
                '\\' if quote == '"' => {
                    let rest = self.rest.trim_start_matches([' ', '\t']);
                    if rest.starts_with('\n') || rest.starts_with("\r\n") {
                        self.blanks();
                        while self.newline() {
                            self.blanks();
                        }
                    } else {
                        text.push(self.escape()?);
                    }
                }
                next => text.push(next),
            }
        }
    }

    fn next_in_string(&mut self, lines: bool) -> Result<char> {
        let line = self.line;
        if lines && self.newline() {
            return Ok('\n');
        }
        match self.next() {
            None | Some('\n') => fault(line, "the string does not end"),
            Some(next) if is_control(next) => fault(line, "a control character in a string"),
            Some(next) => Ok(next),
        }
    }

    /// What stands after a backslash.
    fn escape(&mut self) -> Result<char> {
        let line = self.line;
        let digits = match self.next() {
            Some('b') => return Ok('\u{8}'),
            Some('t') => return Ok('\t'),
            Some('n') => return Ok('\n'),
            Some('f') => return Ok('\u{c}'),
            Some('r') => return Ok('\r'),
            Some('e') => return Ok('\u{1b}'),
            Some(next @ ('"' | '\\')) => return Ok(next),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => {
                let error = Error::invalid("unknown escape in a string");
                let error = error.hint("write \\\\ for a backslash, or use single quotes");
                return Err(Fault { line, error });
            }
        };
        let number =
            self.rest.get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let number = number.and_then(|text| u32::from_str_radix(text, 16).ok());
        let Some(character) = number.and_then(char::from_u32) else {
            return fault(line, "no such character");
        };
        self.rest = self.rest.get(digits..).unwrap_or_default();
        Ok(character)
    }
}

fn is_control(c: char) -> bool {
    c.is_ascii_control() && c != '\t'
}

fn number_of(word: &str) -> Option<Value> {
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = word.strip_prefix(prefix) {
            let text = digits(rest, |c| c.is_digit(radix))?;
            return i64::from_str_radix(&text, radix).ok().map(Value::Integer);
        }
    }
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let sign = if word.starts_with('-') { "-" } else { "" };
    if matches!(unsigned, "inf" | "nan") {
        return Some(Value::Decimal(format!("{sign}{unsigned}")));
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let (rest, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((rest, exponent)) => (rest, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (rest, None),
    };
    let mut text = format!("{sign}{}", digits(whole, is_digit)?);
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    if fraction.is_none() && exponent.is_none() {
        return text.parse().ok().map(Value::Integer);
    }
    if let Some(fraction) = fraction {
        let _ = write!(text, ".{}", digits(fraction, is_digit)?);
    }
    if let Some(exponent) = exponent {
        let sign = if exponent.starts_with('-') { "-" } else { "" };
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let _ = write!(text, "e{sign}{}", digits(exponent, is_digit)?);
    }
    Some(Value::Decimal(text))
}

/// The digits, which may have underscores between them.
fn digits(text: &str, is_digit: impl Fn(char) -> bool) -> Option<String> {
    let good = text.split('_').all(|part| !part.is_empty() && part.chars().all(&is_digit));
    good.then(|| text.replace('_', ""))
}

#[cfg(test)]
mod tests;
