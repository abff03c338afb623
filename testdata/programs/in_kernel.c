/*
 * in_kernel SECONDS: main calls reads, which has the kernel clear memory.
 *
 * Prints: CPU <seconds>
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

__attribute__((noinline)) static long reads(int file) {
    long sum = 0;
    for (int turn = 0; turn < 20; turn++) sum += read(file, buffer, sizeof buffer);
    return sum;
}

int main(int count, char **arguments) {
    double seconds = count > 1 ? atof(arguments[1]) : 1;
    int file = open("/dev/zero", O_RDONLY);
    long sum = 0;
    while ((double)clock() / CLOCKS_PER_SEC < seconds) sum += reads(file);
    printf("CPU %f\n", (double)clock() / CLOCKS_PER_SEC);
    return sum < 0;
}
