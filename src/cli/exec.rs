//! `exec`: another program in a running container.

use super::argv::Flags;
use super::command::Command;
use super::{attach, env};
use crate::engine::options::EnvChange;
use crate::engine::{Engine, ExecOptions, session};
use crate::error::{Context, Error, Result};
use argh::{ArgsInfo, FromArgs};

/// Run a program in a running container
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// leave the program to itself
    #[argh(switch, short = 'd')]
    detach: bool,
    /// set an environment variable (KEY=value, or KEY to pass it on)
    #[argh(option, short = 'e', arg_name = "list")]
    env: Vec<String>,
    /// read environment variables from a file
    #[argh(option, arg_name = "list")]
    env_file: Vec<String>,
    /// pass stdin on
    #[argh(switch, short = 'i')]
    interactive: bool,
    /// give the program every capability
    #[argh(switch)]
    privileged: bool,
    /// give the program a terminal
    #[argh(switch, short = 't')]
    tty: bool,
    /// user name or number, with an optional group (user[:group])
    #[argh(option, short = 'u', arg_name = "string")]
    user: Option<String>,
    /// working directory of the program
    #[argh(option, short = 'w', arg_name = "string")]
    workdir: Option<String>,
    #[argh(positional)]
    container_and_command: Vec<String>,
}

pub struct Exec {
    container: String,
    options: ExecOptions,
}

impl Command for Exec {
    type Args = Args;
    const NAME: &'static str = "exec";
    const USAGE: &'static str = "CONTAINER COMMAND [ARG...]";
    const FLAGS: Flags = Flags::First;

    fn new(args: Args) -> Result<Exec> {
        let own = |key: &str| std::env::var(key).ok();
        let mut changes = Vec::new();
        for file in &args.env_file {
            changes.extend(env::parse_file(file.as_ref(), &own).doing(|| "--env-file".into())?);
        }
        for text in &args.env {
            changes.push(env::parse(text, &own).doing(|| "--env".into())?);
        }
        if let Some(dir) = args.workdir.as_ref().filter(|dir| !dir.starts_with('/')) {
            return Err(Error::invalid(format!("--workdir: \"{dir}\" is not an absolute path")));
        }
        let set = |change| match change {
            EnvChange::Set { key, value } => Some(format!("{key}={value}")),
            EnvChange::Unset { .. } => None,
        };
        let mut words = args.container_and_command.into_iter();
        Ok(Exec {
            container: words.next().unwrap_or_default(),
            options: ExecOptions {
                command: words.collect(),
                env: changes.into_iter().filter_map(set).collect(),
                working_dir: args.workdir,
                user: args.user,
                tty: args.tty.then(attach::new_terminal),
                stdin: args.interactive && !args.detach,
                detach: args.detach,
                privileged: args.privileged,
            },
        })
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        if !self.options.detach {
            attach::check_terminal(self.options.tty.is_some(), self.options.stdin)?;
        }
        let signals = session::catch()?;
        let end = attach::with_standard(|standard| {
            engine.exec(&self.container, &self.options, standard, &signals)
        })?;
        Ok(attach::exit_code(end))
    }

    /// 126 and 127 say that the program could not be executed, as with `run`.
    fn exit_code(error: &Error) -> u8 {
        match error.exit_code() {
            125 => 1,
            code => code,
        }
    }
}
