//! The keys of cox.toml: one table for the reader, `cox sample`, `cox schema` and the
//! documentation (docs/cox.md, which a test holds equal to it).

use super::draft::{Draft, ProbeDraft, log_to};
use super::options::OnSignal;
use super::typed::{Field, Given, Name, Type};
use crate::service::{
    Health, Kind, LineFormat, LogTo, OnEnd, OnUnhealthy, Reach, Ready, ResourceLimit, RestartWhen,
};
use coracle::error::{Error, Result};
use coracle::types::resource_number;
use std::time::Duration;

/// A key, and what it does.
pub struct Key {
    pub field: Field,
    set: Set,
}

enum Set {
    Plain(fn(&mut Draft, Given)),
    /// With rules that the type does not tell.
    Checked(fn(&mut Draft, Given) -> Result<()>),
}

impl Key {
    pub fn set(&self, draft: &mut Draft, given: Given) -> Result<()> {
        match self.set {
            Set::Plain(set) => {
                set(draft, given);
                Ok(())
            }
            Set::Checked(set) => set(draft, given),
        }
    }
}

const fn key(
    name: &'static str,
    of: Type,
    default: &'static str,
    example: &'static str,
    help: &'static str,
    set: fn(&mut Draft, Given),
) -> Key {
    Key { field: Field { name, of, default, example, help }, set: Set::Plain(set) }
}

const fn checked(
    name: &'static str,
    of: Type,
    default: &'static str,
    example: &'static str,
    help: &'static str,
    set: fn(&mut Draft, Given) -> Result<()>,
) -> Key {
    Key { field: Field { name, of, default, example, help }, set: Set::Checked(set) }
}

const fn field(
    name: &'static str,
    of: Type,
    default: &'static str,
    example: &'static str,
    help: &'static str,
) -> Field {
    Field { name, of, default, example, help }
}

/// The tables of a file.
pub const SECTIONS: [(&str, &str); 3] = [
    ("defaults", "The keys of a service, for all services; but no command and no argv."),
    ("signals", "What cox does with a signal: HUP = \"reload\"."),
    ("service", "A table for each service: [service.NAME]."),
];

/// What a signal may do.
pub const ON_SIGNAL: Type =
    Type::Map(Name::Signal, &Type::Word(&["stop", "reload", "rescan", "reopen", "main", "ignore"]));

pub fn on_signal(word: &str) -> OnSignal {
    match word {
        "stop" => OnSignal::Stop,
        "reload" => OnSignal::Reload,
        "rescan" => OnSignal::Rescan,
        "reopen" => OnSignal::Reopen,
        "main" => OnSignal::Main,
        _ => OnSignal::Ignore,
    }
}

/// In front of all tables.
pub const TOP: &[Key] = &[
    key(
        "stop-timeout",
        Type::Duration,
        "\"8s\"",
        "\"8s\"",
        "The most that a stop of everything may take; then what is left is killed.",
        |draft, given| draft.options.stop_timeout = Some(given.time()),
    ),
    key(
        "scan",
        Type::Some(&Type::Path),
        "",
        "[\"/etc/services\"]",
        "Directories of service directories.",
        |draft, given| draft.options.scan = given.paths(),
    ),
    key(
        "init",
        Type::Some(&Type::Path),
        "",
        "[\"/etc/cont-init.d\"]",
        "Directories of programs that run before all services: one after the other, in order of their names.",
        |draft, given| draft.options.init = given.paths(),
    ),
    key(
        "on-init-failure",
        Type::Word(&["stop", "continue"]),
        "\"stop\"",
        "\"stop\"",
        "What happens when one of them fails.",
        |draft, given| draft.options.init_may_fail = given.text() == "continue",
    ),
    key(
        "explain-exit",
        Type::Flag,
        "false",
        "true",
        "Says in the last line on stderr which service ended the container, and why.",
        |draft, given| draft.options.explain_exit = Some(given.flag()),
    ),
    checked(
        "dev-log",
        DEV_LOG,
        "false",
        "true",
        "Serves /dev/log, for programs that write to syslog; where that goes. true is \"prefix\".",
        |draft, given| {
            draft.options.dev_log = match given {
                Given::Flag(on) => on.then_some(LogTo::Container(LineFormat::Prefix)),
                given => Some(log_to(given)?).filter(|to| *to != LogTo::Null),
            };
            Ok(())
        },
    ),
    key(
        "control",
        Type::Path,
        "\"/run/cox/control\"",
        "\"/run/cox/control\"",
        "The socket of coxctl.",
        |draft, given| draft.options.control = Some(given.path()),
    ),
    key(
        "env",
        ENV,
        "",
        "{ TZ = \"UTC\" }",
        "Variables for all services of this file.",
        |draft, given| draft.set_env(given),
    ),
];

const ENV: Type = Type::Map(Name::Variable, &Type::Setting);

const READY: &[Field] = &[
    field("fd", Type::Number(3, 1023), "", "3", "It writes a newline to this descriptor."),
    field("tcp", Type::Address, "", "80", "Somebody accepts connections there."),
    field("file", Type::Path, "", "\"/run/web.pid\"", "There is such a file."),
    field("command", Type::Shell, "", "\"redis-cli ping\"", "This exits with 0."),
];

const HEALTH: &[Field] = &[
    field("tcp", Type::Address, "", "80", "Does somebody accept connections there?"),
    field("file", Type::Path, "", "\"/run/web.pid\"", "Is there such a file?"),
    field("command", Type::Shell, "", "\"redis-cli ping\"", "Does this exit with 0?"),
    field(
        "interval",
        Type::Duration,
        "\"30s\"",
        "\"10s\"",
        "From one answer to the next question.",
    ),
    field("timeout", Type::Duration, "\"30s\"", "\"5s\"", "No answer after that is a no."),
    field("retries", Type::Number(1, 1000), "3", "3", "So many times no in a row is unhealthy."),
    field("start-period", Type::Duration, "0", "\"1m\"", "Until then, a no does not count."),
    field(
        "action",
        Type::Word(&["restart", "report", "stop"]),
        "\"restart\"",
        "\"restart\"",
        "What happens to an unhealthy service; \"stop\" ends the container.",
    ),
];

const GIVE_UP: &[Field] = &[
    field("deaths", Type::Number(1, 4096), "", "5", "So many bad runs"),
    field("within", Type::Duration, "\"1m\"", "\"1m\"", "in that time."),
];

const LOG_FILE: &[Field] = &[
    field("file", Type::Path, "", "\"/var/log/web/current\"", "The file. Its directory is made."),
    field("max-size", Type::Size, "\"1M\"", "\"1M\"", "It is renamed before it gets larger."),
    field("keep", Type::Number(0, 10_000), "10", "10", "So many renamed ones are kept."),
    field(
        "stamp",
        Type::Word(&["none", "iso", "tai64n"]),
        "\"none\"",
        "\"iso\"",
        "The time in front of each line.",
    ),
];

/// In `[service.NAME]` and `[defaults]`.
pub const SERVICE: &[Key] = &[
    key(
        "command",
        Type::Shell,
        "",
        "\"exec nginx -g 'daemon off;'\"",
        "What to run, by /bin/sh -c. Either this or argv.",
        |draft, given| draft.command = Some(given.text()),
    ),
    checked(
        "argv",
        Type::List(&Type::Text),
        "",
        "[\"nginx\", \"-g\", \"daemon off;\"]",
        "What to run, word by word, without a shell.",
        |draft, given| {
            draft.argv = Some(given.texts());
            match draft.argv.as_ref().and_then(|argv| argv.first()) {
                Some(program) if !program.is_empty() => Ok(()),
                _ => Err(Error::invalid("there is no program").hint("write [\"nginx\"]")),
            }
        },
    ),
    key(
        "type",
        Type::Word(&["daemon", "oneshot"]),
        "\"daemon\"",
        "\"daemon\"",
        "A oneshot does something and ends; it is ready once it has ended with code 0.",
        |draft, given| {
            let oneshot = given.text() == "oneshot";
            draft.service.kind = if oneshot { Kind::Oneshot } else { Kind::Daemon };
        },
    ),
    key(
        "start",
        Type::Word(&["auto", "manual"]),
        "\"auto\"",
        "\"auto\"",
        "With \"manual\" it starts only when it is asked for, or required.",
        |draft, given| draft.service.start.auto = given.text() == "auto",
    ),
    key(
        "after",
        Type::Some(&Type::Text),
        "",
        "[\"migrate\"]",
        "These have their turn first, however it ends.",
        |draft, given| draft.service.start.after = given.texts(),
    ),
    key(
        "requires",
        Type::Some(&Type::Text),
        "",
        "[\"db\"]",
        "These are started with it, are ready before it, and stop after it.",
        |draft, given| draft.service.start.requires = given.texts(),
    ),
    key(
        "directory",
        Type::Path,
        "",
        "\"/srv\"",
        "Where it starts; cox's own directory without it.",
        |draft, given| draft.directory = Some(given.path()),
    ),
    key(
        "env",
        ENV,
        "",
        "{ PORT = 80, LANG = \"C.UTF-8\" }",
        "Variables, besides those that cox was given.",
        |draft, given| draft.set_env(given),
    ),
    key(
        "env-file",
        Type::Some(&Type::Path),
        "",
        "\"/etc/web.env\"",
        "Files of NAME=value lines, read at each start; env comes after them.",
        |draft, given| draft.setup.env_files = given.paths(),
    ),
    key(
        "secrets",
        Type::Some(&Type::Variable),
        "",
        "[\"DB_PASSWORD\"]",
        "DB_PASSWORD becomes the text of the file that DB_PASSWORD_FILE names, if that is set. Both are an error.",
        |draft, given| draft.setup.secrets = given.texts(),
    ),
    key(
        "user",
        Type::Setting,
        "",
        "\"${PUID:-1000}:${PGID:-1000}\"",
        "NAME, UID, NAME:GROUP or UID:GID. Numbers need not be in the user database.",
        |draft, given| draft.user = Some(given.text()),
    ),
    key(
        "groups",
        Type::Some(&Type::Setting),
        "",
        "[\"video\", 44]",
        "Supplementary groups; those of the user database without it.",
        |draft, given| draft.groups = Some(given.texts()),
    ),
    key(
        "umask",
        Type::Mode,
        "",
        "\"022\"",
        "The permissions that new files do not get.",
        |draft, given| draft.setup.umask = Some(given.small()),
    ),
    checked(
        "limits",
        Type::Map(Name::Resource, &Type::Limit),
        "",
        "{ nofile = 1024, core = \"unlimited\", stack = \"8M:16M\" }",
        "Resource limits by the names of getrlimit(2), as a number or \"SOFT:HARD\". What cox may not raise stays.",
        |draft, given| {
            let limits = given.map().into_iter();
            let limits = limits.filter_map(|(name, given)| match given {
                Given::Limit(soft, hard) => {
                    Some(ResourceLimit { resource: resource_number(&name)?, soft, hard })
                }
                _ => None,
            });
            draft.setup.limits = limits.collect();
            Ok(())
        },
    ),
    key(
        "capabilities",
        Type::List(&Type::Capability),
        "",
        "[\"net_bind_service\"]",
        "What is kept of the capabilities; all of them without it.",
        |draft, given| {
            let bits = given.list().into_iter().map(|given| 1_u64.wrapping_shl(given.small()));
            draft.setup.capabilities = Some(bits.fold(0, |set, bit| set | bit));
        },
    ),
    key(
        "no-new-privs",
        Type::Flag,
        "false",
        "true",
        "Programs with set-user-ID or file capabilities give it nothing (prctl(2)).",
        |draft, given| draft.setup.no_new_privs = given.flag(),
    ),
    checked(
        "ready",
        Type::Either(&[Type::Word(&["started", "notify"]), Type::Table(READY)]),
        "\"started\"",
        "{ tcp = 80 }",
        "When it counts as ready. \"notify\": it sends READY=1 to $NOTIFY_SOCKET (sd_notify(3)).",
        |draft, given| {
            draft.service.ready = match given {
                Given::Text(word) if word == "notify" => Ready::Notify,
                Given::Table(table) => {
                    let mut probe = ProbeDraft::default();
                    for (name, given) in table {
                        match name {
                            "fd" => probe.descriptor = Some(given.small()),
                            name => probe.set(name, given),
                        }
                    }
                    probe.ready()?
                }
                _ => Ready::Started,
            };
            Ok(())
        },
    ),
    key(
        "ready-timeout",
        Type::Timeout,
        "\"never\"",
        "\"30s\"",
        "Stopped, and started again, if it is not ready by then.",
        |draft, given| draft.service.ready_limit = given.limit(),
    ),
    checked(
        "health",
        Type::Table(HEALTH),
        "",
        "{ command = \"curl -f localhost\", interval = \"10s\", retries = 3 }",
        "Asks again and again whether it still does its work.",
        |draft, given| {
            let mut probe = ProbeDraft::default();
            let thirty = Duration::from_secs(30);
            let (mut interval, mut timeout, mut grace) = (thirty, thirty, Duration::ZERO);
            let (mut retries, mut action) = (3, OnUnhealthy::Restart);
            for (name, given) in given.table() {
                match name {
                    "interval" => interval = given.time(),
                    "timeout" => timeout = given.time(),
                    "retries" => retries = given.small(),
                    "start-period" => grace = given.time(),
                    "action" => {
                        action = match given.text().as_str() {
                            "report" => OnUnhealthy::Report,
                            "stop" => OnUnhealthy::StopContainer,
                            _ => OnUnhealthy::Restart,
                        }
                    }
                    name => probe.set(name, given),
                }
            }
            if interval.is_zero() || timeout.is_zero() {
                return Err(Error::invalid("interval and timeout cannot be 0"));
            }
            let probe = probe.probe()?;
            let health = Health { probe, interval, timeout, retries, grace, action };
            draft.service.health = Some(Box::new(health));
            Ok(())
        },
    ),
    key(
        "restart",
        Type::Word(&["always", "on-failure", "never"]),
        "\"always\"",
        "\"on-failure\"",
        "When it is started again after its end. Without this key \"never\" for a oneshot, and where on-end is \"stop\"; a oneshot never after code 0.",
        |draft, given| {
            draft.restart = Some(match given.text().as_str() {
                "on-failure" => RestartWhen::OnFailure,
                "never" => RestartWhen::Never,
                _ => RestartWhen::Always,
            });
        },
    ),
    key(
        "healthy-after",
        Type::Duration,
        "\"1s\"",
        "\"5s\"",
        "A run of that length was a good one: it is started again at once.",
        |draft, given| draft.service.restart.healthy_after = given.time(),
    ),
    key(
        "restart-delay",
        Type::Duration,
        "\"100ms\"",
        "\"1s\"",
        "The wait after a bad run; doubled after each further one.",
        |draft, given| draft.service.restart.delay = given.time(),
    ),
    key(
        "restart-max-delay",
        Type::Duration,
        "\"10s\"",
        "\"1m\"",
        "The longest wait.",
        |draft, given| draft.service.restart.longest = given.time(),
    ),
    checked(
        "give-up",
        Type::Table(GIVE_UP),
        "",
        "{ deaths = 5, within = \"1m\" }",
        "After so many bad runs in that time it has failed for good.",
        |draft, given| {
            let (mut deaths, mut within) = (0, Duration::from_secs(60));
            for (name, given) in given.table() {
                match name {
                    "deaths" => deaths = given.small(),
                    _ => within = given.time(),
                }
            }
            if deaths == 0 {
                return Err(Error::invalid("\"deaths\" is missing")
                    .hint("write { deaths = 5, within = \"1m\" }"));
            }
            draft.service.restart.give_up = Some((deaths, within));
            Ok(())
        },
    ),
    key(
        "permanent-exit-codes",
        Type::Some(&Type::Number(0, 255)),
        "",
        "[2, 78]",
        "It has failed for good if it ends with one of these.",
        |draft, given| {
            let codes = given.list().into_iter().map(|given| u8::try_from(given.number()));
            draft.service.restart.permanent = codes.flatten().collect();
        },
    ),
    key(
        "on-end",
        Type::Word(&["ignore", "stop", "stop-if-failed"]),
        "\"ignore\"",
        "\"stop\"",
        "What its end for good means for the container; its exit code becomes cox's.",
        |draft, given| {
            draft.service.on_end = match given.text().as_str() {
                "stop" => OnEnd::StopContainer,
                "stop-if-failed" => OnEnd::StopIfFailed,
                _ => OnEnd::Ignore,
            };
        },
    ),
    key(
        "stop-signal",
        Type::Signal,
        "\"TERM\"",
        "\"QUIT\"",
        "What it is told to stop with.",
        |draft, given| draft.service.stop.signal = given.signal(),
    ),
    key(
        "stop-command",
        Type::Shell,
        "",
        "\"nginx -s quit\"",
        "What is run instead of the signal.",
        |draft, given| draft.stop_command = Some(given.text()),
    ),
    key(
        "stop-timeout",
        Type::Timeout,
        "\"never\"",
        "\"5s\"",
        "Killed that long after it was told to stop. A stop of everything has its own limit.",
        |draft, given| draft.service.stop.limit = given.limit(),
    ),
    key(
        "stop-scope",
        Type::Word(&["process", "group"]),
        "\"process\"",
        "\"group\"",
        "Whom its signals go to: its first process, or the process group.",
        |draft, given| {
            let group = given.text() == "group";
            draft.service.reach = if group { Reach::Group } else { Reach::Leader };
        },
    ),
    key(
        "finish",
        Type::Shell,
        "",
        "\"rm -f /run/web.pid\"",
        "What is run after each end; $1 is the exit code or -1, $2 the signal or 0.",
        |draft, given| draft.finish = Some(given.text()),
    ),
    key(
        "finish-timeout",
        Type::Timeout,
        "\"5s\"",
        "\"5s\"",
        "Then finish is killed.",
        |draft, given| draft.finish_limit = given.limit(),
    ),
    checked(
        "log",
        LOG,
        "\"inherit\"",
        "{ file = \"/var/log/web/current\", max-size = \"1M\", keep = 10 }",
        "Where stdout goes: to cox's own (unseen by cox, or line by line as plain, prefixed or JSON lines), nowhere, or into a file.",
        |draft, given| {
            draft.log = Some(log_to(given)?);
            Ok(())
        },
    ),
    checked(
        "stderr",
        Type::Either(&[
            Type::Word(&["inherit", "plain", "prefix", "json", "none", "stdout"]),
            Type::Table(LOG_FILE),
        ]),
        "",
        "\"stdout\"",
        "The same of stderr; \"stdout\" is where stdout goes. Without it as log says.",
        |draft, given| {
            draft.stderr = Some(log_to(given)?);
            Ok(())
        },
    ),
];

const DEV_LOG: Type = Type::Either(&[
    Type::Flag,
    Type::Word(&["plain", "prefix", "json", "none"]),
    Type::Table(LOG_FILE),
]);

const LOG: Type = Type::Either(&[
    Type::Word(&["inherit", "plain", "prefix", "json", "none"]),
    Type::Table(LOG_FILE),
]);

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<'a>(fields: impl Iterator<Item = &'a Field>) -> String {
        let mut text = String::from("| key | value | default | |\n|---|---|---|---|\n");
        for Field { name, of, default, help, .. } in fields {
            let default = if default.is_empty() { "".into() } else { format!("`{default}`") };
            let of = of.noun().replace('|', "\\|");
            text.push_str(&format!("| `{name}` | {of} | {default} | {help} |\n"));
        }
        text
    }

    #[test]
    fn the_documentation_has_the_same_keys() {
        let tables = format!(
            "In front of all tables:\n\n{}\nIn `[service.NAME]` and `[defaults]`:\n\n{}\n\
             In `ready`:\n\n{}\nIn `health`:\n\n{}\nIn `give-up`:\n\n{}\nIn `log` and `stderr`:\n\n{}",
            rows(TOP.iter().map(|key| &key.field)),
            rows(SERVICE.iter().map(|key| &key.field)),
            rows(READY.iter()),
            rows(HEALTH.iter()),
            rows(GIVE_UP.iter()),
            rows(LOG_FILE.iter()),
        );
        let docs = include_str!("../../docs/cox.md");
        assert!(docs.contains(&tables), "docs/cox.md should hold:\n{tables}");
    }
}
