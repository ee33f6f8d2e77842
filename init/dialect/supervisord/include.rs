//! `[include] files = ...`: which files a pattern names, and reading them.

use super::percent::Names;
use super::value::Keys;
use super::{Document, Fault, Scope, load};
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
    let mut names = Names::default();
    names.text("host_node_name", scope.host);
    let keys = Keys { section: &section, names, scope };
    let Some(patterns) = keys.text("files").map_err(Fault::said)? else {
        let error = Error::invalid("there are no files").hint("add: files = conf.d/*.conf");
        return Err(keys.fault(error).said());
    };
    let full = std::path::absolute(path).on("read", path)?;
    let base = full.parent().unwrap_or(Path::new("/"));
    for pattern in patterns.split_whitespace() {
        let files = matching(&base.join(pattern));
        if files.is_empty() {
            let error = Error::not_found(format!("no file matches {pattern}"));
            warnings.push(keys.fault_at("files", error).said());
        }
        for file in files {
            if file == full {
                let error = Error::invalid(format!("{} includes itself", path.display()));
                warnings.push(keys.fault_at("files", error).said());
                continue;
            }
            load(document, &file)?;
        }
    }
    if let Some(now) = document.get("include") {
        let strangers = now.entries.iter().filter(|entry| entry.at.file.as_ref() != path);
        for entry in strangers {
            let error = Error::invalid("an included file cannot include others; ignored");
            let error = error.hint(format!("name them in {}", path.display()));
            warnings.push(error.doing(entry.at.shown()));
        }
    }
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
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            let fits = names.filter(|name| {
                let name = name.to_string_lossy();
                // What is hidden is named in full, or not at all.
                glob.matches(&name) && (text.starts_with('.') || !name.starts_with('.'))
            });
            next.extend(fits.map(|name| dir.join(name)));
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
