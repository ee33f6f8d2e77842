//! A link's line in a consumer's /etc/hosts: `172.17.0.8<TAB>db d7886598dbe2 redis`, the alias, the
//! target's host name and its name. Texts from texts.

use crate::types::ContainerName;
use std::net::IpAddr;

/// All that the line calls it, each once.
pub fn names(alias: &ContainerName, hostname: &str, name: &ContainerName) -> String {
    let mut names = vec![alias.as_str()];
    for more in [hostname, name.as_str()] {
        if !names.contains(&more) {
            names.push(more);
        }
    }
    names.join(" ")
}

/// The file with a line of these names for each of `addresses`, or without any. What else is there
/// stays: a program may have lines of its own.
pub fn point(file: &[u8], names: &str, addresses: &[IpAddr]) -> Vec<u8> {
    let is_it = |line: &&[u8]| {
        let mut parts = line.trim_ascii_end().splitn(2, |byte| *byte == b'\t');
        parts.nth(1) == Some(names.as_bytes())
    };
    let lines = file.split_inclusive(|byte| *byte == b'\n');
    let mut lines: Vec<&[u8]> = lines.filter(|line| !is_it(line)).collect();
    let new: String = addresses.iter().map(|address| format!("{address}\t{names}\n")).collect();
    if !new.is_empty() {
        if lines.last().is_some_and(|last| !last.ends_with(b"\n")) {
            lines.push(b"\n");
        }
        lines.push(new.as_bytes());
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_moves_and_all_others_stay() {
        let names = |alias: &str, host: &str, name: &str| {
            names(&alias.parse().unwrap(), host, &name.parse().unwrap())
        };
        assert_eq!(names("db", "d7886598dbe2", "redis"), "db d7886598dbe2 redis");
        assert_eq!(names("redis", "d7886598dbe2", "redis"), "redis d7886598dbe2");
        assert_eq!(names("db", "db", "db"), "db");

        let at = |last: u8| [IpAddr::from([172, 17, 0, last])];
        let one = point(b"127.0.0.1\tlocalhost\n", "db x redis", &at(8));
        assert_eq!(one, b"127.0.0.1\tlocalhost\n172.17.0.8\tdb x redis\n");
        let own = [&one[..], b"10.0.0.1 db x redis\n10.0.0.2\tdb\n# \xff"].concat();
        let moved = point(&own, "db x redis", &at(9));
        let kept = b"127.0.0.1\tlocalhost\n10.0.0.1 db x redis\n10.0.0.2\tdb\n# \xff";
        assert_eq!(moved, [&kept[..], b"\n172.17.0.9\tdb x redis\n"].concat());
        assert_eq!(point(&own, "db x redis", &[]), kept);
        assert_eq!(point(&own, "other", &[]), own);
    }
}
