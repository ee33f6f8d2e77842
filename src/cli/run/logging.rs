//! What the flags say of a container's log.

use super::Args;
use crate::cli::command::value;
use crate::engine::options::Logging;
use crate::error::{Context, Result};

/// `None` where they say nothing.
pub fn logging(args: &Args) -> Result<Option<Logging>> {
    if args.log_driver.is_none() && args.log_opt.is_empty() {
        return Ok(None);
    }
    let driver = args.log_driver.as_deref().unwrap_or_default();
    let mut log = Logging { driver: value("--log-driver", driver)?, ..Logging::default() };
    for text in &args.log_opt {
        log.set(text).doing(|| "--log-opt".into())?;
    }
    log.check()?;
    Ok(Some(log))
}
