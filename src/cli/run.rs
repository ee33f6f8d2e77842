//! `run`, and the options that it shares with `create`.

use super::argv::Flags;
use super::command::{Command, labels, number, value};
use super::network::address;
use super::{attach, env, output};
use crate::engine::Engine;
use crate::engine::options::{Membership, NetworkMode, Options};
use crate::error::{Context, Error, OsContext, Result};
use crate::network::DEFAULT;
use crate::types::{Resolver, parse_ports, parse_publish, parse_size};
use crate::volume;
use argh::{ArgsInfo, FromArgs};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Create and run a new container from an image
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// add a line to /etc/hosts (name:address or name:host-gateway)
    #[argh(option, arg_name = "list")]
    add_host: Vec<String>,
    /// attach to stdin, stdout or stderr
    #[argh(option, short = 'a', arg_name = "list")]
    attach: Vec<String>,
    /// write the container's id to this file, which must not exist
    #[argh(option, arg_name = "file")]
    cidfile: Option<String>,
    /// relative weight of CPU time (1024 is one share)
    #[argh(option, short = 'c', arg_name = "int")]
    cpu_shares: Option<String>,
    /// run in the background and print the container's id
    #[argh(switch, short = 'd')]
    detach: bool,
    /// ask this name server, not the host's
    #[argh(option, arg_name = "list")]
    dns: Vec<String>,
    /// option of the resolver (ndots:2)
    #[argh(option, arg_name = "list")]
    dns_option: Vec<String>,
    /// search this domain (. for none), not the host's
    #[argh(option, arg_name = "list")]
    dns_search: Vec<String>,
    /// domain name of the container
    #[argh(option, default = "String::new()", arg_name = "string")]
    domainname: String,
    /// replace the image's entrypoint
    #[argh(option, arg_name = "program")]
    entrypoint: Option<String>,
    /// set an environment variable (KEY=value, or KEY to pass it on)
    #[argh(option, short = 'e', arg_name = "list")]
    env: Vec<String>,
    /// read environment variables from a file
    #[argh(option, arg_name = "list")]
    env_file: Vec<String>,
    /// tell of a port the program listens on (port[-port][/protocol])
    #[argh(option, arg_name = "port")]
    expose: Vec<String>,
    /// host name of the container
    #[argh(option, short = 'h', arg_name = "string")]
    hostname: Option<String>,
    /// keep stdin open, and attach it where not in the background
    #[argh(switch, short = 'i')]
    interactive: bool,
    /// its address on its first network
    #[argh(option, arg_name = "address")]
    ip: Option<String>,
    /// set a label (key=value)
    #[argh(option, short = 'l', arg_name = "list")]
    label: Vec<String>,
    /// tell it of another container, and let it reach that one's exposed ports
    /// (name[:alias])
    #[argh(option, arg_name = "list")]
    link: Vec<String>,
    /// address of its network card (02:42:ac:11:00:02)
    #[argh(option, arg_name = "string")]
    mac_address: Option<String>,
    /// memory limit (512m, 1g)
    #[argh(option, short = 'm', arg_name = "bytes")]
    memory: Option<String>,
    /// mount a host path, a volume or a tmpfs (type=bind,source=...,target=...,readonly)
    #[argh(option, arg_name = "mount")]
    mount: Vec<String>,
    /// name of the container
    #[argh(option, arg_name = "string")]
    name: Option<String>,
    /// network to be on (more than one, or name=...,alias=...,ip=...); or bridge, none, host or
    /// container:NAME
    #[argh(option, arg_name = "network")]
    network: Vec<String>,
    /// one more name by which others find it on its first network
    #[argh(option, arg_name = "list")]
    network_alias: Vec<String>,
    /// off: no network, as --net none (-n alone; default true)
    #[argh(option, short = 'n', arg_name = "on|off", default = "true")]
    networking: bool,
    /// most processes and threads at a time (-1 for any number)
    #[argh(option, arg_name = "int")]
    pids_limit: Option<String>,
    /// give every capability and device of the host
    #[argh(switch)]
    privileged: bool,
    /// publish a port ([[ip]:[port]]:container-port[/protocol])
    #[argh(option, short = 'p', arg_name = "list")]
    publish: Vec<String>,
    /// publish all ports that are exposed
    #[argh(switch, short = 'P')]
    publish_all: bool,
    /// when to start it again: no, always, unless-stopped, on-failure[:max-retries]
    #[argh(option, arg_name = "policy")]
    restart: Option<String>,
    /// remove the container when it ends
    #[argh(switch)]
    rm: bool,
    /// pass signals on to the program (default true)
    #[argh(option, arg_name = "bool", default = "true")]
    sig_proxy: bool,
    /// signal that asks the program to stop
    #[argh(option, arg_name = "signal")]
    stop_signal: Option<String>,
    /// seconds from that signal to SIGKILL
    #[argh(option, arg_name = "int")]
    stop_timeout: Option<String>,
    /// mount an empty file system in memory (target[:size=64m,mode=1777,...])
    #[argh(option, arg_name = "list")]
    tmpfs: Vec<String>,
    /// give the program a terminal
    #[argh(switch, short = 't')]
    tty: bool,
    /// user name or number, with an optional group (user[:group])
    #[argh(option, short = 'u', arg_name = "string")]
    user: Option<String>,
    /// mount a host path or a volume ([source:]target[:ro|rw])
    #[argh(option, short = 'v', arg_name = "list")]
    volume: Vec<String>,
    /// mount what other containers have mounted (container[:ro|rw],...)
    #[argh(option, arg_name = "list")]
    volumes_from: Vec<String>,
    /// working directory of the program
    #[argh(option, short = 'w', arg_name = "string")]
    workdir: Option<String>,
    #[argh(positional)]
    image_and_command: Vec<String>,
}

/// What the options say of the caller, not of the container.
#[derive(Debug)]
pub struct Request {
    pub options: Options,
    pub cidfile: Option<PathBuf>,
    /// None where it runs in the background.
    pub streams: Streams,
    pub sig_proxy: bool,
}

/// The streams to attach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
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
        Request::parse(args, &Caller { env: &env, cwd: &cwd })
    }

    fn parse(args: Args, caller: &Caller) -> Result<Request> {
        let streams = streams(&args)?;
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
            let file = caller.cwd.join(file);
            options.env.extend(env::parse_file(&file, caller.env).doing(|| "--env-file".into())?);
        }
        for text in &args.env {
            options.env.push(env::parse(text, caller.env).doing(|| "--env".into())?);
        }
        options.labels = labels(&args.label)?;
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
        (options.network, options.networks) = networks(&args.network, args.networking)?;
        if !args.network_alias.is_empty() || args.ip.is_some() {
            let first = options.networks.first_mut().ok_or_else(|| {
                Error::invalid("--network-alias and --ip are for a network of the user's")
                    .hint("choose one with --network NAME")
            })?;
            first.aliases.extend(args.network_alias);
            if let Some(text) = &args.ip {
                first.address = Some(address("--ip", text)?);
            }
        }
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
        options.auto_remove = args.rm;
        options.privileged = args.privileged;
        options.stop_signal =
            args.stop_signal.map(|text| value("--stop-signal", &text)).transpose()?;
        options.stop_timeout =
            args.stop_timeout.map(|text| number("--stop-timeout", &text)).transpose()?;
        options.restart = value("--restart", &args.restart.unwrap_or_default())?;
        if let Some(text) = &args.memory {
            let bytes = parse_size(text).doing(|| "--memory".into())?;
            options.memory = (bytes > 0).then_some(bytes);
        }
        if let Some(text) = &args.cpu_shares {
            let shares = number("--cpu-shares", text)?;
            options.cpu_shares = (shares > 0).then_some(shares);
        }
        if let Some(text) = &args.pids_limit {
            let limit: i64 = number("--pids-limit", text)?;
            options.pids_limit = u64::try_from(limit).ok().filter(|limit| *limit > 0);
        }
        options.check()?;
        Ok(Request {
            options,
            cidfile: args.cidfile.map(|file| caller.cwd.join(file)),
            streams,
            sig_proxy: args.sig_proxy,
        })
    }
}

fn streams(args: &Args) -> Result<Streams> {
    if args.detach && !args.attach.is_empty() {
        return Err(Error::invalid("--detach and --attach exclude each other"));
    }
    let mut streams = Streams { stdin: false, stdout: false, stderr: false };
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

/// What `--network` says, each time.
fn networks(texts: &[String], networking: bool) -> Result<(NetworkMode, Vec<Membership>)> {
    let mut modes = Vec::new();
    let mut memberships = Vec::new();
    for text in texts {
        match (text.as_str(), text.strip_prefix("container:")) {
            ("none", _) => modes.push(NetworkMode::None),
            ("host", _) => modes.push(NetworkMode::Host),
            (_, Some("")) => {
                return Err(Error::invalid("--network: container: is without a name")
                    .hint("write container:NAME or container:ID"));
            }
            (_, Some(name)) => modes.push(NetworkMode::Container(name.to_string())),
            _ => memberships.push(membership(text)?),
        }
    }
    if !networking {
        return match &texts {
            [] => Ok((NetworkMode::None, memberships)),
            [name] if name == "none" => Ok((NetworkMode::None, memberships)),
            [name, ..] => Err(Error::invalid(format!(
                "--networking=false and --network {name} exclude each other"
            ))),
        };
    }
    match (modes.pop(), texts) {
        (None, _) => Ok((NetworkMode::Bridge, memberships)),
        (Some(mode), [_]) => Ok((mode, memberships)),
        (Some(mode), _) => {
            Err(Error::invalid(format!("--network {mode} and other networks exclude each other")))
        }
    }
}

/// `NAME`, or `name=NAME,alias=...,ip=...` as Docker has it.
fn membership(text: &str) -> Result<Membership> {
    let wrong = |error: Error| error.doing(format!("--network {text}"));
    if !text.contains('=') {
        return Ok(Membership::new(if text == "default" { DEFAULT } else { text }));
    }
    let mut wanted = Membership::new("");
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("name", name)) => wanted.network = name.to_string(),
            Some(("alias", alias)) => wanted.aliases.push(alias.to_string()),
            Some(("ip", ip)) => wanted.address = Some(address("ip", ip).map_err(wrong)?),
            _ => {
                return Err(wrong(Error::invalid(format!("\"{part}\" is unknown")))
                    .hint("write name=NAME,alias=NAME,ip=ADDRESS"));
            }
        }
    }
    match wanted.network.is_empty() {
        true => Err(wrong(Error::invalid("name= is missing"))),
        false => Ok(wanted),
    }
}

/// The file of `--cidfile`: made before the container, filled after, and removed where no
/// container came of it.
#[must_use]
pub struct CidFile {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl CidFile {
    pub fn create(path: Option<&Path>) -> Result<CidFile> {
        let Some(path) = path else { return Ok(CidFile { path: None, file: None }) };
        match File::create_new(path) {
            Ok(file) => Ok(CidFile { path: Some(path.to_path_buf()), file: Some(file) }),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::conflict(format!("--cidfile: {} exists already", path.display()))
                    .hint("remove it, if the container it names is gone"))
            }
            Err(e) => Err(Error::os("create", path.display().to_string(), e)),
        }
    }

    pub fn write(mut self, id: &impl std::fmt::Display) -> Result<()> {
        if let (Some(path), Some(mut file)) = (self.path.take(), self.file.take()) {
            write!(file, "{id}").on("write", &path)?;
        }
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It is empty and ours; where it cannot be removed there is no more to be done.
            let _ = std::fs::remove_file(path);
        }
    }
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
    const WITHOUT: &'static [&'static str] = &["detach", "sig-proxy"];

    fn new(args: Args) -> Result<Create> {
        Request::new(args).map(Create)
    }

    fn run(self, engine: &Engine) -> Result<u8> {
        let cidfile = CidFile::create(self.0.cidfile.as_deref())?;
        let id = engine.create(&self.0.options)?;
        cidfile.write(&id)?;
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
    use crate::engine::options::{EnvChange, Source};
    use crate::types::{RestartPolicy, Signal};

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
        assert_eq!((options.memory, options.cpu_shares), (Some(64 << 20), Some(512)));
        assert_eq!(options.pids_limit, Some(100));
        assert_eq!(
            options.labels.into_iter().collect::<Vec<_>>(),
            [("plain".to_string(), String::new()), ("tier".to_string(), "front".to_string()),]
        );
        assert_eq!(options.stop_signal, Some(Signal::INT));
        assert_eq!(options.stop_timeout, Some(3));
        assert!(options.tty.is_some() && options.open_stdin && options.auto_remove);
        assert_eq!(options.restart, RestartPolicy::No);
        assert_eq!(request.cidfile, Some(PathBuf::from("/home/me/id")));
        assert_eq!(request.streams, Streams { stdin: true, stdout: true, stderr: true });
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
    fn streams_follow_attach_and_detach() {
        let streams = |line: &str| {
            let Streams { stdin, stdout, stderr } = request(line).unwrap().streams;
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
        let options = request("-m 0 -c 0 --pids-limit=-1 x").unwrap().options;
        assert_eq!((options.memory, options.cpu_shares, options.pids_limit), (None, None, None));
    }

    #[test]
    fn bad_values_name_their_flag() {
        for (line, text) in [
            ("--name a/b x", "--name: invalid container name \"a/b\""),
            ("-m lots x", "--memory: invalid size \"lots\""),
            ("-m 1k x", "a memory limit of 1024 bytes is too small"),
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
            ("--ip 10.0.0.2 x", "--network-alias and --ip are for a network of the user's"),
            ("-n --net host x", "--networking=false and --network host exclude each other"),
            ("--dns dns.dev.org x", "--dns: \"dns.dev.org\" is no IP address"),
            ("--dns-search -x x", "--dns-search: \"-x\" is no domain"),
            ("--dns-opt= x", "--dns-option: \"\" is no option of resolv.conf"),
            ("--add-host db x", "--add-host: \"db\" is not name:address"),
            ("--domainname .x x", "invalid domain name \".x\""),
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

    #[test]
    fn a_cidfile_is_never_overwritten_and_goes_with_a_failure() {
        let path = std::env::temp_dir().join(format!("coracle-cid-{}", std::process::id()));
        drop(CidFile::create(Some(&path)).unwrap());
        assert!(!path.exists());
        CidFile::create(Some(&path)).unwrap().write(&"abc").unwrap();
        let second = CidFile::create(Some(&path)).map(drop);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "abc");
        assert!(second.unwrap_err().to_string().contains("exists already"));
    }
}
