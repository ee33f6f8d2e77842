//! What used to be flags of Docker's daemon: keys of a file, and flags of every command.
//!
//! ```text
//! /etc/coracle/coracle.toml, or what $CORACLE_CONFIG names
//! ```
//!
//! The keys have the names of `dockerd`'s flags. A file that is not there says nothing.

use super::{Driver, Engine};
use crate::container::Dir;
use crate::container::log;
use crate::error::{Context, Error, OsContext, Result};
use crate::network;
use crate::sys::fs::read_small;
use crate::toml::{self, Entry, Value};
use crate::types::{Resolver, Ulimit, nearest};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub const PATH: &str = "/etc/coracle/coracle.toml";
pub const FILE_NAME: &str = "coracle.toml";

/// A file of settings is no larger.
const LARGEST: usize = 1 << 20;

impl Engine {
    pub fn with_settings(self, settings: Settings) -> Engine {
        Engine { settings, ..self }
    }

    /// Has the default network be as it is asked for, before a container is started on it.
    pub(super) fn settle_network(&self, dir: &Dir) -> Result<()> {
        let wanted = &self.settings.network;
        let networks = dir.settings()?.networks;
        if !networks.iter().any(|membership| membership.network == network::DEFAULT)
            || self.networks().get(network::DEFAULT)?.settings == *wanted
        {
            return Ok(());
        }
        self.networks().settle(&self.network_lock()?, wanted)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of the default network.
    pub network: network::Settings,
    /// The name servers of containers that are made without any.
    pub dns: Vec<IpAddr>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// Of the processes of containers that are made without one for the same resource.
    pub ulimits: Vec<Ulimit>,
    /// Whether containers that are found ended are started again, as their policies say.
    pub restart: Option<bool>,
    /// `key=value`, of the engine itself.
    pub labels: Vec<String>,
    /// Of containers that are made without another.
    pub log: log::Wish,
    pub debug: bool,
    log_level: Option<LogLevel>,
    pub root: Option<PathBuf>,
    pub driver: Option<Driver>,
}

/// What is told beside errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogLevel {
    All,
    ErrorsAlone,
}

impl Settings {
    /// What flags say, and the file says besides; `must` it be there?
    pub fn with_file(self, path: &Path, must: bool) -> Result<Settings> {
        let bytes = match read_small(path, LARGEST) {
            Err(e) if e.kind() == ErrorKind::NotFound && !must => return self.checked(),
            other => other.on("read", path)?,
        };
        let file = Settings::parse(&bytes).doing(|| path.display().to_string())?;
        fn or<T>(own: Vec<T>, other: Vec<T>) -> Vec<T> {
            if own.is_empty() { other } else { own }
        }
        Settings {
            network: self.network.or(file.network),
            dns: or(self.dns, file.dns),
            dns_search: or(self.dns_search, file.dns_search),
            dns_options: or(self.dns_options, file.dns_options),
            ulimits: or(self.ulimits, file.ulimits),
            restart: self.restart.or(file.restart),
            labels: or(self.labels, file.labels),
            log: self.log.or(&file.log),
            debug: self.debug || file.debug,
            log_level: self.log_level.or(file.log_level),
            root: self.root.or(file.root),
            driver: self.driver.or(file.driver),
        }
        .checked()
    }

    /// Whether warnings are not to be told.
    pub fn is_quiet(&self) -> bool {
        self.log_level == Some(LogLevel::ErrorsAlone)
    }

    /// Adds the limits of resources for which there are none.
    pub(super) fn limit(&self, ulimits: &mut Vec<Ulimit>) {
        for default in &self.ulimits {
            if !ulimits.iter().any(|own| own.name == default.name) {
                ulimits.push(default.clone());
            }
        }
    }

    /// Fills in what was not asked for.
    pub(super) fn complete(&self, resolver: &mut Resolver) {
        if resolver.search.is_empty() {
            resolver.search.clone_from(&self.dns_search);
        }
        if resolver.servers.is_empty() {
            resolver.servers.clone_from(&self.dns);
        }
        if resolver.options.is_empty() {
            resolver.options.clone_from(&self.dns_options);
        }
    }

    fn checked(self) -> Result<Settings> {
        self.network.check()?;
        self.log.clone().logging()?;
        Ok(self)
    }

    fn parse(bytes: &[u8]) -> Result<Settings> {
        let mut settings = Settings::default();
        let table = toml::parse(bytes)
            .map_err(|fault| fault.error.doing(format!("line {}", fault.line)))?;
        for entry in &table.entries {
            let set = match KEYS.contains(&entry.key.as_str()) {
                true => Given::new(entry).and_then(|given| settings.set(&entry.key, &given)),
                false => Err(unknown(&entry.key)),
            };
            set.doing(|| format!("line {}: {}", entry.line, entry.key))?;
        }
        Ok(settings)
    }

    /// Takes the value of a key.
    pub fn set(&mut self, key: &str, given: &Given) -> Result<()> {
        let network = &mut self.network;
        match key {
            "bridge" => {
                let name = given.one()?;
                network::check_link_name(name)?;
                network.bridge = Some(name.to_string());
            }
            "bip" => network.bip = Some(given.read()?),
            "fixed-cidr" => network.fixed_cidr = Some(given.read()?),
            "fixed-cidr-v6" => network.fixed_cidr_v6 = Some(given.read()?),
            "mtu" => {
                let mtu = given.one()?.parse();
                let mtu = mtu.ok().filter(|mtu| (68..=65535).contains(mtu));
                network.mtu = Some(mtu.ok_or_else(|| given.wrong("68 to 65535 bytes"))?);
            }
            "icc" => network.icc = Some(given.switch()?),
            "ipv6" => network.ipv6 = Some(given.switch()?),
            "ip-masq" => network.ip_masq = Some(given.switch()?),
            "iptables" => network.iptables = Some(given.switch()?),
            "ip" => {
                let address = given.one()?.parse();
                network.ip = Some(address.map_err(|_| given.wrong("an IP address"))?);
            }
            "dns" => {
                let servers = given.0.iter().map(|text| Resolver::parse_server(text));
                self.dns = servers.collect::<Result<_>>()?;
            }
            "dns-search" => {
                let domains = given.0.iter().map(|text| Resolver::parse_search(text));
                self.dns_search = domains.collect::<Result<_>>()?;
            }
            "dns-opts" => {
                let options = given.0.iter().map(|text| Resolver::parse_option(text));
                self.dns_options = options.collect::<Result<_>>()?;
            }
            "default-ulimits" => {
                let limits = given.0.iter().map(|text| text.parse());
                self.ulimits = limits.collect::<Result<_>>()?;
            }
            "restart" => self.restart = Some(given.switch()?),
            "labels" => self.labels.clone_from(&given.0),
            "debug" => self.debug = given.switch()?,
            "log-driver" => self.log.driver = Some(given.read()?),
            "log-opts" => given.0.iter().try_for_each(|text| self.log.set(text))?,
            "log-level" => {
                self.log_level = Some(match given.one()? {
                    "debug" | "info" | "warn" => LogLevel::All,
                    "error" | "fatal" => LogLevel::ErrorsAlone,
                    _ => return Err(given.wrong("debug, info, warn, error or fatal")),
                });
            }
            "root" => self.root = Some(given.one()?.into()),
            "storage-driver" => self.driver = Some(given.read()?),
            _ => return Err(unknown(key)),
        }
        Ok(())
    }
}

fn unknown(key: &str) -> Error {
    let error = Error::invalid("there is no such setting");
    match nearest(key, KEYS) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint(format!("there are {}", KEYS.join(", "))),
    }
}

/// All settings, as the file and the flags call them.
pub const KEYS: [&str; 22] = [
    "bip",
    "bridge",
    "debug",
    "default-ulimits",
    "dns",
    "dns-opts",
    "dns-search",
    "fixed-cidr",
    "fixed-cidr-v6",
    "icc",
    "ip",
    "ip-masq",
    "iptables",
    "ipv6",
    "labels",
    "log-driver",
    "log-level",
    "log-opts",
    "mtu",
    "restart",
    "root",
    "storage-driver",
];

/// What is given for a setting: one word, or several.
pub struct Given(pub Vec<String>);

impl Given {
    fn new(entry: &Entry) -> Result<Given> {
        let word = |value: &Value| match value {
            Value::Text(text) | Value::Decimal(text) => Ok(text.clone()),
            Value::Integer(number) => Ok(number.to_string()),
            Value::Boolean(value) => Ok(value.to_string()),
            Value::Array(_) | Value::Table(_) => {
                Err(Error::invalid("takes words and lists of words"))
            }
        };
        let words = match &entry.node.value {
            Value::Array(nodes) => nodes.iter().map(|node| word(&node.value)).collect(),
            value => word(value).map(|word| vec![word]),
        };
        words.map(Given)
    }

    fn one(&self) -> Result<&str> {
        match &self.0[..] {
            [one] => Ok(one),
            _ => Err(Error::invalid("takes one value")),
        }
    }

    fn read<T: std::str::FromStr<Err = Error>>(&self) -> Result<T> {
        self.one()?.parse()
    }

    fn switch(&self) -> Result<bool> {
        match self.one()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::invalid(format!("\"{}\" is not {what}", self.0.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_flags_of_the_daemon_said() {
        let text = "bip = \"10.9.0.1/24\"\ndns = [\"9.9.9.9\", \"fd00::53\"]\nicc = false\nmtu = 1400\n\
                    ip = \"127.0.0.1\"\ndns-search = \"example.org\"\n";
        let settings = Settings::parse(text.as_bytes()).unwrap();
        assert_eq!(settings.network.bip, Some("10.9.0.1/24".parse().unwrap()));
        assert_eq!(settings.network.icc, Some(false));
        assert_eq!(settings.network.mtu, Some(1400));
        assert_eq!(settings.dns.len(), 2);
        assert_eq!(settings.dns_search, ["example.org"]);
        assert_eq!(Settings::parse(b"# nothing\n").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            (
                "bip = \"10.9.0.0/24\"",
                "line 1: bip: \"10.9.0.0/24\" is no address of a bridge with its range",
            ),
            ("\nmtu = 1", "line 2: mtu: \"1\" is not 68 to 65535 bytes"),
            ("icc = \"no\"", "line 1: icc: \"no\" is not true or false"),
            ("bridge = [\"a\", \"b\"]", "line 1: bridge: takes one value"),
            ("bridge = \"a/b\"", "line 1: bridge: \"a/b\" is no name for a link"),
            ("ip = \"x\"", "line 1: ip: \"x\" is not an IP address"),
            ("bibp = 1", "line 1: bibp: there is no such setting"),
            ("[dns]\na = 1", "line 1: dns: takes words and lists of words"),
        ] {
            let error = Settings::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
        let error = Settings::parse(b"bibp = 1").unwrap_err();
        assert_eq!(error.hints(), ["did you mean bip?"]);
    }
}
