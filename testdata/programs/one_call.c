/*
 * one_call SECONDS: one thread waits again and again at one instruction, of which the kernel makes different waits: a read of a pipe,
 * of a timer, of an eventfd, of a socket, and a nap. In user mode all these stacks are alike to the last word, in the kernel none is.
 *
 * What is asked for stands in memory, not in registers or on the stack. How long a wait was is measured around it, as off_cpu.c does.
 *
 * Prints:
 *   TRUTH <kind> <nanoseconds blocked> <how often>
 *   WAKER <kind> <name of the thread that ended the waits, or [interrupt]>
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "waited.h"

static void nap(long microseconds) {
    struct timespec length = {microseconds / 1000000, microseconds % 1000000 * 1000};
    while (nanosleep(&length, &length) && errno == EINTR)
        ;
}

enum { PIPE, TIMER, EVENT, SOCKET, NAP, KINDS };

static struct kind {
    const char *name;
    const char *waker;
    long microseconds;
    int reads, writes;
    u64 blocked, times;
} kinds[KINDS] = {
    [PIPE] = {"pipe", "writes", 10000},    [TIMER] = {"timer", "[interrupt]", 30000},
    [EVENT] = {"event", "writes", 7000},   [SOCKET] = {"socket", "writes", 4000},
    [NAP] = {"nap", "[interrupt]", 15000},
};

/* Some follow on themselves, and each on each other. */
static const unsigned char order[] = {PIPE,  PIPE,  TIMER, PIPE,   EVENT,  EVENT, TIMER, TIMER,  EVENT, PIPE,  SOCKET,
                                      SOCKET, PIPE, NAP,   NAP,    EVENT,  NAP,   SOCKET, EVENT, SOCKET, TIMER, SOCKET,
                                      NAP,   TIMER, NAP,   PIPE};

static volatile unsigned at;
static volatile int over;
static volatile long asked[4];
static struct account before;

/* The one call. */
__attribute__((noipa)) long same_inner(void) {
    volatile long kept[5] = {0};
    return syscall(asked[0], asked[1], asked[2], asked[3]) + kept[0];
}

__attribute__((noipa)) long same_outer(void) {
    volatile long kept[11] = {0};
    return same_inner() + kept[0];
}

static sem_t is_asked;
static volatile int asked_for;

/* Writes when it is asked to, which does not wait. */
static void *writes(void *unused) {
    prctl(PR_SET_NAME, "writes");
    for (;;) {
        while (sem_wait(&is_asked))
            ;
        if (over) return unused;
        struct kind *kind = &kinds[asked_for];
        u64 one = 1;
        nap(kind->microseconds);
        if (write(kind->writes, &one, sizeof one) != sizeof one) fail("write");
    }
}

static u64 into;
static struct timespec length;

__attribute__((noipa)) void asks(void) {
    unsigned number = order[at % sizeof order];
    struct kind *kind = &kinds[number];
    if (number == NAP) {
        length.tv_nsec = kind->microseconds * 1000;
        asked[0] = SYS_nanosleep;
        asked[1] = (long)&length;
        asked[2] = asked[3] = 0;
        return;
    }
    asked[0] = SYS_read;
    asked[1] = kind->reads;
    asked[2] = (long)&into;
    asked[3] = sizeof into;
    if (number == TIMER) {
        struct itimerspec once = {.it_value = {.tv_nsec = kind->microseconds * 1000}};
        if (timerfd_settime(kind->reads, 0, &once, NULL)) fail("timerfd_settime");
    } else {
        asked_for = (int)number;
        sem_post(&is_asked);
    }
}

__attribute__((noipa)) void takes(long result) {
    if (result < 0) fail("the call");
    struct account after = account();
    struct kind *kind = &kinds[order[at % sizeof order]];
    kind->blocked += blocked_between(&before, &after);
    kind->times += after.blocked_times - before.blocked_times;
    at++;
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: one_call SECONDS\n"), 2;
    /* Timers of 1 us instead of 50. */
    prctl(PR_SET_TIMERSLACK, 1000);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) fail("pipe2");
    kinds[PIPE].reads = ends[0], kinds[PIPE].writes = ends[1];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) fail("socketpair");
    kinds[SOCKET].reads = ends[0], kinds[SOCKET].writes = ends[1];
    kinds[EVENT].reads = kinds[EVENT].writes = eventfd(0, EFD_CLOEXEC);
    kinds[TIMER].reads = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (kinds[EVENT].reads < 0 || kinds[TIMER].reads < 0) fail("open");
    /* The first call opens a file. */
    account();
    pthread_t thread;
    sem_init(&is_asked, 0, 0);
    if (pthread_create(&thread, NULL, writes, NULL)) fail("pthread_create");
    u64 until = nanoseconds(CLOCK_MONOTONIC) + (u64)(strtod(argv[1], NULL) * 1e9);
    while (nanoseconds(CLOCK_MONOTONIC) < until) {
        asks();
        before = account();
        takes(same_outer());
    }
    over = 1;
    sem_post(&is_asked);
    pthread_join(thread, NULL);
    for (int kind = 0; kind < KINDS; kind++)
        printf("TRUTH %s %llu %llu\nWAKER %s %s\n", kinds[kind].name, (unsigned long long)kinds[kind].blocked,
               (unsigned long long)kinds[kind].times, kinds[kind].name, kinds[kind].waker);
    return 0;
}
