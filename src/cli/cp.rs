//! `cp`: copies files between the host and a container.

use super::command::Command;
use super::output;
use crate::engine::{CopyOptions, Engine};
use crate::error::{Error, Result};
use crate::types::human_size;
use argh::{ArgsInfo, FromArgs};
use std::io::{IsTerminal, stderr, stdin};
use std::path::{Path, PathBuf};

/// Copy files between a container and the host; - is a tar
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// keep the owners of what comes out, and its devices; give what goes in to the container's user
    #[argh(switch, short = 'a')]
    archive: bool,
    /// copy what SOURCE leads to, where it is a link
    #[argh(switch, short = 'L')]
    follow_link: bool,
    /// do not tell what was copied (told on a terminal alone)
    #[argh(switch, short = 'q')]
    quiet: bool,
    #[argh(positional)]
    source: String,
    #[argh(positional)]
    destination: String,
}

pub struct Cp {
    options: CopyOptions,
    quiet: bool,
    way: Way,
    destination: String,
}

enum Way {
    Out { container: String, path: String, to: Destination },
    In { from: Source, container: String, path: String },
}

enum Destination {
    Path(PathBuf),
    Stdout,
}

enum Source {
    Path(PathBuf),
    Stdin,
}

impl Command for Cp {
    type Args = Args;
    const NAME: &'static str = "cp";
    const USAGE: &'static str = "CONTAINER:SOURCE|SOURCE|- CONTAINER:DESTINATION|DESTINATION|-";

    fn new(args: Args) -> Result<Cp> {
        let way = match (split(&args.source)?, split(&args.destination)?) {
            (Some((container, path)), None) => {
                let to = match &args.destination[..] {
                    "-" => {
                        output::check_archive("cp", None)?;
                        Destination::Stdout
                    }
                    path => Destination::Path(absolute(path)?),
                };
                Way::Out { container, path, to }
            }
            (None, Some((container, path))) => {
                let from = match &args.source[..] {
                    "-" => Source::Stdin,
                    path => Source::Path(absolute(path)?),
                };
                Way::In { from, container, path }
            }
            (Some(_), Some(_)) => {
                return Err(Error::invalid("copying between containers is not supported")
                    .hint("copy by way of the host: cp A:PATH - | cp - B:DIRECTORY"));
            }
            (None, None) => {
                return Err(Error::invalid("neither SOURCE nor DESTINATION is of a container")
                    .hint("write CONTAINER:PATH for one of them"));
            }
        };
        let options = CopyOptions { archive: args.archive, follow: args.follow_link };
        Ok(Cp { options, quiet: args.quiet, way, destination: args.destination })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let options = self.options;
        let bytes = match &self.way {
            Way::Out { container, path, to: Destination::Stdout } => {
                output::archive(None, |out| {
                    engine.copy_to_tar(container, path, options.follow, out)
                })?;
                return Ok(0);
            }
            Way::Out { container, path, to: Destination::Path(to) } => {
                engine.copy_out(container, path, to, options)?
            }
            Way::In { from: Source::Path(from), container, path } => {
                engine.copy_in(from, container, path, options)?
            }
            Way::In { from: Source::Stdin, container, path } => {
                engine.copy_from_tar(&mut stdin().lock(), container, path, options.archive)?
            }
        };
        if !self.quiet && stderr().is_terminal() {
            let size = human_size(bytes);
            output::diagnostic(&format!("Successfully copied {size} to {}", self.destination));
        }
        Ok(0)
    }
}

/// `CONTAINER:PATH`; nothing for a path of the host, which begins with `/` or `.` where it has a
/// colon.
fn split(text: &str) -> Result<Option<(String, String)>> {
    match text.split_once(':') {
        Some((container, path)) if !text.starts_with(['/', '.']) => {
            if container.is_empty() || path.is_empty() {
                return Err(Error::invalid(format!("\"{text}\" is not CONTAINER:PATH"))
                    .hint("for a file of the host with a colon in its name, write ./NAME"));
            }
            // As seen from the root.
            Ok(Some((container.to_string(), format!("/{}", path.trim_start_matches('/')))))
        }
        _ => Ok(None),
    }
}

/// Without cleaning: a slash or dot at the end means something.
fn absolute(path: &str) -> Result<PathBuf> {
    if path.is_empty() {
        return Err(Error::invalid("a path of the host is empty"));
    }
    if path.starts_with('/') {
        return Ok(path.into());
    }
    let here = std::env::current_dir();
    let here = here.map_err(|e| Error::os("find", "the working directory", e))?;
    let mut whole = here.into_os_string();
    whole.push("/");
    whole.push(path);
    Ok(Path::new(&whole).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_is_of_a_container() {
        let of = |source: &str, destination: &str| {
            let args = Args::from_args(&["cp"], &["--", source, destination]).unwrap();
            Cp::new(args).map(|cp| cp.way).map_err(|e| e.to_string())
        };
        assert!(matches!(of("c:/x", "y"), Ok(Way::Out { path, .. }) if path == "/x"));
        assert!(matches!(of("c:x/.", "/y"), Ok(Way::Out { path, .. }) if path == "/x/."));
        assert!(matches!(of("./a:b", "c:/"), Ok(Way::In { path, .. }) if path == "/"));
        assert!(matches!(of("-", "c:/"), Ok(Way::In { from: Source::Stdin, .. })));
        for (source, destination, text) in [
            ("a:/x", "b:/y", "copying between containers is not supported"),
            ("x", "y", "neither SOURCE nor DESTINATION is of a container"),
            (":x", "y", "\":x\" is not CONTAINER:PATH"),
            ("c:", "y", "\"c:\" is not CONTAINER:PATH"),
            ("", "c:/", "a path of the host is empty"),
        ] {
            assert_eq!(of(source, destination).err().as_deref(), Some(text));
        }
    }
}
