//! Who a service of cox.toml is and what it has: user, groups, variables, limits, capabilities. The
//! services say it themselves, from /proc, in a mount namespace with a user database of its own.

use crate::harness::{Cox, Tree, finish, look_for, namespace};
use std::fs;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:3301:3302:Web:/srv/web:/bin/false\n";
const GROUP: &str = "root:x:0:\nweb:x:3302:\ndata:x:3303:other,web\nvideo:x:44:\n";

/// A service that tells these words as one event, and stays.
fn telling(name: &str, words: &str, keys: &str) -> String {
    format!("[service.{name}]\ncommand = '''echo {name} {words} >$E; exec sleep 10000'''\n{keys}\n")
}

/// The ids of the process, from the kernel.
const IDS: &str = "$(grep -hE '^(Uid|Gid|Groups):' /proc/self/status)";
const CAPABILITIES: &str = "$(grep -hE '^Cap(Inh|Prm|Eff|Bnd|Amb):' /proc/self/status)";

impl Tree {
    /// What makes the user database the one above.
    fn database(&self) -> &'static str {
        fs::write(self.dir.join("passwd"), PASSWD).unwrap();
        fs::write(self.dir.join("group"), GROUP).unwrap();
        "mount --bind $D/passwd /etc/passwd && mount --bind $D/group /etc/group && exec"
    }

    /// What `cox check` says about cox.toml, in the same place as cox itself.
    fn check(&self, script: &str, variables: &[(&str, &str)]) -> (i32, Vec<String>) {
        let mut command = self.prepared_toml(script);
        let last = command.get_args().last().unwrap().to_str().unwrap().to_string();
        let (before, file) = last.rsplit_once(' ').unwrap();
        let script = format!("{before} check {file}");
        command = namespace();
        command.args(["sh", "-c", &script]).envs(variables.iter().copied());
        let (code, out, err) = finish(&mut command);
        assert_eq!(err, "");
        (code, sorted(out.lines()))
    }
}

fn sorted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = lines.map(String::from).collect();
    lines.sort();
    lines
}

/// The next `count` lines on stderr, without `cox: `, in order.
fn said(cox: &mut Cox, count: usize) -> Vec<String> {
    let lines: Vec<String> = (0..count).map(|_| cox.stderr.next()).collect();
    sorted(lines.iter().map(|line| line.strip_prefix("cox: ").unwrap()))
}

#[test]
fn a_service_is_its_user_with_groups_home_and_name() {
    let mut tree = Tree::new();
    let words = format!("{IDS} $HOME ${{USER-none}} ${{LOGNAME-none}}");
    tree.toml(
        &[
            telling("a", &words, "user = 'web'"),
            telling("b", &words, "user = 'web:data'\nafter = 'a'"),
            telling("c", &words, "user = '${PUID:-1000}:${PGID:-1000}'"),
            telling("d", &words, "user = '${NOBODY:-1000}'\ngroups = ['video', 5005]"),
            telling("e", &words, "user = 3301\nenv = { HOME = '/elsewhere' }"),
            telling("f", &words, ""),
            telling("g", &words, "groups = []"),
        ]
        .concat(),
    );
    let mut command = tree.prepared_toml(tree.database());
    command.envs([("PUID", "4000"), ("PGID", "4001"), ("HOME", "/here")]);
    command.envs([("USER", "tester"), ("LOGNAME", "tester")]);
    let cox = Cox::start(&mut command);
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap().trim();
    let ids = |uid: u32, gid: u32, groups: &str| {
        let four = |id: u32| format!("{id} {id} {id} {id}");
        let groups = if groups.is_empty() { String::new() } else { format!(" {groups}") };
        format!("Uid: {} Gid: {} Groups:{groups}", four(uid), four(gid))
    };
    tree.expect_all(
        [
            format!("a {} /srv/web web web", ids(3301, 3302, "3302 3303")),
            format!("b {} /srv/web web web", ids(3301, 3303, "3303")),
            format!("c {} / none none", ids(4000, 4001, "4001")),
            format!("d {} / none none", ids(1000, 0, "0 44 5005")),
            format!("e {} /elsewhere web web", ids(3301, 3302, "3302 3303")),
            format!("f {} /here tester tester", ids(0, 0, own)),
            format!("g {} /root root root", ids(0, 0, "0")),
        ]
        .each_ref()
        .map(String::as_str),
    );
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_service_has_its_directory_variables_umask_and_limits() {
    let mut tree = Tree::new();
    fs::create_dir_all(tree.dir.join("srv/www")).unwrap();
    fs::write(tree.dir.join("one.env"), "A=file\nB=file\nF=$A\nKEPT\n").unwrap();
    let limits = "$(grep -hE '^Max (open files|core file size|file size)' /proc/self/limits)";
    let variables = "$A,$B,$C,$D1,$F,$KEPT,$COMMON";
    tree.toml(&format!(
        "env = {{ COMMON = 'all', A = 'top' }}\n{}{}{}",
        telling(
            "a",
            &format!("$(pwd) $(umask) {variables}"),
            "directory = 'srv/www'\numask = '027'\nenv-file = 'one.env'\n\
             env = { B = 'own', C = '${UNSET:-x} ${SET:-y} $$', D1 = 5 }",
        ),
        telling(
            "b",
            limits,
            "limits = { nofile = '100:unlimited', core = 0, fsize = '1M:2M' }\n\
             umask = '${UMASK:-022}'",
        ),
        telling("c", "$(grep -h NoNewPrivs /proc/self/status) $(umask)", "no-new-privs = true"),
    ));
    let mut command = tree.prepared_toml("umask 077 && cd / && exec");
    command.envs([("SET", "set"), ("KEPT", "kept")]).env_remove("UNSET");
    let cox = Cox::start(&mut command);
    let dir = tree.dir.display().to_string();
    // What may not be raised stays as it is.
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    let own = own.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let hard = own.split_whitespace().nth(4).unwrap();
    tree.expect_all([
        &format!("a {dir}/srv/www 0027 top,own,x set $,5,$A,kept,all"),
        &format!(
            "b Max file size 1048576 2097152 bytes Max core file size 0 0 bytes \
             Max open files 100 {hard} files"
        ),
        "c NoNewPrivs: 1 0077",
    ]);
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn an_env_file_is_read_at_each_start() {
    let mut tree = Tree::new();
    let file = tree.dir.join("web.env");
    fs::write(&file, "A=1\n").unwrap();
    tree.toml(
        "[service.web]\nenv-file = 'web.env'\n\
         command = 'echo $A $PPID $$ >$E; exec sleep 10000'\n",
    );
    let mut cox = tree.run_toml(&[]);
    let pid = tree.after("1 1 ");
    fs::write(&file, "A=2\n").unwrap();
    cox.inside(&format!("kill {pid}"));
    let pid = tree.after("2 1 ");
    fs::write(&file, "A\n\n=2\n").unwrap();
    cox.inside(&format!("kill {pid}"));
    let line =
        look_for(|| Some(cox.stderr.next()).filter(|line| !line.contains("ended by SIGTERM")));
    assert!(line.starts_with(&format!("cox: web: {}:3: ", file.display())), "{line}");
    fs::write(&file, "A=3\n").unwrap();
    tree.after("3 1 ");
    assert_eq!(cox.stop().0, 0);
}

#[test]
fn of_the_capabilities_only_the_named_are_kept() {
    let mut tree = Tree::new();
    tree.toml(
        &[
            telling("a", CAPABILITIES, "capabilities = ['net_bind_service']"),
            telling(
                "b",
                CAPABILITIES,
                "capabilities = ['CAP_NET_BIND_SERVICE', 'chown']\nuser = 'web'",
            ),
            telling("c", CAPABILITIES, "capabilities = []"),
            telling("d", CAPABILITIES, "capabilities = []\nuser = 'web'"),
            telling("e", CAPABILITIES, "user = 'web'"),
            telling("f", CAPABILITIES, ""),
        ]
        .concat(),
    );
    let cox = Cox::start(&mut tree.prepared_toml(tree.database()));
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = |key| own.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim();
    let (permitted, bounding) = (own("CapPrm:"), own("CapBnd:"));
    let sets = |held: &str, bounding: &str, ambient: &str| {
        format!("CapPrm: {held} CapEff: {held} CapBnd: {bounding} CapAmb: {ambient}")
    };
    let (none, bind, two) = ("0000000000000000", "0000000000000400", "0000000000000401");
    tree.expect_all(
        [
            format!("a CapInh: {bind} {}", sets(bind, bind, bind)),
            format!("b CapInh: {two} {}", sets(two, two, two)),
            format!("c CapInh: {none} {}", sets(none, none, none)),
            format!("d CapInh: {none} {}", sets(none, none, none)),
            format!("e CapInh: {} {}", own("CapInh:"), sets(none, bounding, none)),
            format!("f CapInh: {} {}", own("CapInh:"), sets(permitted, bounding, own("CapAmb:"))),
        ]
        .each_ref()
        .map(String::as_str),
    );
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_capability_that_cox_has_not_got_is_named_and_the_others_start() {
    let mut tree = Tree::new();
    let words = "$(grep -h CapEff /proc/self/status)";
    tree.toml(
        &[
            telling("a", words, "capabilities = ['net_raw']"),
            telling("b", words, "capabilities = ['chown']"),
        ]
        .concat(),
    );
    let script = "exec setpriv --bounding-set -net_raw --inh-caps -net_raw";
    let mut cox = Cox::start(&mut tree.prepared_toml(script));
    tree.expect("b CapEff: 0000000000000001");
    let line = cox.stderr.next();
    assert_eq!(line, "cox: a: cannot set capabilities: operation not permitted");
    drop(cox);
}

#[test]
fn secrets_come_from_files_and_what_is_wrong_with_one_is_named() {
    let mut tree = Tree::new();
    fs::write(tree.dir.join("secret"), "s3 cret\r\n\n").unwrap();
    let words = "$DB_PASSWORD,${DB_PASSWORD_FILE-none},${API_KEY-none}";
    let with = |env: &str| {
        format!("secrets = ['DB_PASSWORD', 'API_KEY']\nenv = {{ {env} }}\nrestart = 'never'")
    };
    tree.toml(
        &[
            telling("a", words, &with("API_KEY_FILE = '$D/secret'")),
            telling("b", words, &with("DB_PASSWORD = 'plain'")),
            telling("c", words, &with("DB_PASSWORD_FILE = '$D/missing'")),
            telling("d", words, "secrets = 'DB_PASSWORD'"),
            telling("e", words, ""),
        ]
        .concat(),
    );
    let dir = tree.dir.display().to_string();
    let pointer = format!("{dir}/secret");
    let wrong = [
        "b: DB_PASSWORD and DB_PASSWORD_FILE are both set; remove one of them".to_string(),
        format!("c: DB_PASSWORD: read {dir}/missing: no such file or directory"),
    ];
    let (code, found) = tree.check("exec", &[("DB_PASSWORD_FILE", &pointer)]);
    let lines = [6, 11].iter().zip(&wrong);
    let placed = lines.map(|(line, text)| format!("{dir}/cox.toml:{line}: service {text}"));
    let mut placed: Vec<String> = placed.collect();
    placed.sort();
    assert_eq!((code, found), (1, placed));
    let mut cox = Cox::start(tree.prepared_toml("exec").env("DB_PASSWORD_FILE", &pointer));
    tree.expect_all([
        "a s3 cret,none,s3 cret",
        "d s3 cret,none,none",
        &format!("e ,{pointer},none"),
    ]);
    assert_eq!(said(&mut cox, 2), wrong);
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn what_only_root_can_do_is_refused_elsewhere_and_the_others_start() {
    let mut tree = Tree::new();
    let words = "$(id -u):$(id -g)";
    tree.toml(
        &[
            telling("a", words, "user = 'web'"),
            telling("b", words, "user = '3301:3302'\nlimits = { nofile = 100 }"),
            telling("c", words, "user = 'root'"),
            telling("d", words, "groups = ['video']"),
            telling("e", words, "user = 'web'\ncapabilities = []"),
        ]
        .concat(),
    );
    let script = [tree.database(), " setpriv --reuid 3301 --regid 3302 --clear-groups"].concat();
    let place = |line: u32| format!("{}/cox.toml:{line}: service", tree.dir.display());
    let cure = "run cox as root, or remove the key";
    let expected = [
        format!("{} d: groups: only root can run something as 3301; {cure}", place(13)),
        format!("{} e: capabilities: only root can choose them; {cure}", place(17)),
        format!("{} c: user: only root can run something as root; {cure}", place(10)),
    ];
    let expected = sorted(expected.iter().map(String::as_str));
    assert_eq!(tree.check(&script, &[]), (1, expected.clone()));
    let mut cox = Cox::start(tree.prepared_toml(&script).env("COX_SOCKET", "none"));
    tree.expect_all(["a 3301:3302", "b 3301:3302"]);
    assert_eq!(said(&mut cox, 3), expected);
    assert_eq!(cox.stop(), (0, String::new()));
}

#[test]
fn a_user_or_group_that_does_not_exist_is_named_and_the_others_start() {
    let mut tree = Tree::new();
    tree.toml(
        &[
            telling("a", "runs", "user = 'nobody-here'"),
            telling("b", "runs", "user = 'web:nogroup'"),
            telling("c", "runs", "groups = ['sound']"),
            telling("d", "runs", "user = 4294967295"),
            telling("e", "runs", ""),
        ]
        .concat(),
    );
    let (code, expected) = tree.check(tree.database(), &[]);
    assert_eq!((code, expected.len()), (1, 4));
    let mut cox = Cox::start(&mut tree.prepared_toml(tree.database()));
    tree.expect("e runs");
    assert_eq!(said(&mut cox, 4), expected);
    assert_eq!(cox.stop(), (0, String::new()));
}
