//! Where the lines of services go, from outside: cox's stdout, files, nowhere; what happens to
//! them when nobody reads, the disk is full, or the end has come.

use crate::harness::{Cox, Lines, Tree};
use coracle::sys::inotify::{self, Inotify};
use coracle::sys::poll;
use coracle::types::Signal;
use std::fs::{self, File};
use std::io::{self, PipeReader, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starts it, and gives what comes out of its stdout.
fn with_stdout(mut command: Command) -> (Cox, Lines<PipeReader>) {
    let (reader, writer) = io::pipe().unwrap();
    (Cox::start(command.stdout(writer)), Lines::new(reader))
}

impl Tree {
    /// cox on cox.toml, and its stdout.
    fn logged(&self) -> (Cox, Lines<PipeReader>) {
        with_stdout(self.prepared_toml("exec"))
    }
}

/// The lines of a log file and of its renamed ones, oldest first.
fn all_lines(path: &Path) -> Vec<String> {
    let renamed = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
    let count = (1..).take_while(|n| renamed(*n).exists()).count() as u32;
    let files = (1..=count).rev().map(renamed).chain([path.to_path_buf()]);
    let mut lines = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.ends_with('\n'), "{} ends within a line", file.display());
        lines.extend(text.lines().map(String::from));
    }
    lines
}

/// Waits until `done`, which something in `directory` makes true.
fn until(directory: &Path, done: impl Fn() -> bool) {
    let inotify = Inotify::new().unwrap();
    inotify.watch(directory, inotify::ENTRIES).unwrap();
    while !done() {
        assert!(poll::readable(inotify.as_fd(), Some(Duration::from_secs(60))).unwrap());
        inotify.drain().unwrap();
    }
}

#[test]
fn lines_of_services_have_their_names_in_front_or_are_objects() {
    let mut tree = Tree::new();
    let mut go = tree.go("go");
    let service = |name: &str, log: &str| {
        format!(
            "[service.{name}]\nlog = '{log}'\ncommand = '''echo {name} >$E; read x <$E.go\n\
             echo \"one of {name}\"; echo '\"two\"'; printf 'begun'; echo done >$E; exec sleep 10000'''\n"
        )
    };
    tree.toml(
        &[service("web", "prefix"), service("database", "prefix"), service("api", "json")].concat(),
    );
    let (cox, mut out) = tree.logged();
    tree.expect_all(["api", "database", "web"]);
    go.write_all(b"\n\n\n").unwrap();
    tree.expect_all(["done", "done", "done"]);
    let lines: Vec<String> = (0..6).map(|_| out.next()).collect();
    let of = |start: &str| -> Vec<&String> {
        lines.iter().filter(|line| line.starts_with(start)).collect()
    };
    assert_eq!(of("web "), ["web      | one of web", "web      | \"two\""]);
    assert_eq!(of("database "), ["database | one of database", "database | \"two\""]);
    let objects = of("{");
    for (line, message) in objects.iter().zip(["one of api", "\"two\""]) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&object["service"], &object["stream"]), (&"api".into(), &"stdout".into()));
        assert_eq!(object["message"], message);
        assert_eq!(object["time"].as_str().unwrap().len(), "2026-11-22T19:32:00.123456789Z".len());
    }
    assert_eq!(objects.len(), 2);
    // What has begun is a line at the end.
    assert_eq!(cox.stop(), (0, String::new()));
    let mut rest: Vec<String> = (0..3).map(|_| out.next()).collect();
    rest.sort();
    assert_eq!(rest[..2], ["database | begun", "web      | begun"]);
    assert!(rest[2].ends_with(",\"message\":\"begun\"}"), "{}", rest[2]);
}

#[test]
fn stderr_goes_its_own_way_or_that_of_stdout_in_order() {
    let mut tree = Tree::new();
    let both =
        "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; echo >$E; exec sleep 10000";
    for (keys, shown) in
        [("log = 'prefix'\nstderr = 'stdout'", "web | "), ("stderr = 'stdout'", "")]
    {
        tree.toml(&format!("[service.web]\n{keys}\ncommand = '{both}'\n"));
        let (cox, mut out) = tree.logged();
        tree.expect("");
        for i in 1..=5 {
            assert_eq!(out.next(), format!("{shown}out {i}"));
            assert_eq!(out.next(), format!("{shown}err {i}"));
        }
        assert_eq!(cox.stop(), (0, String::new()));
    }
    tree.toml(&format!("[service.web]\nlog = 'prefix'\ncommand = '{both}'\n"));
    let (mut cox, mut out) = tree.logged();
    for i in 1..=5 {
        assert_eq!(out.next(), format!("web | out {i}"));
        assert_eq!(cox.stderr.next(), format!("web | err {i}"));
    }
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn what_goes_nowhere_goes_to_dev_null() {
    let mut tree = Tree::new();
    tree.toml(
        "[defaults]\nlog = 'none'\n\
         [service.web]\ncommand = '''echo lost; echo lost >&2
         echo $(readlink /proc/$$/fd/1 /proc/$$/fd/2) >$E; exec sleep 10000'''\n\
         [service.err]\nstderr = 'prefix'\ncommand = '''echo lost; echo kept >&2
         exec sleep 10000'''\n",
    );
    let (mut cox, mut out) = tree.logged();
    tree.expect("/dev/null /dev/null");
    assert_eq!(cox.stderr.next(), "err | kept");
    assert_eq!(cox.stop(), (0, String::new()));
    assert_eq!(out.rest(), "");
}

/// More than all pipes on the way hold.
const MANY: u32 = 30_000;

/// Shell text that writes so many numbered lines of about 100 bytes.
fn flood(count: u32) -> String {
    format!("seq -f '%06g {}' 1 {count}", "x".repeat(90))
}

#[test]
fn a_slow_reader_holds_up_only_who_writes_to_it_and_nothing_is_lost() {
    let mut tree = Tree::new();
    let mut go = tree.go("go");
    tree.toml(&format!(
        "[service.loud]\nlog = 'prefix'\ncommand = '''echo pid $$ >$E; exec {}'''\nrestart = 'never'\n\
         [service.quiet]\nlog = {{ file = 'quiet.log' }}\n\
         command = '''while read x <$E.go; do echo $x; echo said $x >$E; done'''\n",
        flood(MANY)
    ));
    let (mut cox, mut out) = tree.logged();
    let pid = tree.after("pid ");
    // Until it waits in write(2), which on all machines of this kind has the number 1.
    cox.inside(&format!("until grep -q '^1 0x1 ' /proc/{pid}/syscall; do :; done"));
    go.write_all(b"hello\n").unwrap();
    tree.expect("said hello");
    assert_eq!(tree.ctl(&["restart", "quiet"]), (0, "quiet: up\n".into(), String::new()));
    let file = tree.dir.join("quiet.log");
    assert_eq!(fs::read_to_string(file).unwrap(), "hello\n");
    assert_eq!(cox.inside(&format!("cut -d' ' -f1 /proc/{pid}/syscall")), "1\n");
    for n in 1..=MANY {
        let line = out.next();
        assert_eq!(line.split('x').next().unwrap(), format!("loud | {n:06} "));
        assert_eq!(line.len(), 104);
    }
    assert_eq!(cox.stderr.next(), "cox: loud: exited with code 0");
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_full_file_is_renamed_with_no_line_cut_and_none_lost() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.all]\nlog = { file = 'logs/all', max-size = 4096, keep = 1000 }\n\
         command = '''i=0; while [ $i -lt 3000 ]; do i=$((i+1)); printf \"%0$((i % 97 + 4))d\\n\" $i; done
         echo done >$E; exec sleep 10000'''\n\
         [service.two]\nlog = { file = '$D/logs/two', max-size = '4k', keep = 2, stamp = 'iso' }\n\
         command = '''seq 5000; echo done >$E; exec sleep 10000'''\n",
    );
    let (cox, _out) = tree.logged();
    tree.expect_all(["done", "done"]);
    assert_eq!(cox.stop(), (0, String::new()));
    let logs = tree.dir.join("logs");
    let lines = all_lines(&logs.join("all"));
    assert_eq!(lines.len(), 3000);
    for (i, line) in (1..).zip(&lines) {
        assert_eq!(line, &format!("{i:0width$}", width = i % 97 + 4));
    }
    let mut twos = 0;
    for entry in fs::read_dir(&logs).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.metadata().unwrap().len() <= 4096);
        twos += u32::from(entry.file_name().to_str().unwrap().starts_with("two"));
    }
    assert_eq!(twos, 3);
    let lines = all_lines(&logs.join("two"));
    assert!(lines.last().unwrap().ends_with("Z 5000"));
    for pair in lines.windows(2) {
        let number = |line: &String| line.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap();
        assert_eq!(number(&pair[0]) + 1, number(&pair[1]));
    }
}

/// Lines that a small disk does not hold.
const FLOOD: u32 = 10_000;

/// cox in whose namespace there is a small disk on `$D/disk`, and a service whose log file on it
/// has these keys too. It has been told to flood that.
struct Flooded {
    tree: Tree,
    cox: Cox,
    /// For as long as the descriptor is open, whoever has unmounted it.
    disk: File,
    log: String,
    _go: File,
}

impl Flooded {
    fn with(keys: &str) -> Flooded {
        let mut tree = Tree::new();
        tree.toml(&format!(
            "[service.web]\nlog = {{ file = 'disk/web.log', {keys} }}\n\
             command = '''echo up >$E; read x <$E.go; {}; echo done >$E; exec sleep 10000'''\n",
            flood(FLOOD)
        ));
        let mut go = tree.go("go");
        let mount = "mkdir $D/disk && mount -t tmpfs -o size=256k none $D/disk && exec";
        let cox = Cox::start(&mut tree.prepared_toml(mount));
        tree.expect("up");
        let dir = tree.dir.join("disk").display().to_string();
        let disk = File::open(format!("/proc/{}/root{dir}", cox.pid())).unwrap();
        go.write_all(b"\n").unwrap();
        Flooded { tree, cox, disk, log: format!("{dir}/web.log"), _go: go }
    }

    /// Waits until all is written, and stops; the lines that are there. They are the last, whole.
    fn last_lines(mut self) -> u32 {
        self.tree.expect("done");
        assert_eq!(self.cox.stop(), (0, String::new()));
        let log = format!("/proc/self/fd/{}/web.log", self.disk.as_raw_fd());
        let lines = all_lines(Path::new(&log));
        for (n, line) in (1..=FLOOD).rev().zip(lines.iter().rev()) {
            assert_eq!(line.split('x').next().unwrap(), format!("{n:06} "));
            assert_eq!(line.len(), 97);
        }
        lines.len() as u32
    }
}

#[test]
fn on_a_full_disk_the_oldest_file_goes() {
    let mut flooded = Flooded::with("max-size = '32k', keep = 100");
    let (line, log) = (flooded.cox.stderr.next(), &flooded.log);
    assert!(line.starts_with(&format!("cox: {log}: the disk is full; deleted {log}.")), "{line}");
    let count = flooded.last_lines();
    assert!(count > 1000, "{count}");
}

#[test]
fn where_nothing_can_be_deleted_the_lines_wait_until_there_is_room() {
    let mut flooded = Flooded::with("max-size = '1G'");
    let full = "no space left on device; its lines wait until that works";
    assert_eq!(flooded.cox.stderr.next(), format!("cox: write {}: {full}", flooded.log));
    // Nobody else is held up.
    assert_eq!(flooded.tree.ctl(&["healthy"]).0, 0);
    let disk = flooded.tree.dir.join("disk");
    flooded.cox.inside(&format!("mount -o remount,size=64M {}", disk.display()));
    assert_eq!(flooded.cox.stderr.next(), format!("cox: {}: can be written again", flooded.log));
    assert_eq!(flooded.last_lines(), FLOOD);
}

#[test]
fn usr2_has_a_renamed_file_opened_anew() {
    let mut tree = Tree::new();
    let mut go = tree.go("go");
    tree.toml(
        "[service.web]\nlog = { file = 'logs/web.log' }\n\
         command = '''while read x <$E.go; do echo $x; echo said $x >$E; done'''\n",
    );
    let (cox, _out) = tree.logged();
    let logs = tree.dir.join("logs");
    let mut say = |word: &str| {
        writeln!(go, "{word}").unwrap();
        tree.expect(&format!("said {word}"));
    };
    fs::create_dir(&logs).unwrap();
    say("one");
    let (file, old) = (logs.join("web.log"), logs.join("old"));
    until(&logs, || file.exists());
    fs::rename(&file, &old).unwrap();
    cox.signal(Signal::USR2);
    until(&logs, || file.exists());
    say("two");
    assert_eq!(cox.stop(), (0, String::new()));
    assert_eq!(fs::read_to_string(old).unwrap(), "one\n");
    assert_eq!(fs::read_to_string(file).unwrap(), "two\n");
}

/// A /dev of its own, and no /dev/log in it.
const DEV: &str = "mkdir $D/dev && mount -t tmpfs none $D/dev &&
    mknod -m 666 $D/dev/null c 1 3 && mount --bind $D/dev /dev && exec";

#[test]
fn what_is_sent_to_dev_log_goes_where_the_lines_of_services_go() {
    let mut tree = Tree::new();
    let send = "logger -t app -p daemon.err -- \"$1\"; logger -t app[42] -p user.info two";
    for (kind, expected) in [
        ("true", ["app | one", "app | two"]),
        (
            "'json'",
            [
                r#""stream":"syslog","facility":"daemon","severity":"err","tag":"app","message":"one"}"#,
                r#""stream":"syslog","facility":"user","severity":"info","tag":"app","pid":42,"message":"two"}"#,
            ],
        ),
        ("'plain'", ["app: one", "app[42]: two"]),
    ] {
        tree.toml(&format!(
            "dev-log = {kind}\n[service.web]\nlog = 'plain'\n\
             command = '''{}; echo sent >$E; exec sleep 10000'''\n",
            send.replace("$1", "one")
        ));
        let (cox, mut out) = with_stdout(tree.prepared_toml(DEV));
        tree.expect("sent");
        for line in expected {
            let got = out.next();
            assert!(got.ends_with(line), "{got}");
        }
        assert_eq!(cox.stop(), (0, String::new()));
        fs::remove_dir(tree.dir.join("dev")).unwrap();
    }
}

#[test]
fn what_was_written_before_the_stop_is_all_read_to_its_end() {
    let mut tree = Tree::new();
    tree.toml(&format!(
        "[service.web]\nlog = 'plain'\n\
         command = '''trap \"echo goes >$E; {}; exit\" TERM; echo up >$E; read x <>$E.go'''\n",
        flood(MANY).replace('\'', "").replace("%06g ", "%06g")
    ));
    let _go = tree.go("go");
    let (cox, mut out) = tree.logged();
    tree.expect("up");
    cox.signal(Signal::TERM);
    tree.expect("goes");
    for n in 1..=MANY {
        let line = out.next();
        assert_eq!(line.split('x').next().unwrap(), format!("{n:06}"));
    }
    assert_eq!(out.rest(), "");
    assert_eq!(cox.wait(), (0, String::new()));
}

#[test]
fn the_last_words_of_a_killed_service_arrive_though_no_newline_ends_them() {
    let tree = Tree::new();
    for log in ["prefix", "plain"] {
        tree.toml(&format!(
            "[service.web]\nlog = '{log}'\non-end = 'stop'\n\
             command = '''echo first; printf last; printf error >&2; kill -9 $$'''\n"
        ));
        let (mut cox, mut out) = tree.logged();
        let name = if log == "prefix" { "web | " } else { "" };
        assert_eq!(out.next(), format!("{name}first"));
        assert_eq!(out.next(), format!("{name}last"));
        assert_eq!(cox.stderr.next(), format!("{name}error"));
        assert_eq!(cox.wait().0, 137);
    }
}

#[test]
fn a_service_that_starts_again_goes_on_where_it_was() {
    let mut tree = Tree::new();
    tree.toml(
        "[service.web]\nlog = { file = 'web.log' }\nrestart-delay = '1ms'\n\
         command = '''printf \"run $$\"; echo $$ >$E; kill -9 $$'''\ngive-up = { deaths = 3 }\n",
    );
    let (mut cox, _out) = tree.logged();
    let runs: Vec<String> = (0..3).map(|_| format!("run {}", tree.events.next())).collect();
    cox.stderr.after("cox: web: stays down: it ended too often");
    assert_eq!(cox.stop().0, 0);
    assert_eq!(all_lines(&tree.dir.join("web.log")), runs);
}

#[test]
fn what_a_stop_command_says_goes_where_its_service_writes() {
    let tree = Tree::new();
    tree.toml(
        "[service.web]\nlog = 'prefix'\ncommand = 'echo up; exec sleep 10000'\n\
         stop-command = 'echo out; echo err >&2; kill $MAINPID'\n",
    );
    let (mut cox, mut out) = tree.logged();
    assert_eq!(out.next(), "web | up");
    cox.signal(Signal::TERM);
    assert_eq!(out.next(), "web | out");
    assert_eq!(cox.stderr.next(), "web | err");
    assert_eq!(cox.wait(), (0, String::new()));
}

#[test]
fn loggers_of_directories_stay_what_they_are_beside_a_file() {
    let mut tree = Tree::new();
    tree.script("web/run", "echo hello; echo error >&2; exec sleep 10000");
    tree.script("web/log/run", "while read line; do echo \"log got $line\" >$E; done");
    tree.toml(
        "scan = '$D/services'\n[defaults]\nlog = 'json'\n\
         [service.app]\nlog = 'prefix'\ncommand = 'echo app; exec sleep 10000'\n",
    );
    let (mut cox, mut out) = tree.logged();
    tree.expect("log got hello");
    assert_eq!(cox.stderr.next(), "error");
    assert_eq!(out.next(), "app | app");
    assert_eq!(cox.stop(), (0, String::new()));
    assert_eq!(out.rest(), "");
}

#[test]
fn coxctl_shows_the_lines_of_log_files_and_follows_them_over_rotations() {
    let mut tree = Tree::new();
    let mut go = tree.go("go");
    tree.toml(
        "[service.web]\nlog = { file = 'web.log', max-size = 4096, keep = 1000 }\n\
         command = '''seq 2000; echo up >$E; read x <$E.go; seq 2001 6000; exec sleep 10000'''\n\
         [service.db]\nlog = { file = 'db.log' }\ncommand = 'echo hello; echo up >$E; exec sleep 10000'\n\
         [service.api]\nlog = 'plain'\ncommand = 'echo up >$E; exec sleep 10000'\n",
    );
    let (cox, _out) = tree.logged();
    tree.expect_all(["up", "up", "up"]);
    let mut client = tree.client(&["logs", "-f", "web"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = Lines::new(client.stdout.take().unwrap());
    for n in 1..=2000 {
        assert_eq!(lines.next(), n.to_string());
    }
    go.write_all(b"\n").unwrap();
    for n in 2001..=6000 {
        assert_eq!(lines.next(), n.to_string());
    }
    client.kill().unwrap();
    client.wait().unwrap();
    let (code, text, error) = tree.ctl(&["logs", "web", "db"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(text.lines().filter(|line| line.starts_with("web | ")).count(), 6000);
    assert_eq!(text.lines().last(), Some("db | hello"));
    let elsewhere = "coxctl: api: its lines go to the container's output; see the engine's logs\n";
    assert_eq!(tree.ctl(&["logs", "api"]), (1, String::new(), elsewhere.into()));
    assert_eq!(cox.stop(), (0, String::new()));
}
