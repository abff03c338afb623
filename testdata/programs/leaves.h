/*
 * Six leaves whose shares of the CPU time are known: 40, 25, 15, 10, 7 and 3 %.
 *
 * Each is one chain of multiply and add in which every step waits for the one before. Its speed is the latency of the
 * two instructions, so neither alignment nor the neighbours' code change it, and turns are a measure of time.
 */
#ifndef LEAVES_H
#define LEAVES_H

#include <stdint.h>
#include <time.h>

#define LEAF_COUNT 6

/* The empty asm keeps the compiler from unrolling, vectorizing or solving the recurrence. */
#define LEAF(name, addend)                                                                                             \
    __attribute__((noipa)) uint64_t name(uint64_t turns, uint64_t x) {                                                 \
        for (uint64_t turn = 0; turn < turns; turn++) {                                                                \
            x = x * UINT64_C(6364136223846793005) + (addend);                                                          \
            __asm__ volatile("" : "+r"(x));                                                                            \
        }                                                                                                              \
        return x;                                                                                                      \
    }

LEAF(leaf_40, 1)
LEAF(leaf_25, 3)
LEAF(leaf_15, 5)
LEAF(leaf_10, 7)
LEAF(leaf_07, 9)
LEAF(leaf_03, 11)

typedef uint64_t leaf_function(uint64_t turns, uint64_t x);

static leaf_function *const leaves[LEAF_COUNT] = {leaf_40, leaf_25, leaf_15, leaf_10, leaf_07, leaf_03};
static const char *const leaf_names[LEAF_COUNT] = {"leaf_40", "leaf_25", "leaf_15", "leaf_10", "leaf_07", "leaf_03"};
static const unsigned leaf_percent[LEAF_COUNT] = {40, 25, 15, 10, 7, 3};

static inline uint64_t cpu_nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* The one call site of all leaves, a frame of its own between a leaf and who wanted it. */
__attribute__((noipa)) uint64_t dispatch(unsigned leaf, uint64_t turns, uint64_t x) {
    uint64_t result = leaves[leaf](turns, x);
    __asm__ volatile("" : "+r"(result)); /* not a tail call: dispatch stays on the stack */
    return result;
}

/* Turns of a leaf that take a microsecond of this CPU, the best of five tries. */
static inline uint64_t turns_per_microsecond(void) {
    const uint64_t turns = 400000;
    uint64_t best = UINT64_MAX, x = 1;
    for (int attempt = 0; attempt < 5; attempt++) {
        uint64_t before = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        x = dispatch(0, turns, x);
        uint64_t took = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) - before;
        if (took < best) best = took;
    }
    uint64_t per = turns * 1000 / (best ? best : 1);
    return per ? per : 1;
}

#endif
