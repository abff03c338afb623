/*
 * storm_procs fork|exec COUNT [AT_ONCE]: COUNT processes that live for 0.3 to 4 ms of CPU time each, AT_ONCE (4) at a time.
 *
 * `fork` only forks; `exec` forks and executes this same file, so that loader and exec time are part of each life.
 * Process i runs leaf i % 6 for 10 ms times the leaf's share: 4, 2.5, 1.5, 1, 0.7 and 0.3 ms.
 *
 * Prints:
 *   CPU <seconds of the process and its waited-for children, by getrusage>
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noipa)) uint64_t short_process(unsigned leaf, uint64_t per_microsecond) {
    uint64_t result = dispatch(leaf, per_microsecond * 100 * leaf_percent[leaf], 1);
    __asm__ volatile("" : "+r"(result));
    return result;
}

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "child")) {
        volatile uint64_t result = short_process((unsigned)strtoul(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
        (void)result;
        return 0;
    }
    if (argc < 3) return fprintf(stderr, "usage: storm_procs fork|exec COUNT [AT_ONCE]\n"), 2;
    int executes = !strcmp(argv[1], "exec");
    unsigned long count = strtoul(argv[2], NULL, 10);
    unsigned at_once = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 4, running = 0;
    uint64_t per_microsecond = turns_per_microsecond();
    for (unsigned long i = 0; i < count; i++) {
        if (running == at_once) {
            wait(NULL);
            running--;
        }
        unsigned leaf = (unsigned)(i % LEAF_COUNT);
        pid_t child = fork();
        if (child < 0) return perror("fork"), 2;
        if (child == 0) {
            if (!executes) {
                volatile uint64_t result = short_process(leaf, per_microsecond);
                (void)result;
                _exit(0);
            }
            char which[16], speed[24];
            snprintf(which, sizeof which, "%u", leaf);
            snprintf(speed, sizeof speed, "%llu", (unsigned long long)per_microsecond);
            execl("/proc/self/exe", "storm_procs", "child", which, speed, (char *)NULL);
            _exit(127);
        }
        running++;
    }
    while (wait(NULL) > 0) {
    }
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    printf("CPU %.6f\n", seconds(self.ru_utime) + seconds(self.ru_stime) + seconds(children.ru_utime) + seconds(children.ru_stime));
    return 0;
}
