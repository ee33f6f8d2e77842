//! The names that this binary answers to, by argv[0] or as its first argument.
//!
//! Wrong usage exits 100, and what the system refused 111, as daemontools does; `tini` has its own.

use crate::check;
use crate::control::{coxctl, s6, sv, svc};
use crate::dialect::units::seconds;
use crate::face::coxctl::Address;
use crate::message::with_hints;
use crate::service::{Exec, OnEnd, Place, Reach, RestartWhen, Service};
use crate::spawn::{Inherited, Spawner};
use crate::supervisor::{Instead, Mention, Options, Supervisor};
use crate::supervisord;
use crate::tini;
use coracle::error::{Error, Result};
use coracle::sys::fd::{self, STDERR, STDOUT};
use coracle::sys::{process, signal};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Exit code: wrong usage.
pub const USAGE: u8 = 100;
/// Exit code: the system refused.
pub const FAILED: u8 = 111;

/// Where cox looks for services if it is told nothing: all that are there.
pub const SOURCES: [&str; 4] = ["/etc/cox.toml", "/etc/services", "/service", "/etc/service"];

/// Those of them that are there. On most systems, /etc/services is a file with the names of ports.
pub fn usual_sources() -> Vec<PathBuf> {
    let mut all = Vec::from(SOURCES.map(PathBuf::from));
    all.retain(|path| if path.ends_with("cox.toml") { path.exists() } else { path.is_dir() });
    all
}

struct Applet {
    name: &'static str,
    usage: &'static str,
    help: &'static str,
    /// Whether it wants all signals blocked.
    supervises: bool,
    entry: fn(&Call) -> u8,
}

const APPLETS: [Applet; 15] = [
    Applet {
        name: "cox",
        usage: "cox [--stop-timeout SECONDS] [-c FILE] [SOURCE...] [-- COMMAND [ARGUMENT...]]",
        help: "Supervises services: those of each SOURCE, which is a file such as /etc/cox.toml or a\n\
               directory of service directories. Without any, and without COMMAND: those of\n\
               /etc/cox.toml, /etc/services, /service and /etc/service that are there. With a COMMAND,\n\
               that is the main service, started after the others: its end is the end of all, with\n\
               its exit code. Reaps orphans, and stops all in order.\n\n\
               -c FILE                 a supervisord.conf: its programs too\n\
               --stop-timeout SECONDS  how long a stop may take before what is left is killed (8)\n\
               --explain-exit          say as the last line on stderr why cox ended\n\
               --socket PATH           where coxctl reaches it, or none (the runtime directory's control)\n\
               --help, --version\n\n\
               Also: cox svscan|supervise|svc|svstat|svok|sv|s6-svstat|s6-svwait|coxctl|supervisord|tini\n\
               ..., or by these names; and cox check|sample|schema, for cox.toml.\n",
        supervises: true,
        entry: cox,
    },
    Applet {
        name: "svscan",
        usage: "svscan [--stop-timeout SECONDS] [DIRECTORY...]",
        help: "Supervises the service directories in each DIRECTORY (default: the current one).\n",
        supervises: true,
        entry: svscan,
    },
    Applet {
        name: "supervise",
        usage: "supervise [--stop-timeout SECONDS] DIRECTORY",
        help: "Supervises the one service in DIRECTORY (and its log/), until it is told to stop or to\n\
               forget it (svc -x).\n",
        supervises: true,
        entry: supervise_one,
    },
    Applet {
        name: "svc",
        usage: "svc -udopchaiqtk12x DIRECTORY...",
        help: "Commands the services in these directories.\n\n\
               -u up   -d down (TERM, CONT)   -o once   -x down and forgotten\n\
               -p STOP -c CONT -h HUP -a ALRM -i INT -q QUIT -t TERM -k KILL -1 USR1 -2 USR2\n",
        supervises: false,
        entry: svc::svc,
    },
    Applet {
        name: "svstat",
        usage: "svstat DIRECTORY...",
        help: "Tells the status of the services in these directories.\n",
        supervises: false,
        entry: svc::svstat,
    },
    Applet {
        name: "svok",
        usage: "svok DIRECTORY",
        help: "Exits 0 if the service in this directory is supervised, else 100.\n",
        supervises: false,
        entry: svc::svok,
    },
    Applet {
        name: "sv",
        usage: "sv [-v] [-w SECONDS] COMMAND SERVICE...",
        help: "Commands services in runit's words, and tells what became of it.\n\n\
               status up down once pause cont hup alarm interrupt quit 1 2 term kill exit\n\
               start stop reload restart try-restart shutdown check: wait, 7 seconds at most\n\
               force-stop force-reload force-restart force-shutdown: and kill after that\n\
               -v wait   -w SECONDS how long (also SVWAIT)\n\
               A name without a slash is looked for in SVDIR.\n",
        supervises: false,
        entry: sv::sv,
    },
    Applet {
        name: "s6-svstat",
        usage: "s6-svstat [-uwNrpest | -o FIELD,...] [-n] DIRECTORY",
        help: "Tells the status of a service in s6's words, or these fields of it:\n\n\
               -u up   -w wantedup   -N normallyup   -r ready   -p pid   -e exitcode   -s signal\n\
               -t updownfor   and: paused signum updownsince readysince readyfor\n\
               -n signals by number\n",
        supervises: false,
        entry: s6::svstat,
    },
    Applet {
        name: "s6-svwait",
        usage: "s6-svwait [-u|-U|-d|-D|-r|-R] [-a|-o] [-t MILLISECONDS] DIRECTORY...",
        help: "Waits until services are up (-u), up and ready (-U), down (-d), down with their finish\n\
               (-D), restarted (-r), restarted and ready (-R): all (-a), or any of them (-o).\n",
        supervises: false,
        entry: s6::svwait,
    },
    Applet {
        name: "coxctl",
        usage: "coxctl [--socket PATH] [--timeout SECONDS] COMMAND [SERVICE...]",
        help: coxctl::HELP,
        supervises: false,
        entry: coxctl::coxctl,
    },
    Applet {
        name: "supervisord",
        usage: "supervisord [-n] [-c FILE] [OPTION...]",
        help: supervisord::HELP,
        supervises: true,
        entry: supervisord::supervisord,
    },
    Applet {
        name: "tini",
        usage: "tini [-gsvw] [-p SIGNAL] [-e CODE]... [--] PROGRAM [ARGUMENT...]",
        help: tini::HELP,
        supervises: true,
        entry: tini::tini,
    },
    Applet {
        name: "cox check",
        usage: "cox check [FILE|DIRECTORY...]",
        help: "Says what is wrong with cox.toml files, directories of service directories and single\n\
               service directories, a line each (default: what cox itself would take). Exits 1 if\n\
               anything is.\n",
        supervises: false,
        entry: check::check,
    },
    Applet {
        name: "cox sample",
        usage: "cox sample",
        help: "Prints a cox.toml with every key, commented out.\n",
        supervises: false,
        entry: check::sample,
    },
    Applet {
        name: "cox schema",
        usage: "cox schema",
        help: "Prints the JSON Schema of cox.toml, for editors.\n",
        supervises: false,
        entry: check::schema,
    },
];

/// How an applet was called.
pub struct Call {
    applet: &'static Applet,
    pub args: Vec<OsString>,
    /// As it was called.
    pub word: OsString,
    /// The name of a link to one of our names, if it was called by that.
    link: Option<OsString>,
    /// The signal mask that was in force.
    mask: u64,
}

impl Call {
    pub fn help(&self) -> String {
        format!("usage: {}\n\n{}", self.applet.usage, self.applet.help)
    }

    /// The service whose init script this was called as.
    pub fn script(&self) -> Option<&OsStr> {
        self.link.as_deref()
    }

    /// Prints what was asked for; the exit code.
    pub fn answer(&self, text: &str) -> u8 {
        match fd::write_all(STDOUT, text.as_bytes()) {
            Ok(()) => 0,
            Err(e) => self.fail(&Error::os("write", "the answer", e)),
        }
    }

    /// Says what was wrong and what is right; the exit code.
    pub fn usage(&self, problem: &str) -> u8 {
        self.say(&format!("{problem}; usage: {}", self.applet.usage));
        USAGE
    }

    /// Says what went wrong; the exit code.
    pub fn fail(&self, error: &Error) -> u8 {
        self.say(&with_hints(error));
        FAILED
    }

    pub fn say(&self, text: &str) {
        let line = format!("{}: {text}\n", self.applet.name);
        let _ = fd::write_all(STDERR, line.as_bytes());
    }
}

/// Finds the applet and runs it. All signals are blocked; `mask` is what was in force.
pub fn run(args: Vec<OsString>, mask: u64) -> u8 {
    let [cox, ..] = &APPLETS;
    let mut args = args.into_iter().peekable();
    let word = args.next().unwrap_or_default();
    let (own, link) = match (named(word.as_ref()), linked(word.as_ref())) {
        (Some(applet), _) => (applet, None),
        (None, Some(applet)) if applet.name != cox.name => {
            (applet, Path::new(&word).file_name().map(OsString::from))
        }
        _ => (cox, None),
    };
    // `cox svc`, but a path with such a name is a path.
    let second = args.peek().filter(|word| !word.as_encoded_bytes().contains(&b'/'));
    let of_cox = |word: &OsString| {
        let is_it = |name: &str| name.strip_prefix("cox ").map(OsStr::new) == Some(word);
        APPLETS.iter().find(|applet| is_it(applet.name))
    };
    let applet = match second.and_then(|word| named(word.as_ref()).or_else(|| of_cox(word))) {
        Some(applet) if own.name == cox.name => {
            args.next();
            applet
        }
        _ => own,
    };
    if !applet.supervises {
        // Refused only by a kernel without signal masks.
        let _ = signal::set_mask(mask);
    }
    let call = Call { applet, args: args.collect(), word, link, mask };
    let answer = match call.args.first().and_then(|word| word.to_str()) {
        Some("--help") => call.help(),
        Some("--version") => format!("{} {}\n", applet.name, env!("CARGO_PKG_VERSION")),
        _ => return (applet.entry)(&call),
    };
    call.answer(&answer)
}

fn named(path: &Path) -> Option<&'static Applet> {
    let name = path.file_name().unwrap_or_default();
    APPLETS.iter().find(|applet| OsStr::new(applet.name) == name)
}

/// The applet that a link of another name leads to, as /etc/init.d/web leads to sv.
fn linked(link: &Path) -> Option<&'static Applet> {
    let mut path = link.to_path_buf();
    // The kernel follows no more.
    for _ in 0..40 {
        let target = std::fs::read_link(&path).ok()?;
        path = path.parent()?.join(target);
        if let Some(applet) = named(&path) {
            return Some(applet);
        }
    }
    None
}

/// What `cox`, `svscan` and `tini` were told.
pub struct Told {
    pub stop_timeout: Option<Duration>,
    /// Files, and directories of service directories.
    pub sources: Vec<PathBuf>,
    /// The directory of the only service.
    pub only: Option<PathBuf>,
    pub command: Option<Vec<OsString>>,
    /// Whether to adopt orphans where this is not PID 1.
    pub adopt: bool,
    /// Whom signals are passed on to.
    pub reach: Reach,
    pub mention: Mention,
    /// Whether the last line on stderr is to say why cox ended.
    pub explain: bool,
    /// Where coxctl is to reach it.
    pub socket: Option<Address>,
    /// Supervisor's configuration.
    pub programs: Option<Instead>,
}

impl Told {
    pub fn nothing() -> Told {
        Told {
            stop_timeout: None,
            sources: Vec::new(),
            only: None,
            command: None,
            adopt: true,
            reach: Reach::Leader,
            mention: Mention::default(),
            explain: false,
            socket: None,
            programs: None,
        }
    }
}

fn parse(args: &[OsString]) -> std::result::Result<Told, String> {
    let mut told = Told::nothing();
    let mut args = args.iter();
    while let Some(word) = args.next() {
        let text = word.to_str().unwrap_or_default();
        if text == "--" {
            told.command = Some(args.cloned().collect());
            break;
        }
        let timeout = match text.strip_prefix("--stop-timeout") {
            Some("") => Some(args.next().and_then(|word| word.to_str()).unwrap_or_default()),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        if let Some(value) = timeout {
            let problem = || format!("\"{value}\" is not a number of seconds, such as 8 or 0.5");
            told.stop_timeout = Some(seconds(value).ok_or_else(problem)?);
        } else if text == "--socket" || text.starts_with("--socket=") {
            let path = match text.split_once('=') {
                Some((_, path)) => Some(PathBuf::from(path)),
                None => args.next().map(PathBuf::from),
            };
            let path = path.filter(|path| !path.as_os_str().is_empty());
            told.socket = Some(Address::from_text(path.ok_or("--socket needs a path")?));
        } else if text == "-c" {
            let path = args.next().map(PathBuf::from).ok_or("-c needs a file")?;
            told.programs = Some(Instead { path, ..Instead::default() });
        } else if text == "--explain-exit" {
            told.explain = true;
        } else if text.starts_with('-') {
            return Err(format!("unknown option {text}"));
        } else {
            told.sources.push(PathBuf::from(word));
        }
    }
    Ok(told)
}

fn cox(call: &Call) -> u8 {
    let mut told = match parse(&call.args) {
        Ok(told) => told,
        Err(problem) => return call.usage(&problem),
    };
    told.mention.ends = true;
    if told.command.as_ref().is_some_and(Vec::is_empty) {
        return call.usage("no command after --");
    }
    if told.command.is_none() && told.sources.is_empty() && told.programs.is_none() {
        told.sources = usual_sources();
        if told.sources.is_empty() {
            let none = format!("no services: none of {} exists", SOURCES.join(", "));
            let error = Error::not_found(none).hint("make one of them, or use: cox -- COMMAND");
            return call.fail(&error);
        }
    }
    supervise(call, told).unwrap_or_else(|error| call.fail(&error))
}

fn svscan(call: &Call) -> u8 {
    let mut told = match parse(&call.args) {
        Ok(told) => told,
        Err(problem) => return call.usage(&problem),
    };
    if told.command.is_some() {
        return call.usage("no command is taken");
    }
    if told.sources.is_empty() {
        told.sources.push(PathBuf::from("."));
    }
    supervise(call, told).unwrap_or_else(|error| call.fail(&error))
}

fn supervise_one(call: &Call) -> u8 {
    let mut told = match parse(&call.args) {
        Ok(told) => told,
        Err(problem) => return call.usage(&problem),
    };
    if told.command.is_some() {
        return call.usage("no command is taken");
    }
    let [dir] = told.sources.as_slice() else {
        return call.usage("one directory is needed");
    };
    told.only = Some(dir.clone());
    told.sources.clear();
    supervise(call, told).unwrap_or_else(|error| call.fail(&error))
}

pub fn supervise(call: &Call, told: Told) -> Result<u8> {
    let first = std::process::id() == 1;
    if told.adopt
        && !first
        && let Err(e) = process::become_subreaper()
    {
        let error = Error::os("become", "a subreaper", e);
        call.fail(&error.hint("orphans will not be seen here: run cox as PID 1"));
    }
    // One command alone needs nobody to ask about it.
    let alone = told.sources.is_empty() && told.programs.is_none();
    let place = || match (alone, std::env::var_os(coxctl::VARIABLE)) {
        (true, _) => Address::None,
        (false, Some(path)) if !path.is_empty() => Address::from_text(path.into()),
        (false, _) => Address::Default,
    };
    let socket = told.socket.clone().unwrap_or_else(place);
    let mut spawner = Spawner::new(Inherited::take(call.mask)?)?;
    loop {
        let options = Options {
            stop_timeout: told.stop_timeout,
            first,
            mention: told.mention,
            sole: told.only.is_some(),
            explain: told.explain,
            socket: socket.clone(),
            dev_log: None,
            signals: Vec::new(),
            programs: told.programs.clone(),
        };
        let mut supervisor = Supervisor::new(options, spawner, told.sources.clone())?;
        if let Some(dir) = &told.only {
            supervisor.add_only(dir.clone())?;
        }
        if let Some(command) = &told.command {
            supervisor.add_main(main_service(command.clone(), told.reach)?);
        }
        match supervisor.run() {
            Ok(code) => return Ok(code),
            Err(next) => spawner = next,
        }
    }
}

/// The one service of `cox -- COMMAND`.
fn main_service(command: Vec<OsString>, reach: Reach) -> Result<Service> {
    let words = command.into_iter().map(|word| CString::new(word.into_vec()));
    let argv: std::result::Result<Vec<CString>, _> = words.collect();
    let argv = argv.map_err(|_| Error::invalid("a NUL byte in the command"))?;
    let name = argv.first().map(|name| name.to_string_lossy().into_owned());
    let run = Exec { place: Place::Foreground, ..Exec::new(argv) };
    let mut service = Service::new(&name.unwrap_or_default(), run);
    service.reach = reach;
    service.restart.when = RestartWhen::Never;
    service.on_end = OnEnd::StopContainer;
    Ok(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stop_at_the_command() {
        let words = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        let told = parse(&words("--stop-timeout=2 -- echo --stop-timeout 3")).unwrap();
        assert_eq!(told.stop_timeout, Some(Duration::from_secs(2)));
        assert_eq!(told.command.unwrap(), words("echo --stop-timeout 3"));
        let told = parse(&words("a --stop-timeout 3 b")).unwrap();
        assert_eq!(told.sources, ["a", "b"].map(PathBuf::from));
        assert!(parse(&words("--stop-timeout")).is_err());
        assert!(parse(&words("--stop-timeouts=3")).is_err());
        assert!(parse(&words("-x")).is_err());
    }
}
