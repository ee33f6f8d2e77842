//! The text of a template, read into nodes: Go's text/template without `define`, `block` and
//! `template`, which a text of one line has no use for.
//!
//! ```text
//! nodes     = { text | "{{" action "}}" }         "{{- " and " -}}" take the blanks beside them along
//! action    = pipeline | comment | "break" | "continue" | block
//! block     = ("if" | "with" | "range") pipeline nodes { "else" ("if" | "with") ... } ["else" nodes] "end"
//! pipeline  = [$x ["," $y] (":=" | "=")] command { "|" command }
//! command   = term { " " term }
//! term      = (literal | "." | .Field | $x | function | "(" pipeline ")") { .Field }
//! ```

use super::functions::{self, Function};
use super::token::{BLANKS, Token};
use crate::error::{Error, Result};
use crate::types::nearest;
use serde_json::Value;

/// Blocks and brackets in each other: what one types has two or three.
const DEPTH_MAX: usize = 64;

#[derive(Debug)]
pub enum Node {
    Text(String),
    Action(Pipeline),
    Block { kind: Kind, pipeline: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    Break,
    Continue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    If,
    With,
    Range,
}

#[derive(Debug)]
pub struct Pipeline {
    /// The variables that get its value.
    pub variables: Vec<String>,
    /// They are there already.
    pub is_assignment: bool,
    pub commands: Vec<Vec<Term>>,
}

#[derive(Debug)]
pub struct Term {
    pub head: Head,
    /// `.Field.Field` behind it, each with its place.
    pub fields: Vec<(usize, String)>,
    /// Where it stands in the text.
    pub start: usize,
    pub end: usize,
}

#[derive(Debug)]
pub enum Head {
    Dot,
    Literal(Value),
    Variable(String),
    Function(&'static Function),
    Pipeline(Pipeline),
}

/// Reads a text. Gives the names of the fields too.
pub fn parse(text: &str) -> Result<(Vec<Node>, Vec<String>)> {
    let variables = vec!["$".to_string()];
    let mut parser =
        Parser { text, at: 0, trims: false, depth: 0, loops: 0, variables, fields: Vec::new() };
    let (nodes, end) = parser.nodes()?;
    match end {
        Stop::Text => Ok((nodes, parser.fields)),
        Stop::Else(at) => Err(parser.error(at, "unexpected {{else}}")),
        Stop::End(at) => Err(parser.error(at, "unexpected {{end}}")),
    }
}

/// A mistake in `text`: Go's words for where it is. The column it tells of one that shows only when
/// the template runs.
pub fn mistake(text: &str, at: usize, column: Option<usize>, what: &str) -> Error {
    let line = text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
    let column = column.map(|column| format!("{column}:")).unwrap_or_default();
    Error::invalid(format!("template parsing error: template: :{line}:{column} {what}"))
}

/// What nodes ended with, and where.
enum Stop {
    Text,
    Else(usize),
    End(usize),
}

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// The last action took the blanks behind it along.
    pub(super) trims: bool,
    depth: usize,
    /// How many loops we are in.
    loops: usize,
    variables: Vec<String>,
    fields: Vec<String>,
}

impl<'t> Parser<'t> {
    pub(super) fn error(&self, at: usize, what: &str) -> Error {
        mistake(self.text, at, None, what)
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            true => Err(self.error(self.at, "blocks and brackets are too deep in each other")),
            false => Ok(()),
        }
    }

    /// Up to the end of the text, or of the block.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        loop {
            let rest = self.rest();
            let open = rest.find("{{");
            let mut before = &rest[..open.unwrap_or(rest.len())];
            if std::mem::take(&mut self.trims) {
                before = before.trim_start_matches(BLANKS);
            }
            let inside = open.map(|open| &rest[open + 2..]);
            let trims = inside.is_some_and(|inside| {
                inside.strip_prefix('-').is_some_and(|rest| rest.starts_with(BLANKS))
            });
            if trims {
                before = before.trim_end_matches(BLANKS);
            }
            if !before.is_empty() {
                nodes.push(Node::Text(before.replace("\\t", "\t").replace("\\n", "\n")));
            }
            let Some(open) = open else {
                self.at = self.text.len();
                return Ok((nodes, Stop::Text));
            };
            let start = self.at + open;
            self.at = start + 2 + usize::from(trims);
            if self.comment(start)? {
                continue;
            }
            self.skip_space()?;
            let (at, depth) = (self.at, self.depth);
            self.deeper()?;
            let word = match self.peek()? {
                Token::Word(word) => word,
                _ => String::new(),
            };
            match word.as_str() {
                "end" => {
                    self.word_alone("end")?;
                    self.depth = depth;
                    return Ok((nodes, Stop::End(at)));
                }
                "else" => {
                    self.token()?;
                    self.depth = depth;
                    return Ok((nodes, Stop::Else(at)));
                }
                "if" | "with" | "range" => {
                    self.token()?;
                    nodes.push(self.block(&word)?);
                }
                "break" | "continue" => {
                    if self.loops == 0 {
                        return Err(
                            self.error(at, &format!("{{{{{word}}}}} outside {{{{range}}}}"))
                        );
                    }
                    self.word_alone(&word)?;
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                "define" | "block" | "template" => {
                    let error = self.error(at, &format!("{{{{{word}}}}} is not for --format"));
                    return Err(error.hint("write the whole as one template"));
                }
                _ => {
                    let pipeline = self.pipeline("command", &Token::Close)?;
                    nodes.push(Node::Action(pipeline));
                }
            }
            self.depth = depth;
        }
    }

    /// `{{/* ... */}}`
    fn comment(&mut self, start: usize) -> Result<bool> {
        let rest = self.rest();
        let blanks = rest.len() - rest.trim_start_matches(BLANKS).len();
        let is_trimmed = self.at > start + 2;
        let Some(inside) = rest[if is_trimmed { blanks } else { 0 }..].strip_prefix("/*") else {
            return Ok(false);
        };
        let Some(end) = inside.find("*/") else {
            return Err(self.error(start, "unclosed comment").hint("end it with */}}"));
        };
        let behind = &inside[end + 2..];
        let trimmed = behind.trim_start_matches(BLANKS);
        let close = match (behind.strip_prefix("}}"), trimmed.strip_prefix("-}}")) {
            (Some(rest), _) => rest,
            (None, Some(rest)) if trimmed.len() < behind.len() => {
                self.trims = true;
                rest
            }
            _ => return Err(self.error(start, "comment ends before closing delimiter")),
        };
        self.at = self.text.len() - close.len();
        Ok(true)
    }

    /// Takes a word that has nothing behind it.
    fn word_alone(&mut self, word: &str) -> Result<()> {
        self.token()?;
        self.skip_space()?;
        let at = self.at;
        match self.token()? {
            Token::Close => Ok(()),
            _ => Err(self.unexpected(at, &format!("{{{{{word}}}}}"))),
        }
    }

    /// What follows `if`, `with` or `range`, up to its end.
    fn block(&mut self, word: &str) -> Result<Node> {
        self.deeper()?;
        let kind = match word {
            "if" => Kind::If,
            "with" => Kind::With,
            _ => Kind::Range,
        };
        let variables = self.variables.len();
        let pipeline = self.pipeline(word, &Token::Close)?;
        let of_block = self.variables.len();
        self.loops += usize::from(kind == Kind::Range);
        let (body, end) = self.nodes()?;
        self.loops -= usize::from(kind == Kind::Range);
        self.variables.truncate(of_block);
        let otherwise = match end {
            Stop::End(_) => Vec::new(),
            Stop::Text => return Err(self.open_block()),
            Stop::Else(_) => self.otherwise(kind, word)?,
        };
        self.variables.truncate(variables);
        self.depth -= 1;
        Ok(Node::Block { kind, pipeline, body, otherwise })
    }

    /// What follows `else`.
    fn otherwise(&mut self, kind: Kind, word: &str) -> Result<Vec<Node>> {
        self.skip_space()?;
        if kind != Kind::Range && self.peek()? == Token::Word(word.to_string()) {
            self.token()?;
            return Ok(vec![self.block(word)?]);
        }
        let at = self.at;
        if self.token()? != Token::Close {
            return Err(self.unexpected(at, "{{else}}"));
        }
        let (nodes, end) = self.nodes()?;
        match end {
            Stop::End(_) => Ok(nodes),
            Stop::Else(at) => Err(self.error(at, "expected end; found {{else}}")),
            Stop::Text => Err(self.open_block()),
        }
    }

    fn open_block(&self) -> Error {
        self.error(self.at, "unexpected EOF").hint("if, with and range go up to an {{end}}")
    }

    /// Up to `end`, which is taken too.
    fn pipeline(&mut self, context: &str, end: &Token) -> Result<Pipeline> {
        self.skip_space()?;
        let (variables, is_assignment) = self.declaration(context)?;
        let mut commands: Vec<Vec<Term>> = Vec::new();
        loop {
            self.skip_space()?;
            let at = self.at;
            let command = self.command()?;
            if command.is_empty() {
                let what = match commands.is_empty() {
                    true if *end == Token::Close => format!("missing value for {context}"),
                    true => "missing value for parenthesized pipeline".to_string(),
                    false => "missing command behind |".to_string(),
                };
                return Err(match self.token()? == *end || !commands.is_empty() {
                    true => self.error(at, &what),
                    false => self.unexpected(at, context),
                });
            }
            let is_function = matches!(command[0].head, Head::Function(_));
            let can_be_called = is_function || !command[0].fields.is_empty();
            if !commands.is_empty() && !can_be_called {
                let stage = commands.len() + 1;
                let what = format!("non executable command in pipeline stage {stage}");
                return Err(self.error(at, &what));
            }
            self.check_counts(&command, commands.len().min(1))?;
            commands.push(command);
            let at = self.at;
            match self.token()? {
                Token::Pipe => {}
                token if token == *end => break,
                Token::Close => return Err(self.error(at, "unclosed left paren")),
                _ => return Err(self.unexpected(at, context)),
            }
        }
        self.variables.extend(variables.iter().filter(|_| !is_assignment).cloned());
        Ok(Pipeline { variables, is_assignment, commands })
    }

    /// `$x :=`, `$x =`, and in a range `$x, $y :=`.
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool)> {
        let start = self.at;
        let mut variables = Vec::new();
        while let Token::Variable(name) = self.token()? {
            variables.push(name);
            self.skip_space()?;
            let at = self.at;
            match self.token()? {
                Token::Declare => return Ok((variables, false)),
                Token::Assign => {
                    let unknown = variables.iter().find(|name| !self.variables.contains(name));
                    return match unknown {
                        Some(name) => Err(self.undefined(at, name)),
                        None => Ok((variables, true)),
                    };
                }
                Token::Comma if context == "range" && variables.len() == 1 => self.skip_space()?,
                Token::Comma => {
                    return Err(self.error(at, &format!("too many declarations in {context}")));
                }
                _ => break,
            }
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn undefined(&self, at: usize, name: &str) -> Error {
        let error = self.error(at, &format!("undefined variable \"{name}\""));
        error.hint(format!("give it a value first: {{{{{name} := .Field}}}}"))
    }

    /// The terms up to a pipe or an end.
    fn command(&mut self) -> Result<Vec<Term>> {
        let mut terms = Vec::new();
        loop {
            self.skip_space()?;
            let term = self.term()?;
            let is_end = term.is_none();
            terms.extend(term);
            match self.peek()? {
                Token::Space | Token::Close | Token::Pipe | Token::Shut if !is_end => {}
                Token::Close | Token::Pipe | Token::Shut => return Ok(terms),
                _ if terms.is_empty() => return Ok(terms),
                _ => return Err(self.unexpected(self.at, "operand")),
            }
        }
    }

    fn term(&mut self) -> Result<Option<Term>> {
        let start = self.at;
        let mut fields = Vec::new();
        let head = match self.token()? {
            Token::Dot => Head::Dot,
            Token::Field(name) => {
                fields.push((start, name));
                Head::Dot
            }
            Token::Literal(value) => Head::Literal(value),
            Token::Variable(name) if self.variables.contains(&name) => Head::Variable(name),
            Token::Variable(name) => return Err(self.undefined(start, &name)),
            Token::Word(name) => Head::Function(self.function(start, &name)?),
            Token::Open => {
                self.deeper()?;
                let pipeline = self.pipeline("parenthesized pipeline", &Token::Shut)?;
                self.depth -= 1;
                Head::Pipeline(pipeline)
            }
            _ => {
                self.at = start;
                return Ok(None);
            }
        };
        while let Token::Field(name) = self.peek()? {
            if matches!(head, Head::Literal(_)) {
                return Err(self.unexpected(self.at, "operand"));
            }
            fields.push((self.at, name));
            self.token()?;
        }
        self.fields.extend(fields.iter().map(|(_, name)| name.clone()));
        Ok(Some(Term { head, fields, start, end: self.at }))
    }

    fn function(&self, at: usize, name: &str) -> Result<&'static Function> {
        functions::ALL.iter().find(|function| function.name == name).ok_or_else(|| {
            let error = self.error(at, &format!("function \"{name}\" not defined"));
            let names = || functions::ALL.iter().map(|function| function.name);
            let fields_start = name.starts_with(char::is_uppercase);
            error.hint(match nearest(name, names()) {
                _ if fields_start => format!("a field has a dot before it: .{name}"),
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
            })
        })
    }

    /// Whether functions get as many arguments as they take; the first has `more`, of a pipeline.
    fn check_counts(&self, command: &[Term], more: usize) -> Result<()> {
        if let [Term { head: Head::Literal(Value::Null), start, .. }] = command {
            return Err(self.error(*start, "nil is not a command"));
        }
        for (at, term) in command.iter().enumerate() {
            let Head::Function(function) = term.head else { continue };
            let Function { name, least, most, .. } = *function;
            let is_called = at == 0 && term.fields.is_empty();
            let count = if is_called { command.len() - 1 + more } else { 0 };
            if count < least || count > most {
                let want = match most {
                    usize::MAX => format!("at least {least}"),
                    most if most > least => format!("{least} to {most}"),
                    _ => least.to_string(),
                };
                let what = format!("wrong number of args for {name}: want {want} got {count}");
                return Err(self.error(term.start, &what));
            }
        }
        Ok(())
    }

    /// Names what stands at a place where it cannot.
    fn unexpected(&self, at: usize, context: &str) -> Error {
        let rest = &self.text[at..];
        let length = match rest.starts_with("}}") {
            true => 2,
            false => rest.chars().next().map_or(0, char::len_utf8),
        };
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let what = &rest[..word.max(length)];
        self.error(at, &format!("unexpected {} in {context}", super::print::quote(what)))
    }

    fn skip_space(&mut self) -> Result<()> {
        if self.peek()? == Token::Space {
            self.token()?;
        }
        Ok(())
    }

    fn peek(&mut self) -> Result<Token> {
        let (at, trims) = (self.at, self.trims);
        let token = self.token();
        (self.at, self.trims) = (at, trims);
        token
    }
}
