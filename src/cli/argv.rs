//! Puts a command line into the one form that argh reads: `--long value ... -- positionals`.
//!
//! What people write, today and since 2013, and what becomes of it:
//!
//! ```text
//! --name=x  -n x  -nx  -n=x        --name x
//! -it                              --interactive --tty
//! --rm=true  --rm=false            --rm, nothing
//! -name x  -rm  -cidfile=f         as with two dashes (one-dash long names win over clusters)
//! --name a --name b                --name b      (where the option is not repeating)
//! run img --rm --  x               -- img --rm -- x   (where flags must stand first)
//! ```
//!
//! A word behind one dash that is (almost) a long flag, ours or one of Docker's that the command
//! does not have, is never taken for a short one with its value.
//!
//! The table of flags is argh's own description of the command. An option whose value is called
//! `bool` may stand alone, for `true`: `--sig-proxy`, `--sig-proxy=false`. One whose value is called
//! `on|off` may too, for `false`: the documentation of 0.8 says that `-n` disables networking.

use crate::error::{Error, Result};
use crate::types::{nearest, slips};
use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

/// What a command line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// `--help` was among the flags.
    Help,
    Arguments(Vec<String>),
}

/// Where flags may stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flags {
    Anywhere,
    /// All from the first positional on is for someone else (`run IMAGE COMMAND --its-flag`).
    First,
}

/// Other names of options, wherever the command has the option.
const SYNONYMS: &[(&str, &str)] = &[
    ("V", "version"),
    ("beforeId", "before-id"),
    ("dns-opt", "dns-option"),
    ("graph", "root"),
    ("host", "hostname"),
    ("net", "network"),
    ("net-alias", "network-alias"),
    ("sinceId", "since-id"),
    ("time", "timeout"),
];

/// Long flags that we do not have, or other commands do, which begin with a letter that is a flag
/// with a value somewhere: `-lxc-conf` is not the label "xc-conf".
const OTHERS: &[&str] = &[
    "add-host",
    "annotation",
    "attach",
    "authorization-plugin",
    "cap-add",
    "cap-drop",
    "cgroup-parent",
    "cgroupns",
    "change",
    "containerd",
    "context",
    "cpu-count",
    "cpu-percent",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "env-file",
    "entrypoint",
    "exec-driver",
    "expose",
    "filter",
    "follow",
    "force",
    "format",
    "health-cmd",
    "health-interval",
    "health-retries",
    "health-start-interval",
    "health-start-period",
    "health-timeout",
    "host",
    "hostname",
    "label",
    "label-file",
    "latest",
    "link",
    "link-local-ip",
    "links",
    "log-driver",
    "log-level",
    "log-opt",
    "lxc-conf",
    "mac-address",
    "max-concurrent-downloads",
    "memory",
    "memory-reservation",
    "memory-swap",
    "memory-swappiness",
    "message",
    "mount",
    "name",
    "network",
    "no-healthcheck",
    "no-trunc",
    "pause",
    "pid",
    "pidfile",
    "platform",
    "privileged",
    "publish",
    "publish-all",
    "pull",
    "security-opt",
    "shm-size",
    "signal",
    "since",
    "storage-driver",
    "storage-opt",
    "tag",
    "tail",
    "time",
    "timeout",
    "timestamps",
    "tlsverify",
    "ulimit",
    "user",
    "userns",
    "uts",
    "volume",
    "volume-driver",
    "volumes-from",
    "workdir",
];

/// What is said of a flag that Docker has and we do not.
const REFUSED: &[(&str, &str)] = &[
    ("cpu-count", "it is of Windows; see --cpus"),
    ("cpu-percent", "it is of Windows; see --cpus"),
    ("detach-keys", "it is for attach, run and start: a program of exec ends with its client"),
    ("gpus", "give its devices with --device"),
    ("link-local-ip", "a container has the addresses that its networks give it; see --ip"),
    ("storage-opt", "a container may use what the disk of the state root has"),
];

/// Normalises `args`, which stand behind the name of a command that takes `info`'s flags but for
/// those in `without`.
pub fn normalise(
    info: &CommandInfoWithArgs,
    without: &[&str],
    flags: Flags,
    args: &[String],
) -> Result<Line> {
    let known = info.flags.iter().filter(|f| !without.contains(&long_name(f))).collect();
    let mut found = Found { known, values: Vec::new() };
    let mut positionals: Vec<String> = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.strip_prefix('-') {
            Some("-") => {
                positionals.extend(rest.by_ref().cloned());
            }
            None | Some("") => {
                positionals.push(arg.clone());
                if flags == Flags::First {
                    positionals.extend(rest.by_ref().cloned());
                }
            }
            Some(body) => {
                if !found.flag(arg, body, &mut rest)? {
                    return Ok(Line::Help);
                }
            }
        }
    }
    let mut line = Vec::new();
    for (flag, value) in found.values {
        line.push(flag.long.to_string());
        line.extend(value);
    }
    line.push("--".to_string());
    line.append(&mut positionals);
    Ok(Line::Arguments(line))
}

/// The flags seen so far; `None` as a value is a switch that is on.
struct Found<'a> {
    known: Vec<&'a FlagInfo<'static>>,
    values: Vec<(&'a FlagInfo<'static>, Option<String>)>,
}

type Rest<'r> = std::slice::Iter<'r, String>;

impl<'a> Found<'a> {
    /// Takes one argument that begins with a dash; `body` is what follows the first one. `false`
    /// for a request for help.
    fn flag(&mut self, arg: &str, body: &str, rest: &mut Rest) -> Result<bool> {
        let two_dashes = body.starts_with('-');
        let text = body.strip_prefix('-').unwrap_or(body);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        // A single letter after a single dash is a short flag even where a long one has its name.
        if two_dashes || name.chars().count() > 1 {
            if name == "help" {
                return Ok(false);
            }
            if let Some(flag) = self.long(name) {
                self.add(flag, &format!("--{name}"), value.map(str::to_string), rest)?;
                return Ok(true);
            }
            if two_dashes {
                return Err(self.unknown(arg, name));
            }
        }
        self.cluster(arg, body, rest)
    }

    /// `-it`, `-nx`, `-n=x`, `-d=false`.
    fn cluster(&mut self, arg: &str, body: &str, rest: &mut Rest) -> Result<bool> {
        let name = body.split('=').next().unwrap_or(body);
        let first = self.known.iter().find(|f| name.starts_with(|c| f.short == Some(c)));
        if first.is_some_and(|flag| takes_value(flag)) && self.means_a_long_one(name) {
            return Err(self.unknown(arg, name));
        }
        for (at, letter) in body.char_indices() {
            let short = self.known.iter().copied().find(|f| f.short == Some(letter));
            let Some(flag) = short.or_else(|| self.long(letter.encode_utf8(&mut [0; 4]))) else {
                if letter == 'h' && body == "h" {
                    return Ok(false);
                }
                return Err(self.unknown(arg, body));
            };
            let after = &body[at + letter.len_utf8()..];
            let takes_rest = after.starts_with('=') || (takes_value(flag) && !after.is_empty());
            let value = takes_rest.then(|| after.strip_prefix('=').unwrap_or(after).to_string());
            self.add(flag, &format!("-{letter}"), value, rest)?;
            if takes_rest {
                break;
            }
        }
        Ok(true)
    }

    /// Whether a word behind a single dash is a long flag, or almost, and not the value of a short
    /// one: there is a flag with this name, or that begins with it, or that is one letter away.
    fn means_a_long_one(&self, name: &str) -> bool {
        let length = name.chars().count();
        let known = self.known.iter().map(|flag| long_name(flag)).chain(OTHERS.iter().copied());
        let same_start = |long: &str| long.chars().next() == name.chars().next();
        let alike = |long: &str| match length {
            0..4 => long == name,
            4..6 => long.starts_with(name),
            _ => long.starts_with(name) || (same_start(long) && slips(name, long) == 1),
        };
        known.filter(|long| long.len() > 1).any(alike)
    }

    fn long(&self, name: &str) -> Option<&'a FlagInfo<'static>> {
        let synonym = SYNONYMS.iter().find(|(other, _)| *other == name).map(|(_, own)| *own);
        let named = |own: &str| self.known.iter().copied().find(|f| long_name(f) == own);
        named(name).or_else(|| named(synonym?))
    }

    /// Records a flag called `shown`, with its value or the argument behind it.
    fn add(
        &mut self,
        flag: &'a FlagInfo<'static>,
        shown: &str,
        value: Option<String>,
        rest: &mut Rest,
    ) -> Result<()> {
        let value = match flag.kind {
            FlagInfoKind::Switch => match parse_bool(shown, value.as_deref().unwrap_or("true"))? {
                true => None,
                false => {
                    self.values.retain(|(f, _)| f.long != flag.long);
                    return Ok(());
                }
            },
            FlagInfoKind::Option { .. } => match alone(flag) {
                Some(default) => {
                    Some(parse_bool(shown, value.as_deref().unwrap_or(default))?.to_string())
                }
                None => {
                    let value = value.or_else(|| rest.next().cloned());
                    Some(value.ok_or_else(|| Error::invalid(format!("{shown} needs a value")))?)
                }
            },
        };
        if flag.optionality != Optionality::Repeating {
            self.values.retain(|(f, _)| f.long != flag.long);
        }
        self.values.push((flag, value));
        Ok(())
    }

    fn unknown(&self, arg: &str, name: &str) -> Error {
        let shown = arg.split('=').next().unwrap_or(arg);
        let error = Error::invalid(format!("unknown flag {shown}"));
        if let Some((_, why)) = REFUSED.iter().find(|(flag, _)| *flag == name) {
            return Error::invalid(format!("there is no {shown} here")).hint(*why);
        }
        let visible = self.known.iter().filter(|f| !f.hidden).map(|f| long_name(f));
        match nearest(name, visible) {
            Some(meant) => error.hint(format!("did you mean --{meant}?")),
            None => error,
        }
    }
}

/// Whether what stands behind it may be its value.
pub fn takes_value(flag: &FlagInfo) -> bool {
    matches!(flag.kind, FlagInfoKind::Option { .. }) && alone(flag).is_none()
}

/// What an option means that stands alone, where it may.
fn alone(flag: &FlagInfo) -> Option<&'static str> {
    match flag.kind {
        FlagInfoKind::Option { arg_name: "bool" } => Some("true"),
        FlagInfoKind::Option { arg_name: "on|off" } => Some("false"),
        _ => None,
    }
}

pub fn long_name<'a>(flag: &FlagInfo<'a>) -> &'a str {
    flag.long.trim_start_matches('-')
}

/// As Go's `strconv.ParseBool`.
fn parse_bool(shown: &str, text: &str) -> Result<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("{shown} is on or off, \"{text}\" is neither"))
            .hint(format!("write {shown}=true or {shown}=false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argh::{ArgsInfo, FromArgs};

    /// Some of `run`'s flags.
    #[derive(FromArgs, ArgsInfo)]
    #[argh(help_triggers("--help"))]
    #[expect(dead_code, reason = "read by way of its description")]
    struct Sample {
        /// detach
        #[argh(switch, short = 'd')]
        detach: bool,
        /// keep stdin open
        #[argh(switch, short = 'i')]
        interactive: bool,
        /// terminal
        #[argh(switch, short = 't')]
        tty: bool,
        /// remove
        #[argh(switch)]
        rm: bool,
        /// name
        #[argh(option, short = 'n')]
        name: Option<String>,
        /// network
        #[argh(option)]
        network: Option<String>,
        /// environment
        #[argh(option, short = 'e')]
        env: Vec<String>,
        /// hostname
        #[argh(option, short = 'h')]
        hostname: Option<String>,
        /// memory
        #[argh(option, short = 'm')]
        memory: Option<String>,
        /// labels
        #[argh(option, short = 'l')]
        label: Vec<String>,
        /// forward signals
        #[argh(option, default = "true", arg_name = "bool")]
        sig_proxy: bool,
        #[argh(positional)]
        rest: Vec<String>,
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_string).collect()
    }

    fn normal(flags: Flags, line: &str) -> Result<Line> {
        normalise(&Sample::get_args_info(), &[], flags, &words(line))
    }

    #[test]
    fn every_spelling_becomes_one() {
        for (line, expected) in [
            ("", "--"),
            ("--name x", "--name x --"),
            ("--name=x", "--name x --"),
            ("--name=", "--name  --"),
            ("-n x", "--name x --"),
            ("-nx", "--name x --"),
            ("-n=x", "--name x --"),
            ("-name x", "--name x --"),
            ("-name=x", "--name x --"),
            ("-it", "--interactive --tty --"),
            ("-ditnx", "--detach --interactive --tty --name x --"),
            ("-itn x", "--interactive --tty --name x --"),
            ("-d=false", "--"),
            ("-d -d=false", "--"),
            ("-d=true", "--detach --"),
            ("-ti=0", "--tty --"),
            ("--rm=false --rm", "--rm --"),
            ("-rm", "--rm --"),
            ("-rm=false", "--"),
            ("-m 1g", "--memory 1g --"),
            ("-m1g", "--memory 1g --"),
            ("-h box", "--hostname box --"),
            ("--net=none", "--network none --"),
            ("-net none", "--network none --"),
            ("-host box", "--hostname box --"),
            ("-host=box", "--hostname box --"),
            ("-hbox", "--hostname box --"),
            ("-lapp=web", "--label app=web --"),
            ("-eHOME -eenv", "--env HOME --env env --"),
            ("--name a --name b", "--name b --"),
            ("-e A=1 -eB=2 -e=C=3 --env=D=4", "--env A=1 --env B=2 --env C=3 --env D=4 --"),
            ("-e -d", "--env -d --"),
            ("--sig-proxy", "--sig-proxy true --"),
            ("--sig-proxy=false", "--sig-proxy false --"),
            ("-sig-proxy=false img", "--sig-proxy false -- img"),
            ("--sig-proxy img", "--sig-proxy true -- img"),
        ] {
            let Line::Arguments(got) = normal(Flags::First, line).unwrap() else {
                panic!("{line}: help");
            };
            assert_eq!(got.join(" "), expected, "{line}");
        }
    }

    #[test]
    fn flags_end_at_the_first_positional_or_anywhere() {
        for (flags, line, expected) in [
            (Flags::First, "-d img --rm -- -x", "--detach -- img --rm -- -x"),
            (Flags::First, "-d -- img --rm", "--detach -- img --rm"),
            (Flags::First, "-- -d", "-- -d"),
            (Flags::First, "img --help", "-- img --help"),
            (Flags::First, "- -d", "-- - -d"),
            (Flags::Anywhere, "a --rm b -d", "--rm --detach -- a b"),
            (Flags::Anywhere, "a -- --rm", "-- a --rm"),
            (Flags::Anywhere, "- --rm", "--rm -- -"),
        ] {
            assert_eq!(normal(flags, line).unwrap(), Line::Arguments(words(expected)), "{line}");
        }
    }

    #[test]
    fn help_is_asked_for_among_the_flags_only() {
        assert_eq!(normal(Flags::First, "-d --help img").unwrap(), Line::Help);
        assert_eq!(normal(Flags::First, "-help").unwrap(), Line::Help);
        assert_eq!(normal(Flags::Anywhere, "img --help").unwrap(), Line::Help);
        // -h is the host name here; a command without such a flag takes it for help.
        assert!(normal(Flags::First, "-h").is_err());
    }

    #[test]
    fn what_is_wrong_is_named_with_the_nearest_flag() {
        for (line, text, hint) in [
            ("--nmae x", "unknown flag --nmae", Some("did you mean --name?")),
            ("--nmae=x", "unknown flag --nmae", Some("did you mean --name?")),
            ("-ditx", "unknown flag -ditx", None),
            ("-z", "unknown flag -z", None),
            ("--publish-all", "unknown flag --publish-all", None),
            ("-lxc-conf=lxc.utsname=foo", "unknown flag -lxc-conf", None),
            ("-lxc-conf x", "unknown flag -lxc-conf", None),
            ("-memory-swap=1g", "unknown flag -memory-swap", None),
            ("-memroy 1g", "unknown flag -memroy", Some("did you mean --memory?")),
            ("-hostnam x", "unknown flag -hostnam", Some("did you mean --hostname?")),
            ("-label-file x", "unknown flag -label-file", None),
            ("--gpus all", "there is no --gpus here", Some("give its devices with --device")),
            ("--name", "--name needs a value", None),
            ("-n", "-n needs a value", None),
            (
                "--rm=maybe",
                "--rm is on or off, \"maybe\" is neither",
                Some("write --rm=true or --rm=false"),
            ),
        ] {
            let error = normal(Flags::First, line).unwrap_err();
            assert_eq!(error.to_string(), text, "{line}");
            assert_eq!(error.hints(), hint.into_iter().collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn argh_reads_what_comes_out() {
        let Line::Arguments(line) =
            normal(Flags::First, "-it -e A=1 --sig-proxy=0 img -d").unwrap()
        else {
            panic!("help");
        };
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let sample = Sample::from_args(&["run"], &line).unwrap();
        assert!(sample.interactive && sample.tty && !sample.detach && !sample.sig_proxy);
        assert_eq!(sample.rest, ["img", "-d"]);
    }
}
