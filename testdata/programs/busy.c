/*
 * busy SECONDS: one thread that uses SECONDS of CPU time, all of it in user code.
 *
 * Prints: CPU <seconds by CLOCK_PROCESS_CPUTIME_ID, the loader's included>
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((noipa)) void burn(uint64_t nanoseconds) {
    uint64_t x = 1;
    while (cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) < nanoseconds) x = dispatch(0, 200000, x);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: busy SECONDS\n"), 2;
    burn((uint64_t)(strtod(argv[1], NULL) * 1e9));
    printf("CPU %.6f\n", (double)cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    return 0;
}
