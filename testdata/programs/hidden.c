/* A function with another inlined into it, and a place in the source that a debug file alone tells: tests/debuginfod.rs. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline __attribute__((always_inline)) unsigned long hidden_turn(unsigned long value)
{
    for (int turn = 0; turn < 1000; turn++)
        value = value * 6364136223846793005ul + 1442695040888963407ul;
    return value;
}

static __attribute__((noinline)) unsigned long hidden_work(unsigned long value, int rounds)
{
    for (int round = 0; round < rounds; round++)
        value ^= hidden_turn(value);
    return value;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1.0;
    unsigned long value = 1;
    while ((double)clock() / CLOCKS_PER_SEC < seconds)
        value = hidden_work(value, 100) + 1;
    printf("%lu\n", value & 1);
    return 0;
}
