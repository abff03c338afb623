/*
 * deep SECONDS DEPTH: recurses so deep, and uses the time at the bottom. -DFRAME=BYTES gives each frame of the recursion an array of
 * that size.
 *
 * Prints: CPU <seconds>
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifndef FRAME
#define FRAME 0
#endif
#define NOIPA __attribute__((noipa))

static double seconds;

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

NOIPA void at_the_bottom(void) {
    uint64_t chain = 1;
    for (unsigned turn = 0; turn < 200000; turn++) {
        chain = chain * UINT64_C(6364136223846793005) + 1442695040888963407u;
        __asm__ volatile("" : "+r"(chain));
    }
}

NOIPA unsigned recurses(unsigned left) {
#if FRAME
    volatile char bytes[FRAME];
    bytes[0] = (char)left;
#endif
    unsigned below = 0;
    if (left > 1) {
        below = recurses(left - 1);
        __asm__ volatile("" : "+r"(below)); /* not a loop */
    } else {
        while (cpu_seconds() < seconds) at_the_bottom();
    }
#if FRAME
    below += (unsigned)bytes[0];
#endif
    return below + 1;
}

int main(int count, char **arguments) {
    if (count != 3) return fprintf(stderr, "usage: deep SECONDS DEPTH\n"), 2;
    seconds = strtod(arguments[1], NULL);
    unsigned depth = (unsigned)strtoul(arguments[2], NULL, 10);
    if (recurses(depth) == 0) return 1;
    printf("CPU %f\n", cpu_seconds());
    return 0;
}
