// For 32 bits, without frame pointers: time in itself, in libc, in system calls, in signal handlers, in threads.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned sink;
static double seconds;

static double cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

__attribute__((noinline)) void burn(unsigned turns) {
    for (unsigned turn = 0; turn < turns; turn++) sink = sink * 3 + turn;
}

__attribute__((noinline)) void in_calls(void) {
    // By libc's way into the kernel, `__kernel_vsyscall`, and by the vdso alone.
    for (int turn = 0; turn < 50; turn++) {
        sink += getppid() + write(2, "", 0);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        sink += now.tv_nsec;
    }
}

// No memcpy: that of glibc for i386 pushes a register of which its unwind information does not know.
__attribute__((noinline)) void in_libc(void) {
    char text[200];
    for (int row = 0; row < 50; row++) {
        snprintf(text, sizeof text, "%d %f", rand(), row / 3.0);
        sink += (unsigned)strtod(text, NULL) + strlen(text);
    }
}

__attribute__((noinline)) void in_handler(void) { burn(200000); }

static void on_plain(int number) {
    in_handler();
    sink += number;
}

static void on_info(int number, siginfo_t *info, void *context) {
    in_handler();
    sink += number;
}

__attribute__((noinline)) void work(void) {
    double end = cpu() + seconds;
    while (cpu() < end) {
        burn(100000);
        in_libc();
        in_calls();
        // One returns by sigreturn, the other by rt_sigreturn.
        raise(SIGUSR1);
        raise(SIGUSR2);
    }
}

static void *thread(void *unused) {
    work();
    return NULL;
}

int main(int argc, char **argv) {
    seconds = argc > 1 ? atof(argv[1]) : 1;
    struct sigaction action = {.sa_handler = on_plain};
    sigaction(SIGUSR1, &action, NULL);
    action.sa_sigaction = on_info;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR2, &action, NULL);
    pthread_t other;
    pthread_create(&other, NULL, thread, NULL);
    work();
    pthread_join(other, NULL);
    return 0;
}
