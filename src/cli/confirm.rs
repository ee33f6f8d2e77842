//! Asking before much is removed.

use super::output;
use crate::error::{OsContext, Result};
use std::io::BufRead;

/// Whether the user says yes to what `warning` tells. No answer is no.
pub fn confirm(warning: &str) -> Result<bool> {
    output::text(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).on("read", "the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
