//! Texts cut into words as Python's shlex does it: commands, and lists of variables. Pure.

use coracle::error::{Error, Result};

fn open_quote() -> Error {
    Error::invalid("a quote is not closed").hint("close it, or put a \\ before it")
}

/// The words of a command (shlex.split): quotes and backslashes as in a shell, but nothing else of
/// it.
pub fn command(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => {
                let next = letters.next();
                let next = next.ok_or_else(|| {
                    Error::invalid("a \\ at the end").hint("write \\\\ for a backslash")
                })?;
                word.get_or_insert_default().push(next);
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(open_quote)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(open_quote)? {
                        '"' => break,
                        '\\' => {
                            let next = letters.next().ok_or_else(open_quote)?;
                            if !matches!(next, '"' | '\\') {
                                word.push('\\');
                            }
                            word.push(next);
                        }
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// `A="1,2",B=x`: what supervisor makes of it, which is not what a shell would.
pub fn variables(text: &str) -> Result<Vec<(String, String)>> {
    let tokens = tokens(text)?;
    let mut variables: Vec<(String, String)> = Vec::new();
    // Each is three tokens, and whatever the fourth is separates them.
    for variable in tokens.chunks(4) {
        let [name, equals, value, ..] = variable else { return Err(bad(text)) };
        if equals != "=" {
            return Err(bad(text));
        }
        let value = value.trim_matches(['\'', '"']).to_string();
        variables.retain(|(known, _)| known != name);
        variables.push((name.clone(), value));
    }
    Ok(variables)
}

fn bad(text: &str) -> Error {
    Error::invalid(format!("\"{text}\" is no list of variables"))
        .hint("write A=\"one\",B=\"two\": put what is not letters, digits and _/.+-(): into quotes")
}

/// The tokens of shlex in its old mode: quotes stay where they are, and end a token only if they
/// began it.
fn tokens(text: &str) -> Result<Vec<String>> {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "_/.+-():".contains(c);
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let mut token = String::from(c);
        match c {
            ' ' | '\t' | '\r' | '\n' => continue,
            '#' => {
                letters.find(|c| *c == '\n');
                continue;
            }
            '\'' | '"' => loop {
                let next = letters.next().ok_or_else(open_quote)?;
                token.push(next);
                if next == c {
                    break;
                }
            },
            c if in_word(c) => {
                while let Some(next) = letters.next_if(|c| in_word(*c) || matches!(c, '\'' | '"')) {
                    token.push(next);
                }
            }
            _ => {}
        }
        tokens.push(token);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_as_a_shell_would() {
        for (text, expected) in [
            ("", &[][..]),
            ("/bin/cat", &["/bin/cat"]),
            ("  a  b\tc\nd ", &["a", "b", "c", "d"]),
            ("sh -c 'a \"b\" c'", &["sh", "-c", "a \"b\" c"]),
            (r#"sh -c "a 'b' \"c\" \\ \n $X""#, &["sh", "-c", r#"a 'b' "c" \ \n $X"#]),
            (r"a\ b '' c''d", &["a b", "", "cd"]),
            ("nginx -g \"daemon off;\"", &["nginx", "-g", "daemon off;"]),
        ] {
            assert_eq!(command(text).unwrap(), expected, "{text}");
        }
        for bad in ["'", "\"a", "a \"b\\", "\\"] {
            assert!(!command(bad).unwrap_err().hints().is_empty(), "{bad}");
        }
    }

    #[test]
    fn variables_are_those_of_supervisor() {
        for (text, expected) in [
            ("", &[][..]),
            ("A=1", &[("A", "1")]),
            ("A=1,B=2", &[("A", "1"), ("B", "2")]),
            ("A=\"1,2\",B='x y'", &[("A", "1,2"), ("B", "x y")]),
            ("A=\"1\",\n  B=\"2\",", &[("A", "1"), ("B", "2")]),
            ("PATH=\"/a:/b\",HOME=/root", &[("PATH", "/a:/b"), ("HOME", "/root")]),
            ("A=1,A=2", &[("A", "2")]),
            ("A=\"it's\"", &[("A", "it's")]),
            ("A=\"\"", &[("A", "")]),
        ] {
            let variables = variables(text).unwrap();
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(variables, expected, "{text}");
        }
        for bad in ["A", "A=", "A=1,B", "=1", "A=\"1", "A=\u{e9}\u{e9}=1,B"] {
            assert!(!variables(bad).unwrap_err().hints().is_empty(), "{bad}");
        }
    }
}
