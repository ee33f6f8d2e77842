//! The command line: words in, text out. Everything between is the engine's.
//!
//! `argv` brings a command line into one form, argh reads it into the `Args` of the command,
//! `Command::new` checks it, `Command::run` asks the engine and prints what it answers. Results go
//! to stdout, all else to stderr; errors are rendered here and nowhere else.
//!
//! Exit codes: 125 where the words were wrong or `run` failed before its program (126 and 127
//! where the program could not be executed), 1 where another command failed, else 0, or the
//! program's own.

mod argv;
mod attach;
mod command;
mod commit;
mod confirm;
mod cp;
mod df;
mod diff;
mod env;
mod events;
mod exec;
mod export;
mod fsck;
mod global;
mod healthcheck;
mod help;
mod history;
mod image_tree;
mod images;
mod import;
mod infile;
mod info;
mod insert;
mod inspect;
mod json;
mod kill;
mod listing;
mod load;
mod logs;
mod monitor;
mod network;
mod output;
mod pause;
mod port;
mod prune;
mod ps;
mod rename;
mod rm;
mod rmi;
mod run;
mod save;
mod start;
mod stats;
mod stop;
mod table;
mod tag;
mod template;
mod top;
mod update;
mod version;
mod volume;
mod wait;

use crate::engine::{Engine, rootless};
use crate::error::{Error, Result};
use crate::types::nearest;
use argh::ArgsInfo;
use command::{Entry, Outcome, Parsed};
use global::Global;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// All commands, in the order of the help.
const COMMANDS: &[Entry] = &[
    Entry::of::<attach::Attach>(),
    Entry::of::<commit::Commit>(),
    Entry::of::<prune::ContainerPrune>(),
    Entry::of::<cp::Cp>(),
    Entry::of::<run::Create>(),
    Entry::of::<diff::Diff>(),
    Entry::of::<events::Events>(),
    Entry::of::<exec::Exec>(),
    Entry::of::<export::Export>(),
    Entry::of::<fsck::Fsck>(),
    Entry::of::<prune::Gc>(),
    Entry::of::<healthcheck::Run>(),
    Entry::of::<history::History>(),
    Entry::of::<prune::ImagePrune>(),
    Entry::of::<images::Images>(),
    Entry::of::<import::Import>(),
    Entry::of::<info::Info>(),
    Entry::of::<insert::Insert>(),
    Entry::of::<inspect::Inspect>(),
    Entry::of::<kill::Kill>(),
    Entry::of::<load::Load>(),
    Entry::of::<logs::Logs>(),
    Entry::of::<network::Connect>(),
    Entry::of::<network::Create>(),
    Entry::of::<network::Disconnect>(),
    Entry::of::<network::Inspect>(),
    Entry::of::<network::Ls>(),
    Entry::of::<network::Prune>(),
    Entry::of::<network::Rm>(),
    Entry::of::<pause::Pause>(),
    Entry::of::<port::PortCommand>(),
    Entry::of::<ps::Ps>(),
    Entry::of::<rename::Rename>(),
    Entry::of::<stop::Restart>(),
    Entry::of::<rm::Rm>(),
    Entry::of::<rmi::Rmi>(),
    Entry::of::<run::Run>(),
    Entry::of::<save::Save>(),
    Entry::of::<start::Start>(),
    Entry::of::<stats::Stats>(),
    Entry::of::<stop::Stop>(),
    Entry::of::<df::Df>(),
    Entry::of::<prune::SystemPrune>(),
    Entry::of::<tag::Tag>(),
    Entry::of::<top::Top>(),
    Entry::of::<pause::Unpause>(),
    Entry::of::<update::Update>(),
    Entry::of::<version::Version>(),
    Entry::of::<volume::Create>(),
    Entry::of::<volume::Inspect>(),
    Entry::of::<volume::Ls>(),
    Entry::of::<volume::Prune>(),
    Entry::of::<volume::Rm>(),
    Entry::of::<wait::Wait>(),
];

/// Commands that today's Docker also groups by what they are about: the group, the word there, and
/// the command.
const SAME: &[(&str, &str, &str)] = &[
    ("container", "attach", "attach"),
    ("container", "commit", "commit"),
    ("container", "cp", "cp"),
    ("container", "create", "create"),
    ("container", "diff", "diff"),
    ("container", "exec", "exec"),
    ("container", "export", "export"),
    ("container", "inspect", "inspect"),
    ("container", "kill", "kill"),
    ("container", "logs", "logs"),
    ("container", "ls", "ps"),
    ("container", "pause", "pause"),
    ("container", "port", "port"),
    ("container", "ps", "ps"),
    ("container", "rename", "rename"),
    ("container", "restart", "restart"),
    ("container", "rm", "rm"),
    ("container", "run", "run"),
    ("container", "start", "start"),
    ("container", "stats", "stats"),
    ("container", "stop", "stop"),
    ("container", "top", "top"),
    ("container", "unpause", "unpause"),
    ("container", "update", "update"),
    ("container", "wait", "wait"),
    ("image", "history", "history"),
    ("image", "import", "import"),
    ("image", "inspect", "inspect"),
    ("image", "load", "load"),
    ("image", "ls", "images"),
    ("image", "rm", "rmi"),
    ("image", "save", "save"),
    ("image", "tag", "tag"),
    ("system", "events", "events"),
    ("system", "info", "info"),
];

/// Other words for those of a group: `network list` is `network ls`.
const WORDS: &[(&str, &str)] = &[("list", "ls"), ("remove", "rm")];

/// Words of Docker's that are no commands here, and what is said of them.
const NOT_HERE: &[(&str, &str)] = &[
    ("build", "make images with import and commit, or load what another program built"),
    ("builder", BUILDS),
    ("buildx", BUILDS),
    ("compose", "start the containers one by one, by a script"),
    ("config", CLUSTERS),
    ("context", "this engine acts on its own machine only"),
    ("checkpoint", "containers are not frozen to disk here"),
    ("daemon", "there is none, and none is needed"),
    ("login", REGISTRIES),
    ("logout", REGISTRIES),
    ("manifest", REGISTRIES),
    ("node", CLUSTERS),
    ("plugin", "there are no plugins here"),
    ("pull", REGISTRIES),
    ("push", REGISTRIES),
    ("search", REGISTRIES),
    ("secret", CLUSTERS),
    ("service", CLUSTERS),
    ("stack", CLUSTERS),
    ("swarm", CLUSTERS),
    ("trust", REGISTRIES),
];
const BUILDS: &str = "nothing is built here: load what another program built";
const CLUSTERS: &str = "clusters are Docker's: this engine acts on its own machine only";
const REGISTRIES: &str = "registries are not spoken to yet: get images with load or import";

/// The code for a command line that makes no sense.
const USAGE: u8 = 125;

pub fn main(mut args: Vec<OsString>) -> ExitCode {
    if let Err(error) = Engine::enter() {
        return finish(Err((USAGE, error)));
    }
    // The engine's own word comes first: a monitor parses nothing it does not need.
    if args.get(1).is_some_and(|word| word == "monitor") {
        // It has told its client what went wrong, and has nobody else to tell.
        return match monitor::run(&args[2..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    // So does this one: we were executed again, from a sealed copy of our program.
    let sealed = match args.get(1) {
        Some(word) if word == "sealed" && args.len() > 3 => {
            let mut words = args.drain(1..4).skip(1).map(PathBuf::from);
            words.next().zip(words.next())
        }
        _ => None,
    };
    finish(dispatch(args, sealed))
}

/// `sealed` is the program that we are a copy of, and the state root.
fn dispatch(args: Vec<OsString>, sealed: Option<(PathBuf, PathBuf)>) -> Outcome {
    let usage = |e: Error| (USAGE, e);
    let words: Vec<String> = args
        .into_iter()
        .skip(1)
        .map(|word| {
            word.into_string().map_err(|word| {
                Error::invalid(format!("the argument \"{}\" is not UTF-8", word.to_string_lossy()))
            })
        })
        .collect::<Result<_>>()
        .map_err(usage)?;
    let Some(global) = global::read(&words).map_err(usage)? else {
        return print(&overview());
    };
    if global.version {
        return print(&format!("coracle version {}\n", version::VERSION));
    }
    let words = match global.command.split_first() {
        Some((help, words)) if help == "help" => {
            return match words {
                [] => print(&overview()),
                words => print(&help::of(entry(words).map_err(usage)?.0)),
            };
        }
        None => {
            global.check().map_err(usage)?;
            return print(&overview());
        }
        Some(_) => &global.command,
    };
    if let [group] | [group, _] = &words[..]
        && is_group(group)
        && words.get(1).is_none_or(|word| word == "--help" || word == "-h")
    {
        return print(&group_overview(group));
    }
    let (entry, rest) = entry(words).map_err(usage)?;
    let see = |e: Error| (USAGE, e.hint(format!("see 'coracle {} --help'", entry.name)));
    match (entry.parse)(entry, rest).map_err(see)? {
        Parsed::Help => print(&help::of(entry)),
        Parsed::Run(command) => {
            global.check().map_err(usage)?;
            let settings = global.settings().map_err(usage)?;
            let driver = global::driver(&settings).map_err(usage)?;
            let (program, root) = match sealed {
                Some((program, root)) => (Some(program), root),
                None => (None, global::root(&settings).map_err(usage)?),
            };
            let _member = rootless::enter(&root).map_err(usage)?;
            let engine = engine(&root, program).map_err(usage)?.with_driver(driver);
            let engine = engine.with_voice(tell);
            let is_quiet = settings.is_quiet();
            let engine = engine.with_settings(settings);
            engine.check_version().map_err(usage)?;
            let outcome = command(&engine);
            if !is_quiet {
                warn(&engine);
            }
            outcome
        }
    }
}

/// The command that `words` begin with, and the words behind it.
fn entry(words: &[String]) -> Result<(&'static Entry, &[String])> {
    let (group, (name, rest)) = match words {
        [group, name, rest @ ..] if is_group(group) => (Some(group), (name, rest)),
        [name, rest @ ..] => (None, (name, rest)),
        [] => return Err(Error::invalid("there is no command without a name")),
    };
    let named = |name: &str| COMMANDS.iter().find(|entry| entry.name == name);
    let found = match group {
        None => named(name),
        Some(group) => {
            let other = WORDS.iter().find(|(other, _)| other == name);
            let name = other.map_or(name.as_str(), |(_, word)| word);
            let same = SAME.iter().find(|(of, word, _)| of == group && *word == name);
            same.map_or_else(|| named(&format!("{group} {name}")), |(.., name)| named(name))
        }
    };
    found.map(|entry| (entry, rest)).ok_or_else(|| {
        let whole = group.map_or(name.clone(), |group| format!("{group} {name}"));
        let error = Error::invalid(format!("there is no command \"{whole}\""));
        let word = if group.is_none_or(|group| group == "image") { name } else { "" };
        if let Some((_, why)) = NOT_HERE.iter().find(|(other, _)| *other == word) {
            return error.hint(*why);
        }
        let names: Vec<String> = match group {
            None => COMMANDS.iter().map(|entry| entry.name.to_string()).collect(),
            Some(group) => members(group).map(|(word, _)| format!("{group} {word}")).collect(),
        };
        error.hint(match nearest(&whole, names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "see 'coracle --help'".to_string(),
        })
    })
}

/// Whether commands of two words begin with this one.
fn is_group(word: &str) -> bool {
    members(word).next().is_some()
}

/// The second words of a group, each with its command.
fn members(group: &str) -> impl Iterator<Item = (&'static str, &'static Entry)> {
    let own = COMMANDS.iter().filter_map(move |entry| {
        let (of, word) = entry.name.split_once(' ')?;
        (of == group).then_some((word, entry))
    });
    let same = SAME.iter().filter(move |(of, ..)| *of == group).filter_map(|(_, word, name)| {
        let entry = COMMANDS.iter().find(|entry| entry.name == *name)?;
        Some((*word, entry))
    });
    own.chain(same)
}

fn engine(root: &Path, program: Option<PathBuf>) -> Result<Engine> {
    let engine = Engine::new(root)?;
    Ok(match program {
        Some(program) => engine.sealed(program),
        None => engine,
    })
}

fn overview() -> String {
    let info = Global::get_args_info();
    let rows = COMMANDS.iter().map(|entry| (entry.name.to_string(), (entry.about)()));
    help::overview(info.description, info.flags, &rows.collect::<Vec<_>>())
}

/// `coracle GROUP --help`
fn group_overview(group: &str) -> String {
    let mut rows: Vec<_> =
        members(group).map(|(word, e)| (word.to_string(), (e.about)())).collect();
    rows.sort();
    help::group(group, &rows)
}

fn print(text: &str) -> Outcome {
    output::text(text).map(|()| 0).map_err(|e| (1, e))
}

/// Renders what went wrong, and gives the exit code.
fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => code.into(),
        Err((_, error)) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err((code, error)) => {
            report(&error);
            code.into()
        }
    }
}

/// Tells what went wrong beside what was asked for.
fn warn(engine: &Engine) {
    engine.take_troubles().into_iter().for_each(tell);
}

fn tell(trouble: Error) {
    report(&trouble.doing("warning"));
}

/// One line for an error, one for each cure, the nearest first; several errors each have their own.
fn report(error: &Error) {
    if let Some(errors) = error.several() {
        return errors.iter().for_each(report);
    }
    output::diagnostic(&format!("coracle: {error}"));
    for hint in error.hints().iter().rev() {
        output::diagnostic(&format!("hint: {hint}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (u8, Error) {
        let words = std::iter::once("coracle").chain(line.split_whitespace());
        dispatch(words.map(OsString::from).collect(), None).unwrap_err()
    }

    #[test]
    fn mistakes_end_before_the_engine_with_125() {
        for (line, text, hint) in [
            ("strat x", "there is no command \"strat\"", "did you mean start?"),
            ("frobnicate", "there is no command \"frobnicate\"", "see 'coracle --help'"),
            ("--rot x ps", "unknown flag --rot", "did you mean --root?"),
            ("run --nmae x y", "unknown flag --nmae", "did you mean --name?"),
            ("run", "run: an argument is missing: image", "see 'coracle run --help'"),
            ("rm", "rm: an argument is missing: container", "see 'coracle rm --help'"),
            ("ps x", "ps: too many arguments: x", "see 'coracle ps --help'"),
            (
                "stop -t soon x",
                "--timeout: \"soon\" is not a whole number",
                "see 'coracle stop --help'",
            ),
            ("create -d x", "unknown flag -d", "see 'coracle create --help'"),
            ("swarm init", "there is no command \"swarm\"", CLUSTERS),
            ("image pull x", "there is no command \"image pull\"", REGISTRIES),
            ("help strat", "there is no command \"strat\"", "did you mean start?"),
            ("image sl", "there is no command \"image sl\"", "did you mean image ls?"),
            ("container ls x", "ps: too many arguments: x", "see 'coracle ps --help'"),
        ] {
            let (code, error) = refused(line);
            assert_eq!((code, error.to_string().as_str()), (125, text), "{line}");
            assert!(error.hints().contains(&hint), "{line}: {:?}", error.hints());
        }
    }

    #[test]
    fn the_words_of_a_group_have_others_that_mean_the_same() {
        let name = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            entry(&words).map(|(entry, _)| entry.name)
        };
        for (line, meant) in [
            ("network list", "network ls"),
            ("network remove", "network rm"),
            ("volume list", "volume ls"),
            ("volume remove", "volume rm"),
            ("image list", "images"),
            ("image remove", "rmi"),
            ("container list", "ps"),
            ("container ps", "ps"),
            ("container remove", "rm"),
        ] {
            assert_eq!(name(line).unwrap(), meant, "{line}");
        }
        assert!(name("list").is_err() && name("system remove").is_err());
    }

    #[test]
    fn every_command_has_a_help_that_fits_a_terminal() {
        let mut last = "";
        for entry in COMMANDS {
            assert!(last < entry.name, "{} is out of order", entry.name);
            last = entry.name;
            let text = help::of(entry);
            assert!(text.starts_with(&format!("Usage:  coracle {}", entry.name)));
            assert!(text.lines().skip(1).all(|line| line.chars().count() <= 80), "{text}");
        }
        for (group, _, name) in SAME {
            assert!(COMMANDS.iter().any(|entry| entry.name == *name), "{group}: {name}");
        }
        assert!(group_overview("image").contains("\n  ls "));
        let text = overview();
        assert!(text.contains("\n  run ") && text.contains("\n  -g, --root directory "));
    }
}
