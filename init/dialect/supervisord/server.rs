//! `[unix_http_server]` and `[inet_http_server]`: where supervisor's clients ask.

use super::percent::Names;
use super::value::{self, Keys};
use super::{Config, Document, Fault, Scope};
use coracle::error::Error;
use coracle::types::{Account, find_group};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    pub listen: Listen,
    /// Who may ask: a name and a password, or `{SHA}` and the digest of one.
    pub login: Option<(String, String)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listen {
    Unix { path: PathBuf, mode: u32, owner: Option<(u32, Option<u32>)> },
    Inet(SocketAddr),
}

impl Server {
    /// As programs are told it.
    pub fn url(&self) -> Option<String> {
        Some(match &self.listen {
            Listen::Unix { path, .. } => format!("unix://{}", path.display()),
            Listen::Inet(address) if address.ip().is_unspecified() => {
                format!("http://localhost:{}", address.port())
            }
            Listen::Inet(address) => format!("http://{address}"),
        })
    }
}

/// Adds the servers of a document: those on files first.
pub fn build(document: &Document, scope: &Scope, config: &mut Config) {
    for kind in ["unix_http_server", "inet_http_server"] {
        for section in document.sections.iter().filter(|section| section.name.starts_with(kind)) {
            let mut names = Names::default();
            names.text("host_node_name", scope.host);
            let keys = Keys { section, names, scope };
            let listen = match kind {
                "unix_http_server" => unix(&keys),
                _ => inet(&keys),
            };
            match listen.and_then(|listen| Ok(Server { listen, login: login(&keys)? })) {
                Ok(server) => config.servers.push(server),
                Err(fault) => config.problems.push(fault.said()),
            }
        }
    }
}

type Result<T> = std::result::Result<T, Fault>;

fn unix(keys: &Keys) -> Result<Listen> {
    let Some(path) = keys.text("file")?.filter(|path| !path.trim().is_empty()) else {
        let error = Error::invalid("there is no file").hint("add: file = /run/supervisor.sock");
        return Err(keys.fault(error));
    };
    let mode = keys.maybe("chmod", value::octal)?.unwrap_or(0o700);
    let users = keys.scope.users;
    let owner = keys.maybe("chown", |text| {
        let (user, group) = match text.trim().split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.trim(), None),
        };
        let account = Account::look_up(user, &users.passwd, &users.group)?;
        let group = group.map(|group| find_group(group, &users.group)).transpose()?;
        Ok((account.uid, group))
    })?;
    Ok(Listen::Unix { path: value::path(path.trim(), keys.scope.variable), mode, owner })
}

fn inet(keys: &Keys) -> Result<Listen> {
    let address = keys.maybe("port", |text| {
        let text = text.trim();
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port: Option<u16> = port.parse().ok().filter(|port| *port > 0);
        let bad = |what: String| Error::invalid(what).hint("write 127.0.0.1:9001, or *:9001");
        let port = port.ok_or_else(|| bad(format!("\"{text}\" has no port from 1 to 65535")))?;
        let host = match host.to_ascii_lowercase().as_str() {
            "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => other
                .trim_matches(['[', ']'])
                .parse()
                .map_err(|_| bad(format!("\"{host}\" is no address; names are not looked up")))?,
        };
        Ok(SocketAddr::new(host, port))
    })?;
    let missing =
        || keys.fault(Error::invalid("there is no port").hint("add: port = 127.0.0.1:9001"));
    address.map(Listen::Inet).ok_or_else(missing)
}

fn login(keys: &Keys) -> Result<Option<(String, String)>> {
    match (keys.text("username")?, keys.text("password")?) {
        // As supervisor: an empty name asks for nothing.
        (Some(name), Some(password)) => {
            Ok(Some((name, password)).filter(|(name, _)| !name.is_empty()))
        }
        (None, None) => Ok(None),
        _ => {
            let error = Error::invalid("a username needs a password, and the other way round");
            Err(keys.fault(error.hint("give both, or none")))
        }
    }
}
