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
mod df;
mod diff;
mod env;
mod exec;
mod export;
mod fsck;
mod help;
mod history;
mod image_tree;
mod images;
mod import;
mod info;
mod insert;
mod inspect;
mod json;
mod kill;
mod load;
mod logs;
mod monitor;
mod network;
mod output;
mod port;
mod prune;
mod ps;
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
mod version;
mod volume;
mod wait;

use crate::engine::settings::{Given, Settings};
use crate::engine::{Driver, Engine};
use crate::error::{Context, Error, OsContext, Result};
use crate::types::{Home, nearest};
use argh::{ArgsInfo, FromArgs};
use argv::{Flags, Line};
use command::{Entry, Outcome, Parsed};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// All commands, in the order of the help.
const COMMANDS: &[Entry] = &[
    Entry::of::<attach::Attach>(),
    Entry::of::<commit::Commit>(),
    Entry::of::<prune::ContainerPrune>(),
    Entry::of::<run::Create>(),
    Entry::of::<diff::Diff>(),
    Entry::of::<exec::Exec>(),
    Entry::of::<export::Export>(),
    Entry::of::<fsck::Fsck>(),
    Entry::of::<prune::Gc>(),
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
    Entry::of::<port::PortCommand>(),
    Entry::of::<ps::Ps>(),
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
    ("container", "create", "create"),
    ("container", "diff", "diff"),
    ("container", "exec", "exec"),
    ("container", "export", "export"),
    ("container", "inspect", "inspect"),
    ("container", "kill", "kill"),
    ("container", "logs", "logs"),
    ("container", "ls", "ps"),
    ("container", "port", "port"),
    ("container", "restart", "restart"),
    ("container", "rm", "rm"),
    ("container", "run", "run"),
    ("container", "start", "start"),
    ("container", "stats", "stats"),
    ("container", "stop", "stop"),
    ("container", "top", "top"),
    ("container", "wait", "wait"),
    ("image", "history", "history"),
    ("image", "import", "import"),
    ("image", "inspect", "inspect"),
    ("image", "load", "load"),
    ("image", "ls", "images"),
    ("image", "rm", "rmi"),
    ("image", "save", "save"),
    ("image", "tag", "tag"),
    ("system", "info", "info"),
];

/// The code for a command line that makes no sense.
const USAGE: u8 = 125;

/// A small daemonless container engine
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
struct Global {
    /// the default network's bridge has this address, in this range (172.20.0.1/16)
    #[argh(option, arg_name = "address")]
    bip: Option<String>,
    /// a bridge of yours for the default network, the name of one to be made, or none
    #[argh(option, short = 'b', arg_name = "name")]
    bridge: Option<String>,
    /// file of settings, which has these flags as its keys (default /etc/coracle/coracle.toml)
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// name server of containers that are made without any
    #[argh(option, arg_name = "address")]
    dns: Vec<String>,
    /// domain in which they look up names
    #[argh(option, arg_name = "domain")]
    dns_search: Vec<String>,
    /// the part of the default network's range that containers get their addresses from
    #[argh(option, arg_name = "range")]
    fixed_cidr: Option<String>,
    /// false: containers of the default network reach each other by links only
    #[argh(option, arg_name = "bool")]
    icc: Option<String>,
    /// address at which ports are published for which none is given
    #[argh(option, arg_name = "address")]
    ip: Option<String>,
    /// false: what leaves the default network keeps its address
    #[argh(option, arg_name = "bool")]
    ip_masq: Option<String>,
    /// false: no rules for packets (nor published ports) of the default network
    #[argh(option, arg_name = "bool")]
    iptables: Option<String>,
    /// true: containers of the default network have IPv6 addresses too
    #[argh(option, arg_name = "bool")]
    ipv6: Option<String>,
    /// bytes in a packet of the default network (default: as the host's way out)
    #[argh(option, arg_name = "int")]
    mtu: Option<String>,
    /// directory for all that outlives a reboot (default /var/lib/coracle)
    #[argh(option, short = 'g', arg_name = "directory")]
    root: Option<String>,
    /// how a new state root makes containers' files of images: overlay, or copy, which needs no
    /// overlayfs (default: what works there)
    #[argh(option, arg_name = "driver")]
    storage_driver: Option<String>,
    /// show the version
    #[argh(switch, short = 'v')]
    version: bool,
    #[argh(positional)]
    command: Vec<String>,
}

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
    let program = match args.get(1) {
        Some(word) if word == "sealed" && args.len() > 2 => {
            args.drain(1..3).nth(1).map(PathBuf::from)
        }
        _ => None,
    };
    finish(dispatch(args, program))
}

fn dispatch(args: Vec<OsString>, program: Option<PathBuf>) -> Outcome {
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
    let Some(global) = global(&words).map_err(usage)? else {
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
        None => return print(&overview()),
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
            refuse_remote_engine(std::env::var("DOCKER_HOST").ok()).map_err(usage)?;
            let settings_file = std::env::var_os("CORACLE_CONFIG").filter(|path| !path.is_empty());
            let file = global.config.clone().map(PathBuf::from);
            let file = file.or(settings_file.map(PathBuf::from));
            let driver = driver(global.storage_driver.clone()).map_err(usage)?;
            let settings = settings(&global).map_err(usage)?;
            let engine = engine(global.root, program).map_err(usage)?.with_driver(driver);
            let engine = engine.with_settings(settings, file);
            engine.check_version().map_err(usage)?;
            let outcome = command(&engine);
            warn(&engine);
            outcome
        }
    }
}

/// The options before the command; `None` where they ask for help.
fn global(words: &[String]) -> Result<Option<Global>> {
    let info = Global::get_args_info();
    let line = match argv::normalise(&info, &[], Flags::First, words) {
        Ok(Line::Help) => return Ok(None),
        Ok(Line::Arguments(line)) => line,
        Err(e) => return Err(e.hint("see 'coracle --help'")),
    };
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let global = Global::from_args(&["coracle"], &line);
    global.map(Some).map_err(|exit| Error::invalid(exit.output.trim_end().to_string()))
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
            let same = SAME.iter().find(|(of, word, _)| of == group && word == name);
            same.map_or_else(|| named(&format!("{group} {name}")), |(.., name)| named(name))
        }
    };
    found.map(|entry| (entry, rest)).ok_or_else(|| {
        let whole = group.map_or(name.clone(), |group| format!("{group} {name}"));
        let error = Error::invalid(format!("there is no command \"{whole}\""));
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

/// A command line that is pointed at another machine's engine must not act here.
fn refuse_remote_engine(host: Option<String>) -> Result<()> {
    match host.as_deref() {
        None | Some("") => Ok(()),
        Some(host) => Err(Error::invalid(format!(
            "DOCKER_HOST names the engine at {host}, and this one acts on its own machine only"
        ))
        .hint("unset DOCKER_HOST to act here")),
    }
}

/// The storage driver that was asked for.
fn driver(flag: Option<String>) -> Result<Option<Driver>> {
    const VARIABLE: &str = "CORACLE_STORAGE_DRIVER";
    let of_environment = || std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    match (flag, of_environment()) {
        (Some(text), _) => text.parse().map(Some).doing(|| "--storage-driver".into()),
        (None, Some(text)) => text.parse().map(Some).doing(|| VARIABLE.into()),
        (None, None) => Ok(None),
    }
}

/// What the flags say.
fn settings(global: &Global) -> Result<Settings> {
    let Global { bip, bridge, fixed_cidr, icc, ip, ip_masq, iptables, ipv6, mtu, .. } = global;
    let single = [
        ("bip", bip),
        ("bridge", bridge),
        ("fixed-cidr", fixed_cidr),
        ("icc", icc),
        ("ip", ip),
        ("ip-masq", ip_masq),
        ("iptables", iptables),
        ("ipv6", ipv6),
        ("mtu", mtu),
    ];
    let mut settings = Settings::default();
    for (key, value) in single {
        if let Some(value) = value {
            let set = settings.set(key, &Given(vec![value.clone()]));
            set.map_err(|error| error.doing(format!("--{key}")))?;
        }
    }
    for (key, values) in [("dns", &global.dns), ("dns-search", &global.dns_search)] {
        if !values.is_empty() {
            let set = settings.set(key, &Given(values.clone()));
            set.map_err(|error| error.doing(format!("--{key}")))?;
        }
    }
    Ok(settings)
}

fn engine(root: Option<String>, program: Option<PathBuf>) -> Result<Engine> {
    let root = PathBuf::from(root.as_deref().unwrap_or(Home::DEFAULT_ROOT));
    let engine = Engine::new(&std::path::absolute(&root).on("find", &root)?)?;
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
    for trouble in engine.take_troubles() {
        report(&trouble.doing("warning"));
    }
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
    fn a_remote_engine_is_never_played_by_this_one() {
        assert!(
            refuse_remote_engine(None).is_ok() && refuse_remote_engine(Some("".into())).is_ok()
        );
        let error = refuse_remote_engine(Some("tcp://boat:2375".into())).unwrap_err();
        assert!(error.to_string().contains("tcp://boat:2375"));
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
