/*
 * How long a wait of a thread was, measured around it: what the clock says, less what the thread was on a CPU, less what it could have
 * been (/proc/thread-self/schedstat, second number). How often it blocked are its voluntary context switches (getrusage(2)).
 *
 * _GNU_SOURCE is to be defined.
 */
#ifndef WAITED_H
#define WAITED_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static u64 nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (u64)now.tv_sec * UINT64_C(1000000000) + (u64)now.tv_nsec;
}

/* What a thread has had so far. */
struct account {
    u64 clock, cpu, runnable, blocked_times;
};

static __thread int schedstat = -1;

/* `open` is done by the first call of a thread, which must not be one around a wait. */
static u64 waited_for_cpu(void) {
    char text[128] = "";
    if (schedstat < 0) schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (schedstat < 0 || pread(schedstat, text, sizeof text - 1, 0) <= 0) return 0;
    char *end;
    strtoull(text, &end, 10);
    return strtoull(end, NULL, 10);
}

static struct account account(void) {
    struct account now;
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    now.blocked_times = (u64)usage.ru_nvcsw;
    now.clock = nanoseconds(CLOCK_MONOTONIC);
    now.runnable = waited_for_cpu();
    now.cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    return now;
}

/* How long a thread was off the CPU and blocked between two. */
static u64 blocked_between(const struct account *before, const struct account *after) {
    u64 off = after->clock - before->clock - (after->cpu - before->cpu), runnable = after->runnable - before->runnable;
    return off > runnable ? off - runnable : 0;
}

#endif
