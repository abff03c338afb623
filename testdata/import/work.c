/* A program with an inlined function, a thread with a name of two words, and system calls: recorded for this folder. */
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

static inline __attribute__((always_inline)) void spin(unsigned rounds) {
    for (unsigned round = 0; round < rounds; round++)
        sink += round * sink;
}

__attribute__((noinline)) void compute(void) { spin(20000); }

__attribute__((noinline)) void ask(void) {
    for (int i = 0; i < 200; i++)
        sink += (unsigned long)getppid();
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((noinline)) void loop(long end) {
    while (now_ms() < end) {
        compute();
        ask();
    }
}

static void *worker(void *end) {
    pthread_setname_np(pthread_self(), "my worker");
    loop(*(long *)end);
    return 0;
}

int main(void) {
    long end = now_ms() + 400;
    pthread_t thread;
    pthread_create(&thread, 0, worker, &end);
    loop(end);
    return pthread_join(thread, 0);
}
