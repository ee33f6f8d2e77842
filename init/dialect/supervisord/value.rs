//! The values of supervisor's keys. Pure.

use super::super::ini::{Entry, Place, Section};
use super::Scope;
use super::percent::Names;
use coracle::error::Error;
use coracle::types::Signal;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The keys of a section, with what names stand for in it. What is wrong is noted; the value is
/// then that of a key that is not there.
pub struct Keys<'a> {
    pub section: &'a Section,
    pub names: Names,
    pub scope: &'a Scope<'a>,
    pub problems: RefCell<Vec<Error>>,
    pub warnings: RefCell<Vec<Error>>,
}

impl<'a> Keys<'a> {
    pub fn new(section: &'a Section, scope: &'a Scope<'a>) -> Keys<'a> {
        let mut names = Names::default();
        names.text("host_node_name", scope.host);
        let (problems, warnings) = Default::default();
        Keys { section, names, scope, problems, warnings }
    }

    pub fn has(&self, key: &str) -> bool {
        self.section.get(key).is_some()
    }

    /// Whether nothing was wrong so far.
    pub fn is_good(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// The text of a key as `read` makes something of it.
    pub fn maybe<T>(&self, key: &str, read: impl FnOnce(&str) -> Read<T>) -> Option<T> {
        match read(&self.text(key)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(key, error);
                None
            }
        }
    }

    #[inline(never)]
    pub fn text(&self, key: &str) -> Option<String> {
        let entry = self.section.get(key)?;
        // Each file has a `here` of its own.
        let here = entry.at.file.parent().unwrap_or(Path::new("/")).to_string_lossy();
        match self.names.expand(&entry.value, &here, self.scope.variable) {
            Ok(text) if !text.contains('\0') => return Some(text),
            Ok(_) => self.wrong(key, "a NUL byte", "remove it"),
            Err(error) => self.note(key, error),
        }
        None
    }

    #[inline(never)]
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.maybe(key, boolean).unwrap_or(default)
    }

    #[inline(never)]
    pub fn number(&self, key: &str, default: i64, (least, most): (i64, i64)) -> i64 {
        match self.maybe(key, integer) {
            Some(number) if (least..=most).contains(&number) => number,
            Some(number) => {
                let problem = format!("{number} is not from {least} to {most}");
                self.wrong(key, &problem, "");
                default
            }
            None => default,
        }
    }

    /// A number that is none below 0.
    pub fn count(&self, key: &str, default: i64, most: i64) -> u32 {
        u32::try_from(self.number(key, default, (0, most))).unwrap_or(u32::MAX)
    }

    pub fn seconds(&self, key: &str, default: i64) -> Duration {
        // A year is long enough for whoever waits.
        Duration::from_secs(self.number(key, default, (0, 366 * 86_400)).unsigned_abs())
    }

    #[inline(never)]
    pub fn size(&self, key: &str, default: u64) -> u64 {
        self.maybe(key, size).unwrap_or(default)
    }

    /// Something is wrong with a key, or where there is none of that name, with the section.
    #[inline(never)]
    pub fn wrong(&self, key: &str, problem: &str, cure: &str) {
        self.note(key, cured(Error::invalid(problem), cure));
    }

    #[inline(never)]
    pub fn note(&self, key: &str, error: Error) {
        self.problems.borrow_mut().push(self.placed(key, error));
    }

    /// Something is odd about a key, but changes nothing.
    #[inline(never)]
    pub fn odd(&self, key: &str, problem: &str, cure: &str) {
        let error = cured(Error::invalid(problem), cure);
        self.warnings.borrow_mut().push(self.placed(key, error));
    }

    fn placed(&self, key: &str, error: Error) -> Error {
        let name = &self.section.name;
        match self.section.get(key) {
            Some(Entry { at, .. }) => at_place(error.doing(format!("[{name}]: {key}")), at),
            None if key.is_empty() => at_place(error.doing(format!("[{name}]")), &self.section.at),
            None => at_place(error.doing(format!("[{name}]: {key}")), &self.section.at),
        }
    }
}

#[inline(never)]
pub fn at_place(error: Error, at: &Place) -> Error {
    error.doing(at.shown())
}

fn cured(error: Error, cure: &str) -> Error {
    if cure.is_empty() { error } else { error.hint(cure) }
}

type Read<T> = coracle::error::Result<T>;

fn no<T>(text: &str, what: &str, cure: &str) -> Read<T> {
    Err(Error::invalid(format!("\"{text}\" is not {what}")).hint(cure))
}

pub fn boolean(text: &str) -> Read<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => no(text, "true or false", "write true or false"),
    }
}

pub fn integer(text: &str) -> Read<i64> {
    text.trim().parse().or_else(|_| no(text, "a number", "write digits"))
}

/// Bytes: a number, or one with KB, MB or GB.
pub fn size(text: &str) -> Read<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let units = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let unit = units.iter().find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)));
    let (digits, factor) = unit.unwrap_or((&lower, 1));
    let number = digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let number = number.filter(|number| i64::try_from(*number).is_ok());
    number.map_or_else(|| no(text, "a size", "write a number of bytes, or 64KB, 50MB, 1GB"), Ok)
}

pub fn octal(text: &str) -> Read<u32> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0o").unwrap_or(digits);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.map_or_else(|| no(text, "an octal mode", "write three octal digits, such as 022"), Ok)
}

pub fn exit_codes(text: &str) -> Read<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let codes: Result<Vec<u8>, _> = text.split(',').map(|code| code.trim().parse()).collect();
    codes.or_else(|_| no(text, "a list of exit codes", "write numbers from 0 to 255: 0,2"))
}

pub fn signal(text: &str) -> Read<Signal> {
    text.trim().parse()
}

/// Names with commas between them.
pub fn list(text: &str) -> Vec<String> {
    let names = text.split(',').map(|name| name.trim().to_string());
    names.filter(|name| !name.is_empty()).collect()
}

/// What names of programs, groups and processes are made of: all but what clients take for
/// something else.
pub fn name(text: &str) -> Read<String> {
    let text = text.trim();
    let bad = |c: char| c == ' ' || c == ':' || c == '/' || c.is_control();
    match text.is_empty() || text.contains(bad) {
        true => no(text, "a name", "leave out blanks, colons and slashes"),
        false => Ok(text.to_string()),
    }
}

/// Where `~` stands for home.
pub fn path(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => PathBuf::from(format!("{}{rest}", variable("HOME").unwrap_or_default())),
        None => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_supervisor_reads_them() {
        for (text, expected) in
            [("yes", true), ("TRUE", true), ("on", true), ("1", true), ("No", false), ("0", false)]
        {
            assert_eq!(boolean(text).unwrap(), expected, "{text}");
        }
        for (text, expected) in
            [("0", 0), ("1024", 1024), ("1KB", 1024), ("50MB", 50 << 20), ("2 gb", 2 << 30)]
        {
            assert_eq!(size(text).unwrap(), expected, "{text}");
        }
        assert_eq!(exit_codes("0, 2,255").unwrap(), [0, 2, 255]);
        assert!(exit_codes("").unwrap().is_empty());
        assert_eq!(octal("0700").unwrap(), 0o700);
        assert_eq!(octal("22").unwrap(), 0o22);
        assert_eq!(integer(" -5 ").unwrap(), -5);
        assert_eq!(signal("sigquit").unwrap(), Signal::QUIT);
        assert_eq!(list("a, b,,c "), ["a", "b", "c"]);
        let home = |name: &str| (name == "HOME").then(|| "/root".to_string());
        assert_eq!(path("~/x", &home), PathBuf::from("/root/x"));
        assert_eq!(path("~x/y", &home), PathBuf::from("~x/y"));
    }

    #[test]
    fn what_is_no_value_is_said_with_the_cure() {
        let errors = [
            boolean("maybe").map(drop),
            size("1K").map(drop),
            size("99999999999GB").map(drop),
            size("-1").map(drop),
            octal("9").map(drop),
            exit_codes("0,256").map(drop),
            exit_codes("a").map(drop),
            integer("1.5").map(drop),
            signal("NO").map(drop),
            name("a:b").map(drop),
            name("").map(drop),
        ];
        for error in errors {
            assert!(!error.unwrap_err().hints().is_empty());
        }
    }
}
