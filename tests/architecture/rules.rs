//! The rules, each as a line of a table or a few lines of code.

use super::source::{Reference, references, tokens};

#[derive(Debug, PartialEq)]
pub struct Violation {
    pub line: usize,
    pub what: String,
}

/// The layers of the library, and what each may import besides itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("cli", &["engine", "image", "container", "network", "volume", "oci", "types", "error"]),
    (
        "engine",
        &[
            "image",
            "container",
            "network",
            "dns",
            "volume",
            "http",
            "oci",
            "sys",
            "toml",
            "types",
            "error",
        ],
    ),
    ("image", NOUN),
    ("container", NOUN),
    ("network", NOUN),
    ("dns", NOUN),
    ("volume", NOUN),
    ("http", &["error"]),
    ("oci", &["sys", "types", "error"]),
    ("sys", &["types", "error"]),
    ("toml", &["types", "error"]),
    ("types", &["error"]),
    ("error", &["types"]),
];
/// The nouns do not import each other; the engine joins them.
const NOUN: &[&str] = &["oci", "sys", "types", "error"];
/// What the binaries' own code may take from the library: the face, and of sys its heap, which a
/// program names for itself.
const MAIN: &[&str] = &["cli", "error", "types", "sys"];
// `entry` is a macro of sys; Rust puts those at the crate's root.
const INIT: &[&str] = &["sys", "toml", "types", "error", "entry"];
/// The parts of cox that decide and do nothing: no system, no clock.
const PURE: &[&str] = &["init/machine.rs", "init/graph.rs", "init/policy.rs", "init/service.rs"];

/// Lines a file may have without its test module: a file holds one concept.
const MAX_LINES: usize = 700;

pub fn check(file: &str, text: &str) -> Vec<Violation> {
    let tokens = tokens(text);
    let references = references(&tokens);
    let mut found = Vec::new();
    let mut report = |line, what: String| found.push(Violation { line, what });

    let part = Part::of(file);
    for reference in &references {
        layer(file, &part, reference, &mut report);
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        let has = |names: &[&str]| path.windows(names.len()).any(|w| w == names);
        let in_tests = part == Part::Tests || reference.inside.iter().any(|m| m == "tests");
        if in_tests && has(&["thread", "sleep"]) {
            report(reference.line, "a test sleeps; wait for an event instead".into());
        }
        if has(&["process", "exit"]) && !part.is_face() {
            report(reference.line, "only main, cli and init may end the process".into());
        }
        if has(&["io", "stdout"]) && !part.is_face() {
            report(reference.line, "only cli and init write to stdout".into());
        }
        let kernel = matches!(path.first(), Some(&"libc" | &"nix"));
        if kernel && !matches!(&part, Part::Library(layer) if layer == "sys") && part != Part::Tests
        {
            report(reference.line, format!("{} belongs in src/sys", path[0]));
        }
        let clock = ["Instant", "SystemTime"].iter().any(|c| path.contains(c));
        if PURE.contains(&file) && clock && path.contains(&"now") {
            report(reference.line, "a pure module reads the clock; it is given the time".into());
        }
    }

    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map(|t| t.text.as_str());
        let in_sys = matches!(&part, Part::Library(layer) if layer == "sys");
        match token.text.as_str() {
            "unsafe" if !in_sys => report(token.line, "unsafe belongs in src/sys".into()),
            name @ ("println" | "print") if next == Some("!") && !part.is_face() => {
                report(token.line, format!("{name}! outside of cli and init"));
            }
            _ => {}
        }
    }

    let lines = text.lines().take_while(|l| *l != "#[cfg(test)]").count();
    if lines > MAX_LINES {
        report(lines, format!("{lines} lines, over the limit of {MAX_LINES}: split the file"));
    }
    found
}

/// Where a file stands.
#[derive(Debug, PartialEq)]
enum Part {
    /// src/, by layer; `lib` for the root.
    Library(String),
    Main,
    Init,
    Tests,
}

impl Part {
    fn of(file: &str) -> Part {
        let mut parts = file.split('/');
        match (parts.next(), parts.next()) {
            (Some("src"), Some("main.rs")) => Part::Main,
            (Some("src"), Some(name)) => Part::Library(name.trim_end_matches(".rs").into()),
            (Some("init"), _) => Part::Init,
            _ => Part::Tests,
        }
    }

    /// Whether the file may speak to the user and end the process.
    fn is_face(&self) -> bool {
        match self {
            Part::Main | Part::Init | Part::Tests => true,
            Part::Library(layer) => layer == "cli",
        }
    }
}

/// Judges one reference by the first module it names.
fn layer(file: &str, part: &Part, reference: &Reference, report: &mut impl FnMut(usize, String)) {
    let Some(target) = resolve(file, reference) else { return };
    let (own, allowed): (&str, &[&str]) = match part {
        Part::Tests => return,
        Part::Library(layer) if layer == "lib" => return,
        Part::Library(layer) => match LAYERS.iter().find(|(name, _)| name == layer) {
            Some((name, allowed)) => (name, allowed),
            None => {
                let what = format!("{layer} is no layer; name it in tests/architecture/rules.rs");
                return report(reference.line, what);
            }
        },
        Part::Main => ("main", MAIN),
        Part::Init => ("init", INIT),
    };
    match target {
        Target::Library(name) if name == own || allowed.contains(&name.as_str()) => {
            // A type is a value; a module or a function can act.
            let value = reference.path.last().is_some_and(|n| n.starts_with(char::is_uppercase));
            if PURE.contains(&file) && name == "sys" && !value {
                report(reference.line, "a pure module imports sys".into());
            }
        }
        Target::Library(name) => {
            report(reference.line, format!("{own} must not import {name}"));
        }
        Target::Init(name) if file.starts_with("init/tools/") && name != "tools" => {
            report(reference.line, format!("init/tools must not import the supervisor's {name}"));
        }
        Target::Init(_) => {}
    }
}

/// The top-level module a path leads to.
enum Target {
    Library(String),
    Init(String),
}

/// None where the path leaves the crate (std, a dependency) or stays in its module.
fn resolve(file: &str, reference: &Reference) -> Option<Target> {
    let mut path = reference.path.iter().map(String::as_str).peekable();
    let first = path.next()?;
    let mut here = module_of(file);
    here.extend(reference.inside.iter().cloned());
    match first {
        "coracle" => return path.next().map(|name| Target::Library(name.into())),
        "crate" => here.clear(),
        "self" => {}
        "super" => {
            here.pop();
            while path.next_if_eq(&"super").is_some() {
                here.pop();
            }
        }
        _ => return None,
    }
    here.extend(path.map(String::from));
    let top = here.into_iter().next()?;
    // A macro or item of the crate root is no layer.
    if top.starts_with(char::is_uppercase) {
        return None;
    }
    Some(if file.starts_with("init/") { Target::Init(top) } else { Target::Library(top) })
}

/// `src/image/tar.rs` is `image::tar`; `src/image/mod.rs` is `image`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.split_once('/').map_or(file, |(_, rest)| rest);
    let path = path.trim_end_matches(".rs");
    let mut parts: Vec<String> = path.split('/').map(String::from).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<(usize, String)> {
        check(file, text).into_iter().map(|v| (v.line, v.what)).collect()
    }

    /// One violation, at that line, saying that.
    #[track_caller]
    fn refused(file: &str, text: &str, line: usize, what: &str) {
        let found = lines(file, text);
        assert!(
            matches!(&found[..], [(l, w)] if *l == line && w.contains(what)),
            "{found:?}, not one at {line} with {what:?}"
        );
    }

    #[track_caller]
    fn accepted(file: &str, text: &str) {
        assert_eq!(lines(file, text), []);
    }

    #[test]
    fn a_layer_imports_what_stands_below_it() {
        accepted("src/engine/run.rs", "use crate::{container::Record, image, sys::mount};");
        accepted("src/oci/run.rs", "use super::spec::Spec; use crate::sys::child;");
        accepted("src/image/store/mod.rs", "use super::tar; fn f() { crate::error::reason() }");
        accepted("init/main.rs", "use coracle::sys::poll; use crate::machine::step;");
    }

    #[test]
    fn an_import_upward_is_refused_where_it_stands() {
        refused("src/sys/mount.rs", "\nuse crate::oci::Spec;", 2, "sys must not import oci");
        refused("src/oci/run.rs", "use crate::{\n types::Pid,\n engine::x,\n};", 3, "engine");
        refused("src/engine/a.rs", "fn f() {\n crate::cli::render() }", 2, "cli");
        refused("src/types/pid.rs", "use super::super::sys::x;", 1, "types must not import sys");
        refused("src/cli/run.rs", "use crate::sys::pidfd;", 1, "cli must not import sys");
    }

    #[test]
    fn nouns_do_not_import_each_other() {
        refused("src/image/store.rs", "use crate::container::Record;", 1, "image must not import");
        refused("src/network/mod.rs", "mod tests { use super::super::volume; }", 1, "volume");
    }

    #[test]
    fn the_init_takes_only_the_kernel_and_values_from_the_library() {
        refused("init/spawn.rs", "use coracle::oci::Spec;", 1, "init must not import oci");
        refused("init/tools/softlimit.rs", "use crate::supervisor::X;", 1, "supervisor");
        refused("init/machine.rs", "use coracle::sys::poll;", 1, "pure");
        accepted("init/machine.rs", "use coracle::sys::pidfd::Exit;");
        refused("init/policy.rs", "fn f() { std::time::Instant::now(); }", 1, "clock");
    }

    #[test]
    fn the_kernel_is_touched_only_in_sys() {
        accepted("src/sys/x.rs", "use libc::c_int; fn f() { unsafe { g() } }");
        refused("src/oci/x.rs", "fn f() { unsafe { g() } }", 1, "unsafe");
        refused("src/container/x.rs", "use nix::sys::signal::kill;", 1, "nix");
        refused("init/x.rs", "let x = libc::SIGTERM;", 1, "libc");
    }

    #[test]
    fn only_the_faces_print_and_exit() {
        accepted("src/cli/x.rs", "fn f() { println!(); std::process::exit(1) }");
        refused("src/engine/x.rs", "fn f() { println!() }", 1, "println!");
        refused("src/image/x.rs", "use std::process;\nfn f() { process::exit(1) }", 2, "end");
        refused("src/container/x.rs", "fn f() { std::io::stdout() }", 1, "stdout");
        accepted("src/engine/x.rs", "fn f() { eprintln!(\"println!()\") } // println!()");
    }

    #[test]
    fn tests_wait_for_events() {
        let sleep = "fn f() { std::thread::sleep(d) }";
        accepted("src/container/x.rs", sleep);
        refused("src/container/x.rs", &format!("mod tests {{ {sleep} }}"), 1, "sleeps");
        refused("tests/run.rs", "use std::thread;\nfn f() { thread::sleep(d) }", 2, "sleeps");
    }

    #[test]
    fn a_file_holds_one_concept() {
        let long = "\n".repeat(MAX_LINES + 1);
        refused("src/image/x.rs", &long, MAX_LINES + 1, "split");
        let tested = format!("{}#[cfg(test)]\n{long}", "\n".repeat(MAX_LINES));
        accepted("src/image/x.rs", &tested);
    }
}
