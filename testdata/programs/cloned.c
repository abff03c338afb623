/*
 * cloned SECONDS DEPTH [HIDDEN]: recurses in a task that clone(2) has begun, and uses the time at the bottom. Built with frame pointers, its
 * chain of them leads to clone itself, where the stack ends. With HIDDEN its memory is nobody's to read (PR_SET_DUMPABLE, prctl(2)).
 *
 * Prints: CPU <seconds>
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static uint64_t nanoseconds;
static unsigned depth;
static char stack[1 << 20] __attribute__((aligned(64)));

__attribute__((noipa)) uint64_t at_the_bottom(uint64_t x) {
    for (unsigned turn = 0; turn < 200000; turn++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}

__attribute__((noipa)) uint64_t recurses(unsigned left) {
    volatile char kept[16];
    kept[0] = (char)left;
    uint64_t x = 1;
    if (left > 1) x = recurses(left - 1);
    else
        while (cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) < nanoseconds) x = at_the_bottom(x);
    return x + (uint64_t)kept[0];
}

__attribute__((noipa)) int begins(void *unused) {
    (void)unused;
    return recurses(depth) == 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: cloned SECONDS DEPTH [HIDDEN]\n"), 2;
    if (argc > 3) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    nanoseconds = (uint64_t)(strtod(argv[1], NULL) * 1e9);
    depth = (unsigned)strtoul(argv[2], NULL, 10);
    int status;
    int pid = clone(begins, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    if (pid < 0 || waitpid(pid, &status, 0) < 0) return 1;
    printf("CPU %.6f\n", (double)nanoseconds / 1e9);
    return 0;
}
