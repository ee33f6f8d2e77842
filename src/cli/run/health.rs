//! What the flags say of a container's health checks.

use super::Args;
use crate::cli::command::value;
use crate::engine::options::Checkup;
use crate::error::{Error, Result};
use crate::types::{Healthcheck, OnFailure};

pub fn health(args: &Args) -> Result<Checkup> {
    let mut check = Healthcheck::default();
    if let Some(line) = args.health_cmd.as_ref().filter(|line| !line.is_empty()) {
        check.test = vec!["CMD-SHELL".to_string(), line.clone()];
    }
    for (name, text) in [
        ("interval", &args.health_interval),
        ("timeout", &args.health_timeout),
        ("retries", &args.health_retries),
        ("start-period", &args.health_start_period),
        ("start-interval", &args.health_start_interval),
    ] {
        if let Some(text) = text {
            check.set(name, text).map_err(|error| error.doing(format!("--health-{name}")))?;
        }
    }
    let on_failure: Option<OnFailure> = match &args.health_on_failure {
        Some(text) => Some(value("--health-on-failure", text)?),
        None => None,
    };
    let is_asked = check != Healthcheck::default();
    if args.no_healthcheck && (is_asked || on_failure.is_some()) {
        return Err(Error::invalid("--no-healthcheck conflicts with --health-* options"));
    }
    let check = match args.no_healthcheck {
        true => Some(Healthcheck::none()),
        false => is_asked.then_some(check),
    };
    let on_failure = on_failure.unwrap_or_default();
    Ok(Checkup { check, on_failure, ..Checkup::default() })
}
