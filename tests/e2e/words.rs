//! What is told, and in which words: inspect, info, version, the flags and filters of lists.

use crate::common::{kill, wait_ended};
use crate::test;
use serde_json::json;

/// The keys of an object, in their order in the text, at a depth of indentation.
fn keys(text: &str, depth: usize) -> Vec<&str> {
    let indent = " ".repeat(depth);
    let key = |line: &'_ str| {
        let rest = line.strip_prefix(&indent)?.strip_prefix('"')?;
        Some(rest.split_once("\":")?.0.len())
    };
    text.lines().filter_map(|line| key(line).map(|len| &line[depth + 1..depth + 1 + len])).collect()
}

#[test]
fn inspect_tells_all_that_was_asked_for_in_dockers_order() {
    let t = test!(busybox);
    let options = "--cap-add NET_ADMIN --cap-drop MKNOD --device /dev/null:/dev/other:r --ulimit nofile=10:20 \
        --shm-size 1m --read-only --oom-score-adj 5 --cpu-shares 512 --cpu-period 10000 --cpu-quota 5000 \
        --cpuset-cpus 0 -m 64m --memory-swap 128m --init --pid host --ipc host --uts host \
        --security-opt no-new-privileges --tmpfs /scratch:size=1m --sysctl net.core.somaxconn=7 \
        --log-opt max-size=1m --dns 8.8.8.8 --group-add 7 --pids-limit 50 --name all";
    let line: Vec<&str> = ["run", "-d"].into_iter().chain(options.split_whitespace()).collect();
    t.coracle([&line[..], &["busybox", "sleep", "1000"]].concat()).any_stderr().ok();
    let host = &t.inspect("all")["HostConfig"];
    for (key, value) in [
        ("CapAdd", json!(["CAP_NET_ADMIN"])),
        ("CapDrop", json!(["CAP_MKNOD"])),
        (
            "Devices",
            json!([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/other", "CgroupPermissions": "r"}]),
        ),
        ("Ulimits", json!([{"Name": "nofile", "Hard": 20, "Soft": 10}])),
        ("ShmSize", json!(1 << 20)),
        ("ReadonlyRootfs", json!(true)),
        ("OomScoreAdj", json!(5)),
        ("CpuShares", json!(512)),
        ("CpuPeriod", json!(10000)),
        ("CpuQuota", json!(5000)),
        ("CpusetCpus", json!("0")),
        ("Memory", json!(64 << 20)),
        ("MemorySwap", json!(128 << 20)),
        ("PidsLimit", json!(50)),
        ("Init", json!(true)),
        ("PidMode", json!("host")),
        ("IpcMode", json!("host")),
        ("UTSMode", json!("host")),
        ("SecurityOpt", json!(["no-new-privileges"])),
        ("Tmpfs", json!({"/scratch": "size=1m"})),
        ("Sysctls", json!({"net.core.somaxconn": "7"})),
        ("LogConfig", json!({"Type": "json-file", "Config": {"max-size": "1m"}})),
        ("Dns", json!(["8.8.8.8"])),
        ("GroupAdd", json!(["7"])),
    ] {
        assert_eq!(host[key], value, "{key}");
    }
    let config = &t.inspect("all")["Config"];
    for (key, value) in [
        ("Memory", json!(64 << 20)),
        ("MemorySwap", json!(128 << 20)),
        ("CpuShares", json!(512)),
        ("AttachStdout", json!(false)),
        ("NetworkDisabled", json!(false)),
        ("PortSpecs", json!(null)),
    ] {
        assert_eq!(config[key], value, "{key}");
    }

    let text = t.says(["inspect", "-s", "all"]);
    let order = "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name \
        RestartCount Driver Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig \
        GraphDriver SizeRw SizeRootFs Mounts Volumes VolumesRW Config NetworkSettings";
    assert_eq!(keys(&text, 8), order.split_whitespace().collect::<Vec<_>>());
    assert!(!t.says(["inspect", "all"]).contains("SizeRw"));
}

#[test]
fn inspect_leads_to_the_files_of_what_runs() {
    let t = test!(busybox);
    t.script("c", &[], "echo here > /file; echo done; exec sleep 1000");
    t.wait_for_log("c", "done");
    let of = |format: &str| t.says(["inspect", "-f", format, "c"]);
    let file = format!("{}/file", of("{{.GraphDriver.Data.MergedDir}}"));
    assert_eq!(std::fs::read_to_string(file).expect("read"), "here\n");
    if !t.copies() {
        t.coracle(["commit", "c", "two"]).ok();
        t.coracle(["create", "--name", "upon", "two", "sh"]).ok();
        let data = &t.inspect("upon")["GraphDriver"]["Data"];
        let lower = data["LowerDir"].as_str().expect("a path").split(':');
        let has = |dir: &str, path: &str| std::path::Path::new(dir).join(path).exists();
        let lower: Vec<_> = lower.map(|dir| [has(dir, "file"), has(dir, "bin/sh")]).collect();
        assert_eq!(lower[..2], [[true, false], [false, true]]);
        for key in ["UpperDir", "WorkDir"] {
            assert!(has(data[key].as_str().expect("a path"), ""), "{data}");
        }
        assert_eq!(data["MergedDir"], json!(null));
    }
    let key = of("{{.NetworkSettings.SandboxKey}}");
    let ours = std::fs::metadata("/proc/thread-self/ns/net").expect("our own network");
    let its = std::fs::metadata(key).expect("its network");
    use std::os::unix::fs::MetadataExt;
    assert_ne!(ours.ino(), its.ino());
    let endpoint = of("{{.NetworkSettings.Networks.bridge.EndpointID}}");
    assert!(t.says(["network", "inspect", "bridge"]).contains(&endpoint));
}

#[test]
fn inspect_tells_what_is_hidden_and_what_is_read_only() {
    let t = test!(busybox);
    let run = |name: &str, options: &[&str]| {
        let line = [&["run", "-d", "--name", name, "--net=none"], options];
        t.coracle([&line.concat()[..], &["busybox", "sleep", "1000"]].concat()).any_stderr().ok();
        let host = &t.inspect(name)["HostConfig"];
        ["MaskedPaths", "ReadonlyPaths"].map(|key| host[key].clone())
    };
    let [masked, read_only] = run("c", &[]);
    let mounted = |path: &str| {
        let script = format!("! test -e {path} || grep ' {path} ' /proc/self/mountinfo");
        t.says(["exec", "c", "sh", "-c", &script])
    };
    let paths = |list: &serde_json::Value| {
        let list = list.as_array().expect("a list").iter();
        list.map(|path| path.as_str().expect("a path").to_string()).collect::<Vec<_>>()
    };
    assert!(paths(&masked).contains(&"/proc/kcore".to_string()));
    assert!(paths(&read_only).contains(&"/proc/sys".to_string()));
    paths(&masked).iter().for_each(|path| drop(mounted(path)));
    for path in paths(&read_only) {
        let line = mounted(&path);
        assert!(line.is_empty() || line.contains(" ro,") || line.contains(" ro "), "{line}");
    }
    assert_eq!(run("p", &["--privileged"]), [json!(null), json!(null)]);
    assert_eq!(run("u", &["--security-opt", "systempaths=unconfined"]), [json!([]), json!([])]);
}

#[test]
fn fields_are_found_by_their_names_in_2014_and_in_go() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "c", "-a", "stdout", "busybox", "true"]).ok();
    let id = t.says(["inspect", "-f", "{{.Id}}", "c"]);
    t.coracle(["inspect", "-f", "{{.ID}} {{.State.Ghost}}", "c"])
        .stdout(format!("{id} false\n"))
        .ok();
    let image = t.says(["inspect", "-f", "{{.Id}}", "busybox"]);
    t.coracle(["inspect", "-f", "{{.id}}", "busybox"]).stdout(format!("{image}\n")).ok();
    t.coracle(["inspect", "-f", "{{.Config.AttachStdout}} {{.Config.AttachStderr}}", "c"])
        .stdout("true false\n")
        .ok();
    // Labels are a map of people's own: there case counts.
    t.coracle(["create", "--name", "l", "--label", "Tier=x", "busybox"]).ok();
    t.coracle(["inspect", "-f", "{{.Config.Labels.Tier}}{{.Config.Labels.tier}}", "l"])
        .stdout("x<no value>\n")
        .ok();
}

#[test]
fn whatever_has_a_name_is_inspected_by_it() {
    let t = test!(busybox);
    t.coracle(["network", "create", "lan"]).ok();
    t.coracle(["volume", "create", "data"]).ok();
    t.coracle(["create", "--name", "web", "-v", "data:/a-directory-with-a-long-name", "busybox"])
        .ok();
    for (name, key) in
        [("web", "HostConfig"), ("busybox", "RootFS"), ("lan", "IPAM"), ("data", "Mountpoint")]
    {
        assert!(t.inspect(name).get(key).is_some(), "{name}");
    }
    let format = ["inspect", "--format", "{{.Driver}}"];
    t.coracle([&format[..], &["--type", "network", "lan"]].concat()).stdout("bridge\n").ok();
    t.coracle(["inspect", "--type=network", "data"])
        .code(1)
        .stdout("[]\n")
        .stderr_has("no such network: data")
        .ok();
    t.coracle(["inspect", "--type", "task", "x"]).code(125).stderr_has("called task").ok();
    // Go's words for a time.
    for line in [&["ps", "-a"][..], &["images"], &["network", "ls", "--filter", "name=lan"]] {
        let said = t.says([line, &["--format", "{{.CreatedAt}}"]].concat());
        let words: Vec<&str> = said.split(' ').collect();
        let [date, time, "+0000", "UTC"] = words[..] else { panic!("{said}") };
        assert_eq!((date.len(), time.split(':').count()), (10, 3), "{said}");
    }
    let bind = t.dir("a-directory-of-the-host").display().to_string();
    let mount = format!("{bind}:/b");
    t.coracle(["create", "--name", "b", "-v", &mount, "busybox"]).ok();
    let mounts = ["ps", "-a", "--filter", "name=b", "--format", "{{.Mounts}}"];
    let mounts =
        |more: &[&str]| t.says([&mounts[..], more].concat()).lines().next().map(String::from);
    assert_eq!(mounts(&["--no-trunc"]), Some(bind.clone()));
    assert_eq!(mounts(&[]), Some(format!("{}…", &bind[..14])));
}

#[test]
fn info_has_the_lines_that_people_look_for() {
    let t = test!(busybox);
    t.script("up", &[], "exec sleep 1000");
    t.script("held", &[], "exec sleep 1000");
    t.coracle(["pause", "held"]).ok();
    t.coracle(["run", "busybox", "true"]).ok();
    let said = t.coracle(["--label", "rack=7", "-D", "info"]).any_stderr().ok().stdout_text();
    let root = t.root().display().to_string();
    for line in [
        "Containers: 3",
        " Running: 1",
        " Paused: 1",
        " Stopped: 1",
        "Images: 1",
        "Logging Driver: json-file",
        "Cgroup Driver: cgroupfs",
        "Swarm: inactive",
        " seccomp",
        "OSType: linux",
        "Registry: none yet",
        "Live Restore Enabled: true",
        "Debug Mode: true",
        " rack=7",
        &format!("Docker Root Dir: {root}"),
    ] {
        assert!(said.lines().any(|one| one == line), "{line} is not in\n{said}");
    }
    for key in "Server Version, Storage Driver, Cgroup Version, Kernel Version, Operating System, \
        Architecture, CPUs, Total Memory, Name, ID"
        .split(", ")
    {
        let value = said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        assert!(value.is_some_and(|value| !value.is_empty()), "{key} is not in\n{said}");
    }

    let json = t.coracle(["info", "--format", "json"]).any_stderr().ok().stdout_text();
    let info: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let id = said.lines().find_map(|line| line.strip_prefix("ID: "));
    assert_eq!(info["ID"].as_str(), id);
    assert_eq!((&info["ContainersPaused"], &info["ContainersStopped"]), (&json!(1), &json!(1)));
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert_eq!(info["DockerRootDir"], root.as_str());
    // What the host cannot do is told on stderr, as by Docker, and in the JSON.
    let lacks = info["Warnings"].as_array().expect("a list");
    let output = t.coracle(["info"]).any_stderr().ok();
    let warnings: Vec<String> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| Some(line.strip_prefix("WARNING: ")?.to_string()))
        .collect();
    assert_eq!(&json!(warnings), &json!(lacks));
}

#[test]
fn version_has_what_scripts_compare() {
    let t = test!();
    let said = t.says(["version"]);
    for key in ["Version:", "API version:", "Git commit:", "Built:", "OS/Arch:"] {
        assert_eq!(said.lines().filter(|line| line.trim().starts_with(key)).count(), 2, "{said}");
    }
    assert!(said.contains("\nServer: "), "{said}");
    let own = env!("CARGO_PKG_VERSION");
    let format = "{{.Client.Version}} {{.Server.APIVersion}} {{.Server.ApiVersion}}";
    t.coracle(["version", "-f", format]).stdout(format!("{own} 1.50 1.50\n")).ok();
    for flag in ["-v", "-V", "--version"] {
        assert!(t.says([flag]).contains(own), "{flag}");
    }
}

#[test]
fn ps_chooses_by_its_filters_and_by_the_flags_of_then() {
    let t = test!(busybox);
    t.coracle(["run", "--name", "a", "busybox", "true"]).ok();
    t.coracle(["run", "--name", "b", "-v", "data:/srv", "busybox", "sh", "-c", "exit 3"])
        .code(3)
        .ok();
    t.coracle(["commit", "a", "child"]).ok();
    t.script("c", &["--expose", "70", "-p", "8071:71"], "exec sleep 1000");
    t.coracle(["create", "--name", "d", "-v", "/tmp:/host", "--net", "none", "child"]).ok();
    for (args, names) in [
        ("-a --filter before=c", "b a"),
        ("-a --filter since=b", "d c"),
        ("-beforeId c", "b a"),
        ("-beforeId=c", "b a"),
        ("--before-id=c", "b a"),
        ("-sinceId b", "d c"),
        ("--since-id b --before-id d", "c"),
        ("-a --filter ancestor=busybox", "d c b a"),
        ("-a --filter ancestor=child", "d"),
        ("-a --filter ancestor=nosuch", ""),
        ("-a --filter volume=data", "b"),
        ("-a --filter volume=/srv", "b"),
        ("-a --filter volume=/host", "d"),
        ("-a --filter health=none", "d c b a"),
        ("-a --filter health=healthy", ""),
        ("-a --filter is-task=false", "d c b a"),
        ("-a --filter is-task=true", ""),
        ("--filter exited=3", "b"),
        ("--filter status=created", "d"),
        ("--filter status=exited --filter status=created", "d b a"),
        ("-a --filter expose=70", "c"),
        ("-a --filter publish=8071", "c"),
        ("-a --filter publish=71", "c"),
        ("-a --filter network=none", "d"),
        ("-a --filter name=^a$", "a"),
        ("-n 2", "d c"),
        ("-l", "d"),
        ("", "c"),
    ] {
        let format = ["--format", "{{.Names}}"];
        let line: Vec<&str> =
            ["ps"].into_iter().chain(args.split_whitespace()).chain(format).collect();
        assert_eq!(t.says(line).replace('\n', " "), names, "ps {args}");
    }
    t.coracle(["ps", "-beforeId", "nosuch"]).code(1).stderr_has("nosuch").ok();
}

#[test]
fn settings_reach_into_containers() {
    let t = test!(busybox);
    let global = ["--default-ulimit", "nofile=64:128", "--dns-opt", "ndots:3"];
    let look = "ulimit -n; ulimit -Hn; grep -c ndots:3 /etc/resolv.conf";
    let run = ["run", "--rm", "busybox", "sh", "-c", look];
    t.coracle([&global[..], &run].concat()).stdout("64\n128\n1\n").ok();
    let file = t.path("coracle.toml");
    let text = "default-ulimits = [\"nofile=65:129\"]\ndns-opts = [\"ndots:3\"]\n";
    std::fs::write(&file, text).expect("write the settings");
    let config = file.to_str().expect("a path in UTF-8");
    t.coracle(run).env("CORACLE_CONFIG", config).stdout("65\n129\n1\n").ok();
    // What a container asks for itself counts.
    let own = ["run", "--rm", "--ulimit", "nofile=32", "busybox", "sh", "-c", "ulimit -n"];
    t.coracle(own).env("CORACLE_CONFIG", config).stdout("32\n").ok();
}

#[test]
fn containers_that_are_found_ended_stay_so_where_that_is_asked_for() {
    let t = test!(busybox);
    for (name, flag, status) in [("left", "--restart=false", "exited"), ("again", "-r", "running")]
    {
        t.script(name, &["--restart", "always"], "exec sleep 1000");
        let (pid, monitor) = (t.pid(name), t.monitor(name));
        kill(monitor);
        kill(pid);
        wait_ended(pid);
        t.coracle([flag, "run", "--rm", "busybox", "true"]).ok();
        t.wait_for_status(name, status);
    }
    // The next command leaves it too: it was not to run any more.
    t.coracle(["run", "--rm", "busybox", "true"]).ok();
    assert_eq!(t.status("left"), "exited");
}

#[test]
fn by_whatever_name_it_is_called_messages_begin_with_its_own() {
    let t = test!(busybox);
    let said = |args: &[&str]| {
        let mut docker = std::process::Command::new("docker");
        let output = docker.args(args).envs(t.docker()).output().expect("run docker");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (args, code) in [
        (&["rm", "nosuch"][..], 1),
        (&["run", "nosuch"], 125),
        (&["--nosuch"], 125),
        (&["nosuch"], 125),
        (&["run", "--rm", "busybox", "nosuch"], 127),
    ] {
        let (found, text) = said(args);
        assert_eq!(found, Some(code), "{args:?}: {text}");
        assert!(text.starts_with("coracle: "), "{args:?}: {text}");
    }
}
