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

use self::percent::Names;
use self::value::Keys;
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

/// What is wrong, and where.
#[derive(Debug)]
pub struct Fault {
    pub at: Place,
    pub error: Error,
}

impl Fault {
    fn said(self) -> Error {
        self.error.doing(self.at.shown())
    }
}

const SUPERVISORD: [&str; 19] = [
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
const CLIENT: [&str; 5] = ["serverurl", "username", "password", "prompt", "history_file"];
const UNIX: [&str; 5] = ["file", "chmod", "chown", "username", "password"];
const INET: [&str; 3] = ["port", "username", "password"];

/// Kinds of sections, each with its keys. One with a colon is followed by a name. Of those without
/// keys nobody knows them.
const SECTIONS: [(&str, &[&str]); 11] = [
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
    let full = std::path::absolute(path).on("read", path)?;
    let here = full.parent().unwrap_or(Path::new("/")).display().to_string();
    let file: Rc<Path> = Rc::from(path);
    document
        .read(&file, &text)
        .map_err(|fault| fault.error.doing(format!("{}:{}", path.display(), fault.line)))?;
    // Each file has a `here` of its own.
    for section in &mut document.sections {
        for entry in section.entries.iter_mut().filter(|entry| entry.at.file == file) {
            if entry.value.contains("%(here)s") {
                entry.value = entry.value.replace("%(here)s", &here.replace('%', "%%"));
            }
        }
    }
    Ok(())
}

/// The configuration in a document. Pure.
fn build(document: &Document, scope: &Scope, user: Option<&str>) -> Config {
    let mut config = Config::default();
    for (name, at) in &document.again {
        // Sections that others add to are meant to be there more than once.
        if name.contains(':') {
            let error = Error::conflict(format!("[{name}] is there twice; the later keys count"));
            config.warnings.push(error.doing(at.shown()));
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
    let mut names = Names::default();
    names.text("host_node_name", scope.host);
    let keys = Keys { section: own, names, scope };
    let settings = settings(&keys, &mut common, &mut config.warnings);
    match settings {
        Ok(settings) => config.settings = settings,
        Err(fault) => config.problems.push(fault.said()),
    }
    if let Some(user) = user {
        common.user = Some(user.to_string());
    }
    server::build(document, scope, &mut config);
    common.url = config.servers.iter().find_map(Server::url).map(Into::into);
    program::build(document, scope, &common, &mut config);
    config
}

fn settings(
    keys: &Keys,
    common: &mut program::Common,
    warnings: &mut Vec<Error>,
) -> std::result::Result<Settings, Fault> {
    let mut settings = Settings::default();
    if let Some(identifier) = keys.text("identifier")? {
        settings.identifier = identifier;
    }
    settings.pidfile = keys.text("pidfile")?.map(|text| value::path(&text, keys.scope.variable));
    common.environment = keys.maybe("environment", words::variables)?.unwrap_or_default();
    common.exit_on_fatal = keys.flag("exit_on_fatal", false)?;
    common.user = keys.text("user")?;
    // Looked at for what is wrong with them: they are for a supervisord that is no init.
    for key in ["nodaemon", "silent", "nocleanup", "strip_ansi"] {
        if keys.flag(key, false)? && key == "strip_ansi" {
            let error = Error::invalid("escape sequences stay in the logs");
            warnings.push(keys.fault_at(key, error).said());
        }
    }
    keys.maybe("umask", value::octal)?;
    let max_size = keys.size("logfile_maxbytes", 50 << 20)?;
    let keep = keys.number("logfile_backups", 10, (0, 10_000))?;
    // What goes to cox's own output is said there anyway.
    let path = keys.text("logfile")?.filter(|path| {
        let none = ["none", "off", "auto", "syslog"].iter().any(|no| path.eq_ignore_ascii_case(no));
        !none && !path.starts_with("/dev/") && !path.starts_with("/proc/")
    });
    settings.logfile = path.map(|path| LogFile {
        path: value::path(&path, keys.scope.variable),
        max_size,
        keep: u32::try_from(keep).unwrap_or(u32::MAX),
        stamp: Stamp::None,
    });
    for key in ["minfds", "minprocs"] {
        keys.number(key, 0, (0, i64::from(i32::MAX)))?;
    }
    Ok(settings)
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
        let kinds = SECTIONS.map(|(kind, _)| kind.trim_end_matches(':'));
        let error = unknown("section", begins, kinds);
        return warnings.push(error.doing(section.at.shown()));
    };
    if keys.is_empty() {
        return;
    }
    let keys = keys.iter().copied().filter(|key| match *kind {
        "eventlistener:" => !program::OF_FCGI.contains(key),
        "fcgi-program:" => !program::OF_LISTENERS.contains(key),
        "program:" => !program::OF_FCGI.contains(key) && !program::OF_LISTENERS.contains(key),
        _ => true,
    });
    for entry in &section.entries {
        if !keys.clone().any(|key| key == entry.key) {
            let error = unknown("key", &entry.key, keys.clone());
            let error = error.doing(format!("[{name}]"));
            warnings.push(error.doing(entry.at.shown()));
        }
    }
}

#[cfg(test)]
mod tests;
