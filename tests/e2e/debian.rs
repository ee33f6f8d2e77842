//! Servers in images of a whole distribution, used as people use them: postgres as the
//! documentation of 2014 has it, sshd, nginx and redis, at once and with volumes between them.

use crate::common::command::Output;
use crate::common::{Test, eventually, skipped};
use coracle::types::Digest;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: &str = "openssh-server postgresql redis-server nginx-light";
const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/images/debian/stage");

/// A tar of the root that images/debian makes with these packages, kept on the machine: it takes
/// a minute, and the network, so it is asked for before the test leaves that.
fn servers() -> Option<PathBuf> {
    let cache = std::env::var_os("CORACLE_CACHE").unwrap_or_else(|| "/var/cache/coracle".into());
    let cache = PathBuf::from(cache);
    let recipe = fs::read(RECIPE).expect("read the recipe");
    let key = Digest::of(&[&recipe, PACKAGES.as_bytes()].concat()).to_string();
    let name = format!("servers-{}.tar", &key[key.len() - 12..]);
    let tar = cache.join(&name);
    if tar.exists() {
        return Some(tar);
    }
    if Command::new("debootstrap").arg("--version").output().is_err() {
        skipped("debootstrap is not installed");
        return None;
    }
    let build = "cache=$1 name=$2
        mkdir -p $cache; rm -f $cache/servers-*
        root=$(mktemp -d $cache/new.XXXXXX)
        trap 'rm -rf $root $root.tar' EXIT
        chmod 755 $root; $RECIPE $root
        tar -C $root --one-file-system --numeric-owner -cf $root.tar .
        mv $root.tar $cache/$name";
    let mut sh = Command::new("sh");
    sh.args(["-ec", build, "sh"]).arg(&cache).arg(&name);
    sh.env("PACKAGES", PACKAGES).env("RECIPE", RECIPE);
    assert!(sh.status().expect("run sh").success(), "{RECIPE} fails");
    Some(tar)
}

/// A test with that image, and more room than others have: those of a distribution are large.
fn start(tar: &Path) -> Option<Test> {
    let t = Test::with_disk("mode=755,size=3g").map_err(|lack| skipped(&lack)).ok()?;
    t.import_busybox();
    t.coracle(["import".as_ref(), tar.as_os_str(), "debian".as_ref()]).ok();
    Some(t)
}

const SETUP: &str = r#"
cd /etc/postgresql/*/main
echo "host all all 0.0.0.0/0 md5" >>pg_hba.conf
echo "listen_addresses = '*'" >>postgresql.conf
pg_ctlcluster $(ls /etc/postgresql) main start
psql -qc "CREATE USER docker WITH SUPERUSER PASSWORD 'docker'"
createdb -O docker docker
pg_ctlcluster $(ls /etc/postgresql) main stop
"#;

#[test]
fn postgres_keeps_its_data_in_volumes_that_a_new_container_takes_over() {
    let Some(tar) = servers() else { return };
    let Some(t) = start(&tar) else { return };
    t.coracle(["run", "-u", "postgres", "--name", "setup", "debian", "bash", "-ec", SETUP]).ok();
    let run = r#"{"User": "postgres", "Cmd": ["sh", "-c", "exec /usr/lib/postgresql/*/bin/postgres -D /var/lib/postgresql/*/main -c config_file=$(echo /etc/postgresql/*/main/postgresql.conf) 2>&1"],
        "Volumes": {"/etc/postgresql": {}, "/var/log/postgresql": {}, "/var/lib/postgresql": {}},
        "ExposedPorts": {"5432/tcp": {}}}"#;
    t.coracle(["commit", "-run", run, "setup", "eg_postgresql"]).ok();
    t.coracle(["rm", "setup"]).ok();

    let client = |name: &str, sql: &str| {
        let psql =
            "psql -h $PG_PORT_5432_TCP_ADDR -p $PG_PORT_5432_TCP_PORT -d docker -U docker -At";
        let link = format!("{name}:pg");
        let run = ["run", "--rm", "-i", "--link", &link, "-e", "PGPASSWORD=docker"];
        let words = [&run[..], &["eg_postgresql", "sh", "-c", psql]].concat();
        let Output { stdout, .. } = t.coracle(words).stdin(sql).ok();
        String::from_utf8_lossy(&stdout).trim().to_string()
    };
    let start = |name: &str, options: &[&str]| {
        let run = ["run", "-d", "--stop-signal", "INT", "--name", name];
        t.coracle([&run[..], options, &["eg_postgresql"]].concat()).ok();
        t.wait_for_log(name, "ready to accept connections");
    };
    start("pg_test", &["-P", "--shm-size", "128m"]);
    let table = "CREATE TABLE cities (name text, id int);
        INSERT INTO cities SELECT 'city ' || n, n FROM generate_series(1, 10000) n;";
    client("pg_test", table);
    assert_eq!(client("pg_test", "SELECT count(*), max(name) FROM cities"), "10000|city 9999");
    assert!(t.says(["port", "pg_test", "5432"]).starts_with("0.0.0.0:"));
    // Several sessions at once, which share its memory.
    let sum = "SELECT sum(id) FROM cities";
    std::thread::scope(|scope| {
        // Threads of a scope begin where this one is: in the test's namespaces.
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| client("pg_test", sum))).collect();
        for one in all {
            assert_eq!(one.join().expect("a client"), "50005000");
        }
    });
    let look = ["run", "--rm", "--volumes-from", "pg_test", "busybox"];
    assert_eq!(t.says([&look[..], &["ls", "/var/log"]].concat()), "postgresql");

    // The new one takes over what the old one has left, also when that was killed.
    t.coracle(["stop", "pg_test"]).ok();
    assert_eq!(t.inspect("pg_test")["State"]["ExitCode"], 0);
    start("pg_new", &["--volumes-from", "pg_test"]);
    t.coracle(["rm", "pg_test"]).ok();
    client("pg_new", "DELETE FROM cities WHERE id > 10");
    t.coracle(["kill", "pg_new"]).ok();
    start("pg_last", &["--volumes-from", "pg_new"]);
    t.wait_for_log("pg_last", "automatic recovery in progress");
    assert_eq!(client("pg_last", "SELECT count(*) FROM cities"), "10");
    t.coracle(["stop", "pg_last"]).ok();
    t.coracle(["rm", "-v", "pg_new", "pg_last"]).ok();
    assert_eq!(t.says(["volume", "ls", "-q"]), "");
}

const SSH: [&str; 8] = [
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
    "-i",
    "key",
];

/// What a program of ssh says.
#[track_caller]
fn ssh(t: &Test, program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(SSH).args(words).current_dir(t.path("")).stdin(Stdio::null());
    let output = command.output().expect("run a program of ssh");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

#[test]
fn sshd_nginx_and_redis_stand_side_by_side_and_share_a_volume() {
    let Some(tar) = servers() else { return };
    let Some(t) = start(&tar) else { return };
    let keygen = ["-q", "-t", "ed25519", "-N", "", "-f"];
    let made = Command::new("ssh-keygen").args(keygen).arg(t.path("key")).status();
    assert!(made.expect("run ssh-keygen").success());

    // One that is logged in to, by root and by somebody else, with a terminal and without.
    let sshd = "mkdir -p /run/sshd; useradd -m -s /bin/bash app
        for home in /root /home/app; do install -d -m 700 $home/.ssh; cp /key $home/.ssh/authorized_keys; done
        chown -R app /home/app/.ssh; exec /usr/sbin/sshd -D -e 2>&1";
    let key = format!("{}:/key:ro", t.path("key.pub").display());
    let options = ["-d", "--name", "door", "-h", "door", "-p", "2222:22", "-v", &key, "-v", "/www"];
    t.coracle([&["run"], &options[..], &["debian", "sh", "-ec", sshd]].concat()).ok();
    t.wait_for_log("door", "Server listening on 0.0.0.0");
    let to = |user: &str, command: &str| {
        ssh(&t, "ssh", &["-p", "2222", &format!("{user}@127.0.0.1"), command])
    };
    assert_eq!(to("root", "hostname; id -u; ls /www"), "door\n0");
    assert_eq!(to("app", "id -un; tty || echo code $?"), "app\nnot a tty\ncode 1");
    assert_eq!(ssh(&t, "ssh", &["-tt", "-p", "2222", "app@127.0.0.1", "tty"]), "/dev/pts/0");

    // What is copied there by its volume is served by another.
    let page: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    fs::write(t.path("page"), &page).expect("write a file");
    ssh(&t, "scp", &["-P", "2222", "page", "root@127.0.0.1:/www/page"]);
    let site = "server { listen 80 default_server; root /www; access_log /dev/stdout; }";
    let nginx = format!(
        "rm /etc/nginx/sites-enabled/default; echo '{site}' >/etc/nginx/conf.d/site.conf
         exec nginx -g 'daemon off;'"
    );
    let options =
        ["-d", "--name", "web", "--volumes-from", "door:ro", "-p", "8080:80", "--expose", "80"];
    t.coracle([&["run"], &options[..], &["debian", "sh", "-ec", &nginx]].concat()).ok();
    let mut got = Vec::new();
    eventually("nginx to answer", || {
        let curl = ["-sf", "http://127.0.0.1:8080/page"];
        got = Command::new("curl").args(curl).output().expect("run curl").stdout;
        !got.is_empty()
    });
    assert!(got == page.as_bytes(), "{} bytes", got.len());

    // A cache that the page is put into by a client that knows both by links.
    let redis = ["redis-server", "--protected-mode", "no", "--dir", "/data"];
    let options = ["-d", "--name", "cache", "--expose", "6379", "-v", "/data"];
    t.coracle([&["run"], &options[..], &["debian"], &redis[..]].concat()).ok();
    t.wait_for_log("cache", "Ready to accept connections");
    let copy = "exec 3<>/dev/tcp/web/80; printf 'GET /page HTTP/1.0\\r\\n\\r\\n' >&3
        sed '1,/^\\r$/d' <&3 | redis-cli -h $DB_PORT_6379_TCP_ADDR -x set page
        redis-cli -h db strlen page";
    let run = ["run", "--rm", "--link", "web:web", "--link", "cache:db", "debian", "bash", "-c"];
    assert_eq!(t.says([&run[..], &[copy]].concat()), format!("OK\n{}", page.len()));

    // A new cache takes over what the old one saved as it was stopped, and the page is gone from
    // neither when it goes from the volume.
    t.coracle(["stop", "cache"]).ok();
    assert_eq!(t.inspect("cache")["State"]["ExitCode"], 0);
    let options = ["-d", "--name", "cache2", "--volumes-from", "cache"];
    t.coracle([&["run"], &options[..], &["debian"], &redis[..]].concat()).ok();
    t.coracle(["rm", "cache"]).ok();
    t.wait_for_log("cache2", "Ready to accept connections");
    to("root", "rm /www/page");
    let gone = Command::new("curl").args(["-sf", "http://127.0.0.1:8080/page"]).status();
    assert_eq!(gone.expect("run curl").code(), Some(22));
    let length = ["exec", "cache2", "redis-cli", "strlen", "page"];
    assert_eq!(t.says(length), page.len().to_string());

    t.coracle(["stop", "web", "cache2", "door"]).ok();
    for name in ["web", "cache2", "door"] {
        assert_eq!(t.inspect(name)["State"]["ExitCode"], 0, "{name}");
    }
}
