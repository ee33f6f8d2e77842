/* The floor: what the kernel alone asks for a container. A process in five new namespaces and a
 * network namespace, an overlay over a root directory, /proc, /sys and /dev, pivot_root, exec.
 * No image, no record, no log, no control group, no seccomp.
 *
 *     floor ROOTFS SCRATCH PROGRAM [ARGUMENT...]     exits with the program's code
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
		_exit(125);
	}
}

static const struct { const char *path; unsigned major, minor; } devices[] = {
	{ "dev/null", 1, 3 }, { "dev/zero", 1, 5 }, { "dev/full", 1, 7 },
	{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
};

static void child(const char *rootfs, const char *scratch, char **argv)
{
	char options[3 * 4096];
	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
	must(chdir(scratch), scratch);
	snprintf(options, sizeof options,
		 "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,index=off,metacopy=off,volatile",
		 rootfs, scratch, scratch);
	must(mount("overlay", "root", "overlay", 0, options), "mount the overlay");
	must(chdir("root"), "root");
	must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount proc");
	must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL), "mount sysfs");
	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"), "mount dev");
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		must(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)), devices[i].path);
	must(mkdir("dev/pts", 0755), "dev/pts");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"), "mount devpts");
	must(mkdir("dev/shm", 01777), "dev/shm");
	must(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m"), "mount shm");
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "unmount the old root");
	must(chdir("/"), "/");
	must(sethostname("floor", 5), "sethostname");
	execve(argv[0], argv, (char *[]) { "PATH=/bin", NULL });
	must(-1, argv[0]);
}

int main(int argc, char **argv)
{
	char path[4096];
	int status;

	if (argc < 4) {
		fprintf(stderr, "usage: floor ROOTFS SCRATCH PROGRAM [ARGUMENT...]\n");
		return 125;
	}
	/* As an engine would: fresh directories for each run, removed after it. */
	snprintf(path, sizeof path, "%s/%d", argv[2], getpid());
	must(mkdir(path, 0700), path);
	const char *parts[] = { "upper", "work", "root" };
	int scratch = open(path, O_DIRECTORY | O_PATH | O_CLOEXEC);
	must(scratch, path);
	for (int i = 0; i < 3; i++)
		must(mkdirat(scratch, parts[i], 0755), parts[i]);

	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_NEWNET,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	must(pid, "clone3");
	if (pid == 0)
		child(argv[1], path, argv + 3);
	must(waitpid(pid, &status, 0), "wait");

	unlinkat(scratch, "work/work", AT_REMOVEDIR);
	unlinkat(scratch, "work/index", AT_REMOVEDIR);
	/* volatile leaves its mark: work/incompat/volatile/dirty */
	unlinkat(scratch, "work/work/incompat/volatile/dirty", 0);
	unlinkat(scratch, "work/work/incompat/volatile", AT_REMOVEDIR);
	unlinkat(scratch, "work/work/incompat", AT_REMOVEDIR);
	unlinkat(scratch, "work/work", AT_REMOVEDIR);
	for (int i = 0; i < 3; i++)
		unlinkat(scratch, parts[i], AT_REMOVEDIR);
	must(rmdir(path), path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
