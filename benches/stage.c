/* The stage on which inits are measured: whatever happens writes the time itself, so that nothing
 * polls while a clock runs. An event is one line, written at once:
 *
 *     KIND NAME PID NANOSECONDS            (CLOCK_MONOTONIC)
 *
 *     stage run EVENTS PROGRAM...          PROGRAM as PID 1 of new pid and mount namespaces:
 *                                          "pid" (as seen from here), and in the end "end CODE"
 *     stage mark EVENTS KIND PROGRAM...    an event, then PROGRAM in this process
 *     stage serve EVENTS NAME [deaf]       a service: "up"; lives until TERM, "term"
 *     stage kill EVENTS SIGNAL PID...      "kill", then the signals
 *     stage move EVENTS FROM TO            "move", then rename(2)
 *     stage orphans EVENTS COUNT [watch]   COUNT orphans: "first", "reaped" when PID 1 has reaped
 *                                          all; "cpu" and "most" (in place of the time): the
 *                                          nanoseconds PID 1 ran for, and its most zombies if asked
 *     stage lines EVENTS LENGTH BYTES      "begin", then lines of LENGTH bytes on stdout
 *     stage pipe EVENTS LENGTH BYTES LOGGER...   the same into LOGGER; "end" when that has ended
 *     stage floor DIRECTORY                what the kernel alone asks of an init: starts each
 *                                          DIRECTORY/NAME/run, and again when it ends
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int events = -1;
static const char *self = "";

static void must(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "stage: %s: %s\n", what, strerror(errno));
		_exit(125);
	}
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void event(const char *kind, const char *name, long number, long long value)
{
	char line[256];
	int length = snprintf(line, sizeof line, "%s %s %ld %lld\n", kind, name, number, value);
	if (write(events, line, length) < 0)
		_exit(125);
}

static void open_events(const char *path)
{
	events = open(path, O_WRONLY | O_CLOEXEC);
	must(events, path);
}

static void execute(char **argv)
{
	execvp(argv[0], argv);
	must(-1, argv[0]);
}

static int run(char **argv)
{
	int status;
	long pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
	must(pid, "clone");
	if (pid == 0) {
		must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
		must(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "mount /proc");
		execute(argv);
	}
	event("pid", "-", pid, now());
	must(waitpid(pid, &status, 0), "wait");
	event("end", "-", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), now());
	return 0;
}

static void obey(int signal)
{
	(void)signal;
	event("term", self, getpid(), now());
	_exit(0);
}

static _Noreturn void serve(const char *name, int deaf)
{
	self = name;
	signal(SIGTERM, deaf ? SIG_IGN : obey);
	event("up", name, getpid(), now());
	for (;;)
		pause();
}

static int kill_all(int number, char **pids)
{
	event("kill", "-", 0, now());
	for (; *pids; pids++)
		kill(atoi(*pids), number);
	return 0;
}

static long long first_number(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd, path);
	must(read(fd, text, sizeof text - 1), path);
	close(fd);
	return atoll(text);
}

/* Of PID 1. Each is a number and a blank. */
static long children(void)
{
	char text[65536];
	long count = 0;
	int fd = open("/proc/1/task/1/children", O_RDONLY | O_CLOEXEC);
	must(fd, "/proc/1/task/1/children");
	for (ssize_t got; (got = read(fd, text, sizeof text)) > 0;)
		for (ssize_t i = 0; i < got; i++)
			count += text[i] == ' ';
	close(fd);
	return count;
}

static int orphans(long count, int watch)
{
	long most = 1;
	long long ran = first_number("/proc/1/schedstat");

	event("first", "-", 0, now());
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();
		must(pid, "fork");
		if (pid == 0) {
			must(fork(), "fork");
			_exit(0);
		}
		must(waitpid(pid, NULL, 0), "wait");
		if (watch) {
			long present = children();
			most = present > most ? present : most;
		}
	}
	while (children() > 1)
		sched_yield();
	event("reaped", "-", 0, now());
	event("cpu", "-", 0, first_number("/proc/1/schedstat") - ran);
	/* The one that lives is this. */
	event("most", "-", 0, most - 1);
	return 0;
}

static int lines(long length, long long bytes)
{
	static char block[60000];
	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (i + 1) % length ? 'a' + i % 26 : '\n';
	size_t whole = sizeof block - sizeof block % length;
	event("begin", "-", 0, now());
	for (; bytes > 0; bytes -= whole)
		for (size_t done = 0; done < whole;) {
			ssize_t wrote = write(1, block + done, whole - done);
			must(wrote, "write");
			done += wrote;
		}
	return 0;
}

static int into_pipe(long length, long long bytes, char **argv)
{
	int ends[2];
	must(pipe(ends), "pipe");
	pid_t pid = fork();
	must(pid, "fork");
	if (pid == 0) {
		must(dup2(ends[0], 0), "dup2");
		close(ends[0]);
		close(ends[1]);
		execute(argv);
	}
	must(dup2(ends[1], 1), "dup2");
	close(ends[0]);
	close(ends[1]);
	lines(length, bytes);
	close(1);
	must(waitpid(pid, NULL, 0), "wait");
	event("end", "-", 0, now());
	return 0;
}

static struct service { char *dir; pid_t pid; } *services;
static size_t count;

static void start(struct service *service)
{
	service->pid = fork();
	must(service->pid, "fork");
	if (service->pid == 0) {
		setsid();
		must(chdir(service->dir), service->dir);
		execl("./run", "./run", NULL);
		_exit(127);
	}
}

static _Noreturn void keep(const char *directory)
{
	struct dirent *entry;
	DIR *dir = opendir(directory);
	if (!dir)
		must(-1, directory);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		services = realloc(services, (count + 1) * sizeof *services);
		must(asprintf(&services[count++].dir, "%s/%s", directory, entry->d_name), "remember");
	}
	closedir(dir);
	for (size_t i = 0; i < count; i++)
		start(&services[i]);
	for (;;) {
		pid_t ended = waitpid(-1, NULL, 0);
		must(ended, "wait");
		for (size_t i = 0; i < count; i++)
			if (services[i].pid == ended)
				start(&services[i]);
	}
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	char **rest = argv + 3;
	int given = argc - 3;

	if (!strcmp(verb, "floor"))
		keep(argv[2]);
	if (argc > 2)
		open_events(argv[2]);
	if (!strcmp(verb, "run") && given >= 1)
		return run(rest);
	if (!strcmp(verb, "mark") && given >= 2) {
		event(rest[0], "-", getpid(), now());
		execute(rest + 1);
	}
	if (!strcmp(verb, "serve") && given >= 1)
		serve(rest[0], given > 1);
	if (!strcmp(verb, "kill") && given >= 2)
		return kill_all(atoi(rest[0]), rest + 1);
	if (!strcmp(verb, "move") && given == 2) {
		event("move", "-", 0, now());
		must(rename(rest[0], rest[1]), rest[1]);
		return 0;
	}
	if (!strcmp(verb, "orphans") && given >= 1)
		return orphans(atol(rest[0]), given > 1);
	if (!strcmp(verb, "lines") && given == 2)
		return lines(atol(rest[0]), atoll(rest[1]));
	if (!strcmp(verb, "pipe") && given >= 3)
		return into_pipe(atol(rest[0]), atoll(rest[1]), rest + 2);
	fprintf(stderr, "usage: see the head of stage.c\n");
	return 125;
}
