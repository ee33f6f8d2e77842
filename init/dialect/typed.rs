//! From what a file says to values of the type that a key wants.
//!
//! Every text but a shell command may hold `${NAME}` (`expansion`), so a number or a truth value
//! may be given as a text too.

use super::expansion;
use super::units::{DURATIONS, duration};
use coracle::error::Error;
use coracle::toml::{Fault, Node, Value};
use coracle::types::{CAPABILITIES, RESOURCES, Signal, nearest, parse_size, resource_number};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    Text,
    /// Below the file's directory, if it does not begin with a slash.
    Path,
    /// For `/bin/sh -c`, which does its own expansion.
    Shell,
    Number(u64, u64),
    Flag,
    Duration,
    /// A duration, or "never".
    Timeout,
    Size,
    /// An octal number.
    Mode,
    Signal,
    /// ADDRESS:PORT, or a port of 127.0.0.1.
    Address,
    /// One number, or two: SOFT:HARD.
    Limit,
    Capability,
    /// The name of a variable.
    Variable,
    /// The value of a variable.
    Setting,
    Word(&'static [&'static str]),
    List(&'static Type),
    /// One, or a list.
    Some(&'static Type),
    Map(Name, &'static Type),
    Table(&'static [Field]),
    Either(&'static [Type]),
}

/// What the keys of a map are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    Variable,
    Resource,
    Signal,
}

/// A key, as people read of it.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub of: Type,
    /// As it would be written; empty where nothing stands for it.
    pub default: &'static str,
    /// A value to show.
    pub example: &'static str,
    pub help: &'static str,
}

/// What a key was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Given {
    Text(String),
    Path(PathBuf),
    Number(u64),
    Flag(bool),
    /// `None` is never.
    Time(Option<Duration>),
    Signal(Signal),
    Address(SocketAddr),
    Limit(u64, u64),
    List(Vec<Given>),
    Map(Vec<(String, Given)>),
    /// In the order of the file.
    Table(Vec<(&'static str, Given)>),
}

impl Given {
    pub fn text(self) -> String {
        if let Given::Text(text) = self { text } else { String::new() }
    }
    pub fn path(self) -> PathBuf {
        if let Given::Path(path) = self { path } else { PathBuf::new() }
    }
    pub fn number(self) -> u64 {
        if let Given::Number(number) = self { number } else { 0 }
    }
    pub fn small(self) -> u32 {
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }
    pub fn signal(self) -> Signal {
        if let Given::Signal(signal) = self { signal } else { Signal::TERM }
    }
    pub fn flag(self) -> bool {
        self == Given::Flag(true)
    }
    pub fn limit(self) -> Option<Duration> {
        if let Given::Time(time) = self { time } else { None }
    }
    pub fn time(self) -> Duration {
        self.limit().unwrap_or_default()
    }
    pub fn list(self) -> Vec<Given> {
        if let Given::List(list) = self { list } else { Vec::new() }
    }
    pub fn texts(self) -> Vec<String> {
        self.list().into_iter().map(Given::text).collect()
    }
    pub fn paths(self) -> Vec<PathBuf> {
        self.list().into_iter().map(Given::path).collect()
    }
    pub fn map(self) -> Vec<(String, Given)> {
        if let Given::Map(map) = self { map } else { Vec::new() }
    }
    pub fn table(self) -> Vec<(&'static str, Given)> {
        if let Given::Table(table) = self { table } else { Vec::new() }
    }
}

type Result<T> = std::result::Result<T, Fault>;

fn fault(line: u32, error: Error) -> Fault {
    Fault { line, error }
}

/// What a value may refer to.
pub struct Scope<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// What relative paths start from.
    pub base: &'a Path,
}

impl Scope<'_> {
    /// The value of `node` as one of type `of`.
    pub fn convert(&self, node: &Node, of: &Type) -> Result<Given> {
        let line = node.line;
        let wrong = || Err(fault(line, wrong(node, of)));
        match (of, &node.value) {
            (Type::Shell, Value::Text(text)) if !text.is_empty() && !has_nul(text) => {
                Ok(Given::Text(text.clone()))
            }
            (Type::List(of), Value::Array(nodes)) | (Type::Some(of), Value::Array(nodes)) => {
                let items = nodes.iter().map(|node| self.convert(node, of));
                items.collect::<Result<_>>().map(Given::List)
            }
            (Type::Some(of), _) => Ok(Given::List(vec![self.convert(node, of)?])),
            (Type::Map(name, of), Value::Table(table)) => {
                let mut map = Vec::new();
                for entry in &table.entries {
                    check_name(*name, &entry.key).map_err(|error| fault(entry.line, error))?;
                    let given = self.convert(&entry.node, of).map_err(within(&entry.key))?;
                    map.push((entry.key.clone(), given));
                }
                Ok(Given::Map(map))
            }
            (Type::Table(fields), Value::Table(table)) => {
                let mut given = Vec::new();
                for entry in &table.entries {
                    let Some(field) = fields.iter().find(|field| field.name == entry.key) else {
                        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                        return Err(fault(entry.line, unknown("key", &entry.key, &names)));
                    };
                    let value = self.convert(&entry.node, &field.of);
                    given.push((field.name, value.map_err(within(field.name))?));
                }
                Ok(Given::Table(given))
            }
            (Type::Either(types), value) => match types.iter().find(|of| fits(of, value)) {
                Some(of) => self.convert(node, of),
                None => wrong(),
            },
            (Type::List(_) | Type::Map(..) | Type::Table(_) | Type::Shell, _) => wrong(),
            (_, Value::Array(_) | Value::Table(_)) => wrong(),
            (_, value) => {
                let text = match value {
                    Value::Text(text) => {
                        let expanded = expansion::expand(text, self.variable);
                        expanded.map_err(|error| fault(line, error))?
                    }
                    // A number here is a slip.
                    _ if is_text_only(of) => {
                        return wrong();
                    }
                    value => plain(value),
                };
                self.scalar(&text, of).map_err(|error| fault(line, error))
            }
        }
    }

    fn scalar(&self, text: &str, of: &Type) -> std::result::Result<Given, Error> {
        let bad = || no(&format!("\"{text}\""), of);
        let number = |range: &std::ops::RangeInclusive<u64>| {
            text.parse().ok().filter(|number| range.contains(number))
        };
        Ok(match of {
            Type::Text | Type::Setting if !has_nul(text) => Given::Text(text.to_string()),
            Type::Path if !text.is_empty() && !has_nul(text) => Given::Path(self.base.join(text)),
            Type::Number(least, most) => Given::Number(number(&(*least..=*most)).ok_or_else(bad)?),
            Type::Flag => Given::Flag(match text {
                "true" => true,
                "false" => false,
                _ => return Err(bad()),
            }),
            Type::Timeout if text == "never" => Given::Time(None),
            Type::Duration | Type::Timeout => Given::Time(Some(duration(text).ok_or_else(bad)?)),
            Type::Size => Given::Number(parse_size(text)?),
            Type::Mode => {
                let mode = u64::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
                Given::Number(mode.ok_or_else(bad)?)
            }
            Type::Signal => Given::Signal(text.parse()?),
            Type::Address => Given::Address(address(text).ok_or_else(bad)?),
            Type::Limit => {
                let (soft, hard) = text.split_once(':').unwrap_or((text, text));
                let (soft, hard) = (amount(soft), amount(hard));
                let (soft, hard) = soft.zip(hard).ok_or_else(bad)?;
                if soft > hard {
                    return Err(Error::invalid("the soft limit is above the hard one")
                        .hint("write SOFT:HARD"));
                }
                Given::Limit(soft, hard)
            }
            Type::Capability => {
                let upper = text.to_ascii_uppercase();
                let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
                let known = CAPABILITIES.iter().position(|name| *name == short);
                let known = known.and_then(|number| u64::try_from(number).ok());
                Given::Number(known.ok_or_else(|| unknown("capability", short, &CAPABILITIES))?)
            }
            Type::Variable => {
                check_name(Name::Variable, text)?;
                Given::Text(text.to_string())
            }
            Type::Word(words) => match words.contains(&text) {
                true => Given::Text(text.to_string()),
                false => return Err(unknown("word", text, words)),
            },
            _ => return Err(bad()),
        })
    }
}

/// What the kernel takes no text with.
fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

/// Says within which key.
fn within(key: &str) -> impl FnOnce(Fault) -> Fault {
    move |fault| Fault { line: fault.line, error: fault.error.doing(key) }
}

/// Whether a value has the form of this type: what `Either` decides by.
fn fits(of: &Type, value: &Value) -> bool {
    match of {
        Type::Table(_) | Type::Map(..) => matches!(value, Value::Table(_)),
        Type::List(_) => matches!(value, Value::Array(_)),
        Type::Flag => matches!(value, Value::Boolean(_)),
        _ => !matches!(value, Value::Table(_) | Value::Array(_)),
    }
}

/// Whether only a text is one: 0o77 would be taken for another mode.
fn is_text_only(of: &Type) -> bool {
    matches!(of, Type::Text | Type::Path | Type::Mode | Type::Word(_) | Type::Variable)
}

/// A value without parts as text.
fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Decimal(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Array(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
    }
}

fn wrong(node: &Node, of: &Type) -> Error {
    match &node.value {
        Value::Text(text) => no(&format!("\"{text}\""), of),
        value => no(&plain(value), of),
    }
}

fn no(seen: &str, of: &Type) -> Error {
    let error = Error::invalid(format!("{seen} is not {}", of.noun()));
    match of.form() {
        "" => error,
        form => error.hint(form),
    }
}

/// An error that names the word that was probably meant.
pub fn unknown(what: &str, typed: &str, words: &[&str]) -> Error {
    let error = Error::invalid(format!("unknown {what} \"{typed}\""));
    match nearest(typed, words.iter().copied()) {
        Some(meant) => error.hint(format!("did you mean \"{meant}\"?")),
        None => error.hint(format!("there is {}", words.join(", "))),
    }
}

fn check_name(name: Name, text: &str) -> std::result::Result<(), Error> {
    match name {
        Name::Variable if text.is_empty() || text.contains(['=', '\0']) => {
            Err(Error::invalid(format!("\"{text}\" is not the name of a variable")))
        }
        Name::Resource if resource_number(text).is_none() => {
            let lower: Vec<String> = RESOURCES.iter().map(|n| n.to_ascii_lowercase()).collect();
            let words: Vec<&str> = lower.iter().map(String::as_str).collect();
            Err(unknown("limit", text, &words))
        }
        Name::Signal => text.parse::<Signal>().map(drop),
        _ => Ok(()),
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    let address = match port {
        Ok(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.parse().ok(),
    };
    address.filter(|address| address.port() != 0)
}

fn amount(text: &str) -> Option<u64> {
    match text {
        "unlimited" => Some(u64::MAX),
        text => parse_size(text).ok(),
    }
}

impl Type {
    /// What it is called: in messages after "is not", in the documentation alone.
    pub fn noun(&self) -> String {
        match self {
            Type::Text | Type::Setting => "a text".into(),
            Type::Path => "a path".into(),
            Type::Shell => "a shell command".into(),
            Type::Number(least, u64::MAX) => format!("a number from {least}"),
            Type::Number(least, most) => format!("a number from {least} to {most}"),
            Type::Flag => "true or false".into(),
            Type::Duration => "a duration".into(),
            Type::Timeout => "a duration or \"never\"".into(),
            Type::Size => "a size".into(),
            Type::Mode => "an octal mode".into(),
            Type::Signal => "a signal".into(),
            Type::Address => "an address or a port".into(),
            Type::Limit => "a limit".into(),
            Type::Capability => "a capability".into(),
            Type::Variable => "the name of a variable".into(),
            Type::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(", ")
            }
            Type::List(of) => format!("a list, each {}", of.noun()),
            Type::Some(of) => format!("{}, or a list of such", of.noun()),
            Type::Map(..) => "a table".into(),
            Type::Table(fields) => {
                let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                format!("{{ {} }}", names.join(", "))
            }
            Type::Either(types) => {
                let nouns: Vec<String> = types.iter().map(Type::noun).collect();
                nouns.join(", or ")
            }
        }
    }

    /// How to write it.
    fn form(&self) -> &'static str {
        match self {
            Type::Text | Type::Path | Type::Shell => "put a text into quotes",
            Type::Duration | Type::Timeout => DURATIONS,
            Type::Size => "write a number of bytes, or 64k, 1M, 2G",
            Type::Mode => "write it as a text of three octal digits: \"022\"",
            Type::Address => "write 127.0.0.1:80, [::1]:80, or a port; names are not looked up",
            Type::Limit => "write a number, \"unlimited\", \"8M\", or \"SOFT:HARD\"",
            Type::List(_) => "write [\"one\", \"two\"]",
            Type::Map(..) => "write { NAME = \"value\" }",
            _ => "",
        }
    }
}
