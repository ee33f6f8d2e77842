/* A program that says much: `lines BYTES` writes as many bytes to stdout, in lines of 100 bytes,
   64 KiB at a time. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
	static char block[655 * 100];
	long left = count > 1 ? atol(words[1]) : 0;
	memset(block, 'x', sizeof block);
	for (size_t end = 99; end < sizeof block; end += 100)
		block[end] = '\n';
	while (left > 0) {
		ssize_t n = write(1, block, left < (long)sizeof block ? (size_t)left : sizeof block);
		if (n < 0)
			return 1;
		left -= n;
	}
	return 0;
}
