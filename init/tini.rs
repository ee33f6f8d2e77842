//! `tini`: `cox -- COMMAND` in the words of tini(1) 0.19 (github.com/krallin/tini, README).
//!
//! Its options and variables, and its exit code 1 for wrong usage, are those of tini. What lies
//! behind them is cox: whatever the program leaves behind is stopped in order, all that is said
//! goes to stderr, and an idle `tini` never wakes.
//!
//! Options end at the first word that is none (as where musl is the C library), so an option of
//! the program needs no `--` before it.

use crate::applets::{Call, Told, supervise};
use crate::message::with_hints;
use crate::service::Reach;
use crate::sorted::Set;
use crate::supervisor::Mention;
use coracle::error::Error;
use coracle::sys::process;
use coracle::types::Signal;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub const HELP: &str = "\
Runs PROGRAM, passes all signals on to it, reaps orphans, and exits with its code.

-g         pass signals on to the program's process group (or set TINI_KILL_PROCESS_GROUP)
-s         adopt orphans where this is not PID 1 (or set TINI_SUBREAPER)
-p SIGNAL  get SIGNAL, and pass it on, when the parent dies
-e CODE    exit with 0 if the program exits with CODE, 0 to 255; more than once if need be
-w         mention each orphan that is reaped
-v         say more, up to three times; TINI_VERBOSITY sets the level instead (0 to 4; 1)
-l         the license
-h, --help, --version
";

/// Exit code: wrong usage, or the system refused.
const FAILED: u8 = 1;

pub fn tini(call: &Call) -> u8 {
    let asked = match parse(&call.args, |name| std::env::var_os(name)) {
        Ok(asked) => asked,
        Err(problem) => {
            call.usage(&problem);
            return FAILED;
        }
    };
    match asked {
        Asked::Help => call.answer(&call.help()),
        Asked::License => call.answer(concat!(env!("CARGO_PKG_LICENSE"), "\n")),
        Asked::Run(run) => run.run(call),
    }
}

#[derive(Debug)]
enum Asked {
    Help,
    License,
    Run(Run),
}

#[derive(Debug, Default)]
struct Run {
    group: bool,
    adopt: bool,
    parent_death: Option<Signal>,
    /// The exit codes that count as 0.
    expected: Set<u8>,
    warn: bool,
    verbosity: u8,
    command: Vec<OsString>,
}

impl Run {
    fn run(self, call: &Call) -> u8 {
        if let Some(signal) = self.parent_death
            && let Err(error) = process::set_parent_death_signal(signal)
        {
            call.fail(&Error::os("ask for", signal.to_string(), error));
            return FAILED;
        }
        if std::process::id() != 1 && !self.adopt && self.verbosity >= 1 {
            call.say("orphans will not be seen here: run it as PID 1, or with -s");
        }
        let mut told = Told::nothing();
        told.adopt = self.adopt;
        told.reach = if self.group { Reach::Group } else { Reach::Leader };
        told.mention = self.mention();
        told.command = Some(self.command);
        match supervise(call, told) {
            Ok(code) if self.expected.contains(&code) => 0,
            Ok(code) => code,
            Err(error) => {
                call.fail(&error);
                FAILED
            }
        }
    }

    fn mention(&self) -> Mention {
        Mention {
            ends: false,
            main: self.verbosity >= 2,
            signals: self.verbosity >= 3,
            orphans: self.verbosity >= 3 || self.warn && self.verbosity >= 1,
        }
    }
}

fn parse(args: &[OsString], variable: impl Fn(&str) -> Option<OsString>) -> Result<Asked, String> {
    let mut run = Run { verbosity: 1, ..Run::default() };
    let mut args = args.iter().peekable();
    while let Some(word) = args.next_if(|word| is_option(word)) {
        if word == "--" {
            run.command = args.by_ref().cloned().collect();
            break;
        }
        let mut letters = word.as_bytes().iter().skip(1).copied();
        while let Some(letter) = letters.next() {
            match letter {
                b'h' => return Ok(Asked::Help),
                b'l' => return Ok(Asked::License),
                b'g' => run.group = true,
                b's' => run.adopt = true,
                b'w' => run.warn = true,
                b'v' => run.verbosity = run.verbosity.saturating_add(1),
                b'p' | b'e' => {
                    // The rest of the word, or the next one.
                    let rest: Vec<u8> = letters.by_ref().collect();
                    let value = if rest.is_empty() { args.next() } else { None };
                    let value = value.cloned().unwrap_or(OsString::from_vec(rest));
                    let value = value.to_string_lossy();
                    if letter == b'p' {
                        run.parent_death = Some(value.parse().map_err(|e| with_hints(&e))?);
                    } else {
                        run.expected.insert(value.parse().map_err(|_| {
                            format!("\"{value}\" is not an exit code from 0 to 255")
                        })?);
                    }
                }
                _ => return Err(format!("unknown option {}", word.to_string_lossy())),
            }
        }
    }
    let direct = args.len() > 0;
    run.command.extend(args.cloned());
    // As its usage has it: PROGRAM -- [ARGS].
    if direct && run.command.get(1).is_some_and(|word| word == "--") {
        run.command.remove(1);
    }
    if run.command.is_empty() {
        return Err("no program".into());
    }
    run.adopt |= variable("TINI_SUBREAPER").is_some();
    run.group |= variable("TINI_KILL_PROCESS_GROUP").is_some();
    if let Some(text) = variable("TINI_VERBOSITY") {
        let text = text.to_string_lossy();
        let problem = |_| format!("TINI_VERBOSITY is \"{text}\", not a number such as 1");
        run.verbosity = text.parse().map_err(problem)?;
    }
    Ok(Asked::Run(run))
}

fn is_option(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes().starts_with(b"-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn run_with(text: &str, variables: &[(&str, &str)]) -> Run {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        match parse(&words(text), variable) {
            Ok(Asked::Run(run)) => run,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn run(text: &str) -> Run {
        run_with(text, &[])
    }

    #[test]
    fn options_may_be_joined_and_repeated() {
        let all = run("-gsw -e143 -e 3 -vv -p SIGTERM -- true -v");
        assert!(all.group && all.adopt && all.warn);
        assert_eq!(all.expected, Set::from_iter([3, 143]));
        assert_eq!((all.verbosity, all.parent_death), (3, Some(Signal::TERM)));
        assert_eq!(all.command, words("true -v"));
        assert_eq!(run("-gpKILL x").parent_death, Some(Signal::KILL));
        let none = run("x");
        assert!(!none.group && !none.adopt && !none.warn && none.expected.len() == 0);
        assert_eq!((none.verbosity, none.parent_death), (1, None));
    }

    #[test]
    fn the_program_begins_at_the_first_word_that_is_no_option() {
        for (text, command) in [
            ("sh -c true", "sh -c true"),
            ("-s sh -c true", "sh -c true"),
            ("sh -- -c true", "sh -c true"),
            ("sh -c -- true", "sh -c -- true"),
            ("-- sh -- -c", "sh -- -c"),
            ("-- -strange", "-strange"),
            ("- -v", "- -v"),
        ] {
            assert_eq!(run(text).command, words(command), "{text}");
        }
    }

    #[test]
    fn variables_switch_on_and_the_level_is_the_variables() {
        let set = [("TINI_SUBREAPER", ""), ("TINI_KILL_PROCESS_GROUP", "1")];
        let told = run_with("x", &set);
        assert!(told.adopt && told.group);
        let level = |text, level| run_with(text, &[("TINI_VERBOSITY", level)]).mention();
        let (main, signals, orphans) = (true, true, true);
        assert_eq!(level("-vvv x", "0"), Mention::default());
        assert_eq!(level("-w x", "0"), Mention::default());
        assert_eq!(level("-w x", "1"), Mention { orphans, ..Mention::default() });
        assert_eq!(level("x", "2"), Mention { main, ..Mention::default() });
        assert_eq!(level("x", "3"), Mention { main, signals, orphans, ends: false });
        let bad = parse(&words("x"), |_| Some("loud".into())).unwrap_err();
        assert_eq!(bad, "TINI_VERBOSITY is \"loud\", not a number such as 1");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "--", "-g", "-x y", "-e x", "-e", "-e 256 x", "-e -1 x", "-p NO x", "-p"] {
            assert!(parse(&words(text), |_| None).is_err(), "{text}");
        }
    }
}
