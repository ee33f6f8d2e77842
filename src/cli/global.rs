//! The options in front of the command: those that every command has, and what were flags of the
//! daemon.

use super::argv::{self, Flags, Line};
use crate::engine::settings::{FILE_NAME, Given, PATH, Settings};
use crate::engine::{Driver, rootless};
use crate::error::{Context, Error, OsContext, Result};
use argh::{ArgsInfo, FromArgs};
use std::path::{Path, PathBuf};

/// A small daemonless container engine
#[derive(FromArgs, ArgsInfo)]
#[argh(help_triggers("--help"))]
pub struct Global {
    /// the default network's bridge has this address, in this range (172.20.0.1/16)
    #[argh(option, arg_name = "address")]
    bip: Option<String>,
    /// not here: there is no API
    #[argh(switch, hidden_help)]
    api_enable_cors: bool,
    /// a bridge of yours for the default network, the name of one to be made, or none
    #[argh(option, short = 'b', arg_name = "name")]
    bridge: Option<String>,
    /// file of settings, or its directory, which has these flags as its keys (default /etc/coracle/coracle.toml)
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// taken: default
    #[argh(option, hidden_help)]
    context: Option<String>,
    /// not here: there is no daemon
    #[argh(switch, short = 'd', hidden_help)]
    daemon: bool,
    /// taken: nothing more is told, all is told anyway
    #[argh(switch, short = 'D')]
    debug: bool,
    /// limit of a resource of processes, where a container has none of its own (nofile=1024:2048)
    #[argh(option, arg_name = "limit")]
    default_ulimit: Vec<String>,
    /// name server of containers that are made without any
    #[argh(option, arg_name = "address")]
    dns: Vec<String>,
    /// option of their resolver (ndots:2)
    #[argh(option, arg_name = "list")]
    dns_opt: Vec<String>,
    /// domain in which they look up names
    #[argh(option, arg_name = "domain")]
    dns_search: Vec<String>,
    /// the part of the default network's range that containers get their addresses from
    #[argh(option, arg_name = "range")]
    fixed_cidr: Option<String>,
    /// where their IPv6 addresses come from: a range (fd00:1:2:3::/64)
    #[argh(option, arg_name = "range")]
    fixed_cidr_v6: Option<String>,
    /// not here: an engine acts on its own machine
    #[argh(option, short = 'H', hidden_help)]
    host: Vec<String>,
    /// false: containers of the default network reach each other by links only
    #[argh(option, arg_name = "bool")]
    icc: Option<String>,
    /// address at which ports are published for which none is given
    #[argh(option, arg_name = "address")]
    ip: Option<String>,
    /// false: what leaves the default network keeps its address
    #[argh(option, arg_name = "bool")]
    ip_masq: Option<String>,
    /// false: no rules for packets (nor published ports) of the default network
    #[argh(option, arg_name = "bool")]
    iptables: Option<String>,
    /// true: containers of the default network have IPv6 addresses too
    #[argh(option, arg_name = "bool")]
    ipv6: Option<String>,
    /// label of the engine, told by info (key=value)
    #[argh(option, arg_name = "list")]
    label: Vec<String>,
    /// how logs of containers are kept for which nothing is said: json-file, local or none
    #[argh(option, arg_name = "driver")]
    log_driver: Option<String>,
    /// error or fatal: no warnings (debug, info, warn: all of them)
    #[argh(option, short = 'l', arg_name = "level")]
    log_level: Option<String>,
    /// option of that driver (max-size=10m)
    #[argh(option, arg_name = "list")]
    log_opt: Vec<String>,
    /// bytes in a packet of the default network (default: as the host's way out)
    #[argh(option, arg_name = "int")]
    mtu: Option<String>,
    /// not here: there is no daemon
    #[argh(option, short = 'p', hidden_help)]
    pidfile: Option<String>,
    /// start no container again that is found ended (-r=false)
    #[argh(option, short = 'r', arg_name = "bool")]
    restart: Option<String>,
    /// directory for all that outlives a reboot (default /var/lib/coracle)
    #[argh(option, short = 'g', arg_name = "directory")]
    root: Option<String>,
    /// how a new state root makes containers' files of images: overlay, or copy, which needs no
    /// overlayfs (default: what works there)
    #[argh(option, short = 's', arg_name = "driver")]
    storage_driver: Option<String>,
    /// show the version
    #[argh(switch, short = 'v')]
    pub version: bool,
    #[argh(positional)]
    pub command: Vec<String>,
}

/// Reads them; `None` where they ask for help.
pub fn read(words: &[String]) -> Result<Option<Global>> {
    let info = Global::get_args_info();
    let line = match argv::normalise(&info, &[], Flags::First, words) {
        Ok(Line::Help) => return Ok(None),
        Ok(Line::Arguments(line)) => line,
        Err(e) => return Err(e.hint("see 'coracle --help'")),
    };
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let global = Global::from_args(&["coracle"], &line);
    global.map(Some).map_err(|exit| Error::invalid(exit.output.trim_end().to_string()))
}

impl Global {
    /// Refuses what only a daemon could do, and what only another machine's engine could.
    pub fn check(&self) -> Result<()> {
        let no_daemon = |flag| {
            Err(Error::invalid(format!("{flag}: there is no daemon, and none is needed"))
                .hint("leave the flag away; containers are restarted by the next command"))
        };
        match self {
            Global { daemon: true, .. } => return no_daemon("--daemon"),
            Global { pidfile: Some(_), .. } => return no_daemon("--pidfile"),
            Global { api_enable_cors: true, .. } => return no_daemon("--api-enable-cors"),
            _ => {}
        }
        if let Some(name) = self.context.as_ref().filter(|name| *name != "default") {
            return Err(Error::invalid(format!(
                "--context: there is none but default, no \"{name}\""
            )));
        }
        for host in &self.host {
            refuse_remote_engine("--host", Some(host))?;
        }
        let host = std::env::var("DOCKER_HOST").ok();
        refuse_remote_engine("DOCKER_HOST", host.as_deref())
    }

    /// What the flags say, and besides them the file of settings. Docker's clients are given a
    /// directory: one without such a file in it says nothing.
    pub fn settings(&self) -> Result<Settings> {
        let of_environment = || std::env::var_os("CORACLE_CONFIG").filter(|path| !path.is_empty());
        let file = self.config.clone().map(PathBuf::from);
        match file.or_else(|| of_environment().map(PathBuf::from)) {
            Some(dir) if dir.is_dir() => self.flags()?.with_file(&dir.join(FILE_NAME), false),
            Some(file) => self.flags()?.with_file(&file, true),
            None => self.flags()?.with_file(Path::new(PATH), false),
        }
    }

    /// What the flags say.
    fn flags(&self) -> Result<Settings> {
        let debug = self.debug.then(|| "true".to_string());
        let single = [
            ("bip", &self.bip),
            ("bridge", &self.bridge),
            ("debug", &debug),
            ("fixed-cidr", &self.fixed_cidr),
            ("fixed-cidr-v6", &self.fixed_cidr_v6),
            ("icc", &self.icc),
            ("ip", &self.ip),
            ("ip-masq", &self.ip_masq),
            ("iptables", &self.iptables),
            ("ipv6", &self.ipv6),
            ("log-driver", &self.log_driver),
            ("log-level", &self.log_level),
            ("mtu", &self.mtu),
            ("restart", &self.restart),
            ("root", &self.root),
            ("storage-driver", &self.storage_driver),
        ];
        let single = single.into_iter().map(|(key, value)| (key, key, value.as_slice()));
        let several = [
            ("default-ulimit", "default-ulimits", &self.default_ulimit[..]),
            ("dns", "dns", &self.dns),
            ("dns-opt", "dns-opts", &self.dns_opt),
            ("dns-search", "dns-search", &self.dns_search),
            ("label", "labels", &self.label),
            ("log-opt", "log-opts", &self.log_opt),
        ];
        let mut settings = Settings::default();
        for (flag, key, values) in single.chain(several) {
            if !values.is_empty() {
                let set = settings.set(key, &Given(values.to_vec()));
                set.map_err(|error| error.doing(format!("--{flag}")))?;
            }
        }
        Ok(settings)
    }
}

/// A command line that is pointed at another machine's engine must not act here.
fn refuse_remote_engine(by: &str, host: Option<&str>) -> Result<()> {
    match host {
        None | Some("") => Ok(()),
        Some(host) => Err(Error::invalid(format!(
            "{by} names the engine at {host}, and this one acts on its own machine only"
        ))
        .hint(match by.starts_with('-') {
            true => format!("leave {by} away to act here"),
            false => format!("unset {by} to act here"),
        })),
    }
}

/// The storage driver that was asked for.
pub fn driver(settings: &Settings) -> Result<Option<Driver>> {
    const VARIABLE: &str = "CORACLE_STORAGE_DRIVER";
    let of_environment = || std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    match (settings.driver, of_environment()) {
        (Some(driver), _) => Ok(Some(driver)),
        (None, Some(text)) => text.parse().map(Some).doing(|| VARIABLE.into()),
        (None, None) => Ok(None),
    }
}

/// The state root that was asked for, or the usual one.
pub fn root(settings: &Settings) -> Result<PathBuf> {
    let root = settings.root.clone().map_or_else(rootless::default_root, Ok)?;
    std::path::absolute(&root).on("find", &root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::log;

    fn of(line: &str) -> Result<Settings> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        let global = read(&words)?.expect("no call for help");
        global.check()?;
        global.flags()
    }

    #[test]
    fn a_remote_engine_is_never_played_by_this_one() {
        let refuse = |host| refuse_remote_engine("DOCKER_HOST", host);
        assert!(refuse(None).is_ok() && refuse(Some("")).is_ok());
        let error = refuse(Some("tcp://boat:2375")).unwrap_err();
        assert!(error.to_string().contains("tcp://boat:2375"));
        assert!(of("-H tcp://boat:2375 ps").unwrap_err().to_string().starts_with("--host names"));
        assert!(of("--context boat ps").is_err());
    }

    #[test]
    fn flags_of_the_daemon_are_settings_or_refused_by_name() {
        let settings = of("-D -r=false -s vfs --graph /x -l error --label a=b --dns-opt ndots:2 \
                           --default-ulimit nofile=5:6 --log-driver local --log-opt max-size=1m \
                           --log-opt=max-file=2 --context default ps")
        .unwrap();
        assert!(settings.debug && settings.is_quiet() && settings.restart == Some(false));
        assert_eq!(settings.driver, Some(Driver::Copy));
        assert_eq!(settings.root, Some("/x".into()));
        assert_eq!(
            (&settings.labels[..], settings.dns_options[0].as_str()),
            (&["a=b".to_string()][..], "ndots:2")
        );
        assert_eq!(settings.ulimits[0].to_string(), "nofile=5:6");
        assert_eq!(
            (settings.log.driver, settings.log.options.len()),
            (Some(log::Driver::Local), 2)
        );
        for (line, text) in [
            ("-d", "--daemon: there is no daemon, and none is needed"),
            ("-p /x.pid ps", "--pidfile: there is no daemon, and none is needed"),
            ("-api-enable-cors ps", "--api-enable-cors: there is no daemon, and none is needed"),
            ("-l loud ps", "--log-level: \"loud\" is not debug, info, warn, error or fatal"),
            ("-r=no ps", "-r is on or off, \"no\" is neither"),
            ("-s aufs ps", "--storage-driver: \"aufs\" is no storage driver"),
            ("--log-driver x ps", "--log-driver: there is no log driver \"x\""),
            ("--log-opt x ps", "--log-opt: \"x\" is not key=value"),
            (
                "--default-ulimit nofile ps",
                "--default-ulimit: invalid limit \"nofile\": there is no \"=\"",
            ),
        ] {
            assert_eq!(of(line).unwrap_err().to_string(), text, "{line}");
        }
    }
}
