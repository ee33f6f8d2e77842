//! `update`: other limits, or another restart policy, for containers that exist.

use super::command::{Command, each, value};
use super::output;
use super::run::Texts;
use crate::engine::Engine;
use crate::engine::options::Limits;
use crate::error::{Error, Result};
use crate::types::RestartPolicy;
use argh::{ArgsInfo, FromArgs};

/// Change the limits of containers, at once where they run
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// relative weight of block I/O, 10 to 1000
    #[argh(option, arg_name = "int")]
    blkio_weight: Option<String>,
    /// length of a period of --cpu-quota, in microseconds
    #[argh(option, arg_name = "int")]
    cpu_period: Option<String>,
    /// microseconds of CPU time in each period (0 for any)
    #[argh(option, arg_name = "int")]
    cpu_quota: Option<String>,
    /// length of a period of --cpu-rt-runtime, in microseconds (cgroup v1)
    #[argh(option, arg_name = "int")]
    cpu_rt_period: Option<String>,
    /// microseconds in real time in each period (cgroup v1)
    #[argh(option, arg_name = "int")]
    cpu_rt_runtime: Option<String>,
    /// relative weight of CPU time (1024 is one share)
    #[argh(option, short = 'c', arg_name = "int")]
    cpu_shares: Option<String>,
    /// how many processors they may use (1.5; 0 for all)
    #[argh(option, arg_name = "number")]
    cpus: Option<String>,
    /// processors they may use (0-2,7)
    #[argh(option, arg_name = "string")]
    cpuset_cpus: Option<String>,
    /// memory nodes they may use (0-1)
    #[argh(option, arg_name = "string")]
    cpuset_mems: Option<String>,
    /// ignored: the kernel has no such limit any more
    #[argh(option, arg_name = "bytes")]
    kernel_memory: Option<String>,
    /// memory limit (512m, 1g; 0 for none)
    #[argh(option, short = 'm', arg_name = "bytes")]
    memory: Option<String>,
    /// memory they keep when the host runs short
    #[argh(option, arg_name = "bytes")]
    memory_reservation: Option<String>,
    /// limit of memory and swap together (-1 for any swap)
    #[argh(option, arg_name = "bytes")]
    memory_swap: Option<String>,
    /// most processes and threads at a time (-1 for any number)
    #[argh(option, arg_name = "int")]
    pids_limit: Option<String>,
    /// when to start them again: no, always, unless-stopped, on-failure[:max-retries]
    #[argh(option, arg_name = "policy")]
    restart: Option<String>,
    #[argh(positional)]
    containers: Vec<String>,
}

pub struct Update(Args);

impl Args {
    fn texts(&self) -> Texts<'_> {
        Texts {
            blkio_weight: self.blkio_weight.as_deref(),
            cpu_period: self.cpu_period.as_deref(),
            cpu_quota: self.cpu_quota.as_deref(),
            cpu_rt_period: self.cpu_rt_period.as_deref(),
            cpu_rt_runtime: self.cpu_rt_runtime.as_deref(),
            cpu_shares: self.cpu_shares.as_deref(),
            cpus: self.cpus.as_deref(),
            cpuset_cpus: self.cpuset_cpus.as_deref(),
            cpuset_mems: self.cpuset_mems.as_deref(),
            kernel_memory: self.kernel_memory.as_deref(),
            memory: self.memory.as_deref(),
            memory_reservation: self.memory_reservation.as_deref(),
            memory_swap: self.memory_swap.as_deref(),
            pids_limit: self.pids_limit.as_deref(),
            ..Texts::default()
        }
    }
}

impl Command for Update {
    type Args = Args;
    const NAME: &'static str = "update";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";

    fn new(args: Args) -> Result<Update> {
        // Values that no container can have are told before any is looked at.
        args.texts().change(Limits::default())?;
        if let Some(text) = &args.restart {
            value::<RestartPolicy>("--restart", text)?;
        }
        if args.restart.is_none() && args.texts() == Texts::default() {
            return Err(Error::invalid("update: there is nothing to change")
                .hint("give a limit, or --restart"));
        }
        Ok(Update(args))
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let texts = self.0.texts();
        texts.ignored().iter().for_each(output::warning);
        let restart = self.0.restart.as_ref();
        let restart = restart.map(|text| value("--restart", text)).transpose()?;
        each(&self.0.containers, |name| {
            engine.update(name, &|limits| texts.change(limits), restart)
        })
    }
}
