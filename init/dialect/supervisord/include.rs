//! `[include] files = ...`: which files a pattern names, and reading them.

use super::value::{Keys, at_place};
use super::{Document, Scope, load};
use coracle::error::{Error, OsContext, Result};
use coracle::types::Glob;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Reads what `document`, which came from `path`, includes. What is included includes nothing.
pub fn follow(
    document: &mut Document,
    path: &Path,
    scope: &Scope,
    warnings: &mut Vec<Error>,
) -> Result<()> {
    let Some(section) = document.get("include").cloned() else { return Ok(()) };
    let keys = Keys::new(&section, scope);
    let patterns = keys.text("files");
    if patterns.is_none() && keys.is_good() {
        keys.wrong("", "there are no files", "add: files = conf.d/*.conf");
    }
    Error::collect(keys.problems.take())?;
    let full = std::path::absolute(path).on("read", path)?;
    let base = full.parent().unwrap_or(Path::new("/"));
    for pattern in patterns.unwrap_or_default().split_whitespace() {
        let files = matching(&base.join(pattern));
        if files.is_empty() {
            keys.odd("files", &format!("no file matches {pattern}"), "");
        }
        for file in files {
            match file == full {
                true => keys.odd("files", "it includes itself", ""),
                false => load(document, &file)?,
            }
        }
    }
    let now = document.get("include").map_or(&[][..], |section| &section.entries);
    for entry in now.iter().filter(|entry| entry.at.file.as_ref() != path) {
        let error = Error::invalid("an included file cannot include others; ignored");
        warnings.push(at_place(error, &entry.at));
    }
    warnings.append(&mut keys.warnings.borrow_mut());
    Ok(())
}

/// The files that fit a pattern, in order of their names. A directory's pattern may hold * too.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let Component::Normal(name) = part else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let text = name.to_string_lossy();
        // Python writes [!a] for what others write [^a].
        let read = || text.replace("[!", "[^").parse::<Glob>().ok();
        let glob = text.contains(['*', '?', '[']).then(read).flatten();
        let Some(glob) = glob else {
            found.iter_mut().for_each(|path| path.push(name));
            continue;
        };
        let mut next = Vec::new();
        for dir in &found {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let shown = name.to_string_lossy();
                // What is hidden is named in full, or not at all.
                let hidden = shown.starts_with('.') && !text.starts_with('.');
                if glob.matches(&shown) && !hidden {
                    next.push(dir.join(&name));
                }
            }
        }
        next.sort_unstable();
        found = next;
    }
    found.retain(|path| path.is_file());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_files_in_order_of_their_names() {
        let dir = std::env::temp_dir().join(format!("cox-include-{}", std::process::id()));
        fs::create_dir_all(dir.join("a.d")).unwrap();
        fs::create_dir_all(dir.join("b.d")).unwrap();
        for file in ["a.d/2.conf", "a.d/1.conf", "a.d/.hidden.conf", "a.d/x.txt", "b.d/1.conf"] {
            fs::write(dir.join(file), "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let found = matching(&dir.join(pattern));
            let tail =
                |path: PathBuf| path.strip_prefix(&dir).unwrap().to_str().unwrap().to_string();
            found.into_iter().map(tail).collect()
        };
        assert_eq!(found("a.d/*.conf"), ["a.d/1.conf", "a.d/2.conf"]);
        assert_eq!(found("*.d/1.conf"), ["a.d/1.conf", "b.d/1.conf"]);
        assert_eq!(found("a.d/[!2].conf"), ["a.d/1.conf"]);
        assert_eq!(found("a.d/[12].conf").len(), 2);
        assert_eq!(found("a.d/x.txt"), ["a.d/x.txt"]);
        assert_eq!(found("no/*"), Vec::<String>::new());
        fs::remove_dir_all(&dir).unwrap();
    }
}
