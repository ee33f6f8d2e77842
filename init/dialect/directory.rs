//! Service directories, as daemontools, runit and s6 have them.
//!
//! ```text
//! web/run              executable: the service; started in web/
//! web/finish           executable: runs after each end of run
//! web/down             exists: not started until asked for
//! web/log/run          executable: reads what run writes on stdout; a service of its own
//! web/timeout-finish   milliseconds until finish is killed; 0 is never; 5000 without this file
//! web/timeout-kill     milliseconds from "down" until run is killed; 0, or without: never
//! web/down-signal      name or number of the signal for "down"; TERM without this file
//! web/notification-fd  number of the descriptor on which run says that it is ready: a newline
//! web/check            executable: exits with 0 once run is ready (runit); data/check with s6
//! web/env/             a variable a file, as envdir(8) has them; an empty file removes one
//! web/supervise/       cox's own (`face::fifo`)
//! ```
//!
//! A directory is read again before each start of `run`, so what changes counts from then on.
//! A `finish` that exits with 125 says that the service is not to be started again.
//! Sources: supervise and svscan (cr.yp.to/daemontools.html), runsv(8), s6's servicedir page.

use crate::service::{Exec, Finish, FinishArguments, Probe, Ready, Service};
use coracle::error::{Context, Error, OsContext, Result};
use coracle::sys::fs::{open_file, read_small};
use coracle::types::Signal;
use std::ffi::{CString, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const FINISH_LIMIT: Duration = Duration::from_millis(5000);

/// A file that holds one word has no more bytes.
const LONGEST_WORD: usize = 256;

/// A program is given no longer variable (MAX_ARG_STRLEN, execve(2)).
const LONGEST_VARIABLE: usize = 128 * 1024;

/// Files that only s6 knows: their presence makes a directory one of s6's.
const S6_FILES: [&str; 10] = [
    "type",
    "notification-fd",
    "timeout-kill",
    "timeout-finish",
    "max-death-tally",
    "down-signal",
    "lock-fd",
    "data",
    "instance",
    "flag-newpidns",
];

/// The entries of a scan directory that may be services: directories, and links to such, whose
/// names do not begin with a dot. In order of their names.
pub fn entries(scan: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(scan).on("read", scan)? {
        let entry = entry.on("read", scan)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if hidden {
            continue;
        }
        let mut path = entry.path();
        path.shrink_to_fit();
        // Most file systems tell the type along with the name.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) || path.is_dir() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// What the service in `dir` is called.
pub fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned()
}

/// Whether there is a service in `dir`.
pub fn is_service(dir: &Path) -> bool {
    is_executable(&dir.join("run"))
}

/// Makes or removes the file `down`, which says whether the next supervisor starts the service.
pub fn set_down(dir: &Path, wanted: bool) -> Result<()> {
    let down = dir.join("down");
    if wanted {
        // Whatever it is that has the name already.
        if fs::symlink_metadata(&down).is_ok() {
            return Ok(());
        }
        return fs::File::create_new(&down).map(drop).on("create", &down);
    }
    match fs::remove_file(&down) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.on("remove", &down),
    }
}

/// Reads the service in `dir`; `name` is how messages call it.
pub fn read(dir: &Path, name: &str) -> Result<Service> {
    read_shared(&dir.into(), name)
}

/// The same, for whoever holds the path too.
pub fn read_shared(dir: &Rc<Path>, name: &str) -> Result<Service> {
    // Most directories hold little: listed once, what is not there need not be looked for.
    let entries: Vec<OsString> = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        entries => entries.on("read", dir)?.flatten().map(|entry| entry.file_name()).collect(),
    };
    let there = |name: &str| entries.iter().any(|entry| entry == name);
    if !there("run") {
        return Err(Error::not_found(format!("{}: no such file", dir.join("run").display())));
    }
    let env = if there("env") { environment(&dir.join("env"))? } else { Vec::new() };
    let exec = |program: &std::ffi::CStr| Exec {
        cwd: Some(dir.clone()),
        env: env.clone(),
        ..Exec::new(vec![CString::from(program)])
    };
    let finish = dir.join("finish");
    let finish = if there("finish") && is_executable(&finish) {
        Some(Box::new(Finish {
            exec: exec(c"./finish"),
            arguments: arguments(dir),
            limit: milliseconds(&dir.join("timeout-finish"))?.unwrap_or(Some(FINISH_LIMIT)),
        }))
    } else {
        None
    };
    let mut service = Service::new(name, exec(c"./run"));
    service.finish = finish;
    service.start.auto = !there("down");
    if ["notification-fd", "check", "data"].into_iter().any(there) {
        service.ready = readiness(dir, exec)?;
    }
    if there("down-signal") {
        service.stop.signal = signal(&dir.join("down-signal"))?;
    }
    if there("timeout-kill") {
        service.stop.limit = milliseconds(&dir.join("timeout-kill"))?.flatten();
    }
    Ok(service)
}

/// When the service is ready: s6's descriptor before anybody's `check`, for with both it is `run`
/// that calls the check (s6-notifyoncheck).
fn readiness(dir: &Path, exec: impl Fn(&std::ffi::CStr) -> Exec) -> Result<Ready> {
    if let Some(number) = descriptor(&dir.join("notification-fd"))? {
        return Ok(Ready::Descriptor(number));
    }
    let checks = [c"./check", c"./data/check"].into_iter();
    let mut checks =
        checks.filter(|path| is_executable(&dir.join(path.to_string_lossy().as_ref())));
    Ok(match checks.next() {
        Some(check) => Ready::Probe(Box::new(Probe::Command(exec(check)))),
        None => Ready::Started,
    })
}

/// The number in `notification-fd`; 0 to 2 have their use already (s6's servicedir page).
fn descriptor(path: &Path) -> Result<Option<i32>> {
    let Some(text) = line(path)? else { return Ok(None) };
    match text.parse() {
        Ok(number @ 3..=1023) => Ok(Some(number)),
        _ => Err(Error::invalid(format!(
            "{}:1: \"{text}\" is not the number of a descriptor, from 3 to 1023",
            path.display(),
        ))),
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The family that `finish` was written for: s6's if the directory holds a file that only s6
/// knows, or the first line of `finish` names one of its interpreters; else runit's.
fn arguments(dir: &Path) -> FinishArguments {
    let first = open_file(&dir.join("finish")).and_then(first_line).unwrap_or_default();
    let by_line = ["execlineb", "with-contenv", "/command/"]
        .iter()
        .any(|word| first.windows(word.len()).any(|part| part == word.as_bytes()));
    if by_line || S6_FILES.iter().any(|name| dir.join(name).exists()) {
        FinishArguments::S6
    } else {
        FinishArguments::Runit
    }
}

/// The first line of a program, which names its interpreter; as much of it as the kernel looks at.
pub fn first_line(program: fs::File) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    program.take(256).read_to_end(&mut line)?;
    line.truncate(line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len()));
    Ok(line)
}

/// The number in a file: `None` without the file, `Some(None)` for 0, which is "never".
fn milliseconds(path: &Path) -> Result<Option<Option<Duration>>> {
    let Some(text) = line(path)? else { return Ok(None) };
    match text.parse() {
        Ok(0) => Ok(Some(None)),
        Ok(number) => Ok(Some(Some(Duration::from_millis(number)))),
        Err(_) => Err(Error::invalid(format!(
            "{}:1: \"{text}\" is not a number of milliseconds",
            path.display(),
        ))),
    }
}

/// The signal in a file; TERM without the file.
fn signal(path: &Path) -> Result<Signal> {
    match line(path)? {
        None => Ok(Signal::TERM),
        Some(text) => text.parse().doing(|| format!("{}:1", path.display())),
    }
}

/// The variables in a directory: the first line of each file, without blanks at its end, NUL
/// standing for a newline (envdir(8)). Files with a name that begins with a dot are none.
fn environment(dir: &Path) -> Result<Vec<(OsString, Option<OsString>)>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.on("read", dir)?,
    };
    let mut env = Vec::new();
    for entry in entries {
        let entry = entry.on("read", dir)?;
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b".") || !entry.path().is_file() {
            continue;
        }
        if bytes.contains(&b'=') {
            return Err(Error::invalid(format!(
                "{}: the name of a variable holds no =",
                entry.path().display()
            )));
        }
        let text = read_small(&entry.path(), LONGEST_VARIABLE).on("read", entry.path())?;
        let value = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
        let value = value.iter().map(|b| if *b == 0 { b'\n' } else { *b }).collect();
        env.push((name, (!text.is_empty()).then(|| OsString::from_vec(value))));
    }
    env.sort_unstable();
    Ok(env)
}

/// The text of a file that holds one word; `None` where there is no such file.
fn line(path: &Path) -> Result<Option<String>> {
    match read_small(path, LONGEST_WORD) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).trim().to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::os("read", path.display().to_string(), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(test: &str) -> Dir {
            let name = format!("cox-directory-{test}-{}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir(&dir).unwrap();
            Dir(dir)
        }

        fn script(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_directory_with_run_alone_is_a_service_with_the_defaults() {
        let dir = Dir::new("plain");
        assert!(!is_service(&dir.0));
        assert!(read(&dir.0, "web").unwrap_err().is_not_found());
        dir.script("run", "#!/bin/sh\n");
        assert!(is_service(&dir.0));
        let service = read(&dir.0, "web").unwrap();
        assert!(service.start.auto);
        assert_eq!(service.finish, None);
        assert_eq!(service.stop.signal, Signal::TERM);
        assert_eq!(service.stop.limit, None);
        fs::write(dir.0.join("down"), "").unwrap();
        fs::write(dir.0.join("finish"), "not executable").unwrap();
        let service = read(&dir.0, "web").unwrap();
        assert!(!service.start.auto);
        assert_eq!(service.finish, None);
    }

    #[test]
    fn finish_gets_the_arguments_of_its_family() {
        let dir = Dir::new("finish");
        dir.script("run", "#!/bin/sh\n");
        let arguments = || read(&dir.0, "x").unwrap().finish.unwrap().arguments;
        dir.script("finish", "#!/bin/sh\n# execlineb in a comment is nothing\n");
        assert_eq!(arguments(), FinishArguments::Runit);
        dir.script("finish", "#!/command/with-contenv sh\n");
        assert_eq!(arguments(), FinishArguments::S6);
        dir.script("finish", "#!/bin/sh\n");
        fs::write(dir.0.join("notification-fd"), "3").unwrap();
        assert_eq!(arguments(), FinishArguments::S6);
    }

    #[test]
    fn limits_are_milliseconds_and_zero_is_never() {
        let dir = Dir::new("limits");
        dir.script("run", "#!/bin/sh\n");
        dir.script("finish", "#!/bin/sh\n");
        let limits = || {
            let service = read(&dir.0, "x").unwrap();
            (service.stop.limit, service.finish.unwrap().limit)
        };
        assert_eq!(limits(), (None, Some(FINISH_LIMIT)));
        fs::write(dir.0.join("timeout-kill"), "250\n").unwrap();
        fs::write(dir.0.join("timeout-finish"), "0").unwrap();
        assert_eq!(limits(), (Some(Duration::from_millis(250)), None));
        fs::write(dir.0.join("timeout-kill"), "soon\n").unwrap();
        let error = read(&dir.0, "x").unwrap_err().to_string();
        assert!(
            error.ends_with("timeout-kill:1: \"soon\" is not a number of milliseconds"),
            "{error}"
        );
    }

    #[test]
    fn the_signal_for_down_has_a_name_or_a_number() {
        let dir = Dir::new("signal");
        dir.script("run", "#!/bin/sh\n");
        let signal = || read(&dir.0, "x").map(|service| service.stop.signal);
        for (text, expected) in
            [("INT\n", Signal::INT), ("SIGHUP", Signal::HUP), ("15", Signal::TERM)]
        {
            fs::write(dir.0.join("down-signal"), text).unwrap();
            assert_eq!(signal().unwrap(), expected);
        }
        fs::write(dir.0.join("down-signal"), "SOON").unwrap();
        let error = signal().unwrap_err().to_string();
        assert!(error.contains("down-signal:1: unknown signal \"SOON\""), "{error}");
    }

    #[test]
    fn variables_are_read_as_envdir_does() {
        let dir = Dir::new("env");
        dir.script("run", "#!/bin/sh\n");
        fs::create_dir(dir.0.join("env")).unwrap();
        let files: [(&str, &[u8]); 5] = [
            ("A", b"one \t\nsecond line"),
            ("B", b"two\0lines\n"),
            ("EMPTY", b"\n"),
            ("GONE", b""),
            (".hidden", b"x"),
        ];
        for (name, text) in files {
            fs::write(dir.0.join("env").join(name), text).unwrap();
        }
        let env = read(&dir.0, "x").unwrap().run.env;
        let set = |name: &str, value: &str| (name.into(), Some(value.into()));
        let expected: [(OsString, Option<OsString>); 4] =
            [set("A", "one"), set("B", "two\nlines"), set("EMPTY", ""), ("GONE".into(), None)];
        assert_eq!(env, expected);
        fs::write(dir.0.join("env/X=Y"), "x").unwrap();
        assert!(read(&dir.0, "x").unwrap_err().to_string().contains("X=Y: the name"));
    }

    #[test]
    fn the_corpus_in_a_file_is_a_service_or_an_error_that_names_one() {
        const FILES: [&str; 6] =
            ["timeout-kill", "timeout-finish", "down-signal", "notification-fd", "finish", "env/X"];
        let dir = Dir::new("fuzz");
        dir.script("run", "#!/bin/sh\n");
        dir.script("finish", "");
        fs::create_dir(dir.0.join("env")).unwrap();
        let (mut n, mut right) = (0, 0);
        crate::corpus::fuzz("directory", &["\n", "=", "-", "${", "}"], 3_000, |bytes| {
            let file = FILES[n % FILES.len()];
            n += 1;
            fs::write(dir.0.join(file), bytes).unwrap();
            let verdict = read(&dir.0, "x").map(drop).map_err(|error| error.to_string());
            match &verdict {
                Ok(()) => right += 1,
                Err(error) => assert!(FILES.iter().any(|file| error.contains(file)), "{error}"),
            }
            // One at a time, or hardly any would be right.
            if !["finish", "env/X"].contains(&file) {
                fs::remove_file(dir.0.join(file)).unwrap();
            }
            verdict
        });
        assert!(right > 1_000 && right < n, "{right} of {n}");
    }

    #[test]
    fn hidden_entries_and_files_are_no_services() {
        let dir = Dir::new("entries");
        for name in [".hidden", "b", "a"] {
            fs::create_dir(dir.0.join(name)).unwrap();
        }
        fs::write(dir.0.join("file"), "").unwrap();
        std::os::unix::fs::symlink("b", dir.0.join("c")).unwrap();
        let names = entries(&dir.0).unwrap();
        assert_eq!(names, ["a", "b", "c"].map(|name| dir.0.join(name)));
        assert!(entries(&dir.0.join("nope")).is_err());
    }
}
