/*
 * reuse SECONDS LIBRARY LIBRARY: loads the two libraries in turn, and unloads each before it loads the other, so that they stand at
 * the same addresses. What the first has there is called only_in_first, by wants_first; of the second likewise.
 *
 * Each library is late_library.c with -Dlate_work=only_in_first, or only_in_second. All with -DNAPS: they wait, and the seconds are
 * those of the clock.
 *
 * Prints: REUSED <how often a library's function stood where the other's was before>, CPU <seconds>
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOIPA __attribute__((noipa))

typedef uint64_t work_function(uint64_t turns, uint64_t x);

#ifdef NAPS
#define CLOCK CLOCK_MONOTONIC
#else
#define CLOCK CLOCK_PROCESS_CPUTIME_ID
#endif

static double clock_seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

NOIPA uint64_t wants_first(work_function *work, uint64_t x) {
    x = work(1500000, x);
    __asm__ volatile("" : "+r"(x));
    return x;
}

NOIPA uint64_t wants_second(work_function *work, uint64_t x) {
    x = work(1500000, x);
    __asm__ volatile("" : "+r"(x));
    return x;
}

static void *load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror()), exit(1);
    return library;
}

static work_function *find(void *library, const char *name) {
    work_function *work = (work_function *)dlsym(library, name);
    if (!work) fprintf(stderr, "no %s\n", name), exit(1);
    return work;
}

int main(int count, char **arguments) {
    if (count != 4) return fprintf(stderr, "usage: reuse SECONDS LIBRARY LIBRARY\n"), 2;
    double seconds = strtod(arguments[1], NULL);
    unsigned reused = 0;
    uint64_t x = 1;
    double begin = clock_seconds(CLOCK);
    while (clock_seconds(CLOCK) - begin < seconds) {
        void *first = load(arguments[2]);
        work_function *there = find(first, "only_in_first");
        x = wants_first(there, x);
        dlclose(first);
        void *second = load(arguments[3]);
        work_function *here = find(second, "only_in_second");
        reused += (uintptr_t)here == (uintptr_t)there;
        x = wants_second(here, x);
        dlclose(second);
    }
    printf("REUSED %u\nCPU %f\n", reused, clock_seconds(CLOCK_PROCESS_CPUTIME_ID));
    return 0;
}
