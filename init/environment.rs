//! The variables that a program starts with. Later ones replace earlier ones:
//!
//! 1. what cox was given;
//! 2. with a user, unless that is not wanted: its HOME, USER and LOGNAME; without an entry in the database HOME is `/` and
//!    the others are removed, as they are somebody else's;
//! 3. the env files, in their order;
//! 4. `Exec::env`;
//! 5. secrets: NAME from the file that NAME_FILE names, if that is set; NAME_FILE is removed.
//!    Where NAME is set too, nobody knows which of them counts: an error.

use crate::env_file;
use crate::service::{Exec, Setup, User};
use coracle::error::{Error, OsContext, Result};
use coracle::sys::fs::read_small;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The files of variables and secrets are no larger: all of them together have to fit into a stack.
const LARGEST: usize = 1 << 20;

/// What cox was given, as `execve` takes it.
pub fn given() -> Vec<CString> {
    std::env::vars_os().flat_map(|(name, value)| join(&name, value.as_bytes())).collect()
}

/// Whether `exec` starts with just that.
pub fn is_given(exec: &Exec) -> bool {
    let changes = |setup: &Setup| {
        setup.user.is_some() || !setup.env_files.is_empty() || !setup.secrets.is_empty()
    };
    exec.env.is_empty() && !exec.setup.as_deref().is_some_and(changes)
}

/// The environment of `exec`, as `execve` takes it. Reads its files.
pub fn environment(exec: &Exec) -> Result<Vec<CString>> {
    compose(given(), exec)
}

fn compose(given: Vec<CString>, exec: &Exec) -> Result<Vec<CString>> {
    let mut block = Block(given);
    let none = Setup::default();
    let setup = exec.setup.as_deref().unwrap_or(&none);
    if let Some(user) = setup.user.as_ref().filter(|_| !setup.keeps_home) {
        block.set_user(user)?;
    }
    for path in &setup.env_files {
        block.read(path)?;
    }
    for (name, value) in &exec.env {
        block.set(name, value.as_ref().map(|value| value.as_bytes()))?;
    }
    for name in &setup.secrets {
        block.reveal(name)?;
    }
    Ok(block.0)
}

/// Strings of the form NAME=value.
struct Block(Vec<CString>);

impl Block {
    fn position(&self, name: &OsStr) -> Option<usize> {
        self.0.iter().position(|variable| value_in(variable, name).is_some())
    }

    fn get(&self, name: &OsStr) -> Option<&[u8]> {
        self.0.iter().find_map(|variable| value_in(variable, name))
    }

    /// Sets a variable, or removes it.
    fn set(&mut self, name: &OsStr, value: Option<&[u8]>) -> Result<()> {
        let joined = value.map(|value| join(name, value)).transpose()?;
        let slot = self.position(name);
        match (slot.and_then(|at| self.0.get_mut(at)), joined) {
            (Some(variable), Some(joined)) => *variable = joined,
            (None, Some(joined)) => self.0.push(joined),
            (Some(_), None) => self.0.retain(|variable| value_in(variable, name).is_none()),
            (None, None) => {}
        }
        Ok(())
    }

    fn set_user(&mut self, user: &User) -> Result<()> {
        let home = user.home.as_deref().unwrap_or(Path::new("/"));
        self.set("HOME".as_ref(), Some(home.as_os_str().as_bytes()))?;
        for variable in ["USER", "LOGNAME"] {
            self.set(variable.as_ref(), user.name.as_ref().map(|name| name.as_bytes()))?;
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> Result<()> {
        for (name, value) in variables(path)? {
            // A name alone is what cox was given, which is here already.
            if let Some(value) = value {
                self.set(name.as_ref(), Some(value.as_bytes()))?;
            }
        }
        Ok(())
    }

    fn reveal(&mut self, name: &str) -> Result<()> {
        let pointer = OsString::from(format!("{name}_FILE"));
        let Some(path) = self.get(&pointer) else { return Ok(()) };
        let path = PathBuf::from(OsStr::from_bytes(path));
        if self.get(name.as_ref()).is_some() {
            let error = Error::conflict(format!("{name} and {name}_FILE are both set"));
            return Err(error.hint("remove one of them"));
        }
        let text =
            read_small(&path, LARGEST).on("read", &path).map_err(|error| error.doing(name))?;
        let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
        let value = end.and_then(|end| text.get(..=end)).unwrap_or_default();
        self.set(name.as_ref(), Some(value))?;
        self.set(&pointer, None)
    }
}

/// The variables in an env file.
pub fn variables(path: &Path) -> Result<Vec<(String, Option<String>)>> {
    let text = read_small(path, LARGEST).on("read", path)?;
    let text = String::from_utf8(text)
        .map_err(|_| Error::invalid(format!("{}: not UTF-8", path.display())))?;
    env_file::parse(&text, &path.display().to_string())
}

/// The value in NAME=value, if that is the name.
fn value_in<'a>(variable: &'a CString, name: &OsStr) -> Option<&'a [u8]> {
    variable.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

fn join(name: &OsStr, value: &[u8]) -> Result<CString> {
    let mut text = name.to_os_string().into_vec();
    text.push(b'=');
    text.extend_from_slice(value);
    CString::new(text).map_err(|_| {
        Error::invalid(format!("a NUL byte in the variable {}", name.to_string_lossy()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle::sys::fs::remove_tree;
    use std::fs;

    fn composed(given: &[&str], exec: &Exec) -> Result<Vec<String>> {
        let given = given.iter().map(|text| CString::new(*text).unwrap()).collect();
        let block = compose(given, exec)?;
        Ok(block.into_iter().map(|variable| variable.into_string().unwrap()).collect())
    }

    fn exec(env: &[(&str, Option<&str>)], setup: Setup) -> Exec {
        let env = env.iter().map(|(name, value)| (name.into(), value.map(OsString::from)));
        Exec { env: env.collect(), setup: Some(Box::new(setup)), ..Exec::new(Vec::new()) }
    }

    #[test]
    fn without_changes_it_is_what_cox_was_given() {
        let given = ["A=1", "B=2=3"];
        let plain = Exec::new(Vec::new());
        assert_eq!(composed(&given, &plain).unwrap(), given);
        assert!(is_given(&plain) && is_given(&exec(&[], Setup::default())));
        let ours = environment(&plain).unwrap();
        assert_eq!(ours.len(), std::env::vars_os().count());
    }

    #[test]
    fn variables_are_set_and_removed() {
        let exec = exec(&[("A", Some("x")), ("B", None), ("C", Some(""))], Setup::default());
        assert!(!is_given(&exec));
        assert_eq!(composed(&["A=1", "AB=2", "B=3"], &exec).unwrap(), ["A=x", "AB=2", "C="]);
    }

    #[test]
    fn a_user_has_a_home_of_its_own() {
        let user = |home: Option<&str>, name: Option<&str>| Setup {
            user: Some(User {
                uid: 33,
                gid: 33,
                groups: vec![33],
                home: home.map(PathBuf::from),
                name: name.map(String::from),
            }),
            ..Setup::default()
        };
        let given = ["HOME=/root", "USER=root"];
        let known = exec(&[], user(Some("/srv"), Some("web")));
        assert_eq!(composed(&given, &known).unwrap(), ["HOME=/srv", "USER=web", "LOGNAME=web"]);
        let unknown = exec(&[], user(None, None));
        assert_eq!(composed(&given, &unknown).unwrap(), ["HOME=/"]);
        let told = exec(&[("HOME", Some("/config"))], user(Some("/srv"), None));
        assert_eq!(composed(&given, &told).unwrap(), ["HOME=/config"]);
    }

    #[test]
    fn files_come_before_env_and_secrets_last() {
        let dir = std::env::temp_dir().join(format!("cox-environment-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let file = |name: &str, text: &str| {
            fs::write(dir.join(name), text).unwrap();
            dir.join(name)
        };
        let secret = file("secret", "geheim\n\n");
        let pointer = format!("PASSWORD_FILE={}", secret.display());
        let setup = Setup {
            env_files: vec![file("one", "A=1\nB=1\nC=1\nOWN\n"), file("two", "B=2\nC=2")],
            secrets: vec!["PASSWORD".into(), "OTHER".into()],
            ..Setup::default()
        };
        let with_files = exec(&[("C", Some("3"))], setup.clone());
        let block = composed(&["OWN=x", &pointer], &with_files).unwrap();
        assert_eq!(block, ["OWN=x", "A=1", "B=2", "C=3", "PASSWORD=geheim"]);

        fs::remove_file(&secret).unwrap();
        let error = composed(&[&pointer], &with_files).unwrap_err().to_string();
        let missing = format!("read {}: no such file or directory", secret.display());
        assert_eq!(error, format!("PASSWORD: {missing}"));
        fs::write(dir.join("two"), "B=2\n=").unwrap();
        let error = composed(&[], &with_files).unwrap_err().to_string();
        assert!(error.ends_with("two:2: \"\" is not the name of a variable"), "{error}");
        remove_tree(&dir).unwrap();
    }
}
