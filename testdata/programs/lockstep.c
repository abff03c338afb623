/*
 * lockstep SECONDS: a loop of 10 ms of CPU time, 2.5 ms of it in phase_25 and 7.5 ms in phase_75, for SECONDS.
 *
 * A sampler with a fixed period of 10 ms (100 Hz) sees only one of the two phases, whichever it started in. The phases
 * follow the thread's CPU clock, which is what cpu-clock and task-clock events count.
 *
 * Prints:
 *   TRUTH phase_25 <share>
 *   TRUTH phase_75 <share>
 *   CPU <seconds>
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOP_NANOSECONDS UINT64_C(10000000)

/* A piece of about 10 us between two looks at the clock. */
#define PIECE 8000

#define PHASE(name, addend)                                                                                            \
    LEAF(name##_piece, addend)                                                                                         \
    __attribute__((noipa)) uint64_t name(uint64_t until, uint64_t *x) {                                                \
        uint64_t now;                                                                                                  \
        do *x = name##_piece(PIECE, *x);                                                                               \
        while ((now = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID)) < until);                                              \
        return now;                                                                                                    \
    }

PHASE(phase_25, 13)
PHASE(phase_75, 17)

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: lockstep SECONDS\n"), 2;
    uint64_t loops = (uint64_t)(strtod(argv[1], NULL) * 1e9) / LOOP_NANOSECONDS, x = 1;
    uint64_t start = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID), now = start, in_25 = 0, in_75 = 0;
    for (uint64_t loop = 0; loop < loops; loop++) {
        uint64_t begin = start + loop * LOOP_NANOSECONDS;
        uint64_t turned = phase_25(begin + LOOP_NANOSECONDS / 4, &x);
        in_25 += turned - now;
        now = phase_75(begin + LOOP_NANOSECONDS, &x);
        in_75 += now - turned;
    }
    double total = (double)(in_25 + in_75);
    printf("TRUTH phase_25 %.6f\n", total > 0 ? (double)in_25 / total : 0.0);
    printf("TRUTH phase_75 %.6f\n", total > 0 ? (double)in_75 / total : 0.0);
    printf("CPU %.6f\n", (double)cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    return 0;
}
