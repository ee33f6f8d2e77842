//! A network, and the JSON of `network inspect`: Docker's keys and order.

use crate::container::Endpoint;
use crate::error::{Error, Result};
use crate::network::{DEFAULT, Definition, Driver};
use crate::types::{ContainerId, ContainerName, Digest, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A network as it is now.
#[derive(Clone, Debug)]
pub struct Network {
    pub definition: Definition,
    /// What people call its driver: `bridge`, `macvlan`, `ipvlan`, `host`, `null`.
    pub driver: String,
    /// Who is on it.
    pub containers: Vec<Place>,
}

/// A container that runs on a network.
#[derive(Clone, Debug)]
pub struct Place {
    pub container: ContainerId,
    pub name: ContainerName,
    pub endpoint: Endpoint,
}

impl From<Definition> for Network {
    /// Without who is on it.
    fn from(definition: Definition) -> Network {
        let driver = definition.driver.to_string();
        Network { definition, driver, containers: Vec::new() }
    }
}

impl Network {
    /// Whether containers can be on it beside others.
    pub fn check_usable(&self) -> Result<()> {
        match ["host", "null"].contains(&self.driver.as_str()) {
            true => {
                Err(Error::conflict(format!("{} is no network to be on", self.definition.name))
                    .hint("start the container with --net instead"))
            }
            false => Ok(()),
        }
    }

    /// Whether it is there without anybody having made it.
    pub fn is_builtin(&self) -> bool {
        self.definition.name == DEFAULT || ["host", "null"].contains(&self.driver.as_str())
    }
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct InspectNetwork {
    name: String,
    id: String,
    created: Timestamp,
    scope: &'static str,
    driver: String,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    containers: BTreeMap<String, Container>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    driver: &'static str,
    options: BTreeMap<String, String>,
    config: Vec<Range>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Range {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    ip_range: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    gateway: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    auxiliary_addresses: BTreeMap<String, Ipv4Addr>,
}

#[derive(Serialize, Debug)]
#[serde(rename_all = "PascalCase")]
struct Container {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

impl From<&Network> for InspectNetwork {
    fn from(network: &Network) -> InspectNetwork {
        let definition = &network.definition;
        let text = |value: Option<String>| value.unwrap_or_default();
        let gateway = match (definition.gateway, definition.driver, definition.subnet) {
            (None, Driver::Bridge, Some(subnet)) => Some(subnet.gateway()),
            (gateway, ..) => gateway,
        };
        let range = definition.subnet.map(|subnet| Range {
            subnet: subnet.to_string(),
            ip_range: text(definition.pool.map(|pool| pool.to_string())),
            gateway: text(gateway.map(|gateway| gateway.to_string())),
            auxiliary_addresses: definition.reserved.clone(),
        });
        let range6 = definition.subnet6.map(|range| {
            // Upon a link of the host it is for routers there to tell.
            let gateway = gateway.filter(|_| definition.is_bridge()).zip(definition.subnet);
            let gateway = gateway.map(|(gateway, subnet)| range.twin(&subnet, gateway).to_string());
            Range {
                subnet: range.to_string(),
                ip_range: String::new(),
                gateway: text(gateway),
                auxiliary_addresses: BTreeMap::new(),
            }
        });
        let container = |place: &Place| {
            let Place { container, name, endpoint } = place;
            let shown = Container {
                name: name.to_string(),
                endpoint_id: endpoint_id(container, &definition.id),
                mac_address: endpoint.mac.to_string(),
                ipv4_address: format!("{}/{}", endpoint.address, endpoint.prefix),
                ipv6_address: text(
                    endpoint.ipv6.as_ref().map(|at| format!("{}/{}", at.address, at.prefix)),
                ),
            };
            (container.to_string(), shown)
        };
        InspectNetwork {
            name: definition.name.clone(),
            id: definition.id.clone(),
            created: definition.created,
            scope: "local",
            driver: network.driver.clone(),
            enable_ipv4: true,
            enable_ipv6: definition.subnet6.is_some(),
            ipam: Ipam {
                driver: "default",
                options: BTreeMap::new(),
                config: range.into_iter().chain(range6).collect(),
            },
            internal: definition.internal,
            attachable: definition.is_attachable,
            ingress: false,
            containers: network.containers.iter().map(container).collect(),
            options: definition.options.clone(),
            labels: definition.labels.clone(),
        }
    }
}

/// A container's own on each network, and always the same.
pub fn endpoint_id(container: &ContainerId, network_id: &str) -> String {
    Digest::of(format!("{container} {network_id}").as_bytes()).hex()
}
