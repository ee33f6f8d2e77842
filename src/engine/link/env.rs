//! The variables that tell a program of a container it links to. Texts from texts.
//!
//! ```text
//! DB_PORT=tcp://172.17.0.8:6379             the lowest exposed port, tcp before others
//! DB_PORT_6379_TCP=tcp://172.17.0.8:6379    each exposed port
//! DB_PORT_6379_TCP_ADDR=172.17.0.8
//! DB_PORT_6379_TCP_PORT=6379
//! DB_PORT_6379_TCP_PROTO=tcp
//! DB_PORT_8000_TCP_START=tcp://...:8000     where ports follow each other, first and last
//! DB_PORT_8000_TCP_PORT_START=8000          (Docker since 1.4)
//! DB_PORT_8000_TCP_END=tcp://...:8010
//! DB_PORT_8000_TCP_PORT_END=8010
//! DB_NAME=/webapp/db
//! DB_ENV_VERSION=2.8                        what its image and -e set, but for HOME and PATH
//! ```

use crate::types::{ContainerName, Port};
use std::net::Ipv4Addr;

/// What its own program has from the image, as all have.
const LEFT_OUT: [&str; 2] = ["HOME", "PATH"];

/// The variables of `consumer` for a container at `address` that it calls `alias`.
pub fn variables(
    consumer: &ContainerName,
    alias: &ContainerName,
    address: Ipv4Addr,
    ports: &[Port],
    env: &[String],
) -> Vec<String> {
    let prefix = alias.as_str().to_ascii_uppercase().replace('-', "_");
    let url = |port: &Port| format!("{}://{address}:{}", port.protocol.word(), port.number);
    let of_port = |port: &Port| {
        let protocol = port.protocol.word().to_ascii_uppercase();
        format!("{prefix}_PORT_{}_{protocol}", port.number)
    };
    let mut all = Vec::new();
    if let Some(first) = ports.iter().min() {
        all.push(format!("{prefix}_PORT={}", url(first)));
    }
    let mut ports = ports.to_vec();
    ports.sort_unstable_by_key(|port| (port.protocol, port.number));
    let follows =
        |a: &Port, b: &Port| a.protocol == b.protocol && a.number.checked_add(1) == Some(b.number);
    for range in ports.chunk_by(follows) {
        for port in range {
            let name = of_port(port);
            all.push(format!("{name}={}", url(port)));
            all.push(format!("{name}_ADDR={address}"));
            all.push(format!("{name}_PORT={}", port.number));
            all.push(format!("{name}_PROTO={}", port.protocol.word()));
        }
        if let [first, .., last] = range {
            let name = of_port(first);
            all.push(format!("{name}_START={}", url(first)));
            all.push(format!("{name}_PORT_START={}", first.number));
            all.push(format!("{name}_END={}", url(last)));
            all.push(format!("{name}_PORT_END={}", last.number));
        }
    }
    all.push(format!("{prefix}_NAME=/{consumer}/{alias}"));
    let told = env.iter().filter_map(|entry| entry.split_once('='));
    let told = told.filter(|(key, _)| !LEFT_OUT.contains(key));
    all.extend(told.map(|(key, value)| format!("{prefix}_ENV_{key}={value}")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(alias: &str, ports: &str, env: &[&str]) -> Vec<String> {
        let ports: Vec<Port> = ports.split_whitespace().map(|p| p.parse().unwrap()).collect();
        let env: Vec<String> = env.iter().map(|entry| entry.to_string()).collect();
        let consumer = "webapp".parse().unwrap();
        let address = Ipv4Addr::new(172, 17, 0, 8);
        variables(&consumer, &alias.parse().unwrap(), address, &ports, &env)
    }

    #[test]
    fn the_variables_are_those_of_0_8() {
        let expected = [
            "AL_PORT=tcp://172.17.0.8:80",
            "AL_PORT_80_TCP=tcp://172.17.0.8:80",
            "AL_PORT_80_TCP_ADDR=172.17.0.8",
            "AL_PORT_80_TCP_PORT=80",
            "AL_PORT_80_TCP_PROTO=tcp",
            "AL_NAME=/webapp/al",
            "AL_ENV_A=b",
        ];
        assert_eq!(told("al", "80", &["PATH=/bin", "A=b", "HOME=/root"]), expected);
        assert_eq!(
            told("my-db.1", "", &["A=x=y"]),
            ["MY_DB.1_NAME=/webapp/my-db.1", "MY_DB.1_ENV_A=x=y"]
        );
    }

    #[test]
    fn the_lowest_port_is_the_port_and_tcp_before_udp() {
        let first = |ports: &str| told("db", ports, &[]).remove(0);
        assert_eq!(first("8080 80 443"), "DB_PORT=tcp://172.17.0.8:80");
        assert_eq!(first("53/udp 53/tcp 80"), "DB_PORT=tcp://172.17.0.8:53");
        assert_eq!(first("53/udp 80"), "DB_PORT=udp://172.17.0.8:53");
    }

    #[test]
    fn ports_that_follow_each_other_are_told_as_a_range_too() {
        let ranges = |ports: &str| {
            let mut all = told("db", ports, &[]);
            all.retain(|entry| entry.contains("_START=") || entry.contains("_END="));
            all.join(" ")
        };
        assert_eq!(
            ranges("8002 8000 8001 8001/udp 9000"),
            "DB_PORT_8000_TCP_START=tcp://172.17.0.8:8000 DB_PORT_8000_TCP_PORT_START=8000 \
             DB_PORT_8000_TCP_END=tcp://172.17.0.8:8002 DB_PORT_8000_TCP_PORT_END=8002"
        );
        assert_eq!(ranges("80 82 81/udp"), "");
    }
}
