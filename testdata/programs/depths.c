/*
 * depths DEPTH: says `ready` and waits for a line; then it calls itself so deep, and naps once at each depth, so that each nap has a
 * stack of its own, and the sum of their frames is half the square of the depth. It says `done NAPS`, of those that blocked, and waits
 * until its input ends.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static long switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static long naps;

__attribute__((noipa)) void naps_here(void) {
    struct timespec length = {0, 50000};
    long before = switches();
    nanosleep(&length, NULL);
    naps += switches() > before;
}

__attribute__((noipa)) long goes_down(long left) {
    volatile long kept[2] = {left};
    naps_here();
    if (left > 1) kept[1] = goes_down(left - 1);
    return kept[1] + kept[0];
}

int main(int argc, char **argv) {
    char line[16];
    if (argc < 2) return fprintf(stderr, "usage: depths DEPTH\n"), 2;
    printf("ready\n");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    goes_down(atol(argv[1]));
    printf("done %ld\n", naps);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
    return 0;
}
