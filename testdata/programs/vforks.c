/*
 * vforks TIMES: vfork and exec of itself, so many times; each child uses a few milliseconds.
 *
 * Prints: CPU <seconds>, of all
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOIPA __attribute__((noipa))

NOIPA uint64_t child_work(uint64_t turns) {
    uint64_t chain = 1;
    for (uint64_t turn = 0; turn < turns; turn++) {
        chain = chain * UINT64_C(6364136223846793005) + 1442695040888963407u;
        __asm__ volatile("" : "+r"(chain));
    }
    return chain;
}

NOIPA void spawns(char *self) {
    char *arguments[] = {self, NULL};
    pid_t child = vfork();
    if (child == 0) {
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) exit(1);
}

static double seconds_of(int who) {
    struct rusage used;
    getrusage(who, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int count, char **arguments) {
    if (count < 2) {
        uint64_t x = child_work(1500000);
        __asm__ volatile("" ::"r"(x));
        return 0;
    }
    for (unsigned left = (unsigned)strtoul(arguments[1], NULL, 10); left; left--) spawns(arguments[0]);
    printf("CPU %f\n", seconds_of(RUSAGE_SELF) + seconds_of(RUSAGE_CHILDREN));
    return 0;
}
