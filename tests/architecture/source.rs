//! Reads Rust source as far as the rules need it: tokens, and the paths they spell.

/// An identifier, or a single punctuation character (`::` is one token).
#[derive(Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A path as written, `use` trees spread out: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
#[derive(Debug, PartialEq)]
pub struct Reference {
    pub path: Vec<String>,
    pub line: usize,
    /// The inline modules around it, outermost first.
    pub inside: Vec<String>,
}

/// The tokens of `text`, without comments, literals and lifetimes.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        let length = match c {
            '/' if rest.starts_with(&['/', '/']) => until(rest, |c| *c == '\n'),
            '/' if rest.starts_with(&['/', '*']) => block_comment(rest),
            '"' => 1 + string(&rest[1..]),
            'b' | 'c' if rest.get(1) == Some(&'"') => 2 + string(&rest[2..]),
            'r' | 'b' | 'c' if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            '\'' => character_or_lifetime(rest),
            c if c.is_alphanumeric() || c == '_' => {
                let length = until(rest, |c| !c.is_alphanumeric() && *c != '_');
                tokens.push(Token { text: rest[..length].iter().collect(), line });
                length
            }
            ':' if rest.starts_with(&[':', ':']) => {
                tokens.push(Token { text: "::".into(), line });
                2
            }
            c if c.is_whitespace() => 1,
            c => {
                tokens.push(Token { text: c.into(), line });
                1
            }
        };
        line += rest.iter().take(length).filter(|c| **c == '\n').count();
        at += length;
    }
    tokens
}

fn until(rest: &[char], stop: impl Fn(&char) -> bool) -> usize {
    rest.iter().position(stop).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of a string's inside with its closing quote.
fn string(rest: &[char]) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of `r"..."`, `br#"..."#` and the like; None where `rest` starts no such literal.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = until(rest, |c| !matches!(c, 'r' | 'b' | 'c'));
    if prefix > 2 || !rest[..prefix].contains(&'r') {
        return None;
    }
    let hashes = until(&rest[prefix..], |c| *c != '#');
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.resize(hashes + 1, '#');
    let end = rest[body..].windows(close.len()).position(|w| w == close)?;
    Some(body + end + close.len())
}

fn character_or_lifetime(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => 3 + until(tail, |c| *c == '\'') + 1,
        ['\'', _, '\'', ..] => 3,
        _ => 1 + until(&rest[1..], |c| !c.is_alphanumeric() && *c != '_'),
    }
}

/// Every path in `tokens`, of `use` items and of expressions and types alike.
pub fn references(tokens: &[Token]) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut modules: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1).map(|t| t.text.as_str());
        let after = tokens.get(at + 2).map(|t| t.text.as_str());
        let before = at.checked_sub(1).map(|i| tokens[i].text.as_str());
        let inside = || modules.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                modules.retain(|(_, opened)| *opened < depth + 1);
            }
            "mod" if after == Some("{") => {
                modules.push((next.unwrap_or_default().into(), depth + 1));
            }
            "use" if before != Some("::") && next != Some("<") => {
                let mut tree = Tree { tokens, at: at + 1, leaves: Vec::new() };
                tree.read(&[]);
                at = tree.at;
                let inside = inside();
                found.extend(tree.leaves.into_iter().map(|(path, line)| Reference {
                    path,
                    line,
                    inside: inside.clone(),
                }));
                continue;
            }
            text if is_name(text) && next == Some("::") && !matches!(before, Some("::" | ".")) => {
                let mut path = vec![token.text.clone()];
                let mut end = at + 1;
                while tokens.get(end).is_some_and(|t| t.text == "::") {
                    let Some(name) = tokens.get(end + 1).filter(|t| is_name(&t.text)) else {
                        break;
                    };
                    path.push(name.text.clone());
                    end += 2;
                }
                found.push(Reference { path, line: token.line, inside: inside() });
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A reader of one `use` tree.
struct Tree<'a> {
    tokens: &'a [Token],
    at: usize,
    leaves: Vec<(Vec<String>, usize)>,
}

impl Tree<'_> {
    /// Reads one branch below `prefix`, up to the `,`, `}` or `;` that ends it.
    fn read(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut line = None;
        while let Some(token) = self.tokens.get(self.at) {
            match token.text.as_str() {
                "," | "}" => break,
                ";" => break,
                "{" => {
                    self.at += 1;
                    while self.tokens.get(self.at).is_some_and(|t| t.text != "}" && t.text != ";") {
                        self.read(&path);
                        if self.tokens.get(self.at).is_some_and(|t| t.text == ",") {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => self.at += 1,
                "::" => {}
                name => {
                    line = Some(token.line);
                    // `a::{self}` names `a` itself; at the start `self` is the current module.
                    if name != "self" || path.is_empty() {
                        path.push(name.into());
                    }
                }
            }
            self.at += 1;
        }
        if let Some(line) = line {
            self.leaves.push((path, line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<(String, usize)> {
        references(&tokens(text)).into_iter().map(|r| (r.path.join("::"), r.line)).collect()
    }

    #[test]
    fn use_trees_are_spread_out_with_the_line_of_each_leaf() {
        let text = "use crate::{\n    a,\n    b::{self, c as d},\n    e::*,\n};\nuse x::y;\n";
        let want = [("crate::a", 2), ("crate::b", 3), ("crate::b::c", 3), ("crate::e::*", 4)];
        let mut want: Vec<_> = want.map(|(p, l)| (p.to_string(), l)).into();
        want.push(("x::y".into(), 6));
        assert_eq!(paths(text), want);
    }

    #[test]
    fn comments_strings_and_characters_hold_no_paths() {
        let text = r##"
            // a::b
            /* c::d /* e::f */ g::h */
            let s = "i::j \" k::l"; let r = r#"m::n " o::p"#; let b = b"q::r";
            let c = '"'; let q = '\''; let x = '\u{41}';
            fn life<'a>(x: &'a str) -> y::Z { x }
        "##;
        assert_eq!(paths(text), [("y::Z".to_string(), 6)]);
    }

    #[test]
    fn paths_in_code_are_seen_once_and_whole() {
        let found = paths("fn f() { crate::a::b(super::c::D::<T>::new(), x.y::<z::W>()) }");
        let names: Vec<_> = found.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(names, ["crate::a::b", "super::c::D", "z::W"]);
    }

    #[test]
    fn inline_modules_are_remembered() {
        let found = references(&tokens("mod tests { use super::*; } use a::b;"));
        assert_eq!(found[0].inside, ["tests"]);
        assert!(found[1].inside.is_empty());
    }
}
