/*
 * off_cpu MODE SECONDS: waits at known places for known times.
 *
 *   naps       nanosleep of seven lengths from seven paths, one of them a comparison that qsort calls, two alike up to ten frames
 *   pipe       reads from two pipes that another thread and another process write to
 *   lock       a mutex that another thread holds
 *   fault      touches pages that another thread delivers late (userfaultfd(2))
 *   runqueue   three busy threads on one CPU
 *   all        these one after the other, each for a fifth of the time
 *
 * off_cpu pingpong RATE SECONDS [DEPTH [threads|processes [wait]]]: two threads or processes on one CPU hand a byte to and fro through
 * pipes at the end of DEPTH (8) calls, so that the CPU switches RATE times a second, 0 for as often as it can; until the time is due
 * it spins. With `wait` it prints `ready` and begins when it is sent a line.
 *
 * off_cpu threads NUMBER SECONDS: so many threads block, each at the end of a stack of its own (the bits of its number, the lowest
 * outermost: `bit_0`, `bit_1`), before it prints `ready`, and are still blocked when the program exits.
 *
 * A path is the functions that lead to a wait, outermost first, joined by `;`. How long a wait was is measured around it: what the
 * clock says, less what the thread was on a CPU, less what it could have been (/proc/thread-self/schedstat, second number). How
 * often it blocked are its voluntary context switches (getrusage(2)).
 *
 * Prints:
 *   THREAD <name> <tid> <nanoseconds off the CPU, blocked or not> <nanoseconds of them that it waited for a CPU> <nanoseconds lived>
 *          <how often it blocked> <nanoseconds on the CPU, or waiting for it, before it began to count>
 *   TRUTH <path> <nanoseconds blocked> <how often>
 *   RUNNABLE <path> <nanoseconds waited for a CPU>
 *   WAKER <path> <name of the thread that ended the waits, or [interrupt]>
 *   NONE <mode> <why it cannot be had here>
 *   SWITCHES <how often the two switched> SECONDS <of the clock> CPU <of the two>        of pingpong
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "waited.h"

/* A path and what was waited there; only one thread waits at a path. */
struct place {
    const char *path, *waker;
    u64 blocked, runnable, times;
    int is_used;
};

static void add(struct place *place, const struct account *before) {
    struct account after = account();
    place->blocked += blocked_between(before, &after);
    place->runnable += after.runnable - before->runnable;
    place->times += after.blocked_times - before->blocked_times;
    place->is_used = 1;
}

#define MEASURED(place, wait)                                                                                          \
    do {                                                                                                               \
        struct account before = account();                                                                             \
        wait;                                                                                                          \
        add(place, &before);                                                                                           \
    } while (0)

/*
 * Three functions, NAME_outer to NAME_inner, that lead to `wait`, which sees `long argument` and `result`. The time is taken by the
 * outer one's caller (CALL), so that all of its stack is at the place.
 */
#define PATH(name, waker_name, ...)                                                                                    \
    static struct place name##_place = {.path = #name "_outer;" #name "_middle;" #name "_inner", .waker = waker_name}; \
    __attribute__((noipa)) long name##_inner(long argument) {                                                          \
        long result = 0;                                                                                               \
        __VA_ARGS__;                                                                                                   \
        __asm__ volatile("" : "+r"(result), "+r"(argument));                                                           \
        return result + argument;                                                                                      \
    }                                                                                                                  \
    __attribute__((noipa)) long name##_middle(long argument) {                                                         \
        volatile long kept[5] = {argument};                                                                            \
        return name##_inner(argument + 1) + kept[0];                                                                   \
    }                                                                                                                  \
    __attribute__((noipa)) long name##_outer(long argument) {                                                          \
        volatile long kept[11] = {argument};                                                                           \
        return name##_middle(argument - 1) + kept[0];                                                                  \
    }

#define CALL(name, argument) MEASURED(&name##_place, name##_outer(argument))

#define INTERRUPT "[interrupt]"

static void nap(long microseconds) {
    struct timespec length = {microseconds / 1000000, microseconds % 1000000 * 1000};
    while (nanosleep(&length, &length) && errno == EINTR)
        ;
}

PATH(nap_brief, INTERRUPT, nap(200))
PATH(nap_short, INTERRUPT, nap(1000))
PATH(nap_middle, INTERRUPT, nap(5000))
PATH(nap_long, INTERRUPT, nap(30000))

__attribute__((noipa)) int nap_compares(const void *a, const void *b) {
    nap(2000);
    return *(const int *)a - *(const int *)b;
}

static int compared[2] = {2, 1};
PATH(nap_sorted, INTERRUPT, qsort(compared, 2, sizeof compared[0], nap_compares); result = compared[0])

/* Two stacks that differ in their outermost frames only, all words of the ten innermost ones alike. */
__attribute__((noipa)) long twins(long depth, long microseconds) {
    volatile long kept[3] = {depth};
    if (depth > 0) return twins(depth - 1, microseconds) + kept[0];
    nap(microseconds);
    return kept[0];
}

PATH(nap_left, INTERRUPT, result = twins(8, 3000))
PATH(nap_right, INTERRUPT, result = twins(8, 9000))

/* Names, tids and times of threads, printed at the end. */
static struct ended {
    char name[16];
    int tid;
    u64 off, runnable, lived, blocked_times, before;
} ended[64];
static unsigned ended_count;
static pthread_mutex_t ended_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int over;

static __thread struct account at_begin;

static void begin_thread(const char *name) {
    prctl(PR_SET_NAME, name);
    account();
    at_begin = account();
}

static void end_thread(const char *name) {
    struct account now = account();
    pthread_mutex_lock(&ended_lock);
    if (ended_count < sizeof ended / sizeof *ended) {
        struct ended *one = &ended[ended_count++];
        snprintf(one->name, sizeof one->name, "%s", name);
        one->tid = (int)syscall(SYS_gettid);
        one->lived = now.clock - at_begin.clock;
        one->off = one->lived - (now.cpu - at_begin.cpu);
        one->runnable = now.runnable - at_begin.runnable;
        one->blocked_times = now.blocked_times - at_begin.blocked_times;
        one->before = at_begin.cpu + at_begin.runnable;
    }
    pthread_mutex_unlock(&ended_lock);
    close(schedstat);
    /* `perf sched timehist` adds a wait when its thread next leaves the CPU, and the last of a thread's waits to nobody. */
    nap(100);
}

static void start(pthread_t *thread, void *(*function)(void *), void *argument) {
    if (pthread_create(thread, NULL, function, argument)) fail("pthread_create");
}

static void naps(u64 until) {
    while (nanoseconds(CLOCK_MONOTONIC) < until) {
        for (int turn = 0; turn < 8; turn++) CALL(nap_brief, 1);
        for (int turn = 0; turn < 4; turn++) CALL(nap_short, 1);
        CALL(nap_middle, 1);
        CALL(nap_sorted, 1);
        CALL(nap_long, 1);
        CALL(nap_left, 1);
        CALL(nap_right, 1);
    }
}

/* The writers' ends and the readers'. */
static int of_thread[2], of_process[2];

static long read_byte(int from) {
    char byte = 0;
    if (read(from, &byte, 1) != 1) fail("read");
    return byte;
}

static void write_byte(int to) {
    if (write(to, "x", 1) != 1) fail("write");
}

PATH(writer, INTERRUPT, nap(1000); write_byte(of_thread[1]))
PATH(pipe_thread, "pipe-writer", result = read_byte(of_thread[0]))
PATH(pipe_process, "pipe-child", result = read_byte(of_process[0]))

static void *write_pipe(void *unused) {
    begin_thread("pipe-writer");
    while (!over) CALL(writer, 1);
    write_byte(of_thread[1]);
    end_thread("pipe-writer");
    return unused;
}

__attribute__((noipa)) void child_writes(int to) {
    for (;;) {
        nap(3000);
        if (write(to, "x", 1) != 1) _exit(0);
    }
}

static void reads_of_thread(u64 until) {
    if (pipe2(of_thread, O_CLOEXEC)) fail("pipe2");
    pthread_t thread;
    start(&thread, write_pipe, NULL);
    while (nanoseconds(CLOCK_MONOTONIC) < until) CALL(pipe_thread, 1);
    over = 1;
    pthread_join(thread, NULL);
    over = 0;
}

static void reads_of_process(u64 until) {
    if (pipe2(of_process, O_CLOEXEC)) fail("pipe2");
    int child = fork();
    if (child < 0) fail("fork");
    if (!child) {
        prctl(PR_SET_NAME, "pipe-child");
        signal(SIGPIPE, SIG_IGN);
        close(of_process[0]);
        child_writes(of_process[1]);
    }
    close(of_process[1]);
    while (nanoseconds(CLOCK_MONOTONIC) < until) CALL(pipe_process, 1);
    close(of_process[0]);
    waitpid(child, NULL, 0);
}

/* One after the other: while nobody reads, a pipe fills, and then nobody waits. */
static void pipes(u64 until) {
    reads_of_thread(until - (until - nanoseconds(CLOCK_MONOTONIC)) / 2);
    reads_of_process(until);
}

static pthread_mutex_t contended = PTHREAD_MUTEX_INITIALIZER;
static sem_t is_held;

PATH(holder, INTERRUPT, nap(2000))
PATH(lock, "lock-holder", result = pthread_mutex_lock(&contended))

static void *hold(void *unused) {
    begin_thread("lock-holder");
    while (!over) {
        pthread_mutex_lock(&contended);
        sem_post(&is_held);
        CALL(holder, 1);
        pthread_mutex_unlock(&contended);
        /* So that the other one has it. */
        nap(300);
    }
    sem_post(&is_held);
    end_thread("lock-holder");
    return unused;
}

static void locks(u64 until) {
    sem_init(&is_held, 0, 0);
    pthread_t thread;
    start(&thread, hold, NULL);
    while (nanoseconds(CLOCK_MONOTONIC) < until) {
        sem_wait(&is_held);
        CALL(lock, 1);
        pthread_mutex_unlock(&contended);
    }
    over = 1;
    pthread_join(thread, NULL);
    over = 0;
}

#define FAULT_PAGES 4096
static volatile char *late_pages;
static long page_size;
static int faults_of = -1;

PATH(deliver, INTERRUPT, nap(1500))
PATH(fault, "fault-handler", result = late_pages[argument - argument % page_size])

static void *deliver(void *unused) {
    begin_thread("fault-handler");
    void *page = mmap(NULL, (size_t)page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(page, 1, (size_t)page_size);
    struct pollfd wanted = {.fd = faults_of, .events = POLLIN};
    while (!over) {
        struct uffd_msg message;
        if (poll(&wanted, 1, 20) <= 0 || read(faults_of, &message, sizeof message) != sizeof message) continue;
        CALL(deliver, 1);
        struct uffdio_copy copy = {.dst = message.arg.pagefault.address & ~((u64)page_size - 1),
                                   .src = (u64)(uintptr_t)page,
                                   .len = (u64)page_size};
        if (ioctl(faults_of, UFFDIO_COPY, &copy)) fail("UFFDIO_COPY");
    }
    end_thread("fault-handler");
    return unused;
}

static void faults(u64 until) {
    page_size = sysconf(_SC_PAGESIZE);
    faults_of = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
#ifdef UFFD_USER_MODE_ONLY
    if (faults_of < 0) faults_of = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
#endif
    struct uffdio_api api = {.api = UFFD_API};
    if (faults_of < 0 || ioctl(faults_of, UFFDIO_API, &api)) {
        printf("NONE fault userfaultfd: %s\n", strerror(errno));
        return;
    }
    size_t size = (size_t)page_size * FAULT_PAGES;
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register area = {.range = {.start = (u64)(uintptr_t)pages, .len = size},
                                   .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (pages == MAP_FAILED || ioctl(faults_of, UFFDIO_REGISTER, &area)) fail("UFFDIO_REGISTER");
    madvise(pages, size, MADV_NOHUGEPAGE);
    late_pages = pages;
    pthread_t thread;
    start(&thread, deliver, NULL);
    for (long turn = 0; nanoseconds(CLOCK_MONOTONIC) < until; turn++) {
        /* `fault_outer` hands on one less, `fault_middle` one more. */
        CALL(fault, turn % FAULT_PAGES * page_size);
        if (turn % FAULT_PAGES == FAULT_PAGES - 1) madvise(pages, size, MADV_DONTNEED);
    }
    over = 1;
    pthread_join(thread, NULL);
    over = 0;
}

static void to_first_cpu(void) {
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all)) fail("sched_getaffinity");
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
            break;
        }
    if (sched_setaffinity(0, sizeof one, &one)) fail("sched_setaffinity");
}

static u64 busy_until;

/* One function a thread, so that each has its own truth. */
#define BUSY                                                                                                           \
    while (nanoseconds(CLOCK_MONOTONIC) < busy_until)                                                                  \
        for (volatile int turn = 0; turn < 20000; turn++)                                                              \
            ;
PATH(busy_a, NULL, BUSY)
PATH(busy_b, NULL, BUSY)
PATH(busy_c, NULL, BUSY)

static void *be_busy(void *number) {
    char name[16];
    snprintf(name, sizeof name, "busy-%c", (char)('a' + (long)number));
    to_first_cpu();
    begin_thread(name);
    switch ((long)number) {
    case 0: CALL(busy_a, 1); break;
    case 1: CALL(busy_b, 1); break;
    default: CALL(busy_c, 1);
    }
    end_thread(name);
    return NULL;
}

static void run_queue(u64 until) {
    pthread_t threads[3];
    busy_until = until;
    for (long number = 0; number < 3; number++) start(&threads[number], be_busy, (void *)number);
    for (int number = 0; number < 3; number++) pthread_join(threads[number], NULL);
}

/* One of the two players: plays `turns` from the time that it is due, or as fast as it can, with `period` nanoseconds between. */
struct player {
    int from, to, depth, serves;
    u64 period, until, turns;
};

__attribute__((noipa)) u64 plays(struct player *player) {
    u64 due = nanoseconds(CLOCK_MONOTONIC), turns = 0;
    char byte = 0;
    for (;;) {
        if (player->serves) {
            if (player->period) {
                due += player->period;
                while (nanoseconds(CLOCK_MONOTONIC) < due)
                    ;
            }
            byte = (turns & 15) == 15 && nanoseconds(CLOCK_MONOTONIC) >= player->until;
            if (write(player->to, &byte, 1) != 1) break;
            if (byte) break;
        }
        if (read(player->from, &byte, 1) != 1) break;
        if (!player->serves) {
            if (byte) break;
            if (write(player->to, &byte, 1) != 1) break;
        }
        turns++;
    }
    return turns;
}

__attribute__((noipa)) u64 plays_below(struct player *player, int depth) {
    volatile u64 kept[6] = {(u64)depth};
    u64 turns = depth > 1 ? plays_below(player, depth - 1) : plays(player);
    return turns + kept[1];
}

static void *play(void *player) {
    prctl(PR_SET_NAME, "pong");
    to_first_cpu();
    plays_below(player, ((struct player *)player)->depth);
    return NULL;
}

static void pingpong(double rate, double seconds, int depth, int with_processes) {
    int ping[2], pong[2];
    if (pipe(ping) || pipe(pong)) fail("pipe");
    to_first_cpu();
    u64 begin = nanoseconds(CLOCK_MONOTONIC);
    /* A turn is there and back: two switches on the one CPU. */
    struct player serves = {.from = pong[0], .to = ping[1], .depth = depth, .serves = 1,
                            .period = rate > 0 ? (u64)(2e9 / rate) : 0, .until = begin + (u64)(seconds * 1e9)};
    struct player returns = {.from = ping[0], .to = pong[1], .depth = depth};
    pthread_t thread;
    int child = 0;
    if (with_processes) {
        child = fork();
        if (child < 0) fail("fork");
        if (!child) {
            play(&returns);
            _exit(0);
        }
    } else {
        start(&thread, play, &returns);
    }
    prctl(PR_SET_NAME, "ping");
    u64 turns = plays_below(&serves, depth);
    u64 took = nanoseconds(CLOCK_MONOTONIC) - begin;
    if (child) waitpid(child, NULL, 0);
    else pthread_join(thread, NULL);
    struct rusage own, of_child;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &of_child);
    double cpu = 0;
    struct timeval times[4] = {own.ru_utime, own.ru_stime, of_child.ru_utime, of_child.ru_stime};
    for (int at = 0; at < 4; at++) cpu += (double)times[at].tv_sec + (double)times[at].tv_usec / 1e6;
    printf("SWITCHES %ld\nSECONDS %.6f\nCPU %.6f\nTURNS %llu\n",
           own.ru_nvcsw + own.ru_nivcsw + of_child.ru_nvcsw + of_child.ru_nivcsw, (double)took / 1e9, cpu,
           (unsigned long long)turns);
}

static int never[2];
static unsigned bits;
static sem_t is_blocked;

__attribute__((noipa)) long bit_0(unsigned number, unsigned left);
__attribute__((noipa)) long bit_1(unsigned number, unsigned left);

__attribute__((noipa)) long waits_forever(unsigned number, unsigned left) {
    if (left) return ((number & 1) ? bit_1(number >> 1, left - 1) : bit_0(number >> 1, left - 1)) + 1;
    sem_post(&is_blocked);
    return read_byte(never[0]) + 1;
}

__attribute__((noipa)) long bit_0(unsigned number, unsigned left) {
    volatile long kept[2] = {0};
    return waits_forever(number, left) + kept[0];
}

__attribute__((noipa)) long bit_1(unsigned number, unsigned left) {
    volatile long kept[4] = {1};
    return waits_forever(number, left) + kept[0];
}

static void *blocks(void *number) {
    char name[16];
    snprintf(name, sizeof name, "blocked-%lu", (unsigned long)number);
    prctl(PR_SET_NAME, name);
    waits_forever((unsigned)(uintptr_t)number, bits);
    return NULL;
}

static void block_threads(unsigned number, double seconds) {
    if (pipe(never)) fail("pipe");
    sem_init(&is_blocked, 0, 0);
    while (number > 1u << bits) bits++;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    for (unsigned at = 0; at < number; at++) {
        pthread_t thread;
        if (pthread_create(&thread, &small, blocks, (void *)(uintptr_t)at)) fail("pthread_create");
    }
    for (unsigned at = 0; at < number; at++) sem_wait(&is_blocked);
    /* From the last post to the read. */
    nap(20000);
    printf("ready\n");
    fflush(stdout);
    nap((long)(seconds * 1e6));
    _exit(0);
}

static struct place *const places[] = {
    &nap_brief_place, &nap_short_place,  &nap_middle_place, &nap_long_place, &nap_sorted_place,
    &nap_left_place,  &nap_right_place,  &writer_place,     &pipe_thread_place, &pipe_process_place, &holder_place,
    &lock_place,      &deliver_place,    &fault_place,      &busy_a_place,   &busy_b_place,   &busy_c_place,
};

static const struct {
    const char *name;
    void (*run)(u64 until);
} modes[] = {{"naps", naps}, {"pipe", pipes}, {"lock", locks}, {"fault", faults}, {"runqueue", run_queue}};

int main(int argc, char **argv) {
    const unsigned count = sizeof modes / sizeof *modes;
    if (argc < 3) return fprintf(stderr, "usage: off_cpu MODE SECONDS\n"), 2;
    if (argc > 3 && !strcmp(argv[1], "pingpong")) {
        if (argc > 6) {
            printf("ready\n");
            fflush(stdout);
            read_byte(0);
        }
        pingpong(strtod(argv[2], NULL), strtod(argv[3], NULL), argc > 4 ? atoi(argv[4]) : 8,
                 argc > 5 && !strcmp(argv[5], "processes"));
        return 0;
    }
    if (argc > 3 && !strcmp(argv[1], "threads")) block_threads((unsigned)atoi(argv[2]), strtod(argv[3], NULL));
    /* Timers of 1 us instead of 50: naps are as long as they say. */
    prctl(PR_SET_TIMERSLACK, 1000);
    begin_thread("off_cpu");
    int is_all = !strcmp(argv[1], "all");
    u64 each = (u64)(strtod(argv[2], NULL) * 1e9 / (is_all ? count : 1)), known = 0;
    for (unsigned at = 0; at < count; at++)
        if (is_all || !strcmp(argv[1], modes[at].name)) modes[at].run(nanoseconds(CLOCK_MONOTONIC) + each), known = 1;
    if (!known) return fprintf(stderr, "no such mode: %s\n", argv[1]), 2;
    end_thread("off_cpu");
    for (unsigned at = 0; at < ended_count; at++)
        printf("THREAD %s %d %llu %llu %llu %llu %llu\n", ended[at].name, ended[at].tid, (unsigned long long)ended[at].off,
               (unsigned long long)ended[at].runnable, (unsigned long long)ended[at].lived,
               (unsigned long long)ended[at].blocked_times, (unsigned long long)ended[at].before);
    for (unsigned at = 0; at < sizeof places / sizeof *places; at++) {
        const struct place *place = places[at];
        if (!place->is_used) continue;
        if (place->waker) {
            printf("TRUTH %s %llu %llu\n", place->path, (unsigned long long)place->blocked, (unsigned long long)place->times);
            printf("WAKER %s %s\n", place->path, place->waker);
        }
        printf("RUNNABLE %s %llu\n", place->path, (unsigned long long)place->runnable);
    }
    return 0;
}
