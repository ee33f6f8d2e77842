//! What a program finds around itself inside of a container.

use crate::common::Test;
use crate::test;

/// The output of a shell script in a fresh container.
#[track_caller]
fn sh(t: &Test, script: &str) -> String {
    t.says(["run", "--rm", "busybox", "sh", "-c", script])
}

#[test]
fn it_is_pid_1_and_sees_only_its_own_processes() {
    let t = test!(busybox);
    assert_eq!(sh(&t, "set -- /proc/[0-9]*; echo $$ $*"), "1 /proc/1");
}

#[test]
fn all_its_namespaces_are_new() {
    let t = test!(busybox);
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    let inside = sh(&t, "for n in cgroup ipc mnt net pid uts; do readlink /proc/self/ns/$n; done");
    for (kind, inside) in kinds.iter().zip(inside.lines()) {
        let outside = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).expect("a link");
        assert!(inside.starts_with(kind), "{inside}");
        assert_ne!(inside, outside.to_string_lossy());
    }
}

#[test]
fn its_root_is_its_own_and_nothing_of_the_host_is_mounted() {
    let t = test!(busybox);
    let mounts = sh(&t, "cat /proc/self/mountinfo");
    let root = mounts.lines().next().unwrap_or_default();
    let own = if t.copies() { "/upper / " } else { " / / " };
    assert!(root.contains(own) && (t.copies() || root.contains(" - overlay ")), "{root}");
    for line in mounts.lines() {
        assert!(!line.contains("shared:") && !line.contains("master:"), "propagates: {line}");
    }
    let points = mounts.lines().filter_map(|l| l.split(' ').nth(4));
    let outside = ["/run", "/tmp", "/home", "/var", "/boot"];
    assert!(points.clone().all(|p| !outside.contains(&p)), "{mounts}");
}

#[test]
fn dev_holds_the_usual_devices_and_no_more() {
    let t = test!(busybox);
    let names = sh(&t, "ls /dev");
    let want = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    let names: Vec<_> = names.split_whitespace().filter(|n| *n != "core").collect();
    assert_eq!(names.join(" "), want);
    let script = "echo x >/dev/null && head -c 3 /dev/zero | wc -c && head -c 3 /dev/urandom | wc -c \
        && ! echo x >/dev/full && touch /dev/shm/x && df -k /dev/shm | tail -n1 | awk '{print $2}'";
    let t2 = t.coracle(["run", "--rm", "busybox", "sh", "-c", script]);
    t2.stdout("3\n3\n65536\n").any_stderr().ok();
}

#[test]
fn dangerous_parts_of_proc_and_sys_are_masked_or_read_only() {
    let t = test!(busybox);
    // Kernels differ in which of them they have.
    let script = "for f in /proc/interrupts /proc/kcore /proc/keys /proc/timer_list; do [ ! -e $f ] || wc -c <$f; done; \
        for d in /proc/acpi /proc/scsi /sys/firmware; do [ ! -e $d ] || ls $d | wc -l; done";
    let sizes = sh(&t, script);
    assert!(sizes.lines().count() > 1 && sizes.lines().all(|size| size == "0"), "{sizes}");
    for path in ["/proc/sys/kernel/panic", "/sys/kernel/profiling", "/sys/fs/cgroup/x"] {
        t.coracle(["run", "--rm", "busybox", "sh", "-c", &format!("echo 0 >{path}")])
            .code(1)
            .stderr_has("Read-only file system")
            .ok();
    }
}

#[test]
fn its_capabilities_are_dockers_default_set() {
    let t = test!(busybox);
    let caps = sh(&t, "grep Cap /proc/self/status");
    let want = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
        CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000";
    assert_eq!(caps, want);
    let caps =
        t.says(["run", "--rm", "-u", "app", "busybox", "grep", "CapEff", "/proc/self/status"]);
    assert_eq!(caps, "CapEff:\t0000000000000000");
}

#[test]
fn the_seccomp_profile_is_in_force() {
    let t = test!(busybox);
    assert_eq!(sh(&t, "grep Seccomp: /proc/self/status"), "Seccomp:\t2");
    // New namespaces need CAP_SYS_ADMIN under the default profile.
    t.coracle(["run", "--rm", "busybox", "unshare", "-m", "true"])
        .code(1)
        .stderr_has("Operation not permitted")
        .ok();
}

#[test]
fn hosts_hostname_and_resolver_are_made_for_it() {
    let t = test!(busybox);
    let id = t.says(["run", "-d", "busybox", "sleep", "1000"]);
    let read = |path: &str| t.says(["exec", &id, "cat", path]);
    assert_eq!(read("/etc/hostname"), id[..12]);
    assert!(read("/etc/hosts").contains("127.0.0.1\tlocalhost"));
    assert!(read("/etc/hosts").contains(&id[..12]));
    t.coracle(["exec", &id, "test", "-e", "/etc/resolv.conf"]).ok();
}

#[test]
fn descriptors_of_the_caller_do_not_get_in() {
    let t = test!(busybox);
    // Beside its own three, the directory that it reads.
    let open = t.says(["run", "--rm", "busybox", "ls", "/proc/self/fd"]);
    assert_eq!(open, "0\n1\n2\n3");
}

#[test]
fn signals_are_as_a_program_expects_them() {
    let t = test!(busybox);
    let signals =
        t.says(["run", "--rm", "busybox", "grep", "-E", "Sig(Blk|Ign):", "/proc/self/status"]);
    assert_eq!(signals, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000");
}

#[test]
fn a_privileged_container_may_do_what_we_may_and_sees_the_hosts_devices() {
    let t = test!(busybox);
    let ours = std::fs::read_to_string("/proc/thread-self/status").expect("our own status");
    let ours = ours.lines().find(|l| l.starts_with("CapPrm:")).expect("our capabilities");
    let program =
        "grep CapPrm /proc/self/status; grep Seccomp: /proc/self/status; ls /dev/null /dev/kmsg";
    let out = t.says(["run", "--rm", "--privileged", "busybox", "sh", "-c", program]);
    assert_eq!(out, format!("{ours}\nSeccomp:\t0\n/dev/kmsg\n/dev/null"));
}
