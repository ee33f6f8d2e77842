//! `cox check`: everything that is wrong with cox.toml files and service directories, a line each,
//! before anything is started; and `cox sample` and `cox schema`, which tell what is right.

use crate::applets::{Call, SOURCES, usual_sources};
use crate::dialect::directory::{self, first_line, name_of};
use crate::dialect::{schema, toml};
use crate::environment;
use crate::graph::{Graph, Problem};
use crate::message::with_hints;
use crate::service::{Exec, Probe, Ready, Service, Start};
use coracle::error::{Error, OsContext, Result, reason};
use coracle::types::nearest;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Exit code: something is wrong.
const FOUND: u8 = 1;

pub fn sample(call: &Call) -> u8 {
    match call.args.is_empty() {
        true => call.answer(&schema::sample()),
        false => call.usage("it takes no arguments"),
    }
}

pub fn schema(call: &Call) -> u8 {
    match call.args.is_empty() {
        true => call.answer(&schema::schema()),
        false => call.usage("it takes no arguments"),
    }
}

pub fn check(call: &Call) -> u8 {
    if call.args.iter().any(|word| word.as_encoded_bytes().starts_with(b"-")) {
        return call.usage("it takes no options");
    }
    let mut sources: Vec<PathBuf> = call.args.iter().map(PathBuf::from).collect();
    if sources.is_empty() {
        sources = usual_sources();
    }
    if sources.is_empty() {
        return call.usage(&format!("no source, and none of {} exists", SOURCES.join(", ")));
    }
    let mut checker = Checker::default();
    for source in &sources {
        checker.source(source);
    }
    checker.order();
    let lines = checker.problems.iter().map(|error| with_hints(error).replace('\n', " ") + "\n");
    match (checker.problems.len() <= checker.warnings, call.answer(&lines.collect::<String>())) {
        (true, code) => code,
        (false, 0) => FOUND,
        (false, code) => code,
    }
}

#[derive(Default)]
struct Checker {
    problems: Vec<Error>,
    /// How many of them need not be faults.
    warnings: usize,
    /// All services, and where each is.
    services: Vec<(Service, String)>,
    /// The names of those that have a fault: they exist nevertheless.
    others: Vec<String>,
    scanned: Vec<PathBuf>,
}

impl Checker {
    fn source(&mut self, source: &Path) {
        match fs::metadata(source) {
            Err(e) => self.problems.push(at(source, &e)),
            Ok(meta) if !meta.is_dir() => self.file(source),
            Ok(_) if source.join("run").exists() => self.service(source, name_of(source)),
            Ok(_) => self.scan(source),
        }
    }

    fn file(&mut self, path: &Path) {
        let config = toml::read(path);
        self.problems.extend(config.problems);
        for service in config.services {
            let line = config.lines.iter().find(|(name, _)| *name == service.name);
            let place = match line {
                Some((name, line)) => format!("{}:{line}: service {name}", path.display()),
                None => format!("{}: {}", path.display(), service.name),
            };
            self.programs(&service, &place);
            self.add(service, place);
        }
        let known = |name: &String| self.services.iter().any(|(service, _)| service.name == *name);
        let bad = config.lines.into_iter().map(|(name, _)| name).filter(|name| !known(name));
        let bad: Vec<String> = bad.collect();
        self.others.extend(bad);
        for scan in &config.options.scan {
            self.scan(scan);
        }
    }

    fn scan(&mut self, scan: &Path) {
        if self.scanned.iter().any(|known| known == scan) {
            return;
        }
        self.scanned.push(scan.to_path_buf());
        match directory::entries(scan) {
            Ok(entries) => entries.iter().for_each(|dir| self.service(dir, name_of(dir))),
            Err(error) => self.problems.push(error),
        }
    }

    /// The service in a directory, and its logger.
    fn service(&mut self, dir: &Path, name: String) {
        let log = dir.join("log");
        if log.is_dir() && !name.as_bytes().contains(&b'/') {
            self.service(&log, format!("{name}/log"));
        }
        let place = dir.display().to_string();
        let finish = dir.join("finish");
        if finish.exists() {
            self.problems.extend(program(&finish).err());
        }
        let run = dir.join("run");
        if let Err(error) = program(&run) {
            self.others.push(name);
            return self.problems.push(error);
        }
        match directory::read(dir, &name) {
            Ok(service) => self.add(service, place),
            Err(error) => {
                self.problems.push(error);
                self.others.push(name);
            }
        }
    }

    fn add(&mut self, service: Service, place: String) {
        let same = self.services.iter().find(|(other, _)| other.name == service.name);
        if let Some((_, first)) = same {
            let error = Error::conflict(format!("{place}: there is such a service: {first}"));
            self.problems.push(error.hint("rename one of them"));
        }
        self.services.push((service, place));
    }

    /// Whether what a service executes and reads is there.
    fn programs(&mut self, service: &Service, place: &str) {
        let mut found = Vec::new();
        let probes = [
            match &service.ready {
                Ready::Probe(probe) => Some(&**probe),
                _ => None,
            },
            service.health.as_ref().map(|health| &health.probe),
        ];
        let commands = probes.into_iter().flatten().filter_map(|probe| match probe {
            Probe::Command(exec) => Some(exec),
            _ => None,
        });
        let more = service.finish.iter().map(|finish| &finish.exec);
        let all = std::iter::once(&service.run).chain(commands).chain(more);
        for exec in all.chain(service.stop.command.as_deref()) {
            found.extend(executable(exec).err());
        }
        if let Some(cwd) = service.run.cwd.as_deref().filter(|cwd| !cwd.is_dir()) {
            let text = format!("warning: {} is not a directory", cwd.display());
            found.push(Error::not_found(text).hint("make it before the service starts"));
            self.warnings = self.warnings.saturating_add(1);
        }
        let setup = service.run.setup.as_deref();
        for path in setup.iter().flat_map(|setup| &setup.env_files) {
            found.extend(environment::variables(path).err());
        }
        if found.is_empty() {
            found.extend(environment::environment(&service.run).err());
        }
        let mut said: Vec<String> = Vec::new();
        for error in found {
            let text = error.to_string();
            if !said.contains(&text) {
                self.problems.push(error.doing(place));
                said.push(text);
            }
        }
    }

    /// Whether all that a service waits for is there, and none waits for itself.
    fn order(&mut self) {
        let nothing = Start::default();
        let known = self.services.iter().map(|(service, _)| (&*service.name, &service.start));
        let others = self.others.iter().map(|name| (name.as_str(), &nothing));
        let all = (0_u32..).zip(known.chain(others)).map(|(id, (name, start))| (id, name, start));
        let (_, problems) = Graph::new(all);
        let place = |name: &String| {
            let found = self.services.iter().find(|(service, _)| service.name == *name);
            found.map_or(name.clone(), |(_, place)| place.clone())
        };
        let errors: Vec<Error> = problems
            .iter()
            .map(|problem| match problem {
                Problem::Unknown { service, other, hard } => {
                    let key = if *hard { "requires" } else { "after" };
                    let text =
                        format!("{}: {key} \"{other}\", which does not exist", place(service));
                    let names = self.services.iter().map(|(service, _)| service.name.as_str());
                    let meant = nearest(other, names.filter(|name| name != service));
                    let hint = match meant {
                        Some(meant) => format!("did you mean \"{meant}\"?"),
                        None => "add that service, or remove the name".into(),
                    };
                    Error::not_found(text).hint(hint)
                }
                Problem::Cycle(names) => {
                    let first = names.first().cloned().unwrap_or_default();
                    let text = format!("{}: waits for itself: {}", place(&first), names.join(", "));
                    Error::conflict(format!("{text}, {first}"))
                        .hint("remove one of these dependencies")
                }
            })
            .collect();
        self.problems.extend(errors);
    }
}

fn at(path: &Path, source: &std::io::Error) -> Error {
    Error::invalid(format!("{}: {}", path.display(), reason(source)))
}

/// Whether the first word of `exec` can be executed.
fn executable(exec: &Exec) -> Result<()> {
    let name = exec.argv.first().map(|name| name.as_bytes()).unwrap_or_default();
    let name = Path::new(OsStr::from_bytes(name));
    let cwd = exec.cwd.as_deref().unwrap_or(Path::new(""));
    if name.as_os_str().as_bytes().contains(&b'/') {
        return program(&cwd.join(name));
    }
    let own = exec.env.iter().rev().find(|(variable, _)| variable == "PATH");
    let path = match own {
        Some((_, value)) => value.clone(),
        None => std::env::var_os("PATH"),
    };
    let path = path.unwrap_or_else(|| crate::spawn::DEFAULT_PATH.into());
    let mut places = std::env::split_paths(&path).map(|dir| cwd.join(dir).join(name));
    if places.any(|path| program(&path).is_ok()) {
        return Ok(());
    }
    let error = Error::not_found(format!("{} is nowhere in PATH", name.display()));
    Err(error.hint("install it, or name it by its path"))
}

/// Whether the kernel will execute this file.
fn program(path: &Path) -> Result<()> {
    let problem = |what: &str| Error::invalid(format!("{}: {what}", path.display()));
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(e) => return Err(at(path, &e)),
    };
    if !file.is_file() {
        return Err(problem("not a file"));
    }
    if file.permissions().mode() & 0o111 == 0 {
        let hint = format!("chmod +x {}", path.display());
        return Err(problem("not executable").hint(hint));
    }
    // What only root may read can be executed all the same.
    let Ok(file) = File::open(path) else { return Ok(()) };
    let first = first_line(file).on("read", path)?;
    if first.starts_with(b"\x7fELF") {
        return Ok(());
    }
    let Some(line) = first.strip_prefix(b"#!") else {
        let error = Error::invalid(format!("{}:1: no program and no script", path.display()));
        return Err(error.hint("a script must begin with #! and an interpreter"));
    };
    // A carriage return is a part of the word for the kernel.
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
    let word = line.split(blank).find(|word| !word.is_empty());
    let interpreter = Path::new(OsStr::from_bytes(word.unwrap_or_default()));
    if fs::metadata(interpreter).is_ok() {
        return Ok(());
    }
    let missing =
        format!("{}:1: the interpreter {} is missing", path.display(), interpreter.display());
    let hint = match line.contains(&b'\r') {
        true => "remove the carriage returns",
        false => "install it, or name another one",
    };
    Err(Error::not_found(missing).hint(hint))
}
