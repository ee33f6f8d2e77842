//! "Running multiple services in a Docker container with daemontools", typed as it is printed.
//!
//! In a root of its own, made of this machine's by an overlay, with pids, mounts and network of its
//! own: what is installed is there, nothing that is changed outlives the test. Its svscan is ours.

use crate::harness::{Cox, Tree, cox_binary, finish, have, look_for};
use coracle::sys::fifo;
use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

const RUN: &str = "#!/bin/bash\nexec /usr/sbin/sshd\n";

/// `unshare`, up to the program: PID 1 in the article's container, which is Debian with
/// openssh-server, and neither /etc/services nor /var/run/sshd there yet. Its /run is `tree`'s.
fn container(tree: &Tree) -> Command {
    let script = "set -eu
        cd \"$1\"
        exec <typed >events
        mkdir root upper run
        mount -t tmpfs -o mode=755 tmpfs upper
        mkdir upper/new upper/work
        mount -t overlay -o lowerdir=/,upperdir=upper/new,workdir=upper/work overlay root
        for dir in dev proc; do mount --rbind /$dir root/$dir; done
        mount --bind run root/run
        rm -rf root/etc/services root/usr/bin/svscan
        cp \"$2\" root/usr/bin/svscan
        ip link set lo up
        cd root
        mkdir -p old
        pivot_root . old
        umount -l old
        cd /
        export PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb
        # The package makes them when it is installed.
        ssh-keygen -A >/dev/null
        shift 2
        exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--net", "--kill-child", "--", "sh", "-c"]);
    command.arg(script).arg("sh").arg(&tree.dir).arg(cox_binary());
    command
}

/// A terminal in the container.
struct Terminal {
    tree: Tree,
    typed: File,
    container: Cox,
}

impl Terminal {
    /// With bash as PID 1, ready to be typed at.
    fn new() -> Terminal {
        let tree = Tree::new();
        let path = tree.dir.join("typed");
        fifo::make(&path, 0o600).unwrap();
        let typed = fifo::open_both_ends(&path).unwrap();
        let bash = "PS1='READY\\n' unshare --pid --fork --mount-proc --kill-child -- \
                    bash --norc --noprofile --noediting -i";
        let mut command = container(&tree);
        let container =
            Cox::start(command.args(["script", "-q", "-e", "-f", "-c", bash, "/dev/null"]));
        let mut terminal = Terminal { tree, typed, container };
        terminal.answer();
        terminal
    }

    fn send(&mut self, text: &str) {
        self.typed.write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        self.tree.events.next().trim_end_matches('\r').to_string()
    }

    /// What is said up to the prompt.
    fn answer(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if let Some(rest) = line.strip_suffix("READY") {
                // The terminal shows the key that was hit.
                let rest = rest.trim_start_matches("^C");
                lines.extend((!rest.is_empty()).then(|| rest.to_string()));
                return lines;
            }
            lines.push(line);
        }
    }

    /// Types a command that says nothing.
    fn silently(&mut self, command: &str) {
        self.send(&format!("{command}\n"));
        assert_eq!(self.answer(), [command]);
    }
}

/// Asks the sshd in the container for its keys, until it answers.
fn keys_of_sshd(container: &Cox) -> String {
    let pid = container.pid().to_string();
    look_for(|| {
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--mount", "--net", "--", "ssh-keyscan", "127.0.0.1"]);
        Some(finish(&mut command).1).filter(|keys| keys.contains("ssh-"))
    })
}

#[test]
fn the_daemontools_article_works_as_it_is_printed() {
    if !have("sshd") || !have("script") {
        return;
    }
    let mut terminal = Terminal::new();
    terminal.silently("mkdir /etc/services");
    terminal.silently("mkdir /etc/services/sshd");
    terminal.send(&format!("cat > /etc/services/sshd/run <<EOF\n{RUN}EOF\n"));
    terminal.answer();
    terminal.silently("chmod +x /etc/services/sshd/run");

    // The first try tells what is missing, and nothing else, however often it is tried.
    terminal.send("svscan /etc/services\n");
    assert_eq!(terminal.line(), "svscan /etc/services");
    let missing = "Missing privilege separation directory: ";
    let lines = [terminal.line(), terminal.line()];
    terminal.send("\x03");
    let rest = terminal.answer();
    for line in lines.iter().chain(&rest) {
        assert!([format!("{missing}/var/run/sshd"), format!("{missing}/run/sshd")].contains(line));
    }

    // The second works, and is silent, though `run` ends again and again: sshd goes into the
    // background.
    terminal.silently("mkdir /var/run/sshd");
    terminal.send("svscan /etc/services\n");
    assert!(keys_of_sshd(&terminal.container).contains("ssh-ed25519"));
    assert!(terminal.tree.dir.join("run/sshd.pid").exists());
    terminal.send("\x03");
    assert_eq!(terminal.answer(), ["svscan /etc/services"]);
    // The daemon went with it: told to stop, it removes its file, which one that is killed does not.
    assert!(!terminal.tree.dir.join("run/sshd.pid").exists());
    terminal.send("exit\n");
    assert_eq!(terminal.container.wait().0, 0);
}

#[test]
fn the_articles_image_runs_sshd_under_pid_1_and_stops_it() {
    if !have("sshd") {
        return;
    }
    let mut tree = Tree::new();
    fs::write(tree.dir.join("typed"), "").unwrap();
    let build = format!(
        "mkdir -p /etc/services/sshd /var/run/sshd && printf '{}' > /etc/services/sshd/run &&
         chmod +x /etc/services/sshd/run && echo built && exec /usr/bin/svscan /etc/services/",
        RUN.replace('\n', "\\n")
    );
    let container = Cox::start(container(&tree).args(["sh", "-c", &build]));
    tree.expect("built");
    assert!(keys_of_sshd(&container).contains("ssh-ed25519"));
    assert!(tree.dir.join("run/sshd.pid").exists());
    assert_eq!(container.stop(), (0, String::new()));
    assert!(!tree.dir.join("run/sshd.pid").exists());
}
