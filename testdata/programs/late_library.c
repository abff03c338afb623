/*
 * A library that `actor dlopen` loads when the recording already runs: late_work uses CPU time; with -DNAPS it waits, for so many
 * nanoseconds.
 */
#include <stdint.h>
#include <time.h>

__attribute__((noipa)) uint64_t late_work(uint64_t turns, uint64_t x) {
#ifdef NAPS
    struct timespec nap = {(time_t)(turns / 1000000000), (long)(turns % 1000000000)};
    nanosleep(&nap, 0);
    turns = 10;
#endif
    for (uint64_t turn = 0; turn < turns; turn++) {
        x = x * UINT64_C(6364136223846793005) + 19;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}
