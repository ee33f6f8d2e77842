//! The words and signs of an action, as Go's lexer has them.

use super::syntax::Parser;
use crate::error::Result;
use serde_json::{Number, Value};

#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    Space,
    /// `}}`
    Close,
    Pipe,
    Open,
    Shut,
    Comma,
    Declare,
    Assign,
    Dot,
    Field(String),
    Variable(String),
    Word(String),
    Literal(Value),
    /// A sign that means nothing.
    Sign,
}

impl Parser<'_> {
    /// The next of an action.
    pub(super) fn token(&mut self) -> Result<Token> {
        let rest = self.rest();
        let blanks = rest.len() - rest.trim_start_matches(BLANKS).len();
        if blanks > 0 && rest[blanks..].starts_with("-}}") {
            self.at += blanks + 3;
            self.trims = true;
            return Ok(Token::Close);
        }
        let Some(first) = rest.chars().next() else {
            return Err(self.error(self.at, "unclosed action").hint("close it with }}"));
        };
        let name = |from: usize| {
            let rest = &rest[from..];
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()) + from
        };
        let signs = [
            ("}}", Token::Close),
            (":=", Token::Declare),
            ("=", Token::Assign),
            ("|", Token::Pipe),
            ("(", Token::Open),
            (")", Token::Shut),
            (",", Token::Comma),
        ];
        if let Some((sign, token)) = signs.into_iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            return Ok(token);
        }
        let is_digit = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        let (length, token) = match first {
            _ if blanks > 0 => (blanks, Token::Space),
            '"' | '`' | '\'' => return self.quoted(first),
            '$' => (name(1), Token::Variable(rest[..name(1)].to_string())),
            _ if is_digit(0) || ("+-.".contains(first) && is_digit(1)) => return self.number(),
            '.' if name(1) > 1 => (name(1), Token::Field(rest[1..name(1)].to_string())),
            '.' => (1, Token::Dot),
            _ if first.is_alphabetic() || first == '_' => {
                let word = &rest[..name(0)];
                let token = match word {
                    "true" | "false" => Token::Literal(Value::Bool(word == "true")),
                    "nil" => Token::Literal(Value::Null),
                    word => Token::Word(word.to_string()),
                };
                (word.len(), token)
            }
            _ if first.is_ascii_graphic() => (1, Token::Sign),
            _ => {
                let code = u32::from(first);
                let what = format!("unrecognized character in action: U+{code:04X}");
                return Err(self.error(self.at, &format!("{what} {first:?}")));
            }
        };
        self.at += length;
        Ok(token)
    }

    fn number(&mut self) -> Result<Token> {
        let rest = self.rest();
        let is_part = |c: char| c.is_alphanumeric() || "+-._".contains(c);
        let text = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let digits = text.strip_prefix('+').unwrap_or(text);
        let whole = match digits.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => digits.parse().ok(),
        };
        let number = match whole {
            Some(whole) => Some(Number::from(whole)),
            None => digits.parse().ok().and_then(Number::from_f64),
        };
        let Some(number) = number else {
            return Err(self.error(self.at, &format!("bad number syntax: \"{text}\"")));
        };
        self.at += text.len();
        Ok(Token::Literal(Value::Number(number)))
    }

    /// A text in quotes or backquotes, or a character, which is its number.
    fn quoted(&mut self, quote: char) -> Result<Token> {
        let kind = match quote {
            '"' => "quoted string",
            '`' => "raw quoted string",
            _ => "character constant",
        };
        let open = || self.error(self.at, &format!("unterminated {kind}"));
        let mut text = String::new();
        let mut chars = self.rest()[1..].chars();
        loop {
            match chars.next() {
                Some(c) if c == quote => break,
                Some('\\') if quote != '`' => {
                    let escape = unescape(&mut chars);
                    text.push(escape.ok_or_else(|| self.error(self.at, "bad escape in a string"))?);
                }
                Some('\n') if quote != '`' => return Err(open()),
                Some(c) => text.push(c),
                None => return Err(open()),
            }
        }
        let end = self.text.len() - chars.as_str().len();
        let value = match (quote, &text.chars().collect::<Vec<_>>()[..]) {
            ('\'', [c]) => Value::from(u32::from(*c)),
            ('\'', _) => return Err(self.error(self.at, "malformed character constant")),
            _ => Value::String(text),
        };
        self.at = end;
        Ok(Token::Literal(value))
    }
}

/// What Go takes for blanks.
pub const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// What follows a backslash.
fn unescape(chars: &mut std::str::Chars) -> Option<char> {
    let c = chars.next()?;
    let digits = match c {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let text = chars.as_str().get(..digits)?;
        *chars = chars.as_str()[digits..].chars();
        return char::from_u32(u32::from_str_radix(text, 16).ok()?);
    }
    Some(match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' | '"' | '\'' => c,
        _ => return None,
    })
}
