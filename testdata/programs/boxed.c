/*
 * boxed MILLISECONDS: says "ready", then uses so much CPU time in a function with another one inlined.
 *
 * Compiled with debug information, which tests take apart and hide in places where only its own process sees it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline __attribute__((always_inline)) uint64_t inlined_work(uint64_t x) {
    for (int i = 0; i < 100000; i++)
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407; /* the line of the work */
    return x;
}

__attribute__((noipa)) static uint64_t hidden_work(uint64_t x) {
    return inlined_work(x) ^ 1; /* the line of the call */
}

int main(int argc, char **argv) {
    uint64_t x = 1;
    clock_t until = clock() + (argc > 1 ? atol(argv[1]) : 1000) * (CLOCKS_PER_SEC / 1000);
    puts("ready");
    fflush(stdout);
    while (clock() < until) x = hidden_work(x);
    return x == 0;
}
