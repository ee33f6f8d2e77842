//! A template on a value, as Go executes it.
//!
//! What JSON does not tell, names do: which objects are maps, where a key may be missing, and what
//! kind of nothing a null is.

use super::functions::{self, Function};
use super::print::{text_of, type_of};
use super::syntax::{Head, Kind, Node, Pipeline, Term, mistake};
use super::title_of;
use crate::cli::output;
use crate::error::{Error, Result};
use crate::types::nearest;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// What one thing may take: no template that somebody means comes near.
const STEPS_MAX: usize = 2_000_000;
/// Bytes.
pub const TEXT_MAX: usize = 16 << 20;

/// Objects with any keys: one that is not there has no value.
const MAPS: [&str; 14] = [
    "Annotations",
    "Containers",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Sysctls",
    "Tmpfs",
    "Volumes",
    "VolumesRW",
];
/// Fields that Docker has always, and its JSON where there is something to say.
const OPTIONAL: [&str; 8] = [
    "Annotations",
    "ExposedPorts",
    "Health",
    "Healthcheck",
    "MacAddress",
    "Name",
    "OnBuild",
    "Tmpfs",
];

/// A value, and the name of the field it was found in.
#[derive(Clone, Debug)]
pub struct Val<'a> {
    pub json: Cow<'a, Value>,
    pub name: &'a str,
}

/// The name of what is not there.
pub const MISSING: &str = "<no value>";
/// The name of a pointer to nothing.
pub const NIL: &str = "<nil>";

impl<'a> Val<'a> {
    pub fn of(value: &'a Value) -> Val<'a> {
        Val { json: Cow::Borrowed(value), name: "" }
    }

    pub fn new(value: impl Into<Value>) -> Val<'a> {
        Val { json: Cow::Owned(value.into()), name: "" }
    }

    pub fn nothing(name: &'a str) -> Val<'a> {
        Val { json: Cow::Owned(Value::Null), name }
    }

    pub fn is_map(&self) -> bool {
        MAPS.contains(&self.name)
    }

    /// A part of it.
    pub fn part(
        &self,
        name: &'a str,
        pick: &dyn for<'v> Fn(&'v Value) -> Option<&'v Value>,
    ) -> Option<Val<'a>> {
        let json = match &self.json {
            Cow::Borrowed(value) => Cow::Borrowed(pick(value)?),
            Cow::Owned(value) => Cow::Owned(pick(value)?.clone()),
        };
        Some(Val { json, name })
    }

    /// Go's truth: neither nothing, nor zero, nor empty.
    pub fn is_true(&self) -> bool {
        match &*self.json {
            Value::Null => false,
            Value::Bool(is_true) => *is_true,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
        }
    }

    /// What copying it takes.
    fn weight(&self) -> usize {
        match &*self.json {
            Value::String(text) => 1 + text.len() / 64,
            Value::Array(list) => 1 + list.len(),
            Value::Object(map) => 1 + map.len(),
            _ => 1,
        }
    }
}

/// What a template is run on.
pub struct Thing<'a> {
    pub value: &'a Value,
    /// What `.Label "key"` finds.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// It is the titles of a table, which no function changes.
    pub is_titles: bool,
}

pub fn run<'a>(text: &'a str, nodes: &'a [Node], thing: &'a Thing<'a>) -> Result<String> {
    let root = Val::of(thing.value);
    let variables = vec![("$", root.clone())];
    let mut run = Run { text, thing, variables, out: String::new(), steps: 0 };
    run.nodes(nodes, &root)?;
    Ok(run.out)
}

/// How the nodes of a loop go on.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Run<'a> {
    text: &'a str,
    thing: &'a Thing<'a>,
    variables: Vec<(&'a str, Val<'a>)>,
    out: String,
    steps: usize,
}

impl<'a> Run<'a> {
    /// A mistake in a part of the text: Go's words for where it is.
    fn error(&self, part: Range<usize>, at: usize, what: &str) -> Error {
        let before = &self.text[..at];
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1);
        let mut source: String = self.text[part.clone()].chars().take(20).collect();
        if source.len() < part.len() {
            source += "...";
        }
        mistake(self.text, at, Some(column), &format!("executing \"\" at <{source}>: {what}"))
    }

    fn step(&mut self, weight: usize) -> Result<()> {
        self.steps += weight;
        match self.steps > STEPS_MAX || self.out.len() > TEXT_MAX {
            true => Err(Error::invalid("--format: the template does too much")
                .hint("look at what it repeats")),
            false => Ok(()),
        }
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &Val<'a>) -> Result<Flow> {
        for node in nodes {
            self.step(1)?;
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::Next
                }
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&output::shown(&text_of(&value)));
                    }
                    Flow::Next
                }
                Node::Block { kind, pipeline, body, otherwise } => {
                    let variables = self.variables.len();
                    let flow = self.block(*kind, pipeline, [body, otherwise], dot)?;
                    self.variables.truncate(variables);
                    flow
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn block(
        &mut self,
        kind: Kind,
        pipeline: &'a Pipeline,
        [body, otherwise]: [&'a [Node]; 2],
        dot: &Val<'a>,
    ) -> Result<Flow> {
        if kind != Kind::Range {
            let value = self.pipeline(pipeline, dot)?;
            return match (value.is_true(), kind) {
                (true, Kind::With) => self.nodes(body, &value),
                (true, _) => self.nodes(body, dot),
                (false, _) => self.nodes(otherwise, dot),
            };
        }
        let value = self.value(pipeline, dot)?;
        let Some(items) = items(&value) else {
            let what = format!("range can't iterate over {}", text_of(&value));
            let part = all(&pipeline.commands[0]);
            return Err(self.error(part.clone(), part.start, &what));
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        let variables = self.variables.len();
        for (key, item) in items {
            match &pipeline.variables[..] {
                [element] => self.set(pipeline, element, item.clone()),
                [name, element] => {
                    self.set(pipeline, name, key);
                    self.set(pipeline, element, item.clone());
                }
                _ => {}
            }
            let flow = self.nodes(body, &item)?;
            self.variables.truncate(variables);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn set(&mut self, pipeline: &Pipeline, name: &'a str, value: Val<'a>) {
        let there = self.variables.iter_mut().rev().find(|(other, _)| *other == name);
        match there.filter(|_| pipeline.is_assignment) {
            Some((_, place)) => *place = value,
            None => self.variables.push((name, value)),
        }
    }

    /// Its value, which its variables get too.
    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Val<'a>) -> Result<Val<'a>> {
        let value = self.value(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(pipeline, name, value.clone());
        }
        Ok(value)
    }

    fn value(&mut self, pipeline: &'a Pipeline, dot: &Val<'a>) -> Result<Val<'a>> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or_else(|| Val::nothing(MISSING)))
    }

    /// `last` is what the command before it in the pipeline gave.
    fn command(
        &mut self,
        terms: &'a [Term],
        dot: &Val<'a>,
        last: Option<Val<'a>>,
    ) -> Result<Val<'a>> {
        let (first, rest) = (&terms[0], &terms[1..]);
        if let (Head::Function(function), true) = (&first.head, first.fields.is_empty()) {
            return self.call(function, terms, dot, last);
        }
        if rest.is_empty() && last.is_none() {
            return self.term(first, dot);
        }
        // The one method there is.
        if let ([(_, name)], Head::Dot, Some(labels)) =
            (&first.fields[..], &first.head, self.thing.labels)
            && name == "Label"
        {
            let mut given: Vec<Val> = Vec::new();
            for term in rest {
                given.push(self.term(term, dot)?);
            }
            given.extend(last);
            if let [Val { json, .. }] = &given[..]
                && let Value::String(key) = &**json
            {
                return Ok(match self.thing.is_titles {
                    true => Val::new(title_of(key)),
                    false => Val::new(labels.get(key).cloned().unwrap_or_default()),
                });
            }
        }
        let part = all(&terms[..1]);
        let what = match first.fields.last() {
            Some((_, name)) => format!("{name} has arguments but cannot be invoked as function"),
            None => format!("can't give argument to non-function {}", &self.text[part.clone()]),
        };
        Err(self.error(part.clone(), part.start, &what))
    }

    fn call(
        &mut self,
        function: &'static Function,
        terms: &'a [Term],
        dot: &Val<'a>,
        last: Option<Val<'a>>,
    ) -> Result<Val<'a>> {
        let name = function.name;
        // `and` and `or` look no further than they must.
        let stops_at = functions::stops_at(function);
        let mut given = Vec::new();
        for term in &terms[1..] {
            let value = self.term(term, dot)?;
            if stops_at == Some(value.is_true()) {
                return Ok(value);
            }
            given.push(value);
        }
        given.extend(last);
        if self.thing.is_titles && function.leaves_titles {
            return Ok(given.swap_remove(0));
        }
        let result = (function.call)(&given).map_err(|what| {
            let part = all(terms);
            self.error(part.clone(), part.start, &format!("error calling {name}: {what}"))
        })?;
        self.step(result.weight())?;
        Ok(result)
    }

    fn term(&mut self, term: &'a Term, dot: &Val<'a>) -> Result<Val<'a>> {
        let mut value = match &term.head {
            Head::Dot => dot.clone(),
            Head::Literal(Value::Null) => Val::nothing(NIL),
            Head::Literal(value) => Val::of(value),
            Head::Variable(name) => {
                let found = self.variables.iter().rev().find(|(other, _)| other == name);
                found.map_or(Val::nothing(MISSING), |(_, value)| value.clone())
            }
            Head::Function(function) => {
                self.call(function, std::slice::from_ref(term), dot, None)?
            }
            Head::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        };
        self.step(value.weight())?;
        // Go tells the place of the second one, where there are several.
        let at = term.fields.get(1).or(term.fields.first()).map_or(term.start, |(at, _)| *at);
        for (_, name) in &term.fields {
            value = self.field(&value, name).map_err(|(what, hint)| {
                let error = self.error(term.start..term.end, at, &what);
                match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            })?;
        }
        Ok(value)
    }

    fn field(
        &self,
        value: &Val<'a>,
        name: &'a str,
    ) -> std::result::Result<Val<'a>, (String, Option<String>)> {
        if let Some(found) = value.part(name, &|json| json.get(name)) {
            return Ok(found);
        }
        if self.thing.is_titles {
            let title = self.thing.value.get(name).and_then(Value::as_str);
            return Ok(Val::new(title.map_or_else(|| title_of(name), String::from)));
        }
        // Go's types say ID and APIVersion where the JSON says Id and ApiVersion; `id` was right for
        // the images of 2014.
        if let (Value::Object(map), false) = (&*value.json, value.is_map()) {
            let mut alike = map.keys().filter(|key| key.eq_ignore_ascii_case(name));
            if let (Some(key), None) = (alike.next().cloned(), alike.next())
                && let Some(found) = value.part(name, &|json| json.get(&key))
            {
                return Ok(found);
            }
        }
        let no_entry = |name: &str| format!("map has no entry for key \"{name}\"");
        match &*value.json {
            Value::Object(_) if value.is_map() => Ok(Val::nothing(MISSING)),
            Value::Object(_) if OPTIONAL.contains(&name) => Ok(Val::nothing(name)),
            Value::Object(map) => {
                let meant = nearest(name, map.keys().map(String::as_str));
                Err((no_entry(name), meant.map(|meant| format!("did you mean {meant}?"))))
            }
            Value::Null if OPTIONAL.contains(&value.name) => {
                let hint = format!("ask first: {{{{with .{}}}}}...{{{{end}}}}", value.name);
                Err((no_entry(value.name), Some(hint)))
            }
            Value::Null => Err((format!("nil data; no entry for key \"{name}\""), None)),
            json => Err((format!("can't evaluate field {name} in type {}", type_of(json)), None)),
        }
    }
}

/// Where a command stands in the text.
fn all(terms: &[Term]) -> Range<usize> {
    terms[0].start..terms[terms.len() - 1].end
}

/// What a range goes over, with the keys.
fn items<'a>(value: &Val<'a>) -> Option<Vec<(Val<'a>, Val<'a>)>> {
    match &*value.json {
        Value::Null => Some(Vec::new()),
        Value::Array(list) => {
            let item = |at: usize| value.part("", &move |json| json.get(at));
            let item = |at| item(at).map(|item| (Val::new(at), item));
            (0..list.len()).map(item).collect()
        }
        Value::Object(map) => {
            let item = |key: &String| {
                let item = value.part("", &|json| json.get(key.as_str()))?;
                Some((Val::new(key.as_str()), item))
            };
            map.keys().map(item).collect()
        }
        Value::Number(number) if value.name.is_empty() => {
            let count = number.as_u64()?.min(STEPS_MAX as u64);
            Some((0..count).map(|at| (Val::new(at), Val::new(at))).collect())
        }
        _ => None,
    }
}
