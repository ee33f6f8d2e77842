//! The help texts, laid out as Docker's.

use super::argv::{long_name, takes_value};
use super::command::Entry;
use argh::{FlagInfo, FlagInfoKind};

const WIDTH: usize = 80;

/// `coracle --help`: each command with what it does.
pub fn overview(about: &str, global: &[FlagInfo], commands: &[(String, String)]) -> String {
    format!(
        "Usage:  coracle [OPTIONS] COMMAND\n\n{about}\n\nCommands:\n{}\nOptions:\n{}\n\
         Run 'coracle COMMAND --help' for more information on a command.\n",
        columns(commands),
        flags(global, &[]),
    )
}

/// `coracle GROUP --help`
pub fn group(group: &str, commands: &[(String, String)]) -> String {
    format!(
        "Usage:  coracle {group} COMMAND\n\nCommands:\n{}\n\
         Run 'coracle {group} COMMAND --help' for more information on a command.\n",
        columns(commands),
    )
}

/// `coracle COMMAND --help`.
pub fn of(entry: &Entry) -> String {
    let info = (entry.info)();
    let options = flags(info.flags, entry.without);
    let usage = format!("coracle {} [OPTIONS] {}", entry.name, entry.usage);
    let mut text = format!("Usage:  {}\n\n{}\n", usage.trim_end(), (entry.about)());
    if options.is_empty() {
        text = text.replace(" [OPTIONS]", "");
    } else {
        text.push_str(&format!("\nOptions:\n{options}"));
    }
    text
}

fn flags(flags: &[FlagInfo], without: &[&str]) -> String {
    let offered = |flag: &&FlagInfo| !flag.hidden && !without.contains(&long_name(flag));
    let row = |flag: &FlagInfo| {
        let short = flag.short.map_or("    ".to_string(), |c| format!("-{c}, "));
        let value = match flag.kind {
            FlagInfoKind::Option { arg_name } if takes_value(flag) => format!(" {arg_name}"),
            _ => String::new(),
        };
        (format!("{short}--{}{value}", long_name(flag)), sentence(flag.description))
    };
    let rows: Vec<_> =
        flags.iter().filter(offered).filter(|f| long_name(f) != "help").map(row).collect();
    columns(&rows)
}

/// argh wants descriptions to begin in lower case, and doubles their braces.
fn sentence(text: &str) -> String {
    let text = text.replace("{{", "{").replace("}}", "}");
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// Two columns, the second wrapped at the edge of an 80-column terminal.
fn columns(rows: &[(String, String)]) -> String {
    let left = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default().min(30) + 2;
    let mut text = String::new();
    for (name, about) in rows {
        let mut line = format!("  {name:<left$}");
        if name.len() + 2 > left {
            text.push_str(&format!("  {name}\n"));
            line = " ".repeat(left + 2);
        }
        for word in about.split_whitespace() {
            if line.len() + word.len() >= WIDTH {
                text.push_str(&format!("{}\n", line.trim_end()));
                line = " ".repeat(left + 2);
            }
            line.push_str(word);
            line.push(' ');
        }
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_shown_as_they_are_typed() {
        for (name, text) in [
            ("images", "'{{.ID}}'"),
            ("system df", "'{{.Type}} {{.Size}}'"),
            ("commit", "'{\"Cmd\": [\"ls\"], "),
        ] {
            let entry = crate::cli::COMMANDS.iter().find(|entry| entry.name == name).unwrap();
            let words: Vec<String> = of(entry).split_whitespace().map(String::from).collect();
            assert!(words.join(" ").contains(text), "{name}");
        }
    }

    #[test]
    fn descriptions_wrap_in_their_column() {
        let rows = [
            ("-a, --all".to_string(), "word ".repeat(16)),
            ("    --no-trunc".to_string(), "Short".to_string()),
        ];
        let text = columns(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() < WIDTH));
        assert!(lines[0].starts_with("  -a, --all       word word"));
        assert!(lines[1].starts_with("                  word"));
        assert_eq!(lines[2], "      --no-trunc  Short");
    }
}
