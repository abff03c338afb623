/*
 * nested SECONDS: main calls outer, outer calls middle_a and middle_b in turn, and these call hot_a and hot_b, which use the time
 * and have no frame of their own: built with frame pointers, a chain of them has no middle_a.
 *
 * Prints: CPU <seconds>
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __clang__
#define NOIPA __attribute__((noinline))
#else
#define NOIPA __attribute__((noipa))
#endif

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#define HOT(name, addend)                                                                                              \
    NOIPA uint32_t name(uint32_t turns, uint32_t x) {                                                                  \
        for (uint32_t turn = 0; turn < turns; turn++) {                                                                \
            x = x * 1664525u + (addend);                                                                               \
            __asm__ volatile("" : "+r"(x));                                                                            \
        }                                                                                                              \
        return x;                                                                                                      \
    }
HOT(hot_a, 1013904223u)
HOT(hot_b, 12345u)

NOIPA uint32_t middle_a(uint32_t x) {
    x = hot_a(60000, x);
    __asm__ volatile("" : "+r"(x)); /* not a tail call */
    return x;
}

NOIPA uint32_t middle_b(uint32_t x) {
    uint32_t kept[20];
    for (unsigned i = 0; i < 20; i++) kept[i] = hot_b(3000, x + i);
    __asm__ volatile("" ::"r"(kept) : "memory");
    return kept[x % 20];
}

NOIPA uint32_t outer(uint32_t x) {
    x = middle_a(x) + middle_b(x);
    __asm__ volatile("" : "+r"(x));
    return x;
}

int main(int count, char **arguments) {
    double seconds = count > 1 ? strtod(arguments[1], NULL) : 1;
    uint32_t x = 1;
    while (cpu_seconds() < seconds) x = outer(x);
    __asm__ volatile("" ::"r"(x));
    printf("CPU %f\n", cpu_seconds());
    return 0;
}
