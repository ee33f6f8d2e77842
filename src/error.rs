//! The one error type of the library, and how it reads.
//!
//! An error is a cause (one of the leaf variants) wrapped in what was being done: `While` adds
//! "mount /data", `Hint` adds the cure. It is rendered once, by the faces (`cli`, later `api`):
//! the chain on one line, the hint on a second. Nothing logs an error and returns it too.

use std::fmt;
use std::io;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Error>;

/// One word wide, so that results that carry it stay small.
#[derive(Debug)]
pub struct Error(Box<Cause>);

#[derive(Debug)]
pub enum Cause {
    /// A system call failed: `op` is the call or the attempt, `target` what it was done to.
    Os { op: &'static str, target: String, source: io::Error },
    /// Input (a flag, a file, a frame from a peer) is outside its grammar or range.
    Invalid(String),
    /// The thing named does not exist.
    NotFound(String),
    /// The state of the thing, or another holder of it, forbids the act.
    Conflict(String),
    /// What lies on disk or came from a peer is not what it must be.
    Damaged(String),
    /// The program of a container could not be executed; 126 or 127 by `source`.
    Exec { program: String, source: io::Error },
    /// Another process of ours failed: its words, and the exit code for them.
    Reported { code: u8, text: String },
    /// `doing` failed because of `cause`.
    While { doing: String, cause: Error },
    /// `cause`, and what the user can do about it.
    Hint { cause: Error, hint: String },
    /// Several independent failures, from an act that tries everything (teardown, many names).
    List(Vec<Error>),
}

impl Error {
    pub fn os(op: &'static str, target: impl Into<String>, source: io::Error) -> Error {
        Cause::Os { op, target: target.into(), source }.into()
    }

    pub fn invalid(problem: impl Into<String>) -> Error {
        Cause::Invalid(problem.into()).into()
    }

    pub fn not_found(problem: impl Into<String>) -> Error {
        Cause::NotFound(problem.into()).into()
    }

    pub fn conflict(problem: impl Into<String>) -> Error {
        Cause::Conflict(problem.into()).into()
    }

    pub fn damaged(problem: impl Into<String>) -> Error {
        Cause::Damaged(problem.into()).into()
    }

    /// Adds the cure, shown on a line of its own.
    pub fn hint(self, hint: impl Into<String>) -> Error {
        self.with_hint(hint.into())
    }

    /// As `hint`, for an error without one.
    pub fn or_hint(self, hint: impl FnOnce() -> String) -> Error {
        if self.hints().is_empty() { self.with_hint(hint()) } else { self }
    }

    /// Adds what was being done.
    pub fn doing(self, doing: impl Into<String>) -> Error {
        self.within(doing.into())
    }

    // Whatever can be one copy in the program is one: errors are made in hundreds of places.
    #[cold]
    #[inline(never)]
    fn with_hint(self, hint: String) -> Error {
        Cause::Hint { cause: self, hint }.into()
    }

    #[cold]
    #[inline(never)]
    fn within(self, doing: String) -> Error {
        Cause::While { doing, cause: self }.into()
    }

    #[cold]
    #[inline(never)]
    fn os_at(op: &'static str, path: &Path, source: io::Error) -> Error {
        Cause::Os { op, target: path.display().to_string(), source }.into()
    }

    /// The hints along the chain, outermost first.
    pub fn hints(&self) -> Vec<&str> {
        match &*self.0 {
            Cause::Hint { cause, hint } => {
                let mut all = vec![hint.as_str()];
                all.extend(cause.hints());
                all
            }
            Cause::While { cause, .. } => cause.hints(),
            Cause::List(errors) => errors.iter().flat_map(Error::hints).collect(),
            _ => Vec::new(),
        }
    }

    /// The variant at the bottom of the chain.
    pub fn root(&self) -> &Cause {
        match &*self.0 {
            Cause::While { cause, .. } | Cause::Hint { cause, .. } => cause.root(),
            other => other,
        }
    }

    /// The failures of an act that tries everything.
    pub fn several(&self) -> Option<&[Error]> {
        match &*self.0 {
            Cause::List(errors) => Some(errors),
            _ => None,
        }
    }

    /// The errno at the bottom of the chain, where a system call is to blame.
    pub fn errno(&self) -> Option<i32> {
        match self.root() {
            Cause::Os { source, .. } | Cause::Exec { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether it would have to give way to what is there or goes on.
    pub fn is_conflict(&self) -> bool {
        matches!(self.root(), Cause::Conflict(_))
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self.root(), Cause::NotFound(_))
    }

    /// The exit code Docker documents for an engine's failure: 127 where the program is not
    /// there, 126 where it cannot be executed, else 125.
    pub fn exit_code(&self) -> u8 {
        match self.root() {
            Cause::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Cause::Exec { .. } => 126,
            Cause::Reported { code, .. } => *code,
            _ => 125,
        }
    }

    /// `Ok(())` for an empty list, the error itself for one, a `List` for more.
    pub fn collect(errors: Vec<Error>) -> Result<()> {
        let mut errors = errors;
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Cause::List(errors).into()),
        }
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Error {
        Error(Box::new(cause))
    }
}

/// On one line, and nothing but text: names out of archives and files stand in it, and a terminal
/// must not obey them.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.write(&mut Plain(f))
    }
}

impl Error {
    fn write(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        match &*self.0 {
            Cause::Os { op, target, source } if target.is_empty() => {
                write!(f, "{op}: {}", reason(source))
            }
            Cause::Os { op, target, source } => write!(f, "{op} {target}: {}", reason(source)),
            Cause::Invalid(text)
            | Cause::NotFound(text)
            | Cause::Conflict(text)
            | Cause::Damaged(text)
            | Cause::Reported { text, .. } => f.write_str(text),
            Cause::Exec { program, source } => {
                write!(f, "cannot execute \"{program}\": {}", reason(source))
            }
            Cause::While { doing, cause } => {
                write!(f, "{doing}: ")?;
                cause.write(f)
            }
            Cause::Hint { cause, .. } => cause.write(f),
            Cause::List(errors) => {
                for (i, error) in errors.iter().enumerate() {
                    if i > 0 {
                        f.write_str("; ")?;
                    }
                    error.write(f)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {}

/// Writes control characters as Rust would: `\u{1b}`, `\n`.
pub struct Plain<W>(pub W);

impl<W: fmt::Write> fmt::Write for Plain<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut from = 0;
        for (at, control) in text.match_indices(char::is_control) {
            self.0.write_str(text.get(from..at).unwrap_or_default())?;
            for c in control.chars() {
                write!(self.0, "{}", c.escape_default())?;
            }
            from = at + control.len();
        }
        self.0.write_str(text.get(from..).unwrap_or_default())
    }
}

/// The kernel's words for an I/O error, in the lower case of an error chain and without Rust's
/// " (os error N)".
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    let text = text.strip_suffix(number.as_deref().unwrap_or("")).unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => std::iter::once(first.to_ascii_lowercase()).chain(chars).collect(),
        None => String::new(),
    }
}

/// Wraps the error of a `Result` on its way up.
pub trait Context<T> {
    /// Says what was being done when it failed.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
    /// Adds the cure.
    fn hint(self, hint: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| e.doing(doing()))
    }
    fn hint(self, hint: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| e.hint(hint()))
    }
}

/// Turns an `io::Result` into ours: `File::open(&path).on("open", &path)?`.
pub trait OsContext<T> {
    fn on(self, op: &'static str, target: impl AsRef<Path>) -> Result<T>;
}

impl<T> OsContext<T> for io::Result<T> {
    fn on(self, op: &'static str, target: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| Error::os_at(op, target.as_ref(), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_reads_on_one_line_and_its_hint_apart() {
        let e = Error::os("mount", "/data", io::Error::from_raw_os_error(2))
            .hint("make the directory first")
            .doing("start web");
        assert_eq!(e.to_string(), "start web: mount /data: no such file or directory");
        assert_eq!(e.hints(), ["make the directory first"]);
        assert_eq!(e.errno(), Some(2));
    }

    #[test]
    fn a_terminal_is_not_spoken_to() {
        let e = Error::os("open", "a\nb", io::Error::from_raw_os_error(2))
            .doing("member \"\u{1b}[2J\u{9b}1m\u{e9}\"");
        let expected = r#"member "\u{1b}[2J\u{9b}1mé": open a\nb: no such file or directory"#;
        assert_eq!(e.to_string(), expected);
    }

    #[test]
    fn exit_codes_are_those_docker_documents() {
        let exec = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            Error::from(Cause::Exec { program: "x".into(), source }).doing("start").exit_code()
        };
        assert_eq!(exec(2), 127);
        assert_eq!(exec(13), 126);
        assert_eq!(Error::invalid("no").exit_code(), 125);
    }
}
