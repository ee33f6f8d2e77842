//! What the flags say of a container's log.

use super::Args;
use crate::cli::command::value;
use crate::engine::options::LogWish;
use crate::error::{Context, Result};

pub fn logging(args: &Args) -> Result<LogWish> {
    let driver = args.log_driver.as_deref().filter(|word| !word.is_empty());
    let driver = driver.map(|word| value("--log-driver", word)).transpose()?;
    let mut log = LogWish { driver, ..LogWish::default() };
    for text in &args.log_opt {
        log.set(text).doing(|| "--log-opt".into())?;
    }
    Ok(log)
}
