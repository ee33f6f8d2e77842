//! Holds the source to the layers and house rules of `docs/design.md`, sections 2 and 8.
//!
//! The checker reads tokens, not types: comments, strings and character literals are dropped, `use`
//! trees are spread out, `self` and `super` are resolved by the file's place, and every path is
//! judged by the first module it names. A violation reads `file:line: what`, so that an editor can
//! jump to it.

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::fs;
use std::path::Path;

#[test]
fn every_file_keeps_the_rules_of_the_house() {
    // Where the tests run; they may have been built elsewhere.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the checkout");
    let root = Path::new(&root);
    let mut violations = Vec::new();
    let mut files = 0;
    for top in ["src", "init", "tests", "benches"] {
        visit(root, &root.join(top), &mut |path, text| {
            files += 1;
            for v in rules::check(path, text) {
                violations.push(format!("{path}:{}: {}", v.line, v.what));
            }
        });
    }
    assert!(files > 10, "the checker found only {files} files");
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Hands each `.rs` file under `dir` to `check`, its path relative to `root`.
fn visit(root: &Path, dir: &Path, check: &mut impl FnMut(&str, &str)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.map(|e| e.expect("read the source tree").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            visit(root, &path, check);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("read a source file");
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            check(&name, &text);
        }
    }
}
