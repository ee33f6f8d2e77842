//! Changes of an image's config in the words of a Dockerfile, as `--change` of import and commit
//! takes them: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER,
//! VOLUME, WORKDIR.
//!
//! Source: Dockerfile reference. Words are split at blanks outside quotes; `$NAME` and `${NAME}`
//! stand for the image's environment so far, except in CMD, ENTRYPOINT, HEALTHCHECK, ONBUILD and
//! SHELL.

use super::config::{Empty, RunConfig};
use crate::error::{Error, Result};
use crate::types::{Healthcheck, Signal, parse_ports};

/// Applies one instruction.
pub fn apply(config: &mut RunConfig, instruction: &str) -> Result<()> {
    let text = instruction.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let known = word.to_ascii_uppercase();
    let act = match known.as_str() {
        "CMD" => cmd,
        "ENTRYPOINT" => entrypoint,
        "ENV" => env,
        "EXPOSE" => expose,
        "HEALTHCHECK" => healthcheck,
        "LABEL" => label,
        "ONBUILD" => onbuild,
        "SHELL" => shell,
        "STOPSIGNAL" => stopsignal,
        "USER" => user,
        "VOLUME" => volume,
        "WORKDIR" => workdir,
        _ => {
            return Err(Error::invalid(format!("change \"{text}\": unknown instruction {word}"))
                .hint(
                    "use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, \
                     USER, VOLUME or WORKDIR",
                ));
        }
    };
    let failed = |e: Error| e.doing(format!("change \"{text}\""));
    if rest.is_empty() {
        return Err(failed(Error::invalid(format!("{known} needs an argument"))));
    }
    act(config, rest).map_err(failed)
}

fn cmd(config: &mut RunConfig, text: &str) -> Result<()> {
    config.cmd = Some(command(config, text));
    Ok(())
}

fn entrypoint(config: &mut RunConfig, text: &str) -> Result<()> {
    config.entrypoint = Some(command(config, text));
    Ok(())
}

/// `["a", "b"]` is the command's words; anything else a line for the shell.
fn command(config: &RunConfig, text: &str) -> Vec<String> {
    if let Ok(words) = serde_json::from_str(text) {
        return words;
    }
    let shell = config.shell.clone();
    let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_string(), "-c".to_string()]);
    words.push(text.to_string());
    words
}

fn shell(config: &mut RunConfig, text: &str) -> Result<()> {
    let words: Vec<String> = serde_json::from_str(text)
        .map_err(|_| Error::invalid("SHELL needs a list: [\"/bin/sh\", \"-c\"]"))?;
    config.shell = Some(words);
    Ok(())
}

fn env(config: &mut RunConfig, text: &str) -> Result<()> {
    for (name, value) in pairs(config, text)? {
        let prefix = format!("{name}=");
        let entry = format!("{name}={value}");
        match config.env.iter_mut().find(|e| e.starts_with(&prefix)) {
            Some(old) => *old = entry,
            None => config.env.push(entry),
        }
    }
    Ok(())
}

fn label(config: &mut RunConfig, text: &str) -> Result<()> {
    let labels = pairs(config, text)?;
    config.labels.extend(labels);
    Ok(())
}

/// `a=1 b="2 3"`, or, of old, `a the rest`.
fn pairs(config: &RunConfig, text: &str) -> Result<Vec<(String, String)>> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let rest = text.strip_prefix(first).unwrap_or_default().trim();
        if rest.is_empty() {
            return Err(Error::invalid(format!("\"{first}\" has no value: write {first}=...")));
        }
        let words = words(config, rest)?;
        return Ok(vec![(first.to_string(), words.join(" "))]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(Error::invalid(format!("\"{word}\" is not name=value"))),
    };
    words(config, text)?.into_iter().map(pair).collect()
}

fn expose(config: &mut RunConfig, text: &str) -> Result<()> {
    for word in words(config, text)? {
        let exposed = parse_ports(&word)?.into_iter().map(|port| (port.to_string(), Empty {}));
        config.exposed_ports.extend(exposed);
    }
    Ok(())
}

fn onbuild(config: &mut RunConfig, text: &str) -> Result<()> {
    config.on_build.push(text.to_string());
    Ok(())
}

/// `NONE`, or `--interval=30s ... CMD` and a command.
fn healthcheck(config: &mut RunConfig, text: &str) -> Result<()> {
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (word, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        check.set(name, value).map_err(|e| e.doing(format!("--{name}")))?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    check.test = match (&*kind.to_ascii_uppercase(), serde_json::from_str::<Vec<String>>(command)) {
        ("NONE", _) if command.is_empty() && check == Healthcheck::default() => {
            Healthcheck::none().test
        }
        ("CMD", Ok(words)) if !words.is_empty() => [vec!["CMD".to_string()], words].concat(),
        ("CMD", Err(_)) if !command.is_empty() => vec!["CMD-SHELL".into(), command.into()],
        _ => return Err(Error::invalid("needs CMD and a command, or NONE alone")),
    };
    config.healthcheck = Some(check);
    Ok(())
}

fn stopsignal(config: &mut RunConfig, text: &str) -> Result<()> {
    let signal = one(config, text)?;
    signal.parse::<Signal>()?;
    config.stop_signal = Some(signal);
    Ok(())
}

fn user(config: &mut RunConfig, text: &str) -> Result<()> {
    config.user = one(config, text)?;
    Ok(())
}

fn workdir(config: &mut RunConfig, text: &str) -> Result<()> {
    let dir = one(config, text)?;
    let base = if dir.starts_with('/') { "" } else { config.working_dir.as_str() };
    let mut parts = Vec::new();
    for part in base.split('/').chain(dir.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    config.working_dir = format!("/{}", parts.join("/"));
    Ok(())
}

fn volume(config: &mut RunConfig, text: &str) -> Result<()> {
    let paths = match serde_json::from_str::<Vec<String>>(text) {
        Ok(list) => list,
        Err(_) => words(config, text)?,
    };
    if let Some(bad) = paths.iter().find(|path| !path.starts_with('/')) {
        return Err(Error::invalid(format!("volume \"{bad}\" is no absolute path")));
    }
    config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
    Ok(())
}

fn one(config: &RunConfig, text: &str) -> Result<String> {
    match words(config, text)?.as_slice() {
        [word] if !word.is_empty() => Ok(word.clone()),
        _ => Err(Error::invalid("needs exactly one word")),
    }
}

/// Splits `text` into words and puts the values of variables in.
fn words(config: &RunConfig, text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(q), c) if c == q => quote = None,
            (None | Some('"'), '\\') => match chars.next() {
                // Between double quotes only these lose their meaning.
                Some(c) if quote.is_none() || matches!(c, '"' | '$' | '\\') => {
                    word.get_or_insert_default().push(c);
                }
                Some(c) => word.get_or_insert_default().extend(['\\', c]),
                None => word.get_or_insert_default().push('\\'),
            },
            (None | Some('"'), '$') => {
                let value = variable(config, &mut chars)?;
                word.get_or_insert_default().push_str(&value);
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(Error::invalid(format!("a {quote} is not closed")));
    }
    words.extend(word);
    Ok(words)
}

/// The value of the variable whose name follows in `chars`.
fn variable(
    config: &RunConfig,
    chars: &mut std::iter::Peekable<std::str::Chars>,
) -> Result<String> {
    let fits = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let braces = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| fits(c)) {
        name.push(c);
    }
    if braces && chars.next() != Some('}') {
        return Err(Error::invalid(format!("\"${{{name}\" is not closed by a brace"))
            .hint("${NAME} is understood, its forms with : are not"));
    }
    if name.is_empty() {
        return Ok(if braces { "${}" } else { "$" }.to_string());
    }
    let prefix = format!("{name}=");
    let value = config.env.iter().find_map(|entry| entry.strip_prefix(&prefix));
    Ok(value.unwrap_or_default().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(instructions: &[&str]) -> RunConfig {
        let mut config = RunConfig::default();
        for instruction in instructions {
            apply(&mut config, instruction).unwrap();
        }
        config
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn commands_are_words_or_a_line_for_the_shell() {
        let config = changed(&[r#"CMD ["httpd", "-f"]"#, "entrypoint exec cox $X"]);
        assert_eq!(config.cmd, Some(strings(&["httpd", "-f"])));
        assert_eq!(config.entrypoint, Some(strings(&["/bin/sh", "-c", "exec cox $X"])));
    }

    #[test]
    fn variables_come_quoted_plain_and_by_reference() {
        let config = changed(&[
            r#"ENV A=1 B="two words" C='$A' D=x\ y"#,
            "ENV A all of $B",
            r#"LABEL a.b="${A}!" c=\$A"#,
        ]);
        let env = ["A=all of two words", "B=two words", "C=$A", "D=x y"];
        assert_eq!(config.env, strings(&env));
        assert_eq!(config.labels["a.b"], "all of two words!");
        assert_eq!(config.labels["c"], "$A");
    }

    #[test]
    fn the_rest_of_the_instructions() {
        let config = changed(&[
            "EXPOSE 80 53/udp 8000-8001",
            "VOLUME /data /log",
            r#"VOLUME ["/with blank"]"#,
            "WORKDIR /srv",
            "WORKDIR ../www/./a",
            "USER 33:tape",
            "STOPSIGNAL SIGQUIT",
        ]);
        let ports: Vec<_> = config.exposed_ports.into_keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]);
        let volumes: Vec<_> = config.volumes.into_keys().collect();
        assert_eq!(volumes, ["/data", "/log", "/with blank"]);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/www/a", "33:tape"));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    }

    #[test]
    fn a_health_check_has_flags_and_a_command() {
        let check = |text: &str| changed(&[text]).healthcheck.unwrap();
        let full = check(
            "HEALTHCHECK --interval=5m --timeout=3s --start-period=1s \
             --start-interval=2s --retries=4 CMD curl -f http://localhost/ || exit 1",
        );
        assert_eq!(full.test, strings(&["CMD-SHELL", "curl -f http://localhost/ || exit 1"]));
        let spans = [full.interval, full.timeout, full.start_period, full.start_interval];
        assert_eq!(spans, [300, 3, 1, 2].map(|seconds| seconds * 1_000_000_000));
        assert_eq!(full.retries, 4);
        assert_eq!(check(r#"healthcheck cmd ["true"]"#).test, strings(&["CMD", "true"]));
        assert_eq!(check("HEALTHCHECK NONE"), Healthcheck::none());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_instruction() {
        for (bad, told) in [
            ("FROM x", "unknown instruction"),
            ("CMD", "needs an argument"),
            ("EXPOSE http", "is not port"),
            ("EXPOSE 80/icmp", "unknown protocol"),
            ("ENV A", "has no value"),
            ("ENV A=\"x", "is not closed"),
            ("VOLUME data", "no absolute path"),
            ("STOPSIGNAL NONE", "unknown signal"),
            ("HEALTHCHECK NONE x", "or NONE alone"),
            ("HEALTHCHECK --retries=1 NONE", "or NONE alone"),
            ("HEALTHCHECK CMD", "needs CMD and a command"),
            ("HEALTHCHECK CMD []", "needs CMD and a command"),
            ("HEALTHCHECK true", "needs CMD and a command"),
            ("HEALTHCHECK --interval=soon CMD true", "--interval: \"soon\" is no duration"),
            ("HEALTHCHECK --times=2 CMD true", "no such option"),
            ("USER a b", "exactly one"),
            ("LABEL a=${A:-b}", "not closed by a brace"),
        ] {
            let text = apply(&mut RunConfig::default(), bad).unwrap_err().to_string();
            assert!(text.contains(told) && text.contains(bad), "{text}");
        }
    }
}
