//! cox.toml: options of cox and services, by the tables of `keys`.
//!
//! What is wrong is named with its line, all of it. A service with a fault, or that a fault in
//! `[defaults]` would have had a part in, is left out; the others are there.

use super::draft::{Draft, Users};
use super::keys::{self, Key};
use super::options::Options;
use super::typed::{Scope, unknown};
use crate::service::{Kind, OnEnd, Service};
use coracle::error::{Error, OsContext, Result};
use coracle::sys::fs::read_small;
use coracle::sys::process;
use coracle::toml::{self as document, Entry, Fault, Node, Table, Value};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file of services, or a user database, is no larger.
const LARGEST: usize = 4 << 20;

#[derive(Debug, Default)]
pub struct Config {
    pub options: Options,
    /// In the order of the file, after those that `init` was made into.
    pub services: Vec<Service>,
    pub problems: Vec<Error>,
    /// The line of each service of the file, with a fault or not.
    pub lines: Vec<(String, u32)>,
}

/// Reads a file. Its variables are those of cox's own environment.
pub fn read(path: &Path) -> Config {
    let bytes = match read_small(path, LARGEST).on("read", path) {
        Ok(bytes) => bytes,
        Err(error) => return Config { problems: vec![error], ..Config::default() },
    };
    let database = |path| {
        read_small(Path::new(path), LARGEST).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let users = Users {
        passwd: database("/etc/passwd").unwrap_or_default(),
        group: database("/etc/group").unwrap_or_default(),
        uid: process::effective_uid(),
        gid: process::effective_gid(),
    };
    parse(path, &bytes, &|name| std::env::var(name).ok(), &users)
}

/// The configuration in `bytes`.
fn parse(
    path: &Path,
    bytes: &[u8],
    variable: &dyn Fn(&str) -> Option<String>,
    users: &Users,
) -> Config {
    let base = path.parent().unwrap_or(Path::new(""));
    let scope = Scope { variable, base };
    let mut reader = Reader { path, scope, users, config: Config::default() };
    match document::parse(bytes) {
        Ok(table) => reader.file(&table),
        Err(fault) => reader.fault(fault),
    }
    reader.config
}

struct Reader<'a> {
    path: &'a Path,
    scope: Scope<'a>,
    users: &'a Users,
    config: Config,
}

/// What services begin with.
struct Defaults<'a> {
    table: Option<&'a Table>,
    keys: Keys<'a>,
}

/// The keys of a table.
#[derive(Default)]
struct Keys<'a> {
    good: Vec<(&'static Key, &'a Entry)>,
    /// Those that could not be read.
    bad: Vec<&'static str>,
}

impl Reader<'_> {
    fn fault(&mut self, fault: Fault) {
        let place = format!("{}:{}", self.path.display(), fault.line);
        self.config.problems.push(fault.error.doing(place));
    }

    fn problem(&mut self, line: u32, error: Error) {
        self.fault(Fault { line, error });
    }

    fn file(&mut self, root: &Table) {
        let mut draft = Draft::new();
        let mut keys = self.keys(root, keys::TOP, &keys::SECTIONS, &mut draft, "");
        self.config.options = draft.options;
        if let Some(entry) = root.get("signals") {
            self.signals(&entry.node);
        }
        let table = root.get("defaults").and_then(|entry| self.table(entry));
        if let Some(table) = table {
            let read = self.keys(table, keys::SERVICE, &[], &mut Draft::new(), "defaults: ");
            for (key, entry) in read.good {
                if matches!(key.field.name, "command" | "argv") {
                    let error = Error::invalid(format!("defaults: {} cannot be one", entry.key));
                    self.problem(entry.line, error.hint("move it into [service.NAME]"));
                } else {
                    keys.good.push((key, entry));
                }
            }
            keys.bad.extend(read.bad);
        }
        let defaults = Defaults { table, keys };
        if let Some(entry) = root.get("init") {
            self.init(entry.line, &defaults);
        }
        let services = root.get("service").and_then(|entry| self.table(entry));
        for entry in services.iter().flat_map(|table| &table.entries) {
            if let Some(service) = self.service(entry, &defaults) {
                self.config.services.push(service);
            }
        }
    }

    fn table<'t>(&mut self, entry: &'t Entry) -> Option<&'t Table> {
        if let Value::Table(table) = &entry.node.value {
            return Some(table);
        }
        let error = Error::invalid(format!("{} is not a table", entry.key));
        self.problem(entry.line, error.hint(format!("write [{}]", entry.key)));
        None
    }

    /// Reads the entries of a table into `draft`, but those of `sections`.
    fn keys<'t>(
        &mut self,
        table: &'t Table,
        keys: &'static [Key],
        sections: &[(&'static str, &str)],
        draft: &mut Draft,
        place: &str,
    ) -> Keys<'t> {
        let mut read = Keys::default();
        for entry in &table.entries {
            let Some(key) = keys.iter().find(|key| key.field.name == entry.key) else {
                let sections = sections.iter().map(|(name, _)| *name);
                if sections.clone().any(|name| name == entry.key) {
                    continue;
                }
                let names: Vec<&str> =
                    keys.iter().map(|key| key.field.name).chain(sections).collect();
                let error = unknown("key", &entry.key, &names);
                let place = place.strip_suffix(": ").unwrap_or(place);
                let error = if place.is_empty() { error } else { error.doing(place) };
                self.problem(entry.line, error);
                continue;
            };
            match self.key(entry, key, draft) {
                Ok(()) => read.good.push((key, entry)),
                Err(fault) => {
                    let error = fault.error.doing(format!("{place}{}", key.field.name));
                    self.problem(fault.line, error);
                    read.bad.push(key.field.name);
                }
            }
        }
        read
    }

    /// What a service begins with.
    fn draft(&self, defaults: &Defaults) -> Draft {
        let mut draft = Draft::new();
        for (key, entry) in &defaults.keys.good {
            // It was right the first time.
            let _ = self.key(entry, key, &mut draft);
        }
        draft
    }

    fn key(&self, entry: &Entry, key: &Key, draft: &mut Draft) -> std::result::Result<(), Fault> {
        let given = self.scope.convert(&entry.node, &key.field.of)?;
        key.set(draft, given).map_err(|error| Fault { line: entry.line, error })
    }

    fn signals(&mut self, node: &Node) {
        let given = match self.scope.convert(node, &keys::ON_SIGNAL) {
            Ok(given) => given.map(),
            Err(fault) => {
                return self.problem(fault.line, fault.error.doing("signals"));
            }
        };
        let signals = given
            .into_iter()
            .filter_map(|(name, word)| Some((name.parse().ok()?, keys::on_signal(&word.text()))));
        self.config.options.signals = signals.collect();
    }

    fn service(&mut self, entry: &Entry, defaults: &Defaults) -> Option<Service> {
        let name = &entry.key;
        let place = format!("service {name}");
        self.config.lines.push((name.clone(), entry.line));
        let before = self.config.problems.len();
        if !is_name(name) {
            let error = Error::invalid(format!("\"{name}\" is no name for a service"));
            let hint = "use letters, digits and _ . @ -, not beginning with . or -";
            self.problem(entry.line, error.hint(hint));
        }
        let table = self.table(entry)?;
        let mut draft = self.draft(defaults);
        self.keys(table, keys::SERVICE, &[], &mut draft, &format!("{place}: "));
        for key in &defaults.keys.bad {
            // Variables are added to the defaults, other values replace them.
            if *key == "env" || table.get(key).is_none() {
                let error = Error::invalid(format!("left out: its default for {key} is wrong"));
                self.problem(entry.line, error.doing(place.as_str()));
            }
        }
        self.after_init(&mut draft.service);
        let line_of = |key: &str| {
            let own = table.get(key).or_else(|| defaults.table?.get(key));
            own.map_or(entry.line, |entry| entry.line)
        };
        match draft.finish(name, self.users) {
            // Whatever is missing may be what could not be read.
            Err(_) if self.config.problems.len() > before => {}
            Err(problems) => {
                for (key, error) in problems {
                    let line = key.map_or(entry.line, line_of);
                    let place = key.map_or(place.clone(), |key| format!("{place}: {key}"));
                    self.problem(line, error.doing(place));
                }
            }
            Ok(service) if self.config.problems.len() == before => return Some(service),
            Ok(_) => {}
        }
        None
    }

    /// Makes a oneshot of each program in the directories of `init`.
    fn init(&mut self, line: u32, defaults: &Defaults) {
        for dir in self.config.options.init.clone() {
            let programs = match programs(&dir) {
                Ok(programs) => programs,
                Err(error) => {
                    self.problem(line, error.doing("init"));
                    continue;
                }
            };
            for (path, executable) in programs {
                let text = path.display().to_string();
                if !executable {
                    let error = Error::invalid(format!("{text} is not executable, left out"));
                    self.problem(line, error.doing("init").hint(format!("chmod +x {text}")));
                    continue;
                }
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let name = self.free_name(format!("init/{name}"));
                let Draft { env, log, stderr, .. } = self.draft(defaults);
                let mut draft = Draft { env, log, stderr, argv: Some(vec![text]), ..Draft::new() };
                draft.service.kind = Kind::Oneshot;
                if !self.config.options.init_may_fail {
                    draft.service.on_end = OnEnd::StopIfFailed;
                }
                self.after_init(&mut draft.service);
                if let Ok(service) = draft.finish(&name, self.users) {
                    self.config.services.push(service);
                    self.config.options.last_of_init = Some(name);
                }
            }
        }
    }

    /// Has a service wait for what `init` was made into so far.
    fn after_init(&self, service: &mut Service) {
        let options = &self.config.options;
        let start = &mut service.start;
        let names = if options.init_may_fail { &mut start.after } else { &mut start.requires };
        names.extend(options.last_of_init.clone());
    }

    /// `name`, or with a number if there is one of that name.
    fn free_name(&self, name: String) -> String {
        let taken = |name: &String| self.config.services.iter().any(|s| s.name == *name);
        let numbered = (2_u32..).map(|n| format!("{name}-{n}"));
        std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(name)
    }
}

/// The files in a directory, but hidden ones, in order of their names; whether each is executable.
fn programs(dir: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let mut programs = Vec::new();
    for entry in fs::read_dir(dir).on("read", dir)? {
        let path = entry.on("read", dir)?.path();
        let hidden = path.file_name().is_none_or(|n| n.as_encoded_bytes().starts_with(b"."));
        if let Ok(file) = fs::metadata(&path)
            && file.is_file()
            && !hidden
        {
            programs.push((path, file.permissions().mode() & 0o111 != 0));
        }
    }
    programs.sort_unstable();
    Ok(programs)
}

/// A slash would stand for a logger, or one of `init`'s.
fn is_name(name: &str) -> bool {
    let good = |c: u8| c.is_ascii_alphanumeric() || b"_.@-:+".contains(&c);
    !name.is_empty() && !name.starts_with(['.', '-']) && name.bytes().all(good)
}

#[cfg(test)]
mod tests;
