//! `[unix_http_server]` and `[inet_http_server]`: where supervisor's clients ask.

use super::value::{self, Keys};
use super::{Config, Document, Scope};
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
    Unix {
        path: PathBuf,
        mode: u32,
        owner: Option<(u32, Option<u32>)>,
    },
    /// As it was written, too.
    Inet(SocketAddr, String),
}

impl Server {
    /// As programs are told it.
    pub fn url(&self) -> Option<String> {
        Some(match &self.listen {
            Listen::Unix { path, .. } => format!("unix://{}", path.display()),
            Listen::Inet(address, _) if address.ip().is_unspecified() => {
                format!("http://localhost:{}", address.port())
            }
            Listen::Inet(_, text) => format!("http://{text}"),
        })
    }
}

/// Adds the servers of a document: those on files first.
pub fn build(document: &Document, scope: &Scope, config: &mut Config) {
    for kind in ["unix_http_server", "inet_http_server"] {
        for section in document.sections.iter().filter(|section| section.name.starts_with(kind)) {
            let keys = Keys::new(section, scope);
            let listen = if kind.starts_with('u') { unix(&keys) } else { inet(&keys) };
            let login = login(&keys);
            if let Some(listen) = listen.filter(|_| keys.is_good()) {
                config.servers.push(Server { listen, login });
            }
            config.take(keys);
        }
    }
}

fn unix(keys: &Keys) -> Option<Listen> {
    let users = keys.scope.users;
    let mode = keys.maybe("chmod", value::octal).unwrap_or(0o700);
    let owner = keys.maybe("chown", |text| {
        let (user, group) = match text.trim().split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.trim(), None),
        };
        let account = Account::look_up(user, &users.passwd, &users.group)?;
        let group = group.map(|group| find_group(group, &users.group)).transpose()?;
        Ok((account.uid, group))
    });
    let path = keys.text("file").filter(|path| !path.trim().is_empty());
    if path.is_none() && keys.is_good() {
        keys.wrong("", "there is no file", "add: file = /run/supervisor.sock");
    }
    let path = value::path(path?.trim(), keys.scope.variable);
    Some(Listen::Unix { path, mode, owner })
}

fn inet(keys: &Keys) -> Option<Listen> {
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
        Ok(Listen::Inet(SocketAddr::new(host, port), text.to_string()))
    });
    if address.is_none() && keys.is_good() {
        keys.wrong("", "there is no port", "add: port = 127.0.0.1:9001");
    }
    address
}

fn login(keys: &Keys) -> Option<(String, String)> {
    match (keys.text("username"), keys.text("password")) {
        // As supervisor: an empty name asks for nothing.
        (Some(name), Some(password)) => Some((name, password)).filter(|(name, _)| !name.is_empty()),
        (None, None) => None,
        _ => {
            let problem = "a username needs a password, and the other way round";
            keys.wrong("", problem, "give both, or none");
            None
        }
    }
}
