//! Finding the container somebody means.

use super::Engine;
use crate::container::{Dir, dir};
use crate::error::{Error, Result};

impl Engine {
    /// By name, id, the start of an id that no other container shares, or the path of a link.
    pub fn find(&self, text: &str) -> Result<Dir> {
        if let Some(id) = dir::named(&self.home, text)? {
            return Ok(Dir::new(&self.home, &id));
        }
        if let Some(dir) = self.find_by_path(text)? {
            return Ok(dir);
        }
        let is_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut found = Vec::new();
        if is_hex && !text.is_empty() {
            found = Dir::all(&self.home)?;
            found.retain(|id| id.as_str().starts_with(text));
        }
        match &found[..] {
            [id] => Ok(Dir::new(&self.home, id)),
            [] => Err(Error::not_found(format!("no such container: {text}"))),
            many => Err(Error::conflict(format!(
                "\"{text}\" is ambiguous: it begins the ids of {} containers",
                many.len()
            ))
            .hint("give more digits, or the name")),
        }
    }
}
