/* Runs a command several times and prints the wall time of each run, in microseconds.
 *
 *     timer COUNT SPACING_MS PROGRAM [ARGUMENT...]
 *
 * The clock runs from before the spawn until the command is reaped. A command that fails ends it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: timer COUNT SPACING_MS PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	long spacing = atol(argv[2]);
	for (long left = atol(argv[1]); left > 0; left--) {
		struct timespec rest = { spacing / 1000, spacing % 1000 * 1000000 };
		nanosleep(&rest, NULL);
		double began = now();
		pid_t pid;
		int status;
		errno = posix_spawnp(&pid, argv[3], NULL, NULL, argv + 3, environ);
		if (errno) {
			perror(argv[3]);
			return 1;
		}
		waitpid(pid, &status, 0);
		double took = now() - began;
		if (status != 0) {
			fprintf(stderr, "timer: %s ended with status %#x\n", argv[3], status);
			return 1;
		}
		printf("%.0f\n", took);
	}
	return 0;
}
