//! The functions of templates: Go's own, and those that Docker and Podman add (`json` to
//! `truncate`), with their words for what went wrong.

use super::print::{sprintf, text_of, type_of};
use super::run::{NIL, TEXT_MAX, Val};
use serde_json::{Number, Value};
use std::cmp::Ordering;

type Answer<'a> = Result<Val<'a>, String>;

#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    /// How many arguments it takes.
    pub least: usize,
    pub most: usize,
    /// The titles of a table stay as they are.
    pub leaves_titles: bool,
    pub call: for<'v, 'a> fn(&'v [Val<'a>]) -> Answer<'a>,
}

const fn of(
    name: &'static str,
    least: usize,
    most: usize,
    call: for<'v, 'a> fn(&'v [Val<'a>]) -> Answer<'a>,
) -> Function {
    Function { name, least, most, leaves_titles: false, call }
}

/// One of those that say how something is to look.
const fn look(
    name: &'static str,
    count: usize,
    call: for<'v, 'a> fn(&'v [Val<'a>]) -> Answer<'a>,
) -> Function {
    Function { name, least: count, most: count, leaves_titles: true, call }
}

const ANY: usize = usize::MAX;

pub const ALL: &[Function] = &[
    of("and", 1, ANY, |of| Ok(of[of.len() - 1].clone())),
    of("eq", 2, ANY, |of| {
        let mut any = false;
        for other in &of[1..] {
            any |= compare(&of[0], other)? == Ordering::Equal;
        }
        Ok(Val::new(any))
    }),
    of("ge", 2, 2, |of| Ok(Val::new(order(of)? != Ordering::Less))),
    of("gt", 2, 2, |of| Ok(Val::new(order(of)? == Ordering::Greater))),
    of("index", 1, ANY, |of| of[1..].iter().try_fold(of[0].clone(), |at, key| index(&at, key))),
    look("join", 2, |of| {
        let words = match &*of[0].json {
            Value::Array(list) => list.iter().map(|item| text_of(&Val::of(item))).collect(),
            Value::Null => Vec::new(),
            other => return Err(format!("expected a list; got {}", type_of(other))),
        };
        bounded(words.join(string(&of[1])?))
    }),
    look("json", 1, |of| Ok(Val::new(of[0].json.to_string()))),
    of("le", 2, 2, |of| Ok(Val::new(order(of)? != Ordering::Greater))),
    of("len", 1, 1, |of| {
        Ok(Val::new(match &*of[0].json {
            Value::String(text) => text.len(),
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            Value::Null if of[0].name != NIL => 0,
            other => return Err(format!("len of type {}", type_of(other))),
        }))
    }),
    look("lower", 1, |of| Ok(Val::new(string(&of[0])?.to_lowercase()))),
    of("lt", 2, 2, |of| Ok(Val::new(order(of)? == Ordering::Less))),
    of("ne", 2, 2, |of| Ok(Val::new(compare(&of[0], &of[1])? != Ordering::Equal))),
    of("not", 1, 1, |of| Ok(Val::new(!of[0].is_true()))),
    of("or", 1, ANY, |of| Ok(of[of.len() - 1].clone())),
    of("pad", 3, 3, |of| {
        let (text, [before, after]) = (string(&of[0])?, [whole(&of[1])?, whole(&of[2])?]);
        let widest = before.max(after);
        if text.is_empty() || widest > TEXT_MAX {
            return if text.is_empty() { Ok(of[0].clone()) } else { Err(TOO_LONG.into()) };
        }
        Ok(Val::new([&" ".repeat(before), text, &" ".repeat(after)].concat()))
    }),
    of("print", 0, ANY, |of| {
        let is_text = |at: usize| of[at].json.is_string();
        let mut text = String::new();
        for (at, value) in of.iter().enumerate() {
            if at > 0 && !is_text(at) && !is_text(at - 1) {
                text.push(' ');
            }
            text += &text_of(value);
        }
        bounded(text)
    }),
    of("printf", 1, ANY, |of| bounded(sprintf(string(&of[0])?, &of[1..]))),
    of("println", 0, ANY, |of| {
        bounded(of.iter().map(text_of).collect::<Vec<_>>().join(" ") + "\n")
    }),
    of("slice", 1, 3, |of| {
        let length = match &*of[0].json {
            Value::String(text) => text.len(),
            Value::Array(list) => list.len(),
            other => return Err(format!("can't slice item of type {}", type_of(other))),
        };
        let start = of.get(1).map_or(Ok(0), whole)?;
        let end = of.get(2).map_or(Ok(length), whole)?;
        let bad = [start, end].into_iter().find(|at| *at > length);
        if let Some(at) = bad {
            return Err(format!("index out of range: {at}"));
        }
        match &*of[0].json {
            _ if start > end => Err(format!("invalid slice index: {start} > {end}")),
            Value::Array(list) => Ok(Val::new(list[start..end].to_vec())),
            json => {
                let bytes = &json.as_str().unwrap_or_default().as_bytes()[start..end];
                Ok(Val::new(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
    }),
    look("split", 2, |of| {
        let (text, between) = (string(&of[0])?, string(&of[1])?);
        let parts: Vec<Value> = match between {
            "" => text.chars().map(|c| c.to_string().into()).collect(),
            between => text.split(between).map(Value::from).collect(),
        };
        Ok(Val::new(parts))
    }),
    look("title", 1, |of| {
        let mut title = String::new();
        for c in string(&of[0])?.chars() {
            match title.ends_with(|last: char| last.is_alphanumeric() || "_'".contains(last)) {
                true => title.push(c),
                false => title.extend(c.to_uppercase()),
            }
        }
        Ok(Val::new(title))
    }),
    look("truncate", 2, |of| {
        let (text, length) = (string(&of[0])?, whole(&of[1])?);
        let bytes = &text.as_bytes()[..length.min(text.len())];
        Ok(Val::new(String::from_utf8_lossy(bytes).into_owned()))
    }),
    look("upper", 1, |of| Ok(Val::new(string(&of[0])?.to_uppercase()))),
];

/// The truth at which a function knows its answer before it has all its arguments.
pub fn stops_at(function: &Function) -> Option<bool> {
    match function.name {
        "and" => Some(false),
        "or" => Some(true),
        _ => None,
    }
}

const TOO_LONG: &str = "the text is too long";

fn bounded<'a>(text: String) -> Answer<'a> {
    if text.len() > TEXT_MAX { Err(TOO_LONG.to_string()) } else { Ok(Val::new(text)) }
}

fn string<'v>(value: &'v Val) -> Result<&'v str, String> {
    let text = value.json.as_str();
    text.ok_or_else(|| {
        format!("wrong type for value; expected string; got {}", type_of(&value.json))
    })
}

fn whole(value: &Val) -> Result<usize, String> {
    match &*value.json {
        Value::Number(number) => match number.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(whole) => Ok(whole),
            None => Err(format!("index out of range: {number}")),
        },
        other => Err(format!("wrong type for value; expected int; got {}", type_of(other))),
    }
}

fn index<'a>(value: &Val<'a>, key: &Val) -> Answer<'a> {
    let wrong = |what: &str| Err(format!("cannot index {what} with type {}", type_of(&key.json)));
    match (&*value.json, &*key.json) {
        (Value::Object(map), Value::String(key)) => {
            let found = value.part("", &|json| json.get(key.as_str()));
            // Nothing, in the kind of what else there is.
            Ok(found.unwrap_or_else(|| match map.values().next() {
                None if value.name.ends_with("Ports") || value.name == "PortBindings" => {
                    Val::nothing("")
                }
                None | Some(Value::String(_)) => Val::new(""),
                Some(Value::Object(_)) => Val::nothing(NIL),
                Some(_) => Val::nothing(""),
            }))
        }
        (Value::Null, Value::String(_)) if value.is_map() => Ok(Val::new("")),
        (Value::Object(_), _) => wrong("a map"),
        (Value::Array(_) | Value::String(_) | Value::Null, Value::Number(number)) => {
            let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
            let found = at.and_then(|at| match &*value.json {
                Value::String(text) => text.as_bytes().get(at).map(|byte| Val::new(*byte)),
                _ => value.part("", &move |json| json.get(at)),
            });
            found.ok_or_else(|| format!("index out of range: {number}"))
        }
        (Value::Array(_) | Value::String(_), _) => wrong("slice/array"),
        (Value::Null, _) => Err("index of untyped nil".to_string()),
        (other, _) => Err(format!("can't index item of type {}", type_of(other))),
    }
}

/// How the first of two compares to the second, where one can be less.
fn order(of: &[Val]) -> Result<Ordering, String> {
    match (&*of[0].json, &*of[1].json) {
        (Value::Number(_), _) | (Value::String(_), _) => compare(&of[0], &of[1]),
        _ => Err("invalid type for comparison".to_string()),
    }
}

fn compare(a: &Val, b: &Val) -> Result<Ordering, String> {
    let float = |number: &Number| number.as_f64().unwrap_or_default();
    let equal = |is_equal| if is_equal { Ordering::Equal } else { Ordering::Less };
    match (&*a.json, &*b.json) {
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(equal(a == b)),
        (Value::Number(a), Value::Number(b)) if a.is_f64() == b.is_f64() => {
            Ok(match (a.as_i128(), b.as_i128()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => float(a).total_cmp(&float(b)),
            })
        }
        (Value::Null, _) | (_, Value::Null) => Ok(equal(a.json == b.json)),
        (Value::Array(_) | Value::Object(_), _) => Err("non-comparable type".to_string()),
        _ => Err("incompatible types for comparison".to_string()),
    }
}
