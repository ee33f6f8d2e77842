//! `run`, and the options that it shares with `create`.

mod args;
mod cidfile;
mod commit;
mod fixed;
mod health;
mod isolation;
mod limits;
mod logging;
mod lxc;
mod network;

pub use args::Args;
pub use cidfile::CidFile;
pub use limits::Texts;

use super::argv::Flags;
use super::command::{Command, labels, number, value};
use super::{attach, env, output};
use crate::engine::Engine;
use crate::engine::options::{Limits, Options, Streams};
use crate::engine::session::Keys;
use crate::error::{Context, Error, Result};
use crate::types::{Resolver, RestartPolicy, parse_ports, parse_publish};
use crate::volume;
use commit::Harvest;
use std::path::{Path, PathBuf};

/// What the options say of the caller, not of the container.
#[derive(Clone, Debug)]
pub struct Request {
    pub options: Options,
    pub cidfile: Option<PathBuf>,
    pub sig_proxy: bool,
    pub detach_keys: Keys,
    /// What becomes of a container that ends well.
    pub harvest: Option<Harvest>,
}

/// What options are read against: the caller's environment and working directory.
pub struct Caller<'a> {
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub cwd: &'a Path,
}

impl Request {
    /// Reads the options as the present process's.
    pub fn new(args: Args) -> Result<Request> {
        // Where it is gone, only what is relative to it fails.
        let cwd = std::env::current_dir().unwrap_or_default();
        let env = |key: &str| std::env::var(key).ok();
        let ignored = Texts::of(&args).ignored();
        let request = Request::parse(args, &Caller { env: &env, cwd: &cwd })?;
        ignored.iter().for_each(output::warning);
        Ok(request)
    }

    fn parse(mut args: Args, caller: &Caller) -> Result<Request> {
        lxc::apply(&mut args)?;
        fixed::check(&args)?;
        let streams = streams(&args)?;
        let isolation = isolation::isolation(&args, caller.cwd)?;
        let namespaces = isolation::namespaces(&args)?;
        let limits = Texts::of(&args).change(Limits::default())?;
        let log = logging::logging(&args)?;
        let health = health::health(&args)?;
        let detach_keys = value("--detach-keys", &args.detach_keys)?;
        let mut words = args.image_and_command.into_iter();
        let mut options = Options::new(words.next().unwrap_or_default());
        options.command = words.collect();
        // Docker's way to say "none": --entrypoint ""
        options.entrypoint = args.entrypoint.map(|program| match program.as_str() {
            "" => Vec::new(),
            _ => vec![program],
        });
        options.name = args.name.map(|text| value("--name", &text)).transpose()?;
        options.hostname = args.hostname;
        options.user = args.user;
        options.working_dir = args.workdir;
        for file in &args.env_file {
            let file = path("--env-file", file, caller.cwd)?;
            options.env.extend(env::parse_file(&file, caller.env).doing(|| "--env-file".into())?);
        }
        for text in &args.env {
            options.env.push(env::parse(text, caller.env).doing(|| "--env".into())?);
        }
        for file in &args.label_file {
            let file = path("--label-file", file, caller.cwd)?;
            let lines = env::lines(&file).doing(|| "--label-file".into())?;
            let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
            let read = labels("--label-file", &lines);
            options.labels.extend(read.map_err(|e| e.doing(file.display().to_string()))?);
        }
        options.labels.extend(labels("--label", &args.label)?);
        options.annotations = labels("--annotation", &args.annotation)?;
        for text in &args.volume {
            options.mounts.push(volume::parse(text, caller.cwd).doing(|| "--volume".into())?);
        }
        for text in &args.mount {
            options.mounts.push(volume::parse_mount(text, caller.cwd).doing(|| "--mount".into())?);
        }
        for text in &args.tmpfs {
            options.mounts.push(volume::parse_tmpfs(text).doing(|| "--tmpfs".into())?);
        }
        for text in &args.volumes_from {
            let from = volume::parse_from(text).doing(|| "--volumes-from".into())?;
            options.volumes_from.extend(from);
        }
        for text in &args.expose {
            options.exposed_ports.extend(parse_ports(text).doing(|| "--expose".into())?);
        }
        for text in &args.publish {
            options.ports.extend(parse_publish(text).doing(|| "--publish".into())?);
        }
        options.ports.sort_unstable();
        options.ports.dedup();
        options.publish_all = args.publish_all;
        (options.network, options.networks) = network::networks(&args.network, args.networking)?;
        network::place(&args.network_alias, [&args.ip, &args.ip6], &mut options.networks)?;
        for text in &args.dns {
            let server = Resolver::parse_server(text).doing(|| "--dns".into())?;
            options.resolver.servers.push(server);
        }
        for text in &args.dns_search {
            let domain = Resolver::parse_search(text).doing(|| "--dns-search".into())?;
            options.resolver.search.push(domain);
        }
        for text in &args.dns_option {
            let option = Resolver::parse_option(text).doing(|| "--dns-option".into())?;
            options.resolver.options.push(option);
        }
        for text in &args.add_host {
            options.extra_hosts.push(value("--add-host", text)?);
        }
        options.domainname = args.domainname;
        options.mac_address =
            args.mac_address.map(|text| value("--mac-address", &text)).transpose()?;
        for text in &args.link {
            options.links.push(value("--link", text)?);
        }
        options.tty = args.tty.then(attach::new_terminal);
        options.open_stdin = args.interactive;
        options.stdin_once = args.interactive && streams.stdin;
        options.attached = streams;
        options.auto_remove = args.rm && args.commit.is_none();
        options.isolation = isolation;
        options.namespaces = namespaces;
        options.limits = limits;
        options.cgroup_parent = args.cgroup_parent.filter(|path| !path.is_empty());
        options.log = log;
        options.health = health;
        options.sdnotify = args.sdnotify.map(|text| value("--sdnotify", &text)).transpose()?;
        options.stop_signal =
            args.stop_signal.map(|text| value("--stop-signal", &text)).transpose()?;
        options.stop_timeout =
            args.stop_timeout.map(|text| number("--stop-timeout", &text)).transpose()?;
        options.restart = value("--restart", &args.restart.unwrap_or_default())?;
        options.check()?;
        let epoch = (caller.env)("SOURCE_DATE_EPOCH");
        let harvest = args.commit.map(|name| Harvest::parse(&name, epoch, args.rm)).transpose()?;
        if harvest.is_some() {
            for (is_asked, flag) in [
                (args.detach, "--detach".to_string()),
                (options.restart != RestartPolicy::No, format!("--restart {}", options.restart)),
            ] {
                if is_asked {
                    let text = format!("--commit and {flag} exclude each other");
                    return Err(Error::invalid(text));
                }
            }
        }
        Ok(Request {
            options,
            cidfile: args.cidfile.map(|file| path("--cidfile", &file, caller.cwd)).transpose()?,
            sig_proxy: args.sig_proxy,
            detach_keys,
            harvest,
        })
    }
}

/// A file of the caller's.
fn path(flag: &str, text: &str, cwd: &Path) -> Result<PathBuf> {
    match text {
        "" => Err(Error::invalid(format!("{flag}: \"\" is no file"))),
        text => Ok(cwd.join(text)),
    }
}

fn streams(args: &Args) -> Result<Streams> {
    if args.detach && !args.attach.is_empty() {
        return Err(Error::invalid("--detach and --attach exclude each other"));
    }
    let mut streams = Streams::default();
    for name in &args.attach {
        match name.to_ascii_lowercase().as_str() {
            "stdin" => streams.stdin = true,
            "stdout" => streams.stdout = true,
            "stderr" => streams.stderr = true,
            _ => {
                return Err(Error::invalid(format!("--attach: unknown stream \"{name}\""))
                    .hint("use stdin, stdout or stderr"));
            }
        }
    }
    if args.attach.is_empty() && !args.detach {
        streams = Streams { stdin: args.interactive, stdout: true, stderr: true };
    }
    Ok(streams)
}

pub struct Run(Request);

impl Command for Run {
    type Args = Args;
    const NAME: &'static str = "run";
    const USAGE: &'static str = "IMAGE [COMMAND] [ARG...]";
    const FLAGS: Flags = Flags::First;

    fn new(args: Args) -> Result<Run> {
        Request::new(args).map(Run)
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let cidfile = CidFile::create(self.0.cidfile.as_deref())?;
        attach::run(engine, self.0, cidfile)
    }

    fn exit_code(error: &Error) -> u8 {
        error.exit_code()
    }
}

pub struct Create(Request);

impl Command for Create {
    type Args = Args;
    const NAME: &'static str = "create";
    const USAGE: &'static str = "IMAGE [COMMAND] [ARG...]";
    const ABOUT: Option<&'static str> = Some("Create a new container");
    const FLAGS: Flags = Flags::First;
    const WITHOUT: &'static [&'static str] = &["commit", "detach", "detach-keys", "sig-proxy"];

    fn new(args: Args) -> Result<Create> {
        Request::new(args).map(Create)
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let mut cidfile = CidFile::create(self.0.cidfile.as_deref())?;
        let id = engine.create(&self.0.options)?;
        cidfile.write(&id)?;
        cidfile.keep();
        output::line(id)?;
        Ok(0)
    }

    fn exit_code(error: &Error) -> u8 {
        error.exit_code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::argv::{Line, normalise};
    use crate::engine::options::{EnvChange, NetworkMode, SeccompChoice, Source};
    use crate::types::Signal;
    use argh::{ArgsInfo, FromArgs};

    fn request(line: &str) -> Result<Request> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        let Line::Arguments(words) = normalise(&Args::get_args_info(), &[], Flags::First, &words)?
        else {
            panic!("help");
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let args = Args::from_args(&["run"], &words).unwrap();
        let env = |key: &str| (key == "MINE").then(|| "own".to_string());
        Request::parse(args, &Caller { env: &env, cwd: Path::new("/home/me") })
    }

    #[test]
    fn a_full_command_line_becomes_options() {
        let request = request(
            "-it --rm -name web -e A=1 -e MINE -e GONE -w /srv -u www:www -h box -v ./data:/data:ro \
             -v cache:/cache --entrypoint /bin/sh --cidfile=id --net none -m 64m -c 512 \
             --pids-limit 100 --expose 80 --expose 53-54/udp -l tier=front -l plain --stop-signal INT --stop-timeout=3 \
             busybox -c exit",
        )
        .unwrap();
        let options = request.options;
        assert_eq!(options.image, "busybox");
        assert_eq!(options.command, ["-c", "exit"]);
        assert_eq!(options.entrypoint, Some(vec!["/bin/sh".to_string()]));
        assert_eq!(options.name.unwrap().as_str(), "web");
        let set = |key: &str, value: &str| EnvChange::Set { key: key.into(), value: value.into() };
        let unset = EnvChange::Unset { key: "GONE".into() };
        assert_eq!(options.env, [set("A", "1"), set("MINE", "own"), unset]);
        assert_eq!(options.working_dir.as_deref(), Some("/srv"));
        assert_eq!(options.user.as_deref(), Some("www:www"));
        assert_eq!(options.hostname.as_deref(), Some("box"));
        assert_eq!(options.mounts[0].source, Source::Host("/home/me/data".into()));
        assert!(options.mounts[0].read_only);
        assert_eq!(options.mounts[1].source, Source::Volume("cache".into()));
        let ports: Vec<String> = options.exposed_ports.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["80/tcp", "53/udp", "54/udp"]);
        assert_eq!(options.network, NetworkMode::None);
        assert_eq!((options.limits.memory, options.limits.cpu_shares), (Some(64 << 20), Some(512)));
        assert_eq!(options.limits.pids, Some(100));
        assert_eq!(
            options.labels.into_iter().collect::<Vec<_>>(),
            [("plain".to_string(), String::new()), ("tier".to_string(), "front".to_string()),]
        );
        assert_eq!(options.stop_signal, Some(Signal::INT));
        assert_eq!(options.stop_timeout, Some(3));
        assert!(options.tty.is_some() && options.open_stdin && options.auto_remove);
        assert_eq!(options.restart, RestartPolicy::No);
        assert_eq!(options.attached, Streams { stdin: true, stdout: true, stderr: true });
        assert_eq!(request.cidfile, Some(PathBuf::from("/home/me/id")));
        assert!(request.sig_proxy);
    }

    #[test]
    fn what_is_said_of_names_becomes_options() {
        let options = request(
            "-dns 8.8.8.8 --dns fd00::53 --dns-search a.org --dns-opt ndots:2 --dns-option rotate \
             --add-host db:10.0.0.3 --add-host up:host-gateway --domainname example.org \
             --mac-address 02-42-00-00-00-01 x",
        )
        .unwrap()
        .options;
        let servers: Vec<String> =
            options.resolver.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["8.8.8.8", "fd00::53"]);
        assert_eq!(options.resolver.search, ["a.org"]);
        assert_eq!(options.resolver.options, ["ndots:2", "rotate"]);
        let hosts: Vec<String> = options.extra_hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["db:10.0.0.3", "up:host-gateway"]);
        assert_eq!(options.domainname, "example.org");
        assert_eq!(options.mac_address.unwrap().to_string(), "02:42:00:00:00:01");
    }

    #[test]
    fn networking_can_be_switched_off_as_in_2014() {
        let network = |line: &str| request(line).unwrap().options.network;
        for line in ["-n x", "-n=false x", "--networking=false x", "-n --net none x", "-din x"] {
            assert_eq!(network(line), NetworkMode::None, "{line}");
        }
        for line in ["x", "-n=true x", "--networking=true x"] {
            assert_eq!(network(line), NetworkMode::Bridge, "{line}");
        }
        assert_eq!(network("-n=true --net host x"), NetworkMode::Host);
        assert_eq!(network("--net=container:a x"), NetworkMode::Container("a".into()));
    }

    #[test]
    fn isolation_is_asked_for_by_many_flags() {
        let isolation = request(
            "--cap-add net_admin --cap-add ALL --cap-drop MKNOD --security-opt no-new-privileges \
             --security-opt seccomp=unconfined --read-only --device /dev/fuse:/dev/net/f:r \
             --ulimit nofile=5:6 --oom-score-adj -5 --shm-size 1m --group-add video \
             --sysctl net.core.somaxconn=7 x",
        )
        .unwrap()
        .options
        .isolation;
        let adds: Vec<String> = isolation.cap_add.iter().map(ToString::to_string).collect();
        assert_eq!(adds, ["CAP_NET_ADMIN", "ALL"]);
        assert_eq!(isolation.cap_drop[0].to_string(), "CAP_MKNOD");
        assert!(isolation.no_new_privileges && isolation.read_only_root);
        assert_eq!(isolation.seccomp, SeccompChoice::Unconfined);
        assert_eq!(isolation.security_options, ["no-new-privileges", "seccomp=unconfined"]);
        assert_eq!(isolation.devices[0].to_string(), "/dev/fuse:/dev/net/f:r");
        assert_eq!(isolation.ulimits[0].to_string(), "nofile=5:6");
        assert_eq!((isolation.oom_score_adj, isolation.shm_size), (-5, Some(1 << 20)));
        assert_eq!(isolation.groups, ["video"]);
        assert_eq!(isolation.sysctls["net.core.somaxconn"], "7");
    }

    #[test]
    fn streams_follow_attach_and_detach() {
        let streams = |line: &str| {
            let Streams { stdin, stdout, stderr } = request(line).unwrap().options.attached;
            (stdin, stdout, stderr)
        };
        assert_eq!(streams("x"), (false, true, true));
        assert_eq!(streams("-i x"), (true, true, true));
        assert_eq!(streams("-d -i x"), (false, false, false));
        assert_eq!(streams("-a stdin -i x"), (true, false, false));
        assert_eq!(streams("-a STDOUT x"), (false, true, false));
    }

    #[test]
    fn no_limit_is_said_by_zero_or_minus_one() {
        let line = "-m 0 -c 0 --pids-limit=-1 --memory-swap 0 --cpus 0 --cpu-quota=-1 x";
        assert_eq!(request(line).unwrap().options.limits, Limits::default());
    }

    #[test]
    fn what_was_said_to_lxc_is_said_to_us() {
        let options = request(
            "-lxc-conf=lxc.utsname=foo -lxc-conf lxc.cgroup.cpuset.cpus=0 \
             --lxc-conf=lxc.cgroup.memory.limit_in_bytes=64M -lxc-conf=lxc.cgroup.cpu.shares=512 \
             -lxc-conf=lxc.cap.drop=mknod -lxc-conf lxc.cgroup.pids.max=max \
             -lxc-conf=lxc.cgroup.cpu.cfs_quota_us=-1 -lxc-conf=lxc.cgroup.devices.deny=a x",
        )
        .unwrap()
        .options;
        assert_eq!(options.hostname.as_deref(), Some("foo"));
        let limits = options.limits;
        assert_eq!((limits.memory, limits.cpu_shares), (Some(64 << 20), Some(512)));
        assert_eq!((limits.cpuset_cpus.as_deref(), limits.pids), (Some("0"), None));
        assert_eq!(options.isolation.cap_drop[0].to_string(), "CAP_MKNOD");
        for (line, text, hint) in [
            ("lxc.network.type=veth", "--lxc-conf: there is no LXC here", "--network"),
            ("lxc.aa_profile=x", "--lxc-conf: there is no LXC here", "--security-opt apparmor=x"),
            ("lxc.nosuch=x", "--lxc-conf: there is no LXC here", "see 'coracle run --help'"),
            ("lxc.utsname", "--lxc-conf: \"lxc.utsname\" is not key=value", "lxc.utsname=web"),
            ("lxc.cgroup.cpu.shares=x", "--lxc-conf lxc.cgroup.cpu.shares=x: --cpu-shares: ", ""),
        ] {
            let error = request(&format!("-lxc-conf={line} x")).unwrap_err();
            assert!(error.to_string().starts_with(text), "{error}");
            assert!(error.hints().join(" ").contains(hint), "{line}: {:?}", error.hints());
        }
    }

    #[test]
    fn bad_values_name_their_flag() {
        for (line, text) in [
            ("--blkio-weight-device /dev/sda:5 x", "--blkio-weight-device /dev/sda:5"),
            ("--cpu-rt-runtime many x", "--cpu-rt-runtime: \"many\" is not a whole number"),
            ("--kernel-memory lots x", "--kernel-memory: invalid size \"lots\""),
            ("--cgroup-parent ../x x", "--cgroup-parent: \"../x\" is not the path of a cgroup"),
            ("--name a/b x", "--name: invalid container name \"a/b\""),
            ("--health-interval -1s x", "--health-interval: -1s is negative"),
            ("--health-timeout 1us x", "--health-timeout: \"1us\" is less than 1ms"),
            ("--health-retries few x", "--health-retries: \"few\" is no number"),
            ("--health-start-period 5 x", "--health-start-period: \"5\" is no duration"),
            ("--health-start-interval ? x", "--health-start-interval: \"?\" is no duration"),
            ("--health-on-failure reboot x", "--health-on-failure: \"reboot\" is no action"),
            (
                "--no-healthcheck --health-retries 1 x",
                "--no-healthcheck conflicts with --health-* options",
            ),
            ("--sdnotify all x", "--sdnotify: \"all\" tells nobody"),
            ("--commit a -d x", "--commit and --detach exclude each other"),
            ("-m 64m --memory-swap 1m x", "--memory-swap 1048576 is less than --memory 67108864"),
            ("--memory-swap lots x", "--memory-swap: invalid size \"lots\""),
            ("--cpus two x", "--cpus: \"two\" is no number of processors"),
            ("--cpus 1 --cpu-quota 5000 x", "--cpus excludes --cpu-period and --cpu-quota"),
            ("--cpuset-cpus a x", "--cpuset-cpus: \"a\" is not a list of numbers"),
            ("--blkio-weight 5 x", "--blkio-weight 5"),
            ("--device-read-bps sda x", "--device-read-bps: invalid rate \"sda\""),
            ("--cap-add NET_ADMN x", "--cap-add: unknown capability \"NET_ADMN\""),
            ("--cap-drop x x", "--cap-drop: unknown capability \"x\""),
            (
                "--device fuse x",
                "--device: invalid device \"fuse\": \"fuse\" is not an absolute path",
            ),
            ("--ulimit nofile x", "--ulimit: invalid limit \"nofile\": there is no \"=\""),
            ("--oom-score-adj 1001 x", "--oom-score-adj 1001"),
            ("--oom-score-adj much x", "--oom-score-adj: \"much\" is not a whole number"),
            ("--shm-size 0 x", "--shm-size 0"),
            ("--sysctl a x", "--sysctl: \"a\" is not name=value"),
            (
                "--sysctl vm.swappiness=1 x",
                "--sysctl vm.swappiness: no container has one of its own",
            ),
            (
                "--security-opt seccomp=/none x",
                "--security-opt seccomp=/none: open /none: no such file or directory",
            ),
            ("--pid none x", "--pid: \"none\" is no namespace"),
            ("--pid container: x", "--pid: \"container:\" is without a container"),
            ("--ipc lan x", "--ipc: \"lan\" is no namespace"),
            ("--cgroupns container:a x", "--cgroupns: \"container:a\" is no namespace"),
            ("--userns keep-id x", "--userns: \"keep-id\" is not there"),
            ("--uts host -h a x", "conflicting options: hostname and the UTS mode"),
            (
                "--ipc host --sysctl kernel.sem=1 x",
                "--sysctl kernel.sem: the ipc namespace is not the container's own",
            ),
            ("-m lots x", "--memory: invalid size \"lots\""),
            ("-m 1k x", "--memory: 1024 bytes is too small"),
            ("-c many x", "--cpu-shares: \"many\" is not a whole number"),
            (
                "-v a:b x",
                "--volume: invalid volume \"a:b\": the path in the container, \"b\", is not absolute",
            ),
            (
                "--mount type=bind,dst=/x x",
                "--mount: invalid mount \"type=bind,dst=/x\": the source is missing",
            ),
            ("--tmpfs /x:no x", "--tmpfs: invalid tmpfs \"/x:no\": \"no\" is no option of a tmpfs"),
            ("-e =x x", "--env: invalid environment variable \"=x\""),
            ("-l =x x", "--label: \"=x\" has no key"),
            ("--expose 0 x", "--expose: \"0\" is not port[-port][/protocol]"),
            ("--expose 80/xtp x", "--expose: unknown protocol in \"80/xtp\""),
            ("-p 80:0 x", "--publish: cannot publish \"80:0\": \"0\" is no port"),
            ("--publish 80/xtp x", "--publish: unknown protocol in \"80/xtp\""),
            ("-p 80:80 -p 80:81 x", "cannot publish both 80:80/tcp and 80:81/tcp"),
            ("--net name=a,b x", "--network name=a,b: \"b\" is unknown"),
            ("--net alias=a x", "--network alias=a: name= is missing"),
            ("--net a --net host x", "--network host and other networks exclude each other"),
            ("--net a --ip 1.2.3 x", "--ip: \"1.2.3\" is no IPv4 address"),
            ("--ip 10.0.0.2 x", "--ip 10.0.0.2: it is for a network of the user's"),
            ("-n --net host x", "--networking=false and --network host exclude each other"),
            ("--dns dns.dev.org x", "--dns: \"dns.dev.org\" is no IP address"),
            ("--dns-search -x x", "--dns-search: \"-x\" is no domain"),
            ("--dns-opt= x", "--dns-option: \"\" is no option of resolv.conf"),
            ("--add-host db x", "--add-host: \"db\" is not name:address"),
            ("--domainname .x x", "--domainname: invalid domain name \".x\""),
            ("--mac-address 1:2 x", "--mac-address: \"1:2\" is no MAC address"),
            ("--restart maybe x", "--restart: invalid restart policy \"maybe\""),
            ("--stop-signal NO x", "--stop-signal: unknown signal \"NO\""),
            ("-a stdlog x", "--attach: unknown stream \"stdlog\""),
            ("-d -a stdin x", "--detach and --attach exclude each other"),
            ("--rm --restart=always x", "--rm and --restart always exclude each other"),
        ] {
            assert_eq!(request(line).unwrap_err().to_string(), text, "{line}");
        }
    }
}
