//! What a container is asked to be: the options of `create` and `run`, parsed and checked, before
//! any image was looked at. Faces fill it in; `create` merges it with the image's configuration.

use crate::error::{Context, Error, Result};
use crate::oci::cgroup::check_path;
use crate::types::{
    ContainerName, ExtraHost, LinkSpec, MacAddress, Port, PortBinding, Resolver, RestartPolicy,
    SdNotify, Signal, UserMode, is_host_name,
};
use std::collections::{BTreeMap, HashSet};
use std::fmt;

pub use crate::container::log::Wish as LogWish;
pub use crate::container::{
    Checkup, Cpus, DeviceRate, Isolation, Limits, Membership, Namespaces, SeccompChoice, Share,
    Streams, Terminal,
};
pub use crate::volume::{MountSpec, Source, VolumesFrom};

/// An empty option is "as the image has it", or the engine's default.
#[derive(Clone, Debug)]
pub struct Options {
    /// A reference, an id or the start of one, as the user wrote it.
    pub image: String,
    /// Replaces the image's command.
    pub command: Vec<String>,
    /// Replaces the image's entrypoint *and* drops its command; an empty list means none at all.
    pub entrypoint: Option<Vec<String>>,
    /// Else a name is invented.
    pub name: Option<ContainerName>,
    pub hostname: Option<String>,
    pub domainname: String,
    pub resolver: Resolver,
    /// Lines for /etc/hosts.
    pub extra_hosts: Vec<ExtraHost>,
    /// Of eth0; else it follows from the address.
    pub mac_address: Option<MacAddress>,
    /// `user[:group]`, each a name or a number.
    pub user: Option<String>,
    /// Absolute.
    pub working_dir: Option<String>,
    /// In the order given; applied to the image's environment by `merge_env`.
    pub env: Vec<EnvChange>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub mounts: Vec<MountSpec>,
    /// Containers whose mounts are taken over, in the order given.
    pub volumes_from: Vec<VolumesFrom>,
    /// Beside those of the image.
    pub exposed_ports: Vec<Port>,
    /// No two the same.
    pub ports: Vec<PortBinding>,
    /// All that are exposed, by the image too.
    pub publish_all: bool,
    pub network: NetworkMode,
    /// With `NetworkMode::Bridge`; none for the default one.
    pub networks: Vec<Membership>,
    pub links: Vec<LinkSpec>,
    pub tty: Option<Terminal>,
    pub open_stdin: bool,
    /// It ends with the first client's.
    pub stdin_once: bool,
    /// None where it runs in the background.
    pub attached: Streams,
    pub auto_remove: bool,
    pub namespaces: Namespaces<String>,
    pub isolation: Isolation,
    pub stop_signal: Option<Signal>,
    /// Seconds between the stop signal and SIGKILL.
    pub stop_timeout: Option<u32>,
    pub restart: RestartPolicy,
    pub limits: Limits,
    /// The cgroup in which the container gets its own.
    pub cgroup_parent: Option<String>,
    /// Else as the settings say.
    pub log: LogWish,
    /// What its check leaves open is as the image has it.
    pub health: Checkup,
    pub sdnotify: Option<SdNotify>,
}

/// What `--network` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetworkMode {
    Bridge,
    None,
    Host,
    /// That of a container, by its name or id.
    Container(String),
    /// By this program, without root.
    UserMode(UserMode),
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            NetworkMode::Bridge => f.write_str("bridge"),
            NetworkMode::None => f.write_str("none"),
            NetworkMode::Host => f.write_str("host"),
            NetworkMode::Container(name) => write!(f, "container:{name}"),
            NetworkMode::UserMode(mode) => mode.fmt(f),
        }
    }
}

/// One change to the environment that the image gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EnvChange {
    Set { key: String, value: String },
    Unset { key: String },
}

impl Options {
    /// A container of `image` with every default.
    pub fn new(image: impl Into<String>) -> Options {
        Options {
            image: image.into(),
            command: Vec::new(),
            entrypoint: None,
            name: None,
            hostname: None,
            domainname: String::new(),
            resolver: Resolver::default(),
            extra_hosts: Vec::new(),
            mac_address: None,
            user: None,
            working_dir: None,
            env: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            mounts: Vec::new(),
            volumes_from: Vec::new(),
            exposed_ports: Vec::new(),
            ports: Vec::new(),
            publish_all: false,
            network: NetworkMode::Bridge,
            networks: Vec::new(),
            links: Vec::new(),
            tty: None,
            open_stdin: false,
            stdin_once: false,
            attached: Streams::default(),
            auto_remove: false,
            namespaces: Namespaces::default(),
            isolation: Isolation::default(),
            stop_signal: None,
            stop_timeout: None,
            restart: RestartPolicy::No,
            limits: Limits::default(),
            cgroup_parent: None,
            log: LogWish::default(),
            health: Checkup::default(),
            sdnotify: None,
        }
    }

    /// Checks what no single option shows: bounds and combinations.
    pub fn check(&self) -> Result<()> {
        if self.auto_remove && self.restart != RestartPolicy::No {
            return Err(Error::invalid(format!(
                "--rm and --restart {} exclude each other",
                self.restart
            )));
        }
        if !self.links.is_empty() && self.network != NetworkMode::Bridge {
            let network = &self.network;
            return Err(Error::invalid(format!(
                "--link and --network {network} exclude each other"
            )));
        }
        if let Some(dir) = &self.working_dir
            && !dir.starts_with('/')
        {
            return Err(Error::invalid(format!("--workdir: \"{dir}\" is not an absolute path")));
        }
        if let Some(hostname) = &self.hostname {
            check_hostname("host", hostname).doing(|| "--hostname".into())?;
        }
        if !self.domainname.is_empty() {
            check_hostname("domain", &self.domainname).doing(|| "--domainname".into())?;
        }
        self.check_network()?;
        if let Some(user) = &self.user {
            if user.starts_with(':') || user.matches(':').count() > 1 {
                return Err(Error::invalid(format!("--user: invalid user \"{user}\""))
                    .hint("write user or user:group, each a name or a number"));
            }
            user.split(':').try_for_each(|id| check_id("--user", id))?;
        }
        for group in &self.isolation.groups {
            if group.is_empty() {
                return Err(Error::invalid("--group-add: \"\" is no group"));
            }
            check_id("--group-add", group)?;
        }
        let shares = matches!(self.network, NetworkMode::Host | NetworkMode::Container(_));
        self.isolation.check(!shares, self.namespaces.ipc.is_own())?;
        if !self.namespaces.uts.is_own() && (self.hostname.is_some() || !self.domainname.is_empty())
        {
            return Err(Error::invalid("conflicting options: hostname and the UTS mode"));
        }
        self.limits.check()?;
        if let Some(parent) = &self.cgroup_parent {
            check_path(parent).doing(|| "--cgroup-parent".into())?;
        }
        let mut targets = HashSet::new();
        for mount in &self.mounts {
            if !targets.insert(&mount.target) {
                return Err(Error::invalid(format!("two mounts are to be on {}", mount.target)));
            }
        }
        let mut fixed: Vec<&PortBinding> =
            self.ports.iter().filter(|b| b.fixed().is_some()).collect();
        fixed.sort_by_key(|binding| binding.host);
        for same in fixed.chunk_by(|a, b| a.host == b.host) {
            for (at, binding) in same.iter().enumerate() {
                if let Some(other) = same[..at].iter().find(|other| other.clashes(binding)) {
                    let text = format!("cannot publish both {other} and {binding}");
                    return Err(Error::invalid(text)
                        .hint("a port of the host leads to one port of one container"));
                }
            }
        }
        Ok(())
    }

    /// What the kind of network has no use for, in Docker's words.
    fn check_network(&self) -> Result<()> {
        let is_shared = matches!(self.network, NetworkMode::Container(_));
        let is_host_named = self.hostname.is_some() || !self.domainname.is_empty();
        for (is_asked, what) in [
            (is_shared && is_host_named, "hostname and the network mode"),
            (is_shared && !self.resolver.is_empty(), "dns and the network mode"),
            (
                is_shared && !self.extra_hosts.is_empty(),
                "custom host-to-IP mapping and the network mode",
            ),
            (
                self.network != NetworkMode::Bridge && self.mac_address.is_some(),
                "mac-address and the network mode",
            ),
            (is_shared && self.publishes(), "port publishing and the container type network mode"),
            (
                is_shared && !self.exposed_ports.is_empty(),
                "port exposing and the container type network mode",
            ),
        ] {
            if is_asked {
                return Err(Error::invalid(format!("conflicting options: {what}")));
            }
        }
        let gateway = self.extra_hosts.iter().find(|host| host.address.is_none());
        let has_none = matches!(self.network, NetworkMode::None | NetworkMode::UserMode(_));
        if let Some(host) = gateway.filter(|_| has_none) {
            let text = format!("--add-host {host}: --network {} has no gateway", self.network);
            return Err(Error::invalid(text));
        }
        Ok(())
    }

    /// Whether anything is to be published.
    pub fn publishes(&self) -> bool {
        self.publish_all || !self.ports.is_empty()
    }
}

/// A number is the id of somebody; -1 would mean "leave as it is" to the kernel.
fn check_id(flag: &str, text: &str) -> Result<()> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match is_number && text.parse::<i32>().is_err() {
        true => {
            Err(Error::invalid(format!("{flag}: {text} is no id"))
                .hint("ids go from 0 to 2147483647"))
        }
        false => Ok(()),
    }
}

/// The kernel takes 64 bytes; the rest keeps /etc/hosts and /etc/hostname well-formed.
fn check_hostname(what: &str, name: &str) -> Result<()> {
    if name.len() <= 64 && is_host_name(name) {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid {what} name \"{name}\"")).hint(format!(
        "a {what} name is 1 to 64 letters, digits, '-', '.' or '_', and starts with a letter or digit"
    )))
}

/// The image's environment with the changes made in order. A changed variable keeps its place;
/// a variable set twice has its last value.
pub fn merge_env(image: &[String], changes: &[EnvChange]) -> Vec<String> {
    let mut env = image.to_vec();
    let key_of = |entry: &String| entry.split('=').next().unwrap_or_default().to_string();
    for change in changes {
        match change {
            EnvChange::Set { key, value } => {
                let entry = format!("{key}={value}");
                match env.iter_mut().find(|e| key_of(e) == *key) {
                    Some(existing) => *existing = entry,
                    None => env.push(entry),
                }
            }
            EnvChange::Unset { key } => env.retain(|e| key_of(e) != *key),
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_keeps_its_order_and_its_last_word() {
        let set = |key: &str, value: &str| EnvChange::Set { key: key.into(), value: value.into() };
        let image = ["PATH=/bin".to_string(), "A=1".to_string(), "B=2".to_string()];
        let changes =
            [set("C", "x=y"), set("A", "9"), EnvChange::Unset { key: "B".into() }, set("A", "")];
        assert_eq!(merge_env(&image, &changes), ["PATH=/bin", "A=", "C=x=y"]);
    }

    #[test]
    fn combinations_that_cannot_be_are_refused() {
        assert!(Options::new("busybox").check().is_ok());
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::new("busybox");
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        let text = refused(|o| {
            o.auto_remove = true;
            o.restart = RestartPolicy::Always;
        });
        assert_eq!(text, "--rm and --restart always exclude each other");
        let text = refused(|o| {
            o.network = NetworkMode::Host;
            o.links = vec!["db".parse().unwrap()];
        });
        assert_eq!(text, "--link and --network host exclude each other");
        assert!(refused(|o| o.working_dir = Some("srv".into())).contains("\"srv\""));
        assert!(refused(|o| o.hostname = Some("a b".into())).contains("\"a b\""));
        assert!(refused(|o| o.hostname = Some("x".repeat(65))).contains("host name"));
        assert!(refused(|o| o.domainname = "a b".into()).contains("domain name \"a b\""));
        let text = refused(|o| {
            o.network = NetworkMode::Host;
            o.mac_address = "02:00:00:00:00:01".parse().ok();
        });
        assert_eq!(text, "conflicting options: mac-address and the network mode");
        let text = refused(|o| {
            o.network = NetworkMode::None;
            o.extra_hosts = vec!["up:host-gateway".parse().unwrap()];
        });
        assert!(text.starts_with("--add-host up:host-gateway: "));
        assert!(refused(|o| o.user = Some("a:b:c".into())).contains("\"a:b:c\""));
        assert!(refused(|o| o.limits.memory = Some(4096)).contains("4096"));
        let text = refused(|o| {
            o.network = NetworkMode::Host;
            o.isolation.sysctls.insert("net.core.somaxconn".into(), "1".into());
        });
        assert!(text.contains("not the container's own"));
        let twice = refused(|o| {
            let mount = MountSpec::new(Source::Anonymous, "/data");
            o.mounts = vec![mount.clone(), mount];
        });
        assert_eq!(twice, "two mounts are to be on /data");
        let twice = refused(|o| {
            let all = ["80:80", "127.0.0.1:80:81", "80:80/udp"];
            o.ports = all.iter().map(|text| text.parse().unwrap()).collect();
        });
        assert_eq!(twice, "cannot publish both 80:80/tcp and 127.0.0.1:80:81/tcp");
    }
}
