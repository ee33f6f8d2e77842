use super::*;
use crate::corpus::fuzz;
use crate::dialect::options::OnSignal;
use crate::dialect::schema::sample;
use crate::message::with_hints;
use crate::service::{
    FinishArguments, Health, LineFormat, LogFile, LogTo, OnUnhealthy, Probe, Reach, Ready,
    ResourceLimit, RestartWhen, Stamp, User,
};
use coracle::types::Signal;
use std::ffi::{CString, OsString};
use std::time::Duration;

const PASSWD: &str = "root:x:0:0::/root:\nweb:x:33:44:Web:/srv:\n";
const GROUP: &str = "root:x:0:\nmail:x:8:web\nweb:x:44:\nvideo:x:50:\n";

fn read_as(uid: u32, text: &str) -> Config {
    let users = Users { passwd: PASSWD.into(), group: GROUP.into(), uid, gid: uid };
    let variable = |name: &str| match name {
        "PUID" => Some("1001".to_string()),
        "EMPTY" => Some(String::new()),
        "WORD" => Some("json".to_string()),
        _ => None,
    };
    parse(Path::new("/etc/cox.toml"), text.as_bytes(), &variable, &users)
}

#[track_caller]
fn good(text: &str) -> Config {
    let config = read_as(0, text);
    let problems: Vec<String> = config.problems.iter().map(with_hints).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    config
}

/// The service of these keys.
#[track_caller]
fn service(keys: &str) -> Service {
    let runs = keys.starts_with("argv") || keys.starts_with("command");
    let run = if runs { "" } else { "argv = ['x']" };
    good(&format!("[service.web]\n{run}\n{keys}\n")).services.remove(0)
}

/// The problems of these keys, which stand in line 3 and on.
#[track_caller]
fn problems(keys: &str) -> Vec<String> {
    let config = read_as(0, &format!("[service.web]\nargv = ['x']\n{keys}\n"));
    assert!(config.services.is_empty(), "{keys}");
    config.problems.iter().map(with_hints).collect()
}

fn words(words: &[&str]) -> Vec<CString> {
    words.iter().map(|word| CString::new(*word).unwrap()).collect()
}

fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, Option<OsString>)> {
    pairs.iter().map(|(name, value)| (name.into(), Some(value.into()))).collect()
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_service_with_a_command_alone_has_the_defaults_of_cox() {
    let web = service("command = 'exec nginx $A ${B}'");
    let mut expected = Service::new("web", web.run.clone());
    assert_eq!(web.run.argv, words(&["/bin/sh", "-c", "exec nginx $A ${B}"]));
    assert_eq!((&web.run.cwd, &web.run.setup), (&None, &None));
    expected.start.auto = true;
    assert_eq!(web, expected);
    assert_eq!(
        service("argv = ['nginx', '-g', '$${x}']").run.argv,
        words(&["nginx", "-g", "${x}"])
    );
}

#[test]
fn the_keys_of_start_order_and_restart() {
    let web = service(
        "type = 'oneshot'\nstart = 'manual'\nafter = 'a'\nrequires = ['b', 'c']\n\
         restart = 'on-failure'\nhealthy-after = 5\nrestart-delay = '2s'\n\
         restart-max-delay = '1m'\ngive-up = { deaths = 4 }\npermanent-exit-codes = [1, 255]\n\
         on-end = 'stop'",
    );
    assert_eq!((web.kind, web.start.auto), (Kind::Oneshot, false));
    assert_eq!(
        (web.start.after, web.start.requires),
        (vec!["a".into()], vec!["b".into(), "c".into()])
    );
    let restart = web.restart;
    assert_eq!(restart.when, RestartWhen::OnFailure);
    assert_eq!((restart.healthy_after, restart.delay), (seconds(5), seconds(2)));
    assert_eq!((restart.longest, restart.give_up), (seconds(60), Some((4, seconds(60)))));
    assert_eq!((restart.permanent.clone(), web.on_end), (vec![1, 255], OnEnd::StopContainer));
    assert_eq!(service("type = 'oneshot'").restart.when, RestartWhen::Never);
    assert_eq!(service("restart = 'never'").restart.when, RestartWhen::Never);
    assert_eq!(service("restart = 'always'").restart.when, RestartWhen::Always);
    assert_eq!(service("on-end = 'stop-if-failed'").on_end, OnEnd::StopIfFailed);
    assert_eq!(service("permanent-exit-codes = 7").restart.permanent, [7]);
}

#[test]
fn the_keys_of_the_process() {
    let web = service(
        "directory = 'srv'\nenv = { A = 1, B = true, C = 'c${PUID}', D = 1.5 }\n\
         env-file = ['/a', 'b']\nsecrets = 'PASSWORD'\numask = '027'\n\
         limits = { nofile = 1024, RLIMIT_CORE = 'unlimited', stack = '8M:16M' }\n\
         capabilities = ['net_bind_service', 'CAP_CHOWN']\nno-new-privs = true",
    );
    assert_eq!(web.run.cwd.as_deref(), Some(Path::new("/etc/srv")));
    assert_eq!(web.run.env, env(&[("A", "1"), ("B", "true"), ("C", "c1001"), ("D", "1.5")]));
    let setup = web.run.setup.unwrap();
    assert_eq!(setup.env_files, ["/a", "/etc/b"].map(PathBuf::from));
    assert_eq!((setup.secrets, setup.umask), (vec!["PASSWORD".to_string()], Some(0o27)));
    let limit = |resource, soft, hard| ResourceLimit { resource, soft, hard };
    let most = u64::MAX;
    assert_eq!(
        setup.limits,
        [limit(7, 1024, 1024), limit(4, most, most), limit(3, 8 << 20, 16 << 20)]
    );
    assert_eq!((setup.capabilities, setup.no_new_privs), (Some(1 << 10 | 1), true));
    assert_eq!(service("capabilities = []").run.setup.unwrap().capabilities, Some(0));
}

#[test]
fn users_are_those_of_the_database_or_numbers() {
    let user = |keys: &str| service(keys).run.setup.unwrap().user.unwrap();
    let known = |gid, groups: &[u32]| User {
        uid: 33,
        gid,
        groups: groups.to_vec(),
        home: Some("/srv".into()),
        name: Some("web".into()),
    };
    assert_eq!(user("user = 'web'"), known(44, &[44, 8]));
    assert_eq!(user("user = 33"), known(44, &[44, 8]));
    assert_eq!(user("user = 'web:video'"), known(50, &[50]));
    assert_eq!(user("user = 'web'\ngroups = ['video', 7]"), known(44, &[44, 50, 7]));
    assert_eq!(user("user = 'web'\ngroups = []"), known(44, &[44]));
    assert_eq!(user("groups = 'video'").groups, [0, 50]);
    let stranger = User { uid: 1001, gid: 1000, groups: vec![1000], home: None, name: None };
    assert_eq!(user("user = '${PUID:-1000}:${PGID:-1000}'"), stranger);
}

#[test]
fn without_root_only_oneself_is_a_user() {
    let text = "[service.web]\nargv = ['x']\nuser = 'web'\n[service.own]\nargv = ['x']\nuser = '500:500'\n";
    let config = read_as(500, text);
    let problems: Vec<String> = config.problems.iter().map(with_hints).collect();
    let expected = "/etc/cox.toml:3: service web: user: only root can run something as web; \
                    run cox as root, or remove the key";
    assert_eq!(problems, [expected]);
    let names: Vec<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["own"]);
}

#[test]
fn readiness_and_health_ask_in_the_same_ways() {
    let local = |port: u16| Probe::Tcp(([127, 0, 0, 1], port).into());
    let ready = |keys: &str| service(&format!("ready = {keys}")).ready;
    let probe = |probe| Ready::Probe(Box::new(probe));
    assert_eq!(ready("'started'"), Ready::Started);
    assert_eq!(ready("'notify'"), Ready::Notify);
    assert_eq!(ready("{ fd = 3 }"), Ready::Descriptor(3));
    assert_eq!(ready("{ tcp = 80 }"), probe(local(80)));
    assert_eq!(ready("{ tcp = ':80' }"), probe(local(80)));
    assert_eq!(ready("{ tcp = '10.0.0.1:80' }"), probe(Probe::Tcp(([10, 0, 0, 1], 80).into())));
    assert_eq!(ready("{ tcp = '[::1]:80' }"), probe(Probe::Tcp("[::1]:80".parse().unwrap())));
    assert_eq!(ready("{ file = 'x' }"), probe(Probe::File("/etc/x".into())));
    let web = service(
        "ready = { command = 'true' }\nready-timeout = '90s'\nenv = { A = 'a' }\numask = '0'",
    );
    assert_eq!(web.ready_limit, Some(seconds(90)));
    let Ready::Probe(asked) = web.ready else { panic!() };
    let Probe::Command(exec) = *asked else { panic!() };
    // It runs as the service does.
    assert_eq!((exec.argv, exec.env), (words(&["/bin/sh", "-c", "true"]), web.run.env));
    assert_eq!(exec.setup, web.run.setup);

    let health = |keys: &str| *service(&format!("health = {keys}")).health.unwrap();
    let mut expected = Health {
        probe: local(80),
        interval: seconds(30),
        timeout: seconds(30),
        retries: 3,
        grace: Duration::ZERO,
        action: OnUnhealthy::Restart,
    };
    assert_eq!(health("{ tcp = 80 }"), expected);
    expected.interval = seconds(10);
    expected.timeout = Duration::from_millis(500);
    expected.retries = 1;
    expected.grace = seconds(60);
    expected.action = OnUnhealthy::StopContainer;
    let keys = "tcp = 80, interval = 10, timeout = 0.5, retries = '1', start-period = '1m'";
    assert_eq!(health(&format!("{{ {keys}, action = 'stop' }}")), expected);
}

#[test]
fn the_keys_of_the_stop() {
    let web = service(
        "stop-signal = 'quit'\nstop-command = 'nginx -s quit'\nstop-timeout = '1m30s'\n\
         stop-scope = 'group'\nfinish = 'echo $1'\nfinish-timeout = 'never'\nuser = 'web'",
    );
    assert_eq!((web.stop.signal, web.stop.limit), (Signal::QUIT, Some(seconds(90))));
    let command = web.stop.command.unwrap();
    assert_eq!(command.argv, words(&["/bin/sh", "-c", "nginx -s quit"]));
    assert_eq!((&command.setup, web.reach), (&web.run.setup, Reach::Group));
    let finish = web.finish.unwrap();
    assert_eq!(finish.exec.argv, words(&["/bin/sh", "-c", "echo $1", "web"]));
    assert_eq!((finish.arguments, finish.limit), (FinishArguments::Runit, None));
    assert_eq!(service("finish = 'x'").finish.unwrap().limit, Some(seconds(5)));
}

#[test]
fn logs_go_where_they_are_told() {
    let to = |keys: &str| {
        let web = service(keys);
        (web.out, web.err)
    };
    let both = |to: LogTo| (to.clone(), to);
    let lines = LogTo::Container;
    assert_eq!(to(""), both(LogTo::Inherit));
    assert_eq!(to("log = 'inherit'"), both(LogTo::Inherit));
    assert_eq!(to("log = 'plain'"), both(lines(LineFormat::Plain)));
    assert_eq!(to("log = 'prefix'"), both(lines(LineFormat::Prefix)));
    assert_eq!(to("log = '${WORD}'"), both(lines(LineFormat::Json)));
    assert_eq!(to("log = 'none'"), both(LogTo::Null));
    assert_eq!(to("log = 'none'\nstderr = 'inherit'"), (LogTo::Null, LogTo::Inherit));
    assert_eq!(to("stderr = 'stdout'"), (LogTo::Inherit, LogTo::Stdout));
    let file = |path: &str, max_size, keep, stamp| {
        LogTo::File(Box::new(LogFile { path: path.into(), max_size, keep, stamp }))
    };
    let plain = file("/var/log/x", 1 << 20, 10, Stamp::None);
    assert_eq!(to("log = { file = '/var/log/x' }"), (plain.clone(), LogTo::Stdout));
    let keys = "log = { file = '/var/log/x' }\n\
                stderr = { file = 'e', max-size = '64k', keep = 0, stamp = 'tai64n' }";
    assert_eq!(to(keys), (plain, file("/etc/e", 64 << 10, 0, Stamp::Tai64n)));
}

#[test]
fn the_keys_of_cox_itself() {
    let options = good(
        "stop-timeout = '20s'\nscan = ['/etc/services', 'more']\nexplain-exit = 'true'\n\
         dev-log = true\ncontrol = '/run/c'\n[signals]\nHUP = 'rescan'\nSIGUSR1 = 'main'\n\
         WINCH = 'ignore'\nPWR = 'reload'\nINT = 'stop'\nUSR2 = 'reopen'\n",
    )
    .options;
    assert_eq!(options.stop_timeout, Some(seconds(20)));
    assert_eq!(options.scan, ["/etc/services", "/etc/more"].map(PathBuf::from));
    let prefix = Some(LogTo::Container(LineFormat::Prefix));
    assert_eq!((options.explain_exit, options.dev_log), (Some(true), prefix));
    assert_eq!(options.control, Some(PathBuf::from("/run/c")));
    let expected = [
        (1, OnSignal::Rescan),
        (10, OnSignal::Main),
        (28, OnSignal::Ignore),
        (30, OnSignal::Reload),
        (2, OnSignal::Stop),
        (12, OnSignal::Reopen),
    ];
    let signals: Vec<_> = options.signals.iter().map(|(s, what)| (s.number(), *what)).collect();
    assert_eq!(signals, expected);
    assert_eq!(good("").options, Options::default());
}

#[test]
fn defaults_are_for_all_services_and_each_may_say_otherwise() {
    let services = good(
        "env = { A = 1, B = 1, C = 1 }\n[defaults]\nlog = 'json'\nuser = 'web'\n\
         env = { B = 2, C = 2 }\n[service.one]\nargv = ['x']\nenv = { C = 3 }\n\
         [service.two]\nargv = ['x']\nuser = 0\nlog = 'none'\n",
    )
    .services;
    let [one, two] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!(one.run.env, env(&[("A", "1"), ("B", "2"), ("C", "3")]));
    assert_eq!(two.run.env, env(&[("A", "1"), ("B", "2"), ("C", "2")]));
    let uid = |service: &Service| service.run.setup.as_ref().unwrap().user.as_ref().unwrap().uid;
    assert_eq!((uid(one), uid(two)), (33, 0));
    assert_eq!((&one.out, &two.out), (&LogTo::Container(LineFormat::Json), &LogTo::Null));
}

/// A bad value for each key, what is said about it and what the cure is.
#[test]
fn each_bad_value_is_named_with_its_line_and_what_is_right() {
    for (keys, problem) in [
        ("command = ''", "command: \"\" is not a shell command"),
        ("command = 'x'", "argv: command and argv exclude each other; remove one of them"),
        ("type = 'deamon'", "type: unknown word \"deamon\"; did you mean \"daemon\"?"),
        ("start = true", "start: true is not \"auto\", \"manual\""),
        ("after = 3", "after: 3 is not a text; put a text into quotes"),
        ("requires = ['web']", "requires: a service cannot wait for itself"),
        ("directory = ''", "directory: \"\" is not a path"),
        ("env = 'A=1'", "env: \"A=1\" is not a table; write { NAME = \"value\" }"),
        ("env = { 'A=B' = 1 }", "env: \"A=B\" is not the name of a variable"),
        ("env = { A = [1] }", "env: A: a list is not a text"),
        (
            "env = { A = '${NONE}' }",
            "env: A: NONE is not set; set it for cox, or write ${NONE:-default}",
        ),
        ("env-file = 1", "env-file: 1 is not a path"),
        ("secrets = ['A=']", "secrets: \"A=\" is not the name of a variable"),
        ("user = 'nobody'", "user: unable to find user nobody: no matching entry in passwd file"),
        ("user = 'web:none'", "user: unable to find group none: no matching entry in group file"),
        ("groups = ['none']", "groups: unable to find group none"),
        (
            "umask = '999'",
            "umask: \"999\" is not an octal mode; write it as a text of three octal digits",
        ),
        (
            "umask = 0o22",
            "umask: 18 is not an octal mode; write it as a text of three octal digits",
        ),
        ("limits = { nofil = 1 }", "limits: unknown limit \"nofil\"; did you mean \"nofile\"?"),
        ("limits = { nofile = 'x' }", "limits: nofile: \"x\" is not a limit; write a number"),
        (
            "limits = { nofile = '2:1' }",
            "limits: nofile: the soft limit is above the hard one; write SOFT:HARD",
        ),
        (
            "capabilities = ['net_bind_servic']",
            "capabilities: unknown capability \"NET_BIND_SERVIC\"; did you mean \"NET_BIND_SERVICE\"?",
        ),
        ("capabilities = 'chown'", "capabilities: \"chown\" is not a list, each a capability"),
        ("no-new-privs = 1", "no-new-privs: \"1\" is not true or false"),
        ("ready = 'soon'", "ready: unknown word \"soon\"; there is started, notify"),
        ("ready = { tpc = 80 }", "ready: unknown key \"tpc\"; did you mean \"tcp\"?"),
        (
            "ready = { tcp = 'localhost:80' }",
            "ready: tcp: \"localhost:80\" is not an address or a port; write 127.0.0.1:80, [::1]:80",
        ),
        ("ready = { tcp = 0 }", "ready: tcp: \"0\" is not an address or a port"),
        ("ready = { fd = 2 }", "ready: fd: \"2\" is not a number from 3 to 1023"),
        (
            "ready = { fd = 3, tcp = 80 }",
            "ready: it takes one way to be ready; give one of fd, tcp, file and command",
        ),
        ("ready = {}", "ready: it takes one question; give one of tcp, file and command"),
        (
            "type = 'oneshot'\nready = 'notify'",
            "ready: a oneshot is ready once it has ended; leave it out",
        ),
        (
            "ready-timeout = 'soon'",
            "ready-timeout: \"soon\" is not a duration or \"never\"; write a number of seconds, or 500ms",
        ),
        ("health = { interval = 1 }", "health: it takes one question"),
        ("health = { tcp = 80, interval = 0 }", "health: interval and timeout cannot be 0"),
        (
            "health = { tcp = 80, retries = 0 }",
            "health: retries: \"0\" is not a number from 1 to 1000",
        ),
        (
            "health = { tcp = 80, action = 'die' }",
            "health: action: unknown word \"die\"; there is restart, report, stop",
        ),
        ("type = 'oneshot'\nhealth = { tcp = 80 }", "health: a oneshot has no health"),
        (
            "restart = 'sometimes'",
            "restart: unknown word \"sometimes\"; there is always, on-failure, never",
        ),
        (
            "healthy-after = -1",
            "healthy-after: \"-1\" is not a duration; write a number of seconds",
        ),
        ("restart-delay = [1]", "restart-delay: a list is not a duration"),
        ("restart-max-delay = '1y'", "restart-max-delay: \"1y\" is not a duration"),
        ("give-up = 3", "give-up: 3 is not { deaths, within }"),
        ("give-up = { within = 3 }", "give-up: \"deaths\" is missing"),
        (
            "permanent-exit-codes = [256]",
            "permanent-exit-codes: \"256\" is not a number from 0 to 255",
        ),
        ("on-end = 'restart'", "on-end: unknown word \"restart\"; there is ignore, stop"),
        ("stop-signal = 'TREM'", "stop-signal: unknown signal \"TREM\"; use a name such as TERM"),
        ("stop-command = 3", "stop-command: 3 is not a shell command"),
        ("stop-timeout = true", "stop-timeout: \"true\" is not a duration or \"never\""),
        ("stop-scope = 'cgroup'", "stop-scope: unknown word \"cgroup\"; did you mean \"group\"?"),
        ("finish = ['x']", "finish: a list is not a shell command"),
        ("finish-timeout = ''", "finish-timeout: \"\" is not a duration"),
        (
            "log = 'stdout'",
            "log: unknown word \"stdout\"; there is inherit, plain, prefix, json, none",
        ),
        ("log = { keep = 3 }", "log: \"file\" is missing"),
        (
            "log = { file = '/x', max-size = '1Q' }",
            "log: max-size: invalid size \"1Q\"; use a number of bytes",
        ),
        (
            "log = { file = '/x', max-size = 1 }",
            "log: max-size is too small; give at least 4096 bytes",
        ),
        (
            "log = { file = '/x', stamp = 'utc' }",
            "log: stamp: unknown word \"utc\"; there is none, iso, tai64n",
        ),
        ("stderr = 3", "stderr: 3 is not \"inherit\", \"plain\""),
        ("comand = 'x'", "unknown key \"comand\"; did you mean \"command\"?"),
    ] {
        let found = problems(keys);
        let line = keys.lines().count() + 2;
        let expected = format!("/etc/cox.toml:{line}: service web: {problem}");
        let line = match keys {
            // These two are said of argv, in line 2.
            "command = 'x'" => expected.replace(":3:", ":2:"),
            _ => expected,
        };
        assert!(matches!(&found[..], [only] if only.starts_with(&line)), "{found:?}, not {line}");
    }
    assert_eq!(service("argv = ['x']").name, "web");
    for (text, problem) in [
        ("stop-timeout = 'never'", ":1: stop-timeout: \"never\" is not a duration"),
        ("scan = [1]", ":1: scan: 1 is not a path"),
        ("init = '/nowhere/x'", ":1: init: read /nowhere/x: no such file or directory"),
        (
            "on-init-failure = 'x'",
            ":1: on-init-failure: unknown word \"x\"; there is stop, continue",
        ),
        ("explain-exit = 'yes'", ":1: explain-exit: \"yes\" is not true or false"),
        ("dev-log = 1", ":1: dev-log: 1 is not \"plain\", \"prefix\", \"json\", \"none\""),
        ("control = 1", ":1: control: 1 is not a path"),
        ("env = 1", ":1: env: 1 is not a table"),
        ("servce.web.argv = ['x']", ":1: unknown key \"servce\"; did you mean \"service\"?"),
        ("service = 1", ":1: service is not a table; write [service]"),
        ("\nservice.web = 1", ":2: web is not a table"),
        ("signals = { FOO = 'stop' }", ":1: signals: unknown signal \"FOO\""),
        (
            "signals = { HUP = 'realod' }",
            ":1: signals: HUP: unknown word \"realod\"; did you mean \"reload\"?",
        ),
        (
            "[defaults]\ncommand = 'x'",
            ":2: defaults: command cannot be one; move it into [service.NAME]",
        ),
        ("[defaults]\nlgo = 'x'", ":2: defaults: unknown key \"lgo\"; did you mean \"log\"?"),
        ("[service.web]\n", ":1: service web: there is nothing to run; add: command = \"...\""),
        ("[service.web]\nargv = []", ":2: service web: argv: there is no program"),
        ("[service.'a/b']\nargv = ['x']", ":1: \"a/b\" is no name for a service; use letters"),
        ("[service.web]\nargv = ['x'\n", ":3: the end of the file where , or ] should be"),
    ] {
        let found: Vec<String> = read_as(0, text).problems.iter().map(with_hints).collect();
        let expected = format!("/etc/cox.toml{problem}");
        assert!(
            matches!(&found[..], [only] if only.starts_with(&expected)),
            "{found:?}, not {expected}"
        );
    }
}

#[test]
fn a_service_with_a_fault_is_left_out_and_the_others_are_there() {
    let config = read_as(
        0,
        "[service.one]\nargv = ['x']\n[service.two]\nargv = ['x']\nlgo = 1\nrestart = 'x'\n\
         [service.three]\nargv = ['x']\n",
    );
    let names: Vec<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!((names, config.problems.len()), (vec!["one", "three"], 2));
    assert_eq!(config.lines, [("one".into(), 1), ("two".into(), 3), ("three".into(), 7)]);
}

#[test]
fn a_service_does_not_start_without_a_default_that_is_wrong() {
    let config = read_as(
        0,
        "[defaults]\numask = '9'\n[service.one]\nargv = ['x']\n\
         [service.two]\nargv = ['x']\numask = '022'\n",
    );
    let problems: Vec<String> = config.problems.iter().map(Error::to_string).collect();
    assert_eq!(
        problems,
        [
            "/etc/cox.toml:2: defaults: umask: \"9\" is not an octal mode",
            "/etc/cox.toml:3: service one: left out: its default for umask is wrong",
        ]
    );
    assert_eq!(config.services.len(), 1);
}

#[test]
fn what_init_holds_runs_first_and_in_order() {
    let dir = std::env::temp_dir().join(format!("cox-toml-init-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    for (name, mode) in [("20-b", 0o755), ("10-a", 0o755), ("README", 0o644), (".hidden", 0o755)] {
        fs::write(dir.join(name), "#!/bin/sh\n").unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let text = format!(
        "init = '{}'\nenv = {{ A = 1 }}\n[defaults]\nuser = 'web'\nlog = 'json'\n\
         [service.web]\nargv = ['x']\nrequires = ['init/10-a']\n",
        dir.display()
    );
    let config = read_as(0, &text);
    let problems: Vec<String> = config.problems.iter().map(with_hints).collect();
    let readme = dir.join("README").display().to_string();
    let expected =
        format!("/etc/cox.toml:1: init: {readme} is not executable, left out; chmod +x {readme}");
    assert_eq!(problems, [expected]);
    let [a, b, web] = config.services.as_slice() else { panic!() };
    assert_eq!((a.name.as_str(), b.name.as_str()), ("init/10-a", "init/20-b"));
    assert_eq!((a.kind, a.on_end), (Kind::Oneshot, OnEnd::StopIfFailed));
    assert_eq!(a.restart.when, RestartWhen::Never);
    // As root, but with the log and the variables of all.
    assert_eq!((&a.run.setup, &a.run.env), (&None, &env(&[("A", "1")])));
    assert_eq!(a.out, LogTo::Container(LineFormat::Json));
    assert_eq!((a.start.requires.len(), &b.start.requires), (0, &vec!["init/10-a".to_string()]));
    assert_eq!(web.start.requires, ["init/10-a", "init/20-b"]);
    assert_eq!(config.options.last_of_init.as_deref(), Some("init/20-b"));

    let text = format!("on-init-failure = 'continue'\n{text}");
    let config = read_as(0, &text);
    let [a, b, web] = config.services.as_slice() else { panic!() };
    assert_eq!((a.on_end, &b.start.after), (OnEnd::Ignore, &vec!["init/10-a".to_string()]));
    assert_eq!(
        (web.start.after.as_slice(), web.start.requires.len()),
        (&["init/20-b".to_string()][..], 1)
    );
    coracle::sys::fs::remove_tree(&dir).unwrap();
}

#[test]
fn random_changes_of_the_corpus_never_panic_and_each_problem_has_a_line() {
    let users = Users { passwd: PASSWD.into(), group: GROUP.into(), uid: 0, gid: 0 };
    let (mut good, mut bad) = (0, 0);
    fuzz("toml", &crate::dialect::WORDS, 20_000, |bytes| {
        let config = parse(Path::new("x"), bytes, &|_| None, &users);
        good += config.services.len();
        for problem in &config.problems {
            bad += 1;
            let text = problem.to_string();
            let line = text.strip_prefix("x:").and_then(|text| text.split(':').next());
            let line = line.and_then(|line| line.parse::<usize>().ok());
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{text}");
        }
        config.problems.first().map_or(Ok(()), |problem| Err(problem.to_string()))
    });
    assert!(good > 1000 && bad > 1000, "{good} {bad}");
}

#[test]
fn the_sample_is_right_as_it_is_and_without_its_comment_signs() {
    assert!(good(&sample()).services.is_empty());
    let is_setting =
        |line: &str| line.starts_with('#') && !line.starts_with("# ") && !line.starts_with("#  ");
    let uncommented: String = sample()
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line })
        .map(|line| format!("{line}\n"))
        // There is no such directory here.
        .filter(|line| !line.starts_with("init ="))
        .collect();
    let config = good(&uncommented);
    assert_eq!(config.services.len(), 3);
    for key in keys::SERVICE {
        assert!(uncommented.contains(&format!("\n{} = ", key.field.name)), "{}", key.field.name);
    }
}
