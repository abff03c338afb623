/*
 * truth_paths SECONDS THREADS LIBRARY [altstack]: several threads, each of which uses so many CPU seconds on paths of functions
 * that go through libc, a library, signal handlers, and every kind of frame that the compiler makes; a register says which path
 * is being run (truth.h).
 *
 * With `altstack` the one path is a handler on a stack of its own.
 *
 * Prints, for each path:
 *     PATH <number> <numbers of the callers' paths, or -> <function> ...     outermost first
 * where ROOT is `_start + main` or `+ thread_main`, `+` is one or more functions that are none of these (libc's), `~` is any number
 * of them (libc jumps to its last callback), `name?` may be missing, and `name*` is there as often as the register's other number
 * says. Functions of libc may follow the last. Then
 *     CPU <seconds>
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <search.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "truth.h"

#define NOIPA __attribute__((noipa))

/* name, number, caller, functions */
#define PATHS(X)                                                                                                       \
    X(MAIN, 1, "-", "_start + main")                                                                                   \
    X(THREAD, 2, "-", "+ thread_main")                                                                                 \
    X(WORKER, 3, "1,2", "ROOT worker")                                                                                   \
    X(SORT, 4, "3", "ROOT worker sorts")                                                                               \
    X(COMPARE, 5, "4", "ROOT worker sorts + compares")                                                                 \
    X(COMPARE_DEEP, 6, "5", "ROOT worker sorts + compares compares_deeper")                                            \
    X(TREE, 7, "3", "ROOT worker walks_a_tree")                                                                        \
    X(VISIT, 8, "7", "ROOT worker walks_a_tree ~ visits")                                                              \
    X(ORDER, 9, "7", "ROOT worker walks_a_tree + orders")                                                              \
    X(ALLOCATE, 10, "3", "ROOT worker allocates")                                                                      \
    X(FORMAT, 11, "3", "ROOT worker formats")                                                                          \
    X(PRINT, 12, "3", "ROOT worker prints")                                                                            \
    X(COOKIE, 13, "12", "ROOT worker prints + writes_cookie")                                                          \
    X(LOAD, 14, "3", "ROOT worker loads")                                                                              \
    X(CALLBACK, 15, "200", "ROOT worker loads library_outer called_back")                                              \
    X(CALL_NOTHING, 16, "14", "ROOT worker loads calls_nothing")                                                       \
    X(RAISE, 17, "3", "ROOT worker raises")                                                                            \
    X(HANDLE, 18, "17", "ROOT worker raises + handles")                                                                \
    X(HANDLE_DEEP, 19, "18", "ROOT worker raises + handles handles_deeper")                                            \
    X(VICTIM, 20, "3", "ROOT worker is_interrupted")                                                                   \
    X(TINY, 21, "20", "ROOT worker is_interrupted tiny")                                                               \
    X(TICK, 22, "20", "ROOT worker is_interrupted tiny? + ticks")                                                      \
    X(CLOCK, 23, "3", "ROOT worker reads_the_clock")                                                                   \
    X(RECURSE, 24, "3", "ROOT worker recurses*")                                                                       \
    X(RECURSE_LEAF, 25, "24", "ROOT worker recurses* at_the_bottom")                                                   \
    X(VARIABLE, 26, "3", "ROOT worker has_a_variable_frame")                                                           \
    X(VARIABLE_LEAF, 27, "26", "ROOT worker has_a_variable_frame in_variable_frame")                                   \
    X(ALIGNED, 28, "3", "ROOT worker has_an_aligned_frame")                                                            \
    X(ALIGNED_LEAF, 29, "28", "ROOT worker has_an_aligned_frame in_aligned_frame")                                     \
    X(PUSHES, 30, "3", "ROOT worker pushes_arguments")                                                                 \
    X(PUSHES_LEAF, 31, "30", "ROOT worker pushes_arguments takes_ten")                                                 \
    X(TAIL_CALLER, 32, "3", "ROOT worker calls_a_jump")                                                                \
    X(TAIL_JUMP, 33, "32", "ROOT worker calls_a_jump jumps")                                                           \
    X(TAIL_TARGET, 34, "32", "ROOT worker calls_a_jump is_jumped_to")                                                  \
    X(SETJMP, 35, "3", "ROOT worker sets_jump")                                                                        \
    X(NO_RETURN_CALLER, 36, "35", "ROOT worker sets_jump calls_no_return")                                             \
    X(NO_RETURN, 37, "36", "ROOT worker sets_jump calls_no_return does_not_return")                                    \
    X(SYSTEM_CALL, 38, "3", "ROOT worker calls_the_system")                                                            \
    X(BIG, 39, "3", "ROOT worker has_a_big_frame")                                                                     \
    X(BIG_LEAF, 40, "39", "ROOT worker has_a_big_frame in_big_frame")                                                  \
    X(LIBRARY_OUTER, 200, "14", "ROOT worker loads library_outer")                                                     \
    X(LIBRARY_LEAF, 201, "200", "ROOT worker loads library_outer library_leaf")                                        \
    X(CONSTRUCTOR, 202, "14", "ROOT worker loads + library_constructor")                                               \
    X(DESTRUCTOR, 203, "14", "ROOT worker loads + library_destructor")

#define PATH_NUMBER(name, number, caller, functions) P_##name = number,
enum { PATHS(PATH_NUMBER) };
_Static_assert((int)P_LIBRARY_OUTER == (int)PATH_LIBRARY_OUTER && (int)P_DESTRUCTOR == (int)PATH_DESTRUCTOR,
               "truth.h has the same numbers");

static double seconds;
static const char *library_path;
static int only_altstack;

static double cpu_seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- libc calls back --- */

NOIPA void compares_deeper(void) {
    ENTER(P_COMPARE_DEEP);
    WORK(60);
    LEAVE();
}

NOIPA int compares(const void *a, const void *b) {
    ENTER(P_COMPARE);
    compares_deeper();
    WORK(40);
    int x = *(const int *)a, y = *(const int *)b;
    int order = (x > y) - (x < y);
    LEAVE();
    return order;
}

NOIPA void sorts(unsigned *random) {
    ENTER(P_SORT);
    int numbers[200];
    for (int i = 0; i < 200; i++) numbers[i] = rand_r(random);
    qsort(numbers, 200, sizeof numbers[0], compares);
    LEAVE();
}

NOIPA int orders(const void *a, const void *b) {
    ENTER(P_ORDER);
    WORK(50);
    int order = (a > b) - (a < b);
    LEAVE();
    return order;
}

NOIPA void visits(const void *node, VISIT visit, int depth) {
    ENTER(P_VISIT);
    (void)node, (void)visit, (void)depth;
    WORK(400);
    LEAVE();
}

NOIPA void walks_a_tree(unsigned *random) {
    ENTER(P_TREE);
    void *root = NULL, *keys[40];
    for (int i = 0; i < 40; i++) {
        keys[i] = (void *)(uintptr_t)(1 + rand_r(random) % 100000);
        tsearch(keys[i], &root, orders);
    }
    twalk(root, visits);
    while (root) tdelete(*(void **)root, &root, orders);
    LEAVE();
}

NOIPA ssize_t writes_cookie(void *cookie, const char *bytes, size_t size) {
    ENTER(P_COOKIE);
    (void)cookie, (void)bytes;
    WORK(30000);
    LEAVE();
    return (ssize_t)size;
}

NOIPA void prints(FILE *sink) {
    ENTER(P_PRINT);
    for (int i = 0; i < 100; i++) fprintf(sink, "%d %s %.3f\n", i, "some text", i / 7.0);
    fflush(sink);
    LEAVE();
}

/* --- libc is the leaf --- */

NOIPA void allocates(unsigned *random) {
    ENTER(P_ALLOCATE);
    static __thread void *blocks[64];
    for (int i = 0; i < 1000; i++) {
        unsigned slot = (unsigned)rand_r(random) % 64;
        free(blocks[slot]);
        blocks[slot] = malloc(16 + (unsigned)rand_r(random) % 3000);
    }
    LEAVE();
}

NOIPA void formats(void) {
    ENTER(P_FORMAT);
    char text[200];
    for (int i = 0; i < 200; i++) snprintf(text, sizeof text, "%08x %s %.6g", i, "words", i * 1.5);
    LEAVE();
}

NOIPA void reads_the_clock(void) {
    ENTER(P_CLOCK);
    struct timespec now;
    for (int i = 0; i < 4000; i++) clock_gettime(CLOCK_MONOTONIC, &now);
    LEAVE();
}

NOIPA void calls_the_system(void) {
    ENTER(P_SYSTEM_CALL);
    char bytes[256];
    for (int i = 0; i < 300; i++) {
        if (syscall(SYS_getrandom, bytes, sizeof bytes, 0) < 0) abort();
    }
    LEAVE();
}

/* --- a library that comes and goes --- */

NOIPA void called_back(void) {
    ENTER(P_CALLBACK);
    WORK(20000);
    LEAVE();
}

NOIPA void calls_nothing(void (*nothing)(void)) {
    ENTER(P_CALL_NOTHING);
    for (int i = 0; i < 20000; i++) nothing();
    LEAVE();
}

NOIPA void loads(void) {
    ENTER(P_LOAD);
    void *library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    void (*outer)(void (*)(void)) = (void (*)(void (*)(void)))dlsym(library, "library_outer");
    void (*nothing)(void) = (void (*)(void))dlsym(library, "library_nothing");
    if (!outer || !nothing) exit(1);
    outer(called_back);
    calls_nothing(nothing);
    dlclose(library);
    LEAVE();
}

/* --- signals --- */

NOIPA void handles_deeper(void) {
    ENTER(P_HANDLE_DEEP);
    WORK(30000);
    LEAVE();
}

NOIPA void handles(int number) {
    ENTER(P_HANDLE);
    (void)number;
    handles_deeper();
    WORK(20000);
    LEAVE();
}

NOIPA void raises(void) {
    ENTER(P_RAISE);
    raise(SIGUSR1);
    LEAVE();
}

NOIPA void ticks(int number) {
    ENTER(P_TICK);
    (void)number;
    WORK(60000);
    LEAVE();
}

/* Mostly prologue and epilogue, which is where a signal then finds it. */
NOIPA uint64_t tiny(uint64_t a, uint64_t b) {
    __asm__ volatile("" ::: "rbx", "r12", "r13", "r14");
    return a + b;
}

/* A timer interrupts it wherever it is; never before it has begun, nor after it has ended. */
NOIPA void is_interrupted(void) {
    ENTER(P_VICTIM);
    sigset_t tick;
    sigemptyset(&tick);
    sigaddset(&tick, SIGUSR2);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer)) abort();
    struct itimerspec soon = {{0, 300000}, {0, 150000}};
    timer_settime(timer, 0, &soon, NULL);
    pthread_sigmask(SIG_UNBLOCK, &tick, NULL);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 100000; i++) sum = tiny(sum, i);
    pthread_sigmask(SIG_BLOCK, &tick, NULL);
    timer_delete(timer);
    LEAVE();
}

/* --- frames of every kind --- */

NOIPA void at_the_bottom(unsigned depth) {
    ENTER_AT(P_RECURSE_LEAF, depth);
    WORK(30000);
    LEAVE();
}

NOIPA unsigned recurses(unsigned depth, unsigned left) {
    ENTER_AT(P_RECURSE, depth);
    unsigned below = 0;
    if (left) {
        below = recurses(depth + 1, left - 1);
    } else {
        at_the_bottom(depth);
    }
    LEAVE();
    return below + 1;
}

NOIPA void in_variable_frame(char *bytes, unsigned size) {
    ENTER(P_VARIABLE_LEAF);
    memset(bytes, 1, size);
    WORK(20000);
    LEAVE();
}

NOIPA void has_a_variable_frame(unsigned size) {
    ENTER(P_VARIABLE);
    in_variable_frame(alloca(size), size);
    WORK(5000);
    LEAVE();
}

NOIPA void in_aligned_frame(void *place) {
    ENTER(P_ALIGNED_LEAF);
    if ((uintptr_t)place % 64) abort();
    WORK(20000);
    LEAVE();
}

/* The frame is found by way of what it has saved: the CFA is an expression. */
NOIPA void has_an_aligned_frame(unsigned size, int a, int b, int c, int d, int e, int f, int g) {
    ENTER(P_ALIGNED);
    _Alignas(64) char place[64];
    char *bytes = alloca(size);
    memset(bytes, a + b + c + d + e + f + g, size);
    in_aligned_frame(place);
    WORK(5000);
    LEAVE();
}

NOIPA int takes_ten(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j) {
    ENTER(P_PUSHES_LEAF);
    WORK(500);
    LEAVE();
    return a + b + c + d + e + f + g + h + i + j;
}

NOIPA int pushes_arguments(int n) {
    ENTER(P_PUSHES);
    int sum = 0;
    for (int i = 0; i < 60; i++) {
        sum += takes_ten(n, i, 3, 4, n, 6, 7, n, i, takes_ten(i, 2, n, 4, 5, i, 7, 8, 9, n));
    }
    LEAVE();
    return sum;
}

NOIPA int is_jumped_to(int n) {
    ENTER(P_TAIL_TARGET);
    WORK(20000);
    LEAVE();
    return n + 1;
}

NOIPA int jumps(int n) { return is_jumped_to(n + 1); }

NOIPA int calls_a_jump(int n) {
    ENTER(P_TAIL_CALLER);
    int result = jumps(n) + 1;
    LEAVE();
    return result;
}

NOIPA __attribute__((noreturn)) void does_not_return(jmp_buf back) {
    ENTER(P_NO_RETURN);
    WORK(20000);
    LEAVE();
    longjmp(back, 1);
}

/* Its last instruction is the call: what it returns to is the next function. */
NOIPA void calls_no_return(jmp_buf back) {
    ENTER(P_NO_RETURN_CALLER);
    (void)callers_tag;
    does_not_return(back);
}

NOIPA void sets_jump(void) {
    ENTER(P_SETJMP);
    jmp_buf back;
    if (!setjmp(back)) calls_no_return(back);
    WORK(5000);
    LEAVE();
}

NOIPA void in_big_frame(char *bytes) {
    ENTER(P_BIG_LEAF);
    bytes[0] = 1;
    WORK(20000);
    LEAVE();
}

NOIPA void has_a_big_frame(void) {
    ENTER(P_BIG);
    char bytes[5000];
    in_big_frame(bytes);
    LEAVE();
}

/* --- a handler on a stack of its own --- */

static void alternate_stack(void) {
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = handles, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&stack, NULL) || sigaction(SIGUSR1, &action, NULL)) abort();
}

NOIPA void worker(void) {
    ENTER(P_WORKER);
    unsigned random = 1;
    FILE *sink = fopencookie(NULL, "w", (cookie_io_functions_t){.write = writes_cookie});
    if (!sink) abort();
    if (only_altstack) alternate_stack();
    for (unsigned round = 0; cpu_seconds(CLOCK_THREAD_CPUTIME_ID) < seconds; round++) {
        raises();
        if (only_altstack) continue;
        sorts(&random);
        walks_a_tree(&random);
        allocates(&random);
        formats();
        prints(sink);
        loads();
        is_interrupted();
        reads_the_clock();
        recurses(1, round % 100);
        has_a_variable_frame(16 + round % 500);
        has_an_aligned_frame(16 + round % 500, 1, 2, 3, 4, 5, 6, 7);
        pushes_arguments((int)round);
        calls_a_jump((int)round);
        sets_jump();
        calls_the_system();
        has_a_big_frame();
    }
    fclose(sink);
    LEAVE();
}

NOIPA void *thread_main(void *unused) {
    ENTER(P_THREAD);
    (void)unused;
    worker();
    LEAVE();
    return NULL;
}

int main(int count, char **arguments) {
    ENTER(P_MAIN);
    if (count < 4) return fprintf(stderr, "usage: truth_paths SECONDS THREADS LIBRARY [altstack]\n"), 2;
    seconds = strtod(arguments[1], NULL);
    int threads = atoi(arguments[2]);
    library_path = arguments[3];
    only_altstack = count > 4;
    sigset_t tick;
    sigemptyset(&tick);
    sigaddset(&tick, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &tick, NULL);
    signal(SIGUSR1, handles);
    signal(SIGUSR2, ticks);
    pthread_t others[16];
    if (threads < 1 || threads > 16) return 2;
    WRITE_TAG(0); /* a new thread begins with a copy of the registers */
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&others[i], NULL, thread_main, NULL)) return 1;
    }
    WRITE_TAG(TAG(P_MAIN, 0));
    worker();
    for (int i = 1; i < threads; i++) pthread_join(others[i], NULL);
#define PATH_LINE(name, number, caller, functions) printf("PATH %d %s %s\n", number, caller, functions);
    PATHS(PATH_LINE)
    printf("CPU %f\n", cpu_seconds(CLOCK_PROCESS_CPUTIME_ID));
    LEAVE();
    return 0;
}
