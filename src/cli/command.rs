//! What a command is to the dispatcher: a name, a description of its flags, and two steps. First
//! the whole command line is read and checked (`new`), then the engine is asked (`run`); so a
//! mistake in the words changes nothing.

use super::argv::{self, Flags, Line};
use super::output;
use crate::engine::Engine;
use crate::error::{Error, Result};
use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};
use std::collections::BTreeMap;
use std::fmt::Display;

pub trait Command: Sized + 'static {
    /// The flags and positionals, as argh reads them.
    type Args: FromArgs + ArgsInfo;
    const NAME: &'static str;
    /// The positionals, as shown behind `[OPTIONS]`: words in capitals are required, `[WORD]` is
    /// not, and `...` says that any number may follow.
    const USAGE: &'static str;
    /// In place of the description of `Args`, where two commands share it.
    const ABOUT: Option<&'static str> = None;
    const FLAGS: Flags = Flags::Anywhere;
    /// Flags of `Args` that this command does not have.
    const WITHOUT: &'static [&'static str] = &[];

    fn new(args: Self::Args) -> Result<Self>;
    /// Does it; the exit code where all went well.
    fn run(self, engine: &Engine) -> Result<u8>;
    /// The exit code where it did not.
    fn exit_code(_error: &Error) -> u8 {
        1
    }
}

/// A command without its type.
pub struct Entry {
    pub name: &'static str,
    pub usage: &'static str,
    pub about: fn() -> String,
    pub info: fn() -> CommandInfoWithArgs,
    pub without: &'static [&'static str],
    pub parse: fn(&Entry, &[String]) -> Result<Parsed>,
}

pub enum Parsed {
    Help,
    Run(Box<dyn FnOnce(&Engine) -> Outcome>),
}

/// An exit code, and what went wrong.
pub type Outcome = std::result::Result<u8, (u8, Error)>;

impl Entry {
    pub const fn of<C: Command>() -> Entry {
        Entry {
            name: C::NAME,
            usage: C::USAGE,
            about: || C::ABOUT.unwrap_or(C::Args::get_args_info().description).to_string(),
            info: C::Args::get_args_info,
            without: C::WITHOUT,
            parse: parse::<C>,
        }
    }
}

fn parse<C: Command>(entry: &Entry, args: &[String]) -> Result<Parsed> {
    let line = match argv::normalise(&(entry.info)(), C::WITHOUT, C::FLAGS, args)? {
        Line::Help => return Ok(Parsed::Help),
        Line::Arguments(line) => line,
    };
    let end_of_flags = line.iter().position(|word| word == "--").unwrap_or_default();
    check_count(C::NAME, C::USAGE, &line[end_of_flags + 1..])?;
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let args = C::Args::from_args(&[C::NAME], &line)
        .map_err(|exit| Error::invalid(exit.output.trim_end().to_string()))?;
    let command = C::new(args)?;
    Ok(Parsed::Run(Box::new(|engine| command.run(engine).map_err(|e| (C::exit_code(&e), e)))))
}

/// Holds the positionals against the usage line.
fn check_count(name: &str, usage: &str, positionals: &[String]) -> Result<()> {
    let mut required = usage.split_whitespace().filter(|word| !word.starts_with('['));
    if let Some(missing) = required.nth(positionals.len()) {
        let missing = missing.to_lowercase();
        return Err(Error::invalid(format!("{name}: an argument is missing: {missing}")));
    }
    let most = usage.split_whitespace().count();
    match positionals.get(most) {
        Some(extra) if !usage.contains("...") => {
            Err(Error::invalid(format!("{name}: too many arguments: {extra}")))
        }
        _ => Ok(()),
    }
}

/// Reads the value of a flag, and names the flag where it is wrong.
pub fn value<T: std::str::FromStr<Err = Error>>(flag: &str, text: &str) -> Result<T> {
    text.parse::<T>().map_err(|e| e.doing(flag))
}

/// Reads the values of `--label` and its like.
pub fn labels(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for text in texts {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(Error::invalid(format!("{flag}: \"{text}\" has no key")));
        }
        labels.insert(key.to_string(), value.to_string());
    }
    Ok(labels)
}

/// Reads a whole number.
pub fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T> {
    text.parse::<T>()
        .map_err(|_| Error::invalid(format!("{flag}: \"{text}\" is not a whole number")))
}

/// Does the same to each of `names`, all of them whatever happens to one, and prints those for
/// which it went well.
pub fn each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    each_answer(names, |name| act(name).map(|()| name))
}

/// The same, and prints what it gave.
pub fn each_answer<'a, T: Display>(
    names: &'a [String],
    mut act: impl FnMut(&'a str) -> Result<T>,
) -> Result<u8> {
    let mut errors = Vec::new();
    for name in names {
        match act(name) {
            Ok(answer) => output::line(answer)?,
            Err(e) => errors.push(e),
        }
    }
    Error::collect(errors).map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positionals_are_held_against_the_usage_line() {
        let check = |usage, words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_string).collect();
            check_count("x", usage, &words).map_err(|e| e.to_string())
        };
        assert!(check("CONTAINER [CONTAINER...]", "a b c").is_ok());
        assert_eq!(check("C [C...]", "").unwrap_err(), "x: an argument is missing: c");
        assert_eq!(check("A B[:C]", "a").unwrap_err(), "x: an argument is missing: b[:c]");
        assert_eq!(check("[A]", "a b").unwrap_err(), "x: too many arguments: b");
        assert_eq!(check("", "a").unwrap_err(), "x: too many arguments: a");
        assert!(check("", "").is_ok());
    }
}
