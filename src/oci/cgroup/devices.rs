//! Which devices a container may use: lines for v1's `devices.allow` and `devices.deny`, or a
//! small eBPF program for v2.
//!
//! Source: admin-guide/cgroup-v1/devices.rst, cgroup-v2.rst ("Device controller").

use super::resources::DeviceRule;
use crate::error::{Context, Error, Result};
use crate::sys::bpf::cgroup_device as bpf;

/// The devices that every container has (runtime-spec config-linux.md, "Default Devices"), and
/// the right to make, not to open, any other: to be put behind the rules of a spec.
pub fn default_devices() -> Vec<DeviceRule> {
    let device = |major, minor, access: &str| DeviceRule {
        allow: true,
        kind: Some("c".into()),
        major,
        minor,
        access: Some(access.into()),
    };
    let known = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    let mut rules = vec![
        device(None, None, "m"),
        DeviceRule { kind: Some("b".into()), ..device(None, None, "m") },
        // Pseudo-terminals.
        device(Some(136), None, "rwm"),
    ];
    rules.extend(known.map(|(major, minor)| device(Some(major), Some(minor), "rwm")));
    rules
}

/// A checked rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    allow: bool,
    kind: Kind,
    major: Option<u32>,
    minor: Option<u32>,
    /// `bpf::ACCESS_*`.
    access: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Char,
    Block,
}

const ALL_ACCESS: i32 = bpf::ACCESS_READ | bpf::ACCESS_WRITE | bpf::ACCESS_MKNOD;

pub(super) fn parse(rules: &[DeviceRule]) -> Result<Vec<Rule>> {
    let place = |i| move || format!("linux.resources.devices[{i}]");
    rules.iter().enumerate().map(|(i, rule)| Rule::parse(rule).doing(place(i))).collect()
}

impl Rule {
    fn parse(rule: &DeviceRule) -> Result<Rule> {
        let kind = match rule.kind.as_deref() {
            None | Some("" | "a") => Kind::All,
            Some("c" | "u") => Kind::Char,
            Some("b") => Kind::Block,
            Some(other) => {
                return Err(Error::invalid(format!("type \"{other}\" is not one of a, c, b")));
            }
        };
        let number = |n: Option<i64>| match n {
            None | Some(-1) => Ok(None),
            Some(n) => u32::try_from(n)
                .map(Some)
                .map_err(|_| Error::invalid(format!("{n} is not a device number"))),
        };
        let mut access = 0;
        for letter in rule.access.as_deref().unwrap_or_default().chars() {
            access |= match letter {
                'r' => bpf::ACCESS_READ,
                'w' => bpf::ACCESS_WRITE,
                'm' => bpf::ACCESS_MKNOD,
                _ => {
                    let problem = format!("access \"{letter}\" is not one of r, w, m");
                    return Err(Error::invalid(problem));
                }
            };
        }
        Ok(Rule {
            allow: rule.allow,
            kind,
            major: number(rule.major)?,
            minor: number(rule.minor)?,
            access: if access == 0 { ALL_ACCESS } else { access },
        })
    }

    /// The file of v1 and the line to write to it.
    pub fn line(&self) -> (&'static str, String) {
        let file = if self.allow { "devices.allow" } else { "devices.deny" };
        let letter = match self.kind {
            // v1 takes all or nothing of this type.
            Kind::All => return (file, "a".into()),
            Kind::Char => 'c',
            Kind::Block => 'b',
        };
        let number = |n: Option<u32>| n.map_or("*".into(), |n| n.to_string());
        let mut line = format!("{letter} {}:{} ", number(self.major), number(self.minor));
        let letters = [(bpf::ACCESS_READ, 'r'), (bpf::ACCESS_WRITE, 'w'), (bpf::ACCESS_MKNOD, 'm')];
        line.extend(letters.iter().filter(|(bit, _)| self.access & bit != 0).map(|(_, c)| *c));
        (file, line)
    }
}

/// The program for v2: the last rule that fits decides, and what none fits is left to the parent
/// cgroup, as in v1. An allowing rule fits when it covers the whole access asked for, a denying
/// one when it covers a part of it.
pub(super) fn program(rules: &[Rule]) -> Vec<bpf::Insn> {
    let mut code = vec![
        bpf::load(bpf::R2, bpf::R1, bpf::CTX_ACCESS_TYPE),
        bpf::copy(bpf::R3, bpf::R2),
        bpf::and(bpf::R2, 0xffff),
        bpf::shift_right(bpf::R3, 16),
        bpf::load(bpf::R4, bpf::R1, bpf::CTX_MAJOR),
        bpf::load(bpf::R5, bpf::R1, bpf::CTX_MINOR),
    ];
    let mut open = true;
    for rule in rules.iter().rev() {
        // The tests of this rule: each jumps past the verdict where it fails.
        let mut tests: Vec<bpf::Insn> = Vec::new();
        match rule.kind {
            Kind::All => {}
            Kind::Char => tests.push(bpf::jump_if_not_equal(bpf::R2, bpf::TYPE_CHAR, 0)),
            Kind::Block => tests.push(bpf::jump_if_not_equal(bpf::R2, bpf::TYPE_BLOCK, 0)),
        }
        for (register, number) in [(bpf::R4, rule.major), (bpf::R5, rule.minor)] {
            tests.extend(number.map(|n| bpf::jump_if_not_equal(register, n as i32, 0)));
        }
        if rule.access != ALL_ACCESS {
            tests.push(bpf::copy(bpf::R1, bpf::R3));
            if rule.allow {
                tests.push(bpf::and(bpf::R1, ALL_ACCESS & !rule.access));
                tests.push(bpf::jump_if_not_equal(bpf::R1, 0, 0));
            } else {
                tests.push(bpf::and(bpf::R1, rule.access));
                tests.push(bpf::jump_if_equal(bpf::R1, 0, 0));
            }
        }
        let count = tests.len();
        for (i, test) in tests.iter_mut().enumerate() {
            if test.code == JUMP_EQUAL || test.code == JUMP_NOT_EQUAL {
                test.distance = (count - i + 1) as i16;
            }
        }
        code.extend(tests);
        code.extend([bpf::set(bpf::R0, i32::from(rule.allow)), bpf::exit()]);
        if count == 0 {
            // Nothing gets past this rule; the kernel refuses code that cannot be reached.
            open = false;
            break;
        }
    }
    if open {
        code.extend([bpf::set(bpf::R0, 1), bpf::exit()]);
    }
    code
}

const JUMP_EQUAL: u8 = bpf::jump_if_equal(0, 0, 0).code;
const JUMP_NOT_EQUAL: u8 = bpf::jump_if_not_equal(0, 0, 0).code;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<Rule> {
        let rules: Vec<DeviceRule> = serde_json::from_str(text).unwrap();
        parse(&rules).unwrap()
    }

    /// Whether the program allows an access, by walking it.
    fn allows(program: &[bpf::Insn], kind: i32, major: i32, minor: i32, access: i32) -> bool {
        let (mut r, mut at) = ([0i32; 6], 0usize);
        loop {
            let i = program[at];
            at += 1;
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            match i.code {
                0x61 => r[to] = [access << 16 | kind, major, minor][i.distance as usize / 4],
                0xbc => r[to] = r[from],
                0xb4 => r[to] = i.constant,
                0x54 => r[to] &= i.constant,
                0x74 => r[to] = (r[to] as u32 >> i.constant) as i32,
                0x16 if r[to] == i.constant => at += i.distance as usize,
                0x56 if r[to] != i.constant => at += i.distance as usize,
                0x16 | 0x56 => {}
                0x95 => return r[0] == 1,
                code => panic!("{code:#x}"),
            }
        }
    }

    #[test]
    fn v1_gets_one_line_a_rule() {
        let rules = rules(
            r#"[{"allow":false,"access":"rwm"},
                {"allow":true,"type":"c","major":1,"minor":3,"access":"rm"},
                {"allow":true,"type":"b","major":-1,"access":"m"}]"#,
        );
        let lines: Vec<_> = rules.iter().map(Rule::line).collect();
        assert_eq!(lines[0], ("devices.deny", "a".into()));
        assert_eq!(lines[1], ("devices.allow", "c 1:3 rm".into()));
        assert_eq!(lines[2], ("devices.allow", "b *:* m".into()));
    }

    #[test]
    fn the_program_decides_by_the_last_rule_that_fits() {
        let mut all = rules(r#"[{"allow":false,"access":"rwm"}]"#);
        all.extend(parse(&default_devices()).unwrap());
        let p = program(&all);
        let (r, w, m) = (bpf::ACCESS_READ, bpf::ACCESS_WRITE, bpf::ACCESS_MKNOD);
        assert!(allows(&p, bpf::TYPE_CHAR, 1, 3, r | w));
        assert!(allows(&p, bpf::TYPE_CHAR, 136, 17, r | w));
        assert!(allows(&p, bpf::TYPE_BLOCK, 8, 0, m));
        assert!(!allows(&p, bpf::TYPE_BLOCK, 8, 0, r));
        assert!(!allows(&p, bpf::TYPE_BLOCK, 8, 0, m | r));
        assert!(!allows(&p, bpf::TYPE_BLOCK, 1, 3, r), "the type counts");
        all.extend(rules(r#"[{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]"#));
        let p = program(&all);
        assert!(allows(&p, bpf::TYPE_CHAR, 1, 3, r));
        assert!(!allows(&p, bpf::TYPE_CHAR, 1, 3, r | w));
    }

    #[test]
    fn bad_rules_are_named() {
        let bad: Vec<DeviceRule> =
            serde_json::from_str(r#"[{"allow":true},{"allow":true,"access":"x"}]"#).unwrap();
        assert_eq!(
            parse(&bad).unwrap_err().to_string(),
            "linux.resources.devices[1]: access \"x\" is not one of r, w, m"
        );
    }

    #[test]
    fn the_kernel_takes_the_program() {
        use crate::oci::cgroup::Cgroups;
        use std::os::fd::AsFd;
        let Some(unified) = Cgroups::detect().unwrap().unified else {
            return;
        };
        let dir = unified.mount.join(format!("coracle-test-devices-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let mut all = rules(r#"[{"allow":false}]"#);
        all.extend(parse(&default_devices()).unwrap());
        let attached = std::fs::File::open(&dir).map(|f| bpf::attach(&program(&all), f.as_fd()));
        std::fs::remove_dir(&dir).unwrap();
        attached.unwrap().unwrap();
    }
}
