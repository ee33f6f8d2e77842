//! Configurations and the services they stand for.

use super::*;
use crate::face::listener::Types;
use crate::service::{Growth, LogTo, OnEnd, Reach, Ready, RestartWhen};
use coracle::types::Signal;
use std::ffi::{CStr, OsString};
use std::time::Duration;

fn users() -> Users {
    Users {
        passwd: "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n".into(),
        group: "root:x:0:\nweb:x:33:\nlogs:x:40:web\n".into(),
        uid: 0,
        gid: 0,
    }
}

fn config(text: &str) -> Config {
    let mut document = Document::default();
    let file: Rc<Path> = Rc::from(Path::new("/etc/s.conf"));
    if let Err(fault) = document.read(&file, text) {
        panic!("{}: {}", fault.line, fault.error);
    }
    let users = users();
    let variable = |name: &str| (name == "HOME").then(|| "/root".to_string());
    let scope = Scope { variable: &variable, host: "box", users: &users };
    build(&document, &scope, None)
}

/// A configuration without fault.
#[track_caller]
fn good(text: &str) -> Config {
    let config = config(text);
    assert!(config.problems.is_empty(), "{:?}", said(&config.problems));
    config
}

fn said(errors: &[Error]) -> Vec<String> {
    errors.iter().map(crate::message::with_hints).collect()
}

fn names(config: &Config) -> Vec<&str> {
    config.services.iter().map(|service| service.name.as_str()).collect()
}

fn argv(service: &Service) -> Vec<&str> {
    service
        .run
        .argv
        .iter()
        .map(|word: &std::ffi::CString| {
            let word: &CStr = word;
            word.to_str().unwrap()
        })
        .collect()
}

#[test]
fn a_program_has_the_documented_defaults() {
    let config = good("[program:web]\ncommand=/bin/web --port '8 0'\n");
    let [service] = &config.services[..] else { panic!("one") };
    assert_eq!(service.name, "web");
    assert_eq!(argv(service), ["/bin/web", "--port", "8 0"]);
    assert!(service.start.auto);
    assert_eq!(service.ready, Ready::Lasted);
    let restart = &*service.restart;
    assert_eq!(restart.when, RestartWhen::OnFailure);
    assert_eq!(restart.healthy_after, Duration::from_secs(1));
    assert_eq!(restart.retries, Some(3));
    assert_eq!(restart.expected, Some(vec![0]));
    assert_eq!((restart.delay, restart.growth), (Duration::from_secs(1), Growth::Linear));
    assert_eq!(service.stop.signal, Signal::TERM);
    assert_eq!(service.stop.limit, Some(Duration::from_secs(10)));
    assert_eq!((service.stop.reach, service.stop.kill), (None, Reach::Leader));
    assert_eq!(service.on_end, OnEnd::Ignore);
    assert!(
        matches!(service.out, LogTo::Container(_)) && matches!(service.err, LogTo::Container(_))
    );
    let member = service.member.as_deref().unwrap();
    assert_eq!((&*member.group, &*member.process), ("web", "web"));
    assert_eq!((member.group_priority, member.priority), (999, 999));
    assert_eq!(&*member.command, "/bin/web --port '8 0'");
    assert!(member.out.auto);
}

#[test]
fn every_key_of_a_program_counts() {
    let config = good(
        "[supervisord]\nenvironment=A=1,B=1\nexit_on_fatal=true\n\
         [program:web]\ncommand=%(ENV_HOME)s/%(program_name)s %(host_node_name)s %(ENV_B)s\n\
         autostart=no\nstartsecs=5\nstartretries=9\nautorestart=true\nexitcodes=0,2\n\
         stopsignal=QUIT\nstopwaitsecs=20\nstopasgroup=true\nuser=web\numask=027\n\
         directory=/srv\nenvironment=B=\"2\",C=\"%(process_num)d\"\npriority=5\n\
         stdout_logfile=/var/log/%(program_name)s.log\nstdout_logfile_maxbytes=1MB\n\
         stdout_logfile_backups=2\nstderr_logfile=NONE\nserverurl=AUTO\n",
    );
    let service = &config.services[0];
    assert_eq!(argv(service), ["/root/web", "box", "2"]);
    assert!(!service.start.auto);
    let restart = &*service.restart;
    assert_eq!(restart.when, RestartWhen::Always);
    assert_eq!((restart.healthy_after, restart.retries), (Duration::from_secs(5), Some(9)));
    assert_eq!(restart.expected, Some(vec![0, 2]));
    let stop = &service.stop;
    assert_eq!((stop.signal, stop.limit), (Signal::QUIT, Some(Duration::from_secs(20))));
    assert_eq!((stop.reach, stop.kill), (Some(Reach::Group), Reach::Group));
    assert_eq!(service.on_end, OnEnd::StopIfFailed);
    let setup = service.run.setup.as_deref().unwrap();
    assert!(setup.keeps_home);
    assert_eq!(setup.umask, Some(0o27));
    let user = setup.user.as_ref().unwrap();
    assert_eq!((user.uid, &user.groups[..]), (33, &[33, 40][..]));
    assert_eq!(service.run.cwd.as_deref(), Some(Path::new("/srv")));
    let pair = |name: &str, value: &str| (OsString::from(name), Some(OsString::from(value)));
    assert_eq!(service.run.env, [pair("A", "1"), pair("B", "2"), pair("C", "0")]);
    let LogTo::File(file) = &service.out else { panic!("a file") };
    assert_eq!(file.path, Path::new("/var/log/web.log"));
    assert_eq!((file.max_size, file.keep), (1 << 20, 2));
    assert_eq!(service.err, LogTo::Null);
}

#[test]
fn outputs_go_to_files_to_cox_or_together() {
    let log = |keys: &str| {
        let config = good(&format!("[program:x]\ncommand=x\n{keys}"));
        (config.services[0].out.clone(), config.services[0].err.clone())
    };
    let plain = LogTo::Container(crate::service::LineFormat::Plain);
    let crossed = LogTo::Crossed(crate::service::LineFormat::Plain);
    assert_eq!(log("redirect_stderr=true"), (plain.clone(), LogTo::Stdout));
    assert_eq!(
        log("stdout_logfile=/dev/stdout\nstderr_logfile=/dev/stderr"),
        (plain.clone(), plain.clone())
    );
    assert_eq!(
        log("stdout_logfile=/dev/fd/2\nstderr_logfile=/dev/fd/1"),
        (crossed.clone(), crossed)
    );
    assert_eq!(log("stdout_logfile=none\nstderr_logfile=off"), (LogTo::Null, LogTo::Null));
    assert_eq!(log("stdout_logfile=/dev/null").0, LogTo::Null);
    let (LogTo::File(out), _) = log("stdout_logfile=~/x\nstdout_logfile_maxbytes=0") else {
        panic!("a file")
    };
    assert_eq!((out.path.as_path(), out.max_size), (Path::new("/root/x"), 0));
}

#[test]
fn processes_are_numbered_and_groups_hold_programs() {
    let config = good(
        "[program:a]\ncommand=a %(process_num)d/%(numprocs)d in %(group_name)s\nnumprocs=2\n\
         numprocs_start=1\nprocess_name=%(program_name)s_%(process_num)02d\npriority=7\n\
         [program:b]\ncommand=b\npriority=3\n[program:c]\ncommand=c\npriority=1\n\
         [group:g]\nprograms=a,b\npriority=50\n",
    );
    assert_eq!(names(&config), ["c", "g:b", "g:a_01", "g:a_02"]);
    assert_eq!(argv(&config.services[3]), ["a", "2/2", "in", "g"]);
    let member = config.services[1].member.as_deref().unwrap();
    assert_eq!((member.group_priority, member.priority), (50, 3));
}

#[test]
fn servers_are_files_and_ports() {
    let config = good(
        "[inet_http_server]\nport=*:9001\nusername=u\npassword=p%%q\n\
         [unix_http_server]\nfile=/run/s.sock\nchmod=0770\nchown=web:logs\n\
         [program:x]\ncommand=x\n",
    );
    let [unix, inet] = &config.servers[..] else { panic!("two") };
    let path = PathBuf::from("/run/s.sock");
    assert_eq!(unix.listen, Listen::Unix { path, mode: 0o770, owner: Some((33, Some(40))) });
    assert_eq!(unix.login, None);
    assert_eq!(inet.listen, Listen::Inet("0.0.0.0:9001".parse().unwrap(), "*:9001".into()));
    assert_eq!(inet.login, Some(("u".into(), "p%q".into())));
    let member = config.services[0].member.as_deref().unwrap();
    assert_eq!(member.url.as_deref(), Some("unix:///run/s.sock"));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_the_others_start() {
    for (text, problem) in [
        (
            "[program:x]\n",
            "/etc/s.conf:1: [program:x]: there is nothing to run; add: command = /path/to/program",
        ),
        (
            "[program:x]\ncommand=\n",
            "/etc/s.conf:2: [program:x]: command: it is empty; write /path/to/program",
        ),
        (
            "[program:x]\ncommand='a\n",
            "/etc/s.conf:2: [program:x]: command: a quote is not closed; close it, or put a \\ before it",
        ),
        (
            "[program:x]\ncommand=x\nstartsecs=soon",
            "/etc/s.conf:3: [program:x]: startsecs: \"soon\" is not a number; write digits",
        ),
        (
            "[program:x]\ncommand=x\nautorestart=perhaps",
            "/etc/s.conf:3: [program:x]: autorestart: \"perhaps\" is no way to restart; write unexpected, true or false",
        ),
        (
            "[program:x]\ncommand=%(program_name)",
            "/etc/s.conf:2: [program:x]: command: a % that begins no name; write %(NAME)s, or %% for a percent sign",
        ),
        (
            "[program:x]\ncommand=x\nstdout_logfile_maxbytes=5XB",
            "/etc/s.conf:3: [program:x]: stdout_logfile_maxbytes: \"5XB\" is not a size; write a number of bytes, or 64KB, 50MB, 1GB",
        ),
        (
            "[program:x]\ncommand=x\nexitcodes=0,300",
            "/etc/s.conf:3: [program:x]: exitcodes: \"0,300\" is not a list of exit codes; write numbers from 0 to 255: 0,2",
        ),
        (
            "[program:x]\ncommand=x\nnumprocs=2",
            "/etc/s.conf:1: [program:x]: process_name: several processes need several names; write %(program_name)s_%(process_num)02d",
        ),
        (
            "[program:x]\ncommand=x\nstopasgroup=1\nkillasgroup=0",
            "/etc/s.conf:4: [program:x]: killasgroup: stopasgroup needs killasgroup; remove one of them",
        ),
        (
            "[program:x]\ncommand=x\nenvironment=A",
            "/etc/s.conf:3: [program:x]: environment: \"A\" is no list of variables; write A=\"one\",B=\"two\": put what is not letters, digits and _/.+-(): into quotes",
        ),
        (
            "[program:a b]\ncommand=x",
            "/etc/s.conf:1: [program:a b]: \"a b\" is not a name; leave out blanks, colons and slashes",
        ),
        (
            "[group:g]\nprograms=webb\n[program:webs]\ncommand=x",
            "/etc/s.conf:2: [group:g]: programs: there is no [program:webb]; did you mean webs?",
        ),
        (
            "[unix_http_server]\nchmod=0700",
            "/etc/s.conf:1: [unix_http_server]: there is no file; add: file = /run/supervisor.sock",
        ),
        (
            "[inet_http_server]\nport=host:9001",
            "/etc/s.conf:2: [inet_http_server]: port: \"host\" is no address; names are not looked up; write 127.0.0.1:9001, or *:9001",
        ),
        (
            "[inet_http_server]\nport=9001\nusername=u",
            "/etc/s.conf:1: [inet_http_server]: a username needs a password, and the other way round; give both, or none",
        ),
        (
            "[supervisord]\nnodaemon=maybe",
            "/etc/s.conf:2: [supervisord]: nodaemon: \"maybe\" is not true or false; write true or false",
        ),
    ] {
        let text = format!("{text}\n[program:good]\ncommand=x\n");
        let config = config(&text);
        assert_eq!(said(&config.problems), [problem], "{text}");
        assert!(names(&config).contains(&"good"), "{text}");
    }
    let stranger = config("[program:x]\ncommand=x\nuser=nobody-here");
    assert!(said(&stranger.problems)[0].starts_with("/etc/s.conf:3: [program:x]: user: "));
    let twice = "[program:a]\ncommand=a\nprocess_name=p\n[group:g]\nprograms=a,b\n[program:b]\ncommand=b\nprocess_name=p";
    let both = config(twice);
    assert_eq!(names(&both), ["g:p"]);
    assert!(said(&both.problems)[0].contains("there is a process g:p already"));
}

#[test]
fn listeners_come_first_and_say_what_they_want_to_hear() {
    let config = good(
        "[program:x]\ncommand=x\n[eventlistener:l]\ncommand=l\nevents=tick_5, PROCESS_STATE\n\
         buffer_size=3\n",
    );
    assert_eq!(names(&config), ["l", "x"]);
    let member = config.services[0].member.as_deref().unwrap();
    let listener = member.listener.unwrap();
    assert_eq!((member.group_priority, listener.buffer), (-1, 3));
    assert!(
        listener.types.has(Types::named("TICK_5")) && !listener.types.has(Types::named("TICK_60"))
    );
    assert_eq!(config.services[0].out, LogTo::Null);
    for (text, problem) in [
        ("", "/etc/s.conf:1: [eventlistener:l]: there are no events; add: events = PROCESS_STATE"),
        (
            "events=TICK_6",
            "/etc/s.conf:3: [eventlistener:l]: events: unknown event \"TICK_6\"; did you mean \"TICK_5\"?",
        ),
        (
            "events=TICK\nbuffer_size=0",
            "/etc/s.conf:4: [eventlistener:l]: buffer_size: 0 is not from 1 to 1000000",
        ),
        (
            "events=TICK\nredirect_stderr=1",
            "/etc/s.conf:4: [eventlistener:l]: redirect_stderr: the stdout of an event listener is not for its stderr; remove it",
        ),
        (
            "events=TICK\nresult_handler=a:b",
            "/etc/s.conf:4: [eventlistener:l]: result_handler: \"a:b\" is Python, which cox does not run; remove it",
        ),
    ] {
        let config = self::config(&format!("[eventlistener:l]\ncommand=l\n{text}"));
        assert_eq!(said(&config.problems), [problem], "{text}");
    }
}

#[test]
fn strangers_are_named_but_change_nothing() {
    for (text, warning) in [
        (
            "[program:x]\ncommand=x\nautorestrat=true",
            "/etc/s.conf:3: [program:x]: unknown key \"autorestrat\"; did you mean \"autorestart\"?",
        ),
        (
            "[progam:y]\ncommand=x",
            "/etc/s.conf:1: unknown section \"progam\"; did you mean \"program\"?",
        ),
        (
            "[unix_http_server]\nfile=/x\nport=1",
            "/etc/s.conf:3: [unix_http_server]: unknown key \"port\"",
        ),
        (
            "[program:x]\ncommand=x\n[program:x]\npriority=1",
            "/etc/s.conf:3: [program:x] is there twice; the later keys count",
        ),
        (
            "[program:x]\ncommand=x\nredirect_stderr=1\nstderr_logfile=/y",
            "/etc/s.conf:4: [program:x]: stderr_logfile: redirect_stderr is on, so this is ignored; remove one of them",
        ),
        (
            "[supervisord]\numask=077",
            "/etc/s.conf:2: [supervisord]: umask: changes nothing yet; set it in each program",
        ),
        (
            "[program:x]\ncommand=x\nstdout_events_enabled=1",
            "/etc/s.conf:3: [program:x]: stdout_events_enabled: no event tells yet what a program writes",
        ),
    ] {
        let config = good(text);
        let said = said(&config.warnings);
        assert!(said.len() == 1 && said[0].starts_with(warning), "{text}: {said:?}");
    }
    let plain = "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n\
                 [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = x:y\n\
                 [supervisorctl]\nserverurl=unix:///x\n[unix_http_server:two]\nfile=/x";
    assert_eq!(said(&good(plain).warnings), Vec::<String>::new());
}

#[test]
fn here_is_the_directory_of_each_file_and_included_files_add_to_sections() {
    let dir = std::env::temp_dir().join(format!("cox-supervisord-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("conf.d")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("s.conf", "[include]\nfiles = conf.d/*.conf none/*\n[program:a]\ncommand=%(here)s/a\n");
    write("conf.d/1.conf", "[program:b]\ncommand=%(here)s/b\n[include]\nfiles=x\n");
    write("conf.d/2.conf", "[program:a]\npriority=3\n");
    let config = read(&dir.join("s.conf"), None).unwrap();
    assert_eq!(names(&config), ["a", "b"]);
    let shown = |n: usize| argv(&config.services[n]).concat();
    assert_eq!(shown(0), format!("{}/a", dir.display()));
    assert_eq!(shown(1), format!("{}/conf.d/b", dir.display()));
    let said = said(&config.warnings).join("\n");
    assert!(said.contains("no file matches none/*"), "{said}");
    assert!(said.contains("an included file cannot include others; ignored"), "{said}");
    write("conf.d/2.conf", "[program:a\n");
    let error = read(&dir.join("s.conf"), None).unwrap_err().to_string();
    assert!(
        error.contains("conf.d/2.conf:1: \"[program:a\" stands before all sections"),
        "{error}"
    );
    assert!(read(&dir.join("no.conf"), None).is_err());
    coracle::sys::fs::remove_tree(&dir).unwrap();
}
