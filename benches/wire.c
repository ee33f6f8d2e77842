/* Both ends of a wire, to measure what lies between.
 *
 *     wire serve PORT
 *     wire send ADDRESS PORT MILLISECONDS     bytes a microsecond (MB/s) that the server got
 *     wire ask ADDRESS PORT COUNT             microseconds of one question, connect and answer: the median
 *
 * The first byte of a connection says what it is for.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[128 << 10];

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void must(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

static int open_at(const char *address, const char *port, struct sockaddr_in *at)
{
	memset(at, 0, sizeof *at);
	at->sin_family = AF_INET;
	at->sin_port = htons(atoi(port));
	must(inet_pton(AF_INET, address, &at->sin_addr) == 1, address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0, "socket");
	return fd;
}

static int dial(const char *address, const char *port)
{
	struct sockaddr_in at;
	int fd = open_at(address, port, &at);
	must(connect(fd, (void *)&at, sizeof at) == 0, address);
	return fd;
}

static void answer(int fd)
{
	char kind;
	uint64_t total = 0;
	ssize_t got;
	if (read(fd, &kind, 1) != 1)
		return;
	if (kind == 'a') {
		must(write(fd, "!", 1) == 1, "write");
		return;
	}
	if (fork() != 0)
		return;
	while ((got = read(fd, buffer, sizeof buffer)) > 0)
		total += got;
	must(write(fd, &total, sizeof total) == sizeof total, "write");
	_exit(0);
}

static void serve(const char *port)
{
	struct sockaddr_in at;
	int on = 1, listener = open_at("0.0.0.0", port, &at);
	signal(SIGCHLD, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	must(bind(listener, (void *)&at, sizeof at) == 0, "bind");
	must(listen(listener, 64) == 0, "listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		must(fd >= 0, "accept");
		answer(fd);
		close(fd);
	}
}

static void send_for(const char *address, const char *port, double length)
{
	uint64_t total = 0;
	int fd = dial(address, port);
	must(write(fd, "s", 1) == 1, "write");
	double began = now(), until = began + length * 1000;
	while (now() < until)
		must(write(fd, buffer, sizeof buffer) > 0, "write");
	shutdown(fd, SHUT_WR);
	must(read(fd, &total, sizeof total) == sizeof total, "read");
	printf("%.1f\n", total / (now() - began));
}

static int by_size(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;
	return (d > 0) - (d < 0);
}

static void ask(const char *address, const char *port, int count)
{
	double *took = calloc(count, sizeof *took);
	must(count > 0 && took, "count");
	for (int i = 0; i < count; i++) {
		char said;
		double began = now();
		int fd = dial(address, port);
		must(write(fd, "a", 1) == 1 && read(fd, &said, 1) == 1, "answer");
		took[i] = now() - began;
		close(fd);
	}
	qsort(took, count, sizeof *took, by_size);
	printf("%.1f\n", took[count / 2]);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(argv[2]);
	else if (argc == 5 && !strcmp(argv[1], "send"))
		send_for(argv[2], argv[3], atof(argv[4]));
	else if (argc == 5 && !strcmp(argv[1], "ask"))
		ask(argv[2], argv[3], atoi(argv[4]));
	else
		return 2;
	return 0;
}
