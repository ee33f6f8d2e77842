"""What the benches share: the distribution's peers, and namespaces to run them in."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("CORACLE_CACHE", "/var/cache/coracle"))


def sh(*command, **options):
    """Runs a command that must succeed; gives its output."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout


def fetch(peers, packages):
    """Unpacks the packages that are not installed below `peers`; quiet where that is impossible."""
    stamp = peers / "ready"
    if stamp.exists() or not shutil.which("apt-get"):
        return
    print("bench: fetching the peers that are not installed", file=sys.stderr)
    downloads = peers / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    downloads.chmod(0o777)

    def missing():
        plan = subprocess.run(["apt-get", "-s", "--no-install-recommends", "install", *packages], capture_output=True, text=True)
        return re.findall(r"^Inst (\S+)", plan.stdout, re.M)

    for attempt in range(2):
        done = subprocess.run(["apt-get", "-qq", "download", *missing()], cwd=downloads, capture_output=True)
        if done.returncode == 0:
            break
        subprocess.run(["apt-get", "-qq", "update"], capture_output=True)
    else:
        print("bench: cannot download the peers; only installed ones take part", file=sys.stderr)
        return
    for package in downloads.glob("*.deb"):
        sh("dpkg", "-x", package, peers)
    stamp.touch()


def find(name):
    """The distribution's own, not a newer one from elsewhere."""
    return shutil.which(name, path="/usr/bin:/usr/sbin")


def namespaced(name, packages, script, net=False):
    """Starts this program anew in mount and pid (and net) namespaces that end with it, after the
    shell's `script`; gives that one a scratch directory. What was unpacked of `packages` appears
    in /usr, for it alone, as if it were installed."""
    if "CORACLE_BENCH" in os.environ:
        return Path(os.environ["CORACLE_BENCH"])
    if os.geteuid() != 0:
        sys.exit("bench: namespaces need root")
    peers = CACHE / name
    fetch(peers, packages)
    # Removed when the namespaces have ended, and with them whatever was mounted there.
    with tempfile.TemporaryDirectory(prefix="coracle-bench-") as work:
        os.environ["CORACLE_BENCH"] = work
        script = f"""
            {script}
            [ ! -d {peers}/usr ] || mount -t overlay -o lowerdir={peers}/usr:/usr,ro peers /usr
            "$@"; exit $?
        """
        flags = "-mnpf" if net else "-mpf"
        enter = ["unshare", flags, "--kill-child", "--mount-proc", "sh", "-c", script, "sh"]
        sys.exit(subprocess.call([*enter, *sys.orig_argv]))


def podman_base(work):
    """Podman with all that it has below `work`; the words before its command."""
    program, conmon, runc = find("podman"), find("conmon"), find("runc")
    if not (program and conmon and runc):
        return None
    conf = work / "containers.conf"
    conf.write_text(
        '[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n'
        f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nconmon_path = ["{conmon}"]\n'
        f'[engine.runtimes]\nrunc = ["{runc}"]\n'
    )
    (work / "registries.conf").write_text("")
    os.environ["CONTAINERS_CONF"] = str(conf)
    os.environ["CONTAINERS_REGISTRIES_CONF"] = str(work / "registries.conf")
    return [program, "--root", work / "podman", "--runroot", work / "podman-run", "--tmpdir", work / "podman-tmp",
            "--runtime", "runc", "--storage-driver", "overlay"]


def docker_base(work, tidy):
    """A dockerd with all that it has below `work`, ended by `tidy`; the words before a command."""
    daemon, client = find("dockerd"), find("docker")
    if not (daemon and client):
        return None
    socket = f"unix://{work}/docker.sock"
    log = open(work / "dockerd.log", "w")
    path = "/usr/bin:/usr/sbin:/bin:/sbin"
    process = subprocess.Popen(
        [daemon, "--data-root", work / "docker", "--exec-root", work / "docker-run", "-H", socket, "-p", work / "docker.pid",
         "--storage-driver", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs", "--bridge=none", "--iptables=false"],
        stdout=log, stderr=log, env=dict(os.environ, PATH=path))

    def stop():
        process.terminate()
        process.wait()
        remove_groups("docker")

    tidy.append(stop)
    base = [client, "-H", socket]
    for _ in range(300):
        if process.poll() is not None or subprocess.run([*base, "version"], capture_output=True).returncode == 0:
            break
        time.sleep(0.1)
    if process.poll() is not None:
        last = (work / "dockerd.log").read_text().splitlines()[-1:]
        print(f"bench: dockerd does not start: {last}", file=sys.stderr)
        return None
    return base


def engines(work, tidy, wanted, tar):
    """The engines that take part, by name: the words before a command of each. All have the image
    `busybox`."""
    found = {"coracle": [os.environ.get("CORACLE_BIN", str(TOP / "dist/coracle")), "--root", work / "coracle"]}
    for name, make in (("podman", lambda: podman_base(work)), ("docker", lambda: docker_base(work, tidy))):
        if not wanted or name in wanted:
            found[name] = make()
    found = {name: base for name, base in found.items() if base and (not wanted or name in wanted)}
    for base in found.values():
        sh(*base, "import", tar, "busybox")
    return found


def busybox_tar(work):
    """A root with busybox alone, and it as an archive."""
    rootfs, tar = work / "rootfs", work / "busybox.tar"
    rootfs.mkdir()
    sh(TOP / "images/busybox/stage", rootfs)
    sh("tar", "-C", rootfs, "-cf", tar, "--owner=0", "--group=0", ".")
    return tar


def remove_groups(name):
    """The empty control groups that a peer leaves; the deepest first."""
    for top in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass


def processes(pattern):
    """The pids whose command line matches."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if re.search(pattern, line):
                found.append(int(entry.name))
    return found


def pss(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])


def verdict(met):
    return "met   " if met else "MISSED"
