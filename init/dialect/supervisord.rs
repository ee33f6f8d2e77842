//! supervisord.conf: programs and groups of supervisor 4.2, and the sockets its clients ask.
//!
//! `ini` reads the files, `percent` the names in values, `words` commands and lists of variables,
//! `value` everything else. What is wrong is named with its line, all of it. A program with a
//! fault is left out; the others are there. Keys that supervisor would ignore are named too, but
//! change nothing.
//!
//! Source: supervisord.org/configuration.html.

mod include;
mod percent;
mod program;
mod server;
mod value;
mod words;

pub use server::{Listen, Server};

use self::value::{Keys, at_place};
use super::draft::Users;
use super::ini::{Document, Place, Section};
use super::typed::unknown;
use crate::service::{LogFile, Service, Stamp};
use coracle::error::{Error, OsContext, Result};
use coracle::sys::fs::read_small;
use coracle::sys::process;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A file is no larger, nor is a user database.
const LARGEST: usize = 4 << 20;

#[derive(Debug, Default)]
pub struct Config {
    pub settings: Settings,
    /// In the order in which they are started.
    pub services: Vec<Service>,
    pub servers: Vec<Server>,
    /// What was left out, and why.
    pub problems: Vec<Error>,
    /// What is odd, but changes nothing.
    pub warnings: Vec<Error>,
}

/// What is said of supervisord itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    pub identifier: String,
    pub pidfile: Option<PathBuf>,
    /// Its own log, where that is a file.
    pub logfile: Option<LogFile>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { identifier: "supervisor".into(), pidfile: None, logfile: None }
    }
}

/// What values may refer to.
pub struct Scope<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub host: &'a str,
    pub users: &'a Users,
}

impl Config {
    /// Takes over what was wrong with the keys of a section.
    #[inline(never)]
    fn take(&mut self, keys: Keys) {
        self.problems.append(&mut keys.problems.into_inner());
        self.warnings.append(&mut keys.warnings.into_inner());
    }
}

static SUPERVISORD: [&str; 19] = [
    "logfile",
    "logfile_maxbytes",
    "logfile_backups",
    "loglevel",
    "pidfile",
    "umask",
    "nodaemon",
    "silent",
    "minfds",
    "minprocs",
    "nocleanup",
    "childlogdir",
    "user",
    "directory",
    "strip_ansi",
    "environment",
    "identifier",
    "profile_options",
    "exit_on_fatal",
];
static CLIENT: [&str; 5] = ["serverurl", "username", "password", "prompt", "history_file"];
static UNIX: [&str; 5] = ["file", "chmod", "chown", "username", "password"];
static INET: [&str; 3] = ["port", "username", "password"];

/// Kinds of sections, each with its keys. One with a colon is followed by a name. Of those without
/// keys nobody knows them.
static SECTIONS: [(&str, &[&str]); 11] = [
    ("supervisord", &SUPERVISORD),
    ("supervisorctl", &CLIENT),
    ("unix_http_server", &UNIX),
    ("inet_http_server", &INET),
    ("include", &["files"]),
    ("program:", &program::KEYS),
    ("group:", &["programs", "priority"]),
    ("eventlistener:", &program::KEYS),
    ("fcgi-program:", &program::KEYS),
    ("rpcinterface:", &[]),
    ("ctlplugin:", &[]),
];

/// Reads a file and those that it includes. Fails where there is nothing to go on with: it cannot
/// be read, or is no such file. `user` counts more than the file's own.
pub fn read(path: &Path, user: Option<&str>) -> Result<Config> {
    let database = |path| {
        read_small(Path::new(path), LARGEST).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let users = Users {
        passwd: database("/etc/passwd").unwrap_or_default(),
        group: database("/etc/group").unwrap_or_default(),
        uid: process::effective_uid(),
        gid: process::effective_gid(),
    };
    let host = database("/proc/sys/kernel/hostname").unwrap_or_default();
    let scope =
        Scope { variable: &|name| std::env::var(name).ok(), host: host.trim(), users: &users };
    let mut document = Document::default();
    let mut warnings = Vec::new();
    load(&mut document, path)?;
    include::follow(&mut document, path, &scope, &mut warnings)?;
    let mut config = build(&document, &scope, user);
    warnings.append(&mut config.warnings);
    config.warnings = warnings;
    Ok(config)
}

/// Reads a file on behind what is there.
fn load(document: &mut Document, path: &Path) -> Result<()> {
    let bytes = read_small(path, LARGEST).on("read", path)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::invalid(format!("{}: not UTF-8", path.display())))?;
    let file: Rc<Path> = std::path::absolute(path).on("read", path)?.into();
    let read = document.read(&file, &text);
    read.map_err(|fault| fault.error.doing(format!("{}:{}", path.display(), fault.line)))
}

/// The configuration in a document. Pure.
fn build(document: &Document, scope: &Scope, user: Option<&str>) -> Config {
    let mut config = Config::default();
    for (name, at) in &document.again {
        // Sections that others add to are meant to be there more than once.
        if name.contains(':') {
            let error = Error::conflict(format!("[{name}] is there twice; the later keys count"));
            config.warnings.push(at_place(error, at));
        }
    }
    for section in &document.sections {
        name_strangers(section, &mut config.warnings);
    }
    let none = Section {
        name: "supervisord".into(),
        at: Place { file: Rc::from(Path::new("")), line: 0 },
        entries: Vec::new(),
    };
    let own = document.get("supervisord").unwrap_or(&none);
    let mut common = program::Common::default();
    let keys = Keys::new(own, scope);
    config.settings = settings(&keys, &mut common);
    config.take(keys);
    if let Some(user) = user {
        common.user = Some(user.to_string());
    }
    server::build(document, scope, &mut config);
    common.url = config.servers.iter().find_map(Server::url).map(Into::into);
    program::build(document, scope, &common, &mut config);
    config
}

fn settings(keys: &Keys, common: &mut program::Common) -> Settings {
    let mut settings = Settings::default();
    let variable = keys.scope.variable;
    if let Some(identifier) = keys.text("identifier") {
        settings.identifier = identifier;
    }
    settings.pidfile = keys.text("pidfile").map(|text| value::path(&text, variable));
    common.environment = keys.maybe("environment", words::variables).unwrap_or_default();
    common.exit_on_fatal = keys.flag("exit_on_fatal", false);
    common.user = keys.text("user");
    if keys.flag("strip_ansi", false) {
        keys.odd("strip_ansi", "escape sequences stay in the logs", "");
    }
    // Looked at for what is wrong with them: they are for a supervisord that is no init.
    for key in ["nodaemon", "silent", "nocleanup"] {
        keys.flag(key, false);
    }
    keys.maybe("umask", value::octal);
    for key in ["umask", "directory"].into_iter().filter(|key| keys.has(key)) {
        keys.odd(key, "changes nothing yet", "set it in each program");
    }
    let max_size = keys.size("logfile_maxbytes", 50 << 20);
    let keep = keys.count("logfile_backups", 10, 10_000);
    // What goes to cox's own output is said there anyway.
    let path = keys.text("logfile").filter(|path| {
        let none = ["none", "off", "auto", "syslog"].iter().any(|no| path.eq_ignore_ascii_case(no));
        !none && !path.starts_with("/dev/") && !path.starts_with("/proc/")
    });
    settings.logfile = path.map(|path| LogFile {
        path: value::path(&path, variable),
        max_size,
        keep,
        stamp: Stamp::None,
    });
    for key in ["minfds", "minprocs"] {
        keys.count(key, 0, i64::from(i32::MAX));
    }
    settings
}

/// Names sections and keys that nobody knows.
fn name_strangers(section: &Section, warnings: &mut Vec<Error>) {
    let name = &section.name;
    // [unix_http_server:x] is one too.
    let fits = |kind: &str| match kind.ends_with(':') {
        true => name.starts_with(kind),
        false => name == kind || kind.ends_with("server") && name.starts_with(&format!("{kind}:")),
    };
    let Some((kind, keys)) = SECTIONS.iter().find(|(kind, _)| fits(kind)) else {
        let begins = name.split_once(':').map_or(name.as_str(), |(kind, _)| kind);
        let kinds = SECTIONS.iter().map(|(kind, _)| kind.trim_end_matches(':'));
        let error = unknown("section", begins, &kinds.collect::<Vec<&str>>());
        return warnings.push(at_place(error, &section.at));
    };
    if keys.is_empty() {
        return;
    }
    let of_others: &[&str] = match *kind {
        "eventlistener:" => &program::OF_FCGI,
        "fcgi-program:" => &program::OF_LISTENERS,
        "program:" => &program::OF_FEW,
        _ => &[],
    };
    let keys = keys.iter().copied().filter(|key| !of_others.contains(key));
    let keys: Vec<&str> = keys.collect();
    for entry in &section.entries {
        if !keys.contains(&entry.key.as_str()) {
            let error = unknown("key", &entry.key, &keys).doing(format!("[{name}]"));
            warnings.push(at_place(error, &entry.at));
        }
    }
}

#[cfg(test)]
mod tests;
