//! What keys are read into: a service, of which some is only decided once all its keys are known.

use super::options::Options;
use super::typed::Given;
use crate::service::{
    Exec, Finish, FinishArguments, Kind, LineFormat, LogFile, LogTo, OnEnd, Probe, Ready,
    RestartWhen, Service, Setup, Stamp, User,
};
use coracle::error::{Context, Error, Result};
use coracle::types::{Account, find_group};
use std::ffi::{CString, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// The user database, and who cox itself is.
#[derive(Clone, Debug)]
pub struct Users {
    pub passwd: String,
    pub group: String,
    pub uid: u32,
    pub gid: u32,
}

const AS_ROOT: &str = "run cox as root, or remove the key";

/// A problem with one key, or with the service as such.
pub type Problem = (Option<&'static str>, Error);

pub struct Draft {
    /// By the keys in front of all tables.
    pub options: Options,
    pub service: Service,
    pub command: Option<String>,
    pub argv: Option<Vec<String>>,
    pub directory: Option<PathBuf>,
    pub env: Vec<(OsString, Option<OsString>)>,
    pub setup: Setup,
    pub user: Option<String>,
    pub groups: Option<Vec<String>>,
    pub restart: Option<RestartWhen>,
    pub stop_command: Option<String>,
    pub finish: Option<String>,
    pub finish_limit: Option<Duration>,
    pub log: Option<LogTo>,
    pub stderr: Option<LogTo>,
}

impl Draft {
    pub fn new() -> Draft {
        Draft {
            options: Options::default(),
            service: Service::new("", Exec::new(Vec::new())),
            command: None,
            argv: None,
            directory: None,
            env: Vec::new(),
            setup: Setup::default(),
            user: None,
            groups: None,
            restart: None,
            stop_command: None,
            finish: None,
            finish_limit: Some(Duration::from_secs(5)),
            log: None,
            stderr: None,
        }
    }

    /// Adds variables; the newer value counts.
    pub fn set_env(&mut self, given: Given) {
        for (name, value) in given.map() {
            let name = OsString::from(name);
            self.env.retain(|(known, _)| *known != name);
            self.env.push((name, Some(OsString::from(value.text()))));
        }
    }

    /// The service, or all that is wrong with it.
    pub fn finish(
        mut self,
        name: &str,
        users: &Users,
    ) -> std::result::Result<Service, Vec<Problem>> {
        let mut problems = Vec::new();
        self.setup.user = self.user(users).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if users.uid != 0 && self.setup.capabilities.is_some() {
            let error = Error::invalid("only root can choose them");
            problems.push((Some("capabilities"), error.hint(AS_ROOT)));
        }
        let mut service = self.service;
        service.name = name.to_string();
        let oneshot = service.kind == Kind::Oneshot;
        // Whose end is the end of all is not started again unless that is said.
        let only_once = oneshot || service.on_end == OnEnd::StopContainer;
        let usual = if only_once { RestartWhen::Never } else { RestartWhen::Always };
        service.restart.when = self.restart.unwrap_or(usual);
        if oneshot {
            let hint = |what: &str| Error::invalid(what).hint("leave it out, or make it a daemon");
            if service.ready != Ready::Started {
                problems.push((Some("ready"), hint("a oneshot is ready once it has ended")));
            }
            if service.health.is_some() {
                problems.push((Some("health"), hint("a oneshot has no health")));
            }
        }
        let own = [name.to_string()];
        for (key, names) in [("after", &service.start.after), ("requires", &service.start.requires)]
        {
            if names.iter().any(|name| own.contains(name)) {
                problems.push((Some(key), Error::invalid("a service cannot wait for itself")));
            }
        }
        service.out = self.log.unwrap_or(LogTo::Inherit);
        service.err = match (self.stderr, &service.out) {
            (Some(log), _) => log,
            (None, LogTo::File(_)) => LogTo::Stdout,
            (None, out) => out.clone(),
        };

        let setup = (self.setup != Setup::default()).then(|| Box::new(self.setup));
        let dressed = |argv: Vec<CString>| Exec {
            cwd: self.directory.as_deref().map(Into::into),
            env: self.env.clone(),
            setup: setup.clone(),
            ..Exec::new(argv)
        };
        match (self.command, self.argv) {
            (Some(command), None) => service.run = dressed(shell(&command)),
            (None, Some(argv)) => service.run = dressed(argv.iter().map(|a| c_string(a)).collect()),
            (Some(_), Some(_)) => {
                let error = Error::invalid("command and argv exclude each other");
                problems.push((Some("argv"), error.hint("remove one of them")));
            }
            (None, None) => {
                let error = Error::invalid("there is nothing to run");
                problems.push((None, error.hint("add: command = \"...\"")));
            }
        }
        let probes = match &mut service.ready {
            Ready::Probe(probe) => Some(&mut **probe),
            _ => None,
        };
        let probes = probes.into_iter().chain(service.health.as_mut().map(|h| &mut h.probe));
        for probe in probes {
            if let Probe::Command(exec) = probe {
                *exec = dressed(std::mem::take(&mut exec.argv));
            }
        }
        service.stop.command = self.stop_command.map(|text| Box::new(dressed(shell(&text))));
        let limit = self.finish_limit;
        service.finish = self.finish.map(|text| {
            let mut argv = shell(&text);
            // What follows is $1 and so on; this is $0.
            argv.push(c_string(name));
            Box::new(Finish { exec: dressed(argv), arguments: FinishArguments::Runit, limit })
        });
        if problems.is_empty() { Ok(service) } else { Err(problems) }
    }

    fn user(&self, users: &Users) -> std::result::Result<Option<User>, Problem> {
        if self.user.is_none() && self.groups.is_none() {
            return Ok(None);
        }
        let text = match &self.user {
            Some(text) => text.clone(),
            None => format!("{}", users.uid),
        };
        let at = |key| move |error| (Some(key), error);
        let account = Account::look_up(&text, &users.passwd, &users.group).map_err(at("user"))?;
        if users.uid != 0 {
            if (account.uid, account.gid) != (users.uid, users.gid) || self.groups.is_some() {
                let key = if self.user.is_some() { "user" } else { "groups" };
                let error = Error::invalid(format!("only root can run something as {text}"));
                return Err((Some(key), error.hint(AS_ROOT)));
            }
            return Ok(None);
        }
        let groups = match &self.groups {
            None => account.groups,
            Some(names) => {
                let found = names.iter().map(|name| find_group(name, &users.group));
                let found = found.collect::<Result<Vec<u32>>>().map_err(at("groups"))?;
                // The primary one too (CVE-2022-36109).
                let others = found.into_iter().filter(|gid| *gid != account.gid);
                std::iter::once(account.gid).chain(others).collect()
            }
        };
        let home = account.home.map(PathBuf::from);
        let (uid, gid, name) = (account.uid, account.gid, account.name);
        Ok(Some(User { uid, gid, groups, home, name }))
    }
}

fn c_string(text: &str) -> CString {
    // No text of ours holds a NUL.
    CString::new(text).unwrap_or_default()
}

pub fn shell(command: &str) -> Vec<CString> {
    vec![c_string("/bin/sh"), c_string("-c"), c_string(command)]
}

/// The table of `ready` or `health`.
#[derive(Default)]
pub struct ProbeDraft {
    pub descriptor: Option<u32>,
    probes: Vec<Probe>,
}

impl ProbeDraft {
    pub fn set(&mut self, name: &str, given: Given) {
        self.probes.push(match given {
            Given::Address(address) => Probe::Tcp(address),
            given if name == "file" => Probe::File(given.path()),
            given => Probe::Command(Exec::new(shell(&given.text()))),
        });
    }

    pub fn probe(mut self) -> Result<Probe> {
        match (self.probes.pop(), self.probes.is_empty(), self.descriptor) {
            (Some(probe), true, None) => Ok(probe),
            _ => Err(Error::invalid("it takes one question"))
                .hint(|| "give one of tcp, file and command".into()),
        }
    }

    pub fn ready(self) -> Result<Ready> {
        match self.descriptor.and_then(|number| i32::try_from(number).ok()) {
            Some(number) if self.probes.is_empty() => Ok(Ready::Descriptor(number)),
            Some(_) => Err(Error::invalid("it takes one way to be ready"))
                .hint(|| "give one of fd, tcp, file and command".into()),
            None => self.probe().map(|probe| Ready::Probe(Box::new(probe))),
        }
    }
}

/// The value of `log` or `stderr`.
pub fn log_to(given: Given) -> Result<LogTo> {
    Ok(match given {
        Given::Table(table) => LogTo::File(Box::new(log_file(table)?)),
        given => match given.text().as_str() {
            "plain" => LogTo::Container(LineFormat::Plain),
            "prefix" => LogTo::Container(LineFormat::Prefix),
            "json" => LogTo::Container(LineFormat::Json),
            "none" => LogTo::Null,
            "stdout" => LogTo::Stdout,
            _ => LogTo::Inherit,
        },
    })
}

fn log_file(table: Vec<(&'static str, Given)>) -> Result<LogFile> {
    let mut file =
        LogFile { path: PathBuf::new(), max_size: 1 << 20, keep: 10, stamp: Stamp::None };
    for (name, given) in table {
        match name {
            "file" => file.path = given.path(),
            "max-size" => file.max_size = given.number(),
            "keep" => file.keep = given.small(),
            _ => {
                file.stamp = match given.text().as_str() {
                    "iso" => Stamp::Iso,
                    "tai64n" => Stamp::Tai64n,
                    _ => Stamp::None,
                }
            }
        }
    }
    if file.path.as_os_str().is_empty() {
        return Err(Error::invalid("\"file\" is missing").hint("write { file = \"/var/log/x\" }"));
    }
    if file.max_size < 4096 {
        return Err(Error::invalid("max-size is too small").hint("give at least 4096 bytes"));
    }
    Ok(file)
}
