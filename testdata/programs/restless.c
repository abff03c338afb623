/*
 * restless ACT SECONDS [DEPTH]: works at the end of a stack whose frames are known, again and again from its beginning.
 *
 *   narrow DEPTH   DEPTH calls of one function that keeps little on the stack
 *   wide DEPTH     DEPTH calls of one that keeps half a KiB
 *   local          in a function with 64 KiB of its own
 *   turns DEPTH    DEPTH calls of left(), then of right(), which keep different amounts, through left_from() and right_from()
 *   ways           in one function with 64 KiB of its own, called by first_way() and second_way() in turn
 *
 * No stack holds both left() and right(), or both ways.
 *
 * Prints: CPU <seconds>
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is called keeps its frame: the result is changed after the call. */
#define RECURSIVE(name, bytes)                                                                                         \
    __attribute__((noipa)) uint64_t name(unsigned depth, uint64_t x) {                                                 \
        volatile char kept[bytes];                                                                                     \
        kept[x % (bytes)] = (char)x;                                                                                   \
        uint64_t result = depth > 1 ? name(depth - 1, x) : work(x);                                                    \
        return result + (uint64_t)kept[x % (bytes)];                                                                   \
    }

/* About a millisecond. */
__attribute__((noipa)) uint64_t work(uint64_t x) {
    return dispatch(0, 300000, x) + 1;
}

RECURSIVE(narrow, 8)
RECURSIVE(wide, 448)
RECURSIVE(left, 40)
RECURSIVE(right, 136)

__attribute__((noipa)) uint64_t left_from(unsigned depth, uint64_t x) {
    return left(depth, x) + 1;
}

__attribute__((noipa)) uint64_t right_from(unsigned depth, uint64_t x) {
    return right(depth, x) + 1;
}

__attribute__((noipa)) uint64_t local(uint64_t x) {
    volatile char kept[64 << 10];
    memset((char *)kept, (int)x, sizeof kept);
    return work(x) + (uint64_t)kept[x % sizeof kept];
}

__attribute__((noipa)) uint64_t first_way(uint64_t x) {
    return local(x) + 1;
}

__attribute__((noipa)) uint64_t second_way(uint64_t x) {
    return local(x) + 2;
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: restless ACT SECONDS [DEPTH]\n"), 2;
    const char *act = argv[1];
    uint64_t end = (uint64_t)(strtod(argv[2], NULL) * 1e9), x = 1;
    unsigned depth = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
    for (uint64_t turn = 0; cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) < end; turn++) {
        if (!strcmp(act, "narrow")) x += narrow(depth, x);
        else if (!strcmp(act, "wide")) x += wide(depth, x);
        else if (!strcmp(act, "local")) x += local(x);
        else if (!strcmp(act, "turns")) x += turn % 2 ? left_from(depth, x) : right_from(depth, x);
        else if (!strcmp(act, "ways")) x += turn % 2 ? first_way(x) : second_way(x);
        else return fprintf(stderr, "no act %s\n", act), 2;
    }
    printf("CPU %.6f\n", (double)cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    return 0;
}
