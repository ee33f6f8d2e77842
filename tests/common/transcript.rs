//! Sessions with a shell, as documentation writes them, played and compared.
//!
//! ```text
//! # a remark
//! $ docker run ubuntu echo hello      a command, given to one shell after the other
//! > && echo more                      its next line
//! hello                               a line of its output, stderr among it
//! [..] ago                            `[..]` is any part of a line
//! ...                                 any number of lines, none too
//! [rc=1]                              how it ended, where that is not 0
//! ```
//!
//! The shell is on a terminal, and finds the command under test as `docker`, through a link.

use super::Test;
use std::fmt::Write;

/// Before what a command ended with, on a line of its own.
const END: &str = "@end-of-command@";

struct Step<'a> {
    line: usize,
    command: String,
    expected: Vec<&'a str>,
    code: i32,
}

fn parse(text: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let last = steps.last_mut();
        match (line.strip_prefix("$ "), line.strip_prefix("> "), last) {
            (Some(command), ..) => steps.push(Step {
                line: at + 1,
                command: command.to_string(),
                expected: Vec::new(),
                code: 0,
            }),
            (_, Some(more), Some(step)) if step.expected.is_empty() => {
                step.command = format!("{}\n{more}", step.command);
            }
            _ if line.starts_with('#') || line.is_empty() => {}
            (.., Some(step)) => match line.strip_prefix("[rc=").and_then(|l| l.strip_suffix(']')) {
                Some(code) => step.code = code.parse().expect("a number behind rc="),
                None => step.expected.push(line),
            },
            (.., None) => panic!("line {}: output of no command: {line}", at + 1),
        }
    }
    steps
}

/// Whether a line is as expected.
fn is_like(expected: &str, line: &str) -> bool {
    let mut parts = expected.trim_end().split("[..]");
    let Some(mut rest) = line.trim_end().strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn are_like(expected: &[&str], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (0..=lines.len()).any(|at| are_like(rest, &lines[at..])),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, more)| is_like(first, line) && are_like(rest, more)),
    }
}

impl Test {
    /// A directory with a link named `docker` to the command under test, which makes it use this
    /// test's state root; and with a `sudo` that changes nothing. As PATH and CORACLE_CONFIG.
    pub fn docker(&self) -> [(&'static str, String); 2] {
        let bin = self.dir("bin");
        if !bin.join("docker").exists() {
            let program = super::command::program();
            let program = std::fs::canonicalize(program).expect("the command under test");
            std::os::unix::fs::symlink(program, bin.join("docker")).expect("link");
            std::os::unix::fs::symlink("/usr/bin/env", bin.join("sudo")).expect("link");
        }
        let config = self.path("coracle.toml");
        let text = format!("root = \"{}\"\n", self.root().display());
        std::fs::write(&config, text).expect("write the settings");
        let path = std::env::var("PATH").unwrap_or_default();
        [
            ("PATH", format!("{}:{path}", bin.display())),
            ("CORACLE_CONFIG", config.display().to_string()),
        ]
    }

    /// Plays a session, in a directory of the test's own, and compares.
    #[track_caller]
    pub fn play(&self, text: &str) {
        let steps = parse(text);
        let work = self.dir("work");
        let mut script = format!("cd {}\nHOME={}\nexport HOME\n", work.display(), work.display());
        for Step { command, .. } in &steps {
            // In the shell itself, so that what it sets stays.
            writeln!(script, "{{ {command}\n}} 2>&1\necho \"{END}$?\"").expect("write to a string");
        }
        let run = self
            .docker()
            .iter()
            .fold(self.coracle(Vec::<String>::new()).by(&script), |run, (name, value)| {
                run.env(name, value)
            });
        let mut shell = run.on_terminal(50, 250);
        shell.wait();
        let output = String::from_utf8_lossy(&shell.rest_of_stdout()).replace('\r', "");
        let mut lines = output.lines();
        let mut faults = Vec::new();
        for step in &steps {
            let mut said: Vec<&str> = Vec::new();
            let code = loop {
                match lines.next().map(|line| (line, line.split_once(END))) {
                    Some((_, Some((before, code)))) => {
                        said.extend(Some(before).filter(|text| !text.is_empty()));
                        break code.parse().unwrap_or(-1);
                    }
                    Some((line, None)) => said.push(line),
                    None => break -1,
                }
            };
            if code != step.code || !are_like(&step.expected, &said) {
                let (line, command) = (step.line, &step.command);
                let (want, got) = (step.expected.join("\n"), said.join("\n"));
                faults.push(format!(
                    "line {line}: $ {command}\n--- expected, [rc={}]\n{want}\n--- got, [rc={code}]\n{got}",
                    step.code
                ));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    }
}

#[test]
fn lines_are_compared_with_what_may_be_anything() {
    for (expected, line, is_so) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("[..]", "", true),
        ("a[..]c", "abc", true),
        ("a[..]c", "acd", false),
        ("a[..]b[..]c", "a-b-c", true),
        ("a[..]b[..]c", "a-c", false),
    ] {
        assert_eq!(is_like(expected, line), is_so, "{expected} {line}");
    }
    assert!(are_like(&["a", "...", "c"], &["a", "b", "b", "c"]));
    assert!(are_like(&["..."], &[]) && !are_like(&["...", "c"], &["b"]));
}
