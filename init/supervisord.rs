//! `supervisord`: cox with a supervisord.conf, in the words of supervisor 4.2's own command line.
//!
//! It never becomes a daemon: in a container that would end it. Where no file is named, it looks
//! for one in supervisor's places.

use crate::applets::{Call, Told, supervise};
use crate::supervisor::Instead;
use coracle::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub const HELP: &str = "\
Runs the programs of a supervisord.conf, and answers supervisorctl, as supervisor 4.2 does; but it
stays in the foreground.

-c FILE, --configuration  the configuration; else etc/supervisord.conf or supervisord.conf above
                          the program's directory, supervisord.conf, etc/supervisord.conf,
                          /etc/supervisord.conf, /etc/supervisor/supervisord.conf
-n, --nodaemon            as always
-i NAME, --identifier     how it calls itself
-j FILE, --pidfile        where its process id goes
-u USER, --user           who runs programs that name nobody
-v, --version             supervisor's version
-h, --help
-m -d -l -y -z -e -q -a --minprocs VALUE, -k -t -s   are taken, and change nothing
";

/// What its clients take it for.
const VERSION: &str = "4.2.5\n";

/// An option's letter and word, and whether a value follows.
static OPTIONS: [(&str, &str, bool); 20] = [
    ("-c", "--configuration", true),
    ("-n", "--nodaemon", false),
    ("-h", "--help", false),
    ("-?", "", false),
    ("-v", "--version", false),
    ("-i", "--identifier", true),
    ("-j", "--pidfile", true),
    ("-u", "--user", true),
    ("-m", "--umask", true),
    ("-d", "--directory", true),
    ("-l", "--logfile", true),
    ("-y", "--logfile_maxbytes", true),
    ("-z", "--logfile_backups", true),
    ("-e", "--loglevel", true),
    ("-q", "--childlogdir", true),
    ("-a", "--minfds", true),
    ("", "--minprocs", true),
    ("-k", "--nocleanup", false),
    ("-t", "--strip_ansi", false),
    ("-s", "--silent", false),
];

pub fn supervisord(call: &Call) -> u8 {
    let given = match options(&call.args) {
        Ok(given) => given,
        Err(problem) => return call.usage(&problem),
    };
    let mut instead = Instead::default();
    let mut path = None;
    for (letter, value) in given {
        let text = || value.to_string_lossy().into_owned();
        match letter {
            "-h" | "-?" => return call.answer(&call.help()),
            "-v" => return call.answer(VERSION),
            "-c" => path = Some(PathBuf::from(value)),
            "-i" => instead.identifier = Some(text()),
            "-j" => instead.pidfile = Some(PathBuf::from(value)),
            "-u" => instead.user = Some(text()),
            _ => {}
        }
    }
    let found = path.or_else(|| places(&call.word).find(|path| path.exists()));
    let Some(found) = found else {
        let all: Vec<String> = places(&call.word).map(|path| path.display().to_string()).collect();
        let error = Error::not_found(format!("none of {} exists", all.join(", ")));
        return call.fail(&error.hint("make one of them, or give: -c FILE"));
    };
    instead.path = found;
    let mut told = Told::nothing();
    told.mention.ends = true;
    told.programs = Some(instead);
    supervise(call, told).unwrap_or_else(|error| call.fail(&error))
}

/// Where supervisor looks for its configuration, called as `word`.
fn places(word: &OsStr) -> impl Iterator<Item = PathBuf> {
    let above = Path::new(word).parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut all = vec![above.join("etc/supervisord.conf"), above.join("supervisord.conf")];
    all.extend(
        [
            "supervisord.conf",
            "etc/supervisord.conf",
            "/etc/supervisord.conf",
            "/etc/supervisor/supervisord.conf",
        ]
        .map(PathBuf::from),
    );
    all.dedup();
    all.into_iter()
}

/// The options that were given, by their letters.
fn options(args: &[OsString]) -> Result<Vec<(&'static str, OsString)>, String> {
    let mut given = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_str().ok_or("an option is not UTF-8")?;
        if let Some(rest) = text.strip_prefix("--") {
            let (word, value) = match rest.split_once('=') {
                Some((word, value)) => (word, Some(value)),
                None => (rest, None),
            };
            let found = OPTIONS.iter().find(|(_, long, _)| long.strip_prefix("--") == Some(word));
            let Some((letter, long, takes)) = found else {
                return Err(format!("unknown option {text}"));
            };
            let value = match (takes, value) {
                (true, Some(value)) => value.into(),
                (true, None) => args.next().cloned().ok_or(format!("{long} needs a value"))?,
                (false, None) => OsString::new(),
                (false, Some(_)) => return Err(format!("{long} takes no value")),
            };
            given.push((*letter, value));
            continue;
        }
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return Err(format!("\"{text}\" is no option"));
        };
        for (at, letter) in letters.char_indices() {
            let named = format!("-{letter}");
            let found = OPTIONS.iter().find(|(short, ..)| *short == named);
            let Some((short, _, takes)) = found else {
                return Err(format!("unknown option {named}"));
            };
            if !takes {
                given.push((*short, OsString::new()));
                continue;
            }
            let rest = letters.get(at.saturating_add(letter.len_utf8())..).unwrap_or_default();
            let value = match rest.is_empty() {
                false => rest.into(),
                true => args.next().cloned().ok_or(format!("{named} needs a value"))?,
            };
            given.push((*short, value));
            break;
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Vec<(&'static str, String)>, String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let given = options(&words)?;
        Ok(given.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect())
    }

    #[test]
    fn options_are_those_of_supervisord() {
        let c = |value: &str| ("-c", value.to_string());
        let n = ("-n", String::new());
        for (line, expected) in [
            ("-n -c x", vec![n.clone(), c("x")]),
            ("-nc x", vec![n.clone(), c("x")]),
            ("-ncx", vec![n.clone(), c("x")]),
            ("-c -n", vec![c("-n")]),
            ("--nodaemon --configuration=x", vec![n.clone(), c("x")]),
            ("--configuration x -n", vec![c("x"), n]),
            ("-e debug -s", vec![("-e", "debug".into()), ("-s", String::new())]),
        ] {
            assert_eq!(parse(line).unwrap(), expected, "{line}");
        }
        for (line, problem) in [
            ("-x", "unknown option -x"),
            ("-c", "-c needs a value"),
            ("--no", "unknown option --no"),
            ("--nodaemon=1", "--nodaemon takes no value"),
            ("start", "\"start\" is no option"),
        ] {
            assert_eq!(parse(line).unwrap_err(), problem, "{line}");
        }
    }

    #[test]
    fn the_places_begin_above_the_program() {
        let all: Vec<PathBuf> = places(OsStr::new("/usr/bin/supervisord")).collect();
        assert_eq!(all[0], Path::new("/usr/etc/supervisord.conf"));
        assert_eq!(all.last().unwrap(), Path::new("/etc/supervisor/supervisord.conf"));
    }
}
