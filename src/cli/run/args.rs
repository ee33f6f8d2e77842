//! The flags of `run` and `create`, as texts.

use argh::{ArgsInfo, FromArgs};

/// Create and run a new container from an image
#[derive(FromArgs, ArgsInfo, Debug, Default)]
#[argh(help_triggers("--help"))]
pub struct Args {
    /// add a line to /etc/hosts (name:address or name:host-gateway)
    #[argh(option, arg_name = "list")]
    pub add_host: Vec<String>,
    /// note for whatever reads it by inspect (key=value)
    #[argh(option, arg_name = "list")]
    pub annotation: Vec<String>,
    /// attach to stdin, stdout or stderr
    #[argh(option, short = 'a', arg_name = "list")]
    pub attach: Vec<String>,
    /// relative weight of block I/O, 10 to 1000
    #[argh(option, arg_name = "int")]
    pub blkio_weight: Option<String>,
    /// relative weight of block I/O to and from a device (/dev/sda:500)
    #[argh(option, arg_name = "list")]
    pub blkio_weight_device: Vec<String>,
    /// add a capability (NET_ADMIN, ALL)
    #[argh(option, arg_name = "list")]
    pub cap_add: Vec<String>,
    /// drop a capability (MKNOD, ALL)
    #[argh(option, arg_name = "list")]
    pub cap_drop: Vec<String>,
    /// cgroup in which it gets its own (default coracle)
    #[argh(option, arg_name = "string")]
    pub cgroup_parent: Option<String>,
    /// its cgroup namespace: private or host
    #[argh(option, arg_name = "mode")]
    pub cgroupns: Option<String>,
    /// write the container's id to this file, which must not exist
    #[argh(option, arg_name = "file")]
    pub cidfile: Option<String>,
    /// make an image of it where it ends with 0 (repository[:tag])
    #[argh(option, arg_name = "name")]
    pub commit: Option<String>,
    /// length of a period of --cpu-quota, in microseconds
    #[argh(option, arg_name = "int")]
    pub cpu_period: Option<String>,
    /// microseconds of CPU time in each period
    #[argh(option, arg_name = "int")]
    pub cpu_quota: Option<String>,
    /// length of a period of --cpu-rt-runtime, in microseconds (cgroup v1)
    #[argh(option, arg_name = "int")]
    pub cpu_rt_period: Option<String>,
    /// microseconds in real time in each period (cgroup v1)
    #[argh(option, arg_name = "int")]
    pub cpu_rt_runtime: Option<String>,
    /// relative weight of CPU time (1024 is one share)
    #[argh(option, short = 'c', arg_name = "int")]
    pub cpu_shares: Option<String>,
    /// how many processors it may use (1.5)
    #[argh(option, arg_name = "number")]
    pub cpus: Option<String>,
    /// processors it may use (0-2,7)
    #[argh(option, arg_name = "string")]
    pub cpuset_cpus: Option<String>,
    /// memory nodes it may use (0-1)
    #[argh(option, arg_name = "string")]
    pub cpuset_mems: Option<String>,
    /// run in the background and print the container's id
    #[argh(switch, short = 'd')]
    pub detach: bool,
    /// keys that leave it running (default ctrl-p,ctrl-q)
    #[argh(option, arg_name = "keys", default = "String::new()")]
    pub detach_keys: String,
    /// give it a device of the host (/dev/host[:/dev/container][:rwm])
    #[argh(option, arg_name = "list")]
    pub device: Vec<String>,
    /// allow devices by their numbers (c 189:* rmw)
    #[argh(option, arg_name = "list")]
    pub device_cgroup_rule: Vec<String>,
    /// most bytes a second read from a device (/dev/sda:1m)
    #[argh(option, arg_name = "list")]
    pub device_read_bps: Vec<String>,
    /// most reads a second from a device (/dev/sda:1000)
    #[argh(option, arg_name = "list")]
    pub device_read_iops: Vec<String>,
    /// most bytes a second written to a device (/dev/sda:1m)
    #[argh(option, arg_name = "list")]
    pub device_write_bps: Vec<String>,
    /// most writes a second to a device (/dev/sda:1000)
    #[argh(option, arg_name = "list")]
    pub device_write_iops: Vec<String>,
    /// taken: no signatures of images are looked at
    #[argh(option, arg_name = "bool", default = "true", hidden_help)]
    pub disable_content_trust: bool,
    /// ask this name server, not the host's
    #[argh(option, arg_name = "list")]
    pub dns: Vec<String>,
    /// option of the resolver (ndots:2)
    #[argh(option, arg_name = "list")]
    pub dns_option: Vec<String>,
    /// search this domain (. for none), not the host's
    #[argh(option, arg_name = "list")]
    pub dns_search: Vec<String>,
    /// domain name of the container
    #[argh(option, default = "String::new()", arg_name = "string")]
    pub domainname: String,
    /// replace the image's entrypoint
    #[argh(option, arg_name = "program")]
    pub entrypoint: Option<String>,
    /// set an environment variable (KEY=value, or KEY to pass it on)
    #[argh(option, short = 'e', arg_name = "list")]
    pub env: Vec<String>,
    /// read environment variables from a file
    #[argh(option, arg_name = "list")]
    pub env_file: Vec<String>,
    /// tell of a port the program listens on (port[-port][/protocol])
    #[argh(option, arg_name = "port")]
    pub expose: Vec<String>,
    /// one more group of its user (name or number)
    #[argh(option, arg_name = "list")]
    pub group_add: Vec<String>,
    /// line for the shell that tells by its exit code whether all is well
    #[argh(option, arg_name = "string")]
    pub health_cmd: Option<String>,
    /// time from one check to the next (30s)
    #[argh(option, arg_name = "duration")]
    pub health_interval: Option<String>,
    /// what becomes of it where it is not: none, kill, restart or stop
    #[argh(option, arg_name = "action")]
    pub health_on_failure: Option<String>,
    /// failures in a row that make it unhealthy (3)
    #[argh(option, arg_name = "int")]
    pub health_retries: Option<String>,
    /// time between checks in its start period (5s)
    #[argh(option, arg_name = "duration")]
    pub health_start_interval: Option<String>,
    /// time after its start in which failures do not count (0s)
    #[argh(option, arg_name = "duration")]
    pub health_start_period: Option<String>,
    /// time after which a check has failed (30s)
    #[argh(option, arg_name = "duration")]
    pub health_timeout: Option<String>,
    /// host name of the container
    #[argh(option, short = 'h', arg_name = "string")]
    pub hostname: Option<String>,
    /// run an init as its first process, which reaps and passes signals on
    #[argh(switch)]
    pub init: bool,
    /// keep stdin open, and attach it where not in the background
    #[argh(switch, short = 'i')]
    pub interactive: bool,
    /// its address on its first network
    #[argh(option, arg_name = "address")]
    pub ip: Option<String>,
    /// the same by IPv6: it has the same place in both ranges
    #[argh(option, arg_name = "address")]
    pub ip6: Option<String>,
    /// its shared memory and queues: private, shareable, none, host or container:NAME
    #[argh(option, arg_name = "mode")]
    pub ipc: Option<String>,
    /// taken: default
    #[argh(option, hidden_help)]
    pub isolation: Option<String>,
    /// ignored: the kernel has no such limit any more
    #[argh(option, arg_name = "bytes")]
    pub kernel_memory: Option<String>,
    /// set a label (key=value)
    #[argh(option, short = 'l', arg_name = "list")]
    pub label: Vec<String>,
    /// read labels from a file
    #[argh(option, arg_name = "list")]
    pub label_file: Vec<String>,
    /// tell it of another container, and let it reach that one's exposed ports
    /// (name[:alias])
    #[argh(option, arg_name = "list")]
    pub link: Vec<String>,
    /// what becomes of its output: json-file, local or none
    #[argh(option, arg_name = "driver")]
    pub log_driver: Option<String>,
    /// option of its log (max-size=10m, max-file=3, path=FILE, labels=..., env=..., tag=...)
    #[argh(option, arg_name = "list")]
    pub log_opt: Vec<String>,
    /// what was said to LXC, where it is one of ours (lxc.cgroup.cpuset.cpus=0,1)
    #[argh(option, arg_name = "list")]
    pub lxc_conf: Vec<String>,
    /// address of its network card (02:42:ac:11:00:02)
    #[argh(option, arg_name = "string")]
    pub mac_address: Option<String>,
    /// memory limit (512m, 1g)
    #[argh(option, short = 'm', arg_name = "bytes")]
    pub memory: Option<String>,
    /// memory it keeps when the host runs short
    #[argh(option, arg_name = "bytes")]
    pub memory_reservation: Option<String>,
    /// limit of memory and swap together (-1 for any swap)
    #[argh(option, arg_name = "bytes")]
    pub memory_swap: Option<String>,
    /// how readily its memory is swapped, 0 to 100 (cgroup v1)
    #[argh(option, arg_name = "int")]
    pub memory_swappiness: Option<String>,
    /// mount a host path, a volume or a tmpfs (type=bind,source=...,target=...,readonly)
    #[argh(option, arg_name = "mount")]
    pub mount: Vec<String>,
    /// name of the container
    #[argh(option, arg_name = "string")]
    pub name: Option<String>,
    /// network to be on (more than one, or name=...,alias=...,ip=...); or bridge, none, host or
    /// container:NAME
    #[argh(option, arg_name = "network")]
    pub network: Vec<String>,
    /// one more name by which others find it on its first network
    #[argh(option, arg_name = "list")]
    pub network_alias: Vec<String>,
    /// off: no network, as --net none (-n alone; default true)
    #[argh(option, short = 'n', arg_name = "on|off", default = "true")]
    pub networking: bool,
    /// check nothing, whatever the image says
    #[argh(switch)]
    pub no_healthcheck: bool,
    /// let it wait where its memory runs out (cgroup v1)
    #[argh(switch)]
    pub oom_kill_disable: bool,
    /// how soon the kernel ends it where memory runs out, -1000 to 1000
    #[argh(option, arg_name = "int")]
    pub oom_score_adj: Option<String>,
    /// the processes it sees: private, host or container:NAME
    #[argh(option, arg_name = "mode")]
    pub pid: Option<String>,
    /// most processes and threads at a time (-1 for any number)
    #[argh(option, arg_name = "int")]
    pub pids_limit: Option<String>,
    /// refuse where this machine is another one (linux/amd64)
    #[argh(option, arg_name = "string")]
    pub platform: Option<String>,
    /// give every capability and device of the host
    #[argh(switch)]
    pub privileged: bool,
    /// publish a port ([[ip]:[port]]:container-port[/protocol])
    #[argh(option, short = 'p', arg_name = "list")]
    pub publish: Vec<String>,
    /// publish all ports that are exposed
    #[argh(switch, short = 'P')]
    pub publish_all: bool,
    /// where a missing image comes from: missing or never (there are no registries yet)
    #[argh(option, arg_name = "when")]
    pub pull: Option<String>,
    /// taken: nothing is told of images anyway
    #[argh(switch, short = 'q', hidden_help)]
    #[expect(dead_code)]
    pub quiet: bool,
    /// make its root read-only
    #[argh(switch)]
    pub read_only: bool,
    /// when to start it again: no, always, unless-stopped, on-failure[:max-retries]
    #[argh(option, arg_name = "policy")]
    pub restart: Option<String>,
    /// remove the container when it ends
    #[argh(switch)]
    pub rm: bool,
    /// taken: coracle, or the default of others (runc, crun)
    #[argh(option, hidden_help)]
    pub runtime: Option<String>,
    /// who tells NOTIFY_SOCKET that it is ready: container, conmon, healthy or ignore
    #[argh(option, arg_name = "mode")]
    pub sdnotify: Option<String>,
    /// no-new-privileges, seccomp=FILE, seccomp=unconfined or systempaths=unconfined
    #[argh(option, arg_name = "list")]
    pub security_opt: Vec<String>,
    /// size of /dev/shm (64m)
    #[argh(option, arg_name = "bytes")]
    pub shm_size: Option<String>,
    /// pass signals on to the program (default true)
    #[argh(option, arg_name = "bool", default = "true")]
    pub sig_proxy: bool,
    /// signal that asks the program to stop
    #[argh(option, arg_name = "signal")]
    pub stop_signal: Option<String>,
    /// seconds from that signal to SIGKILL
    #[argh(option, arg_name = "int")]
    pub stop_timeout: Option<String>,
    /// set a kernel parameter of its own (net.core.somaxconn=1024)
    #[argh(option, arg_name = "list")]
    pub sysctl: Vec<String>,
    /// mount an empty file system in memory (target[:size=64m,mode=1777,...])
    #[argh(option, arg_name = "list")]
    pub tmpfs: Vec<String>,
    /// give the program a terminal
    #[argh(switch, short = 't')]
    pub tty: bool,
    /// limit a resource of each process (nofile=1024:2048)
    #[argh(option, arg_name = "list")]
    pub ulimit: Vec<String>,
    /// user name or number, with an optional group (user[:group])
    #[argh(option, short = 'u', arg_name = "string")]
    pub user: Option<String>,
    /// its user namespace: host
    #[argh(option, arg_name = "mode")]
    pub userns: Option<String>,
    /// its host name: private, host or container:NAME
    #[argh(option, arg_name = "mode")]
    pub uts: Option<String>,
    /// mount a host path or a volume ([source:]target[:ro|rw])
    #[argh(option, short = 'v', arg_name = "list")]
    pub volume: Vec<String>,
    /// taken: local
    #[argh(option, hidden_help)]
    pub volume_driver: Option<String>,
    /// mount what other containers have mounted (container[:ro|rw],...)
    #[argh(option, arg_name = "list")]
    pub volumes_from: Vec<String>,
    /// working directory of the program
    #[argh(option, short = 'w', arg_name = "string")]
    pub workdir: Option<String>,
    #[argh(positional)]
    pub image_and_command: Vec<String>,
}
