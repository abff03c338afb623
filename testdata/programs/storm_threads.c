/*
 * storm_threads COUNT [AT_ONCE]: COUNT threads that live for 0.6 to 8 ms of CPU time each, AT_ONCE (4) at a time.
 *
 * Thread i runs leaf i % 6 for 20 ms times the leaf's share: 8, 5, 3, 2, 1.4 and 0.6 ms. So the leaves' shares are again
 * 40/25/15/10/7/3 %, but a sampler that starts a period anew in each thread sees only the long ones, or none.
 *
 * Prints:
 *   TRUTH <leaf> <share>
 *   CPU <seconds of the process and its waited-for children, by getrusage>
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static uint64_t per_microsecond;
static sem_t free_places;
static _Atomic uint64_t nanoseconds[LEAF_COUNT];

__attribute__((noipa)) void *short_thread(void *argument) {
    unsigned leaf = (unsigned)((uintptr_t)argument % LEAF_COUNT);
    uint64_t before = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    volatile uint64_t result = dispatch(leaf, per_microsecond * 200 * leaf_percent[leaf], 1);
    (void)result;
    nanoseconds[leaf] += cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) - before;
    sem_post(&free_places);
    return NULL;
}

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: storm_threads COUNT [AT_ONCE]\n"), 2;
    unsigned long count = strtoul(argv[1], NULL, 10);
    unsigned at_once = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 4;
    per_microsecond = turns_per_microsecond();
    sem_init(&free_places, 0, at_once);
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 64 * 1024);
    for (unsigned long i = 0; i < count; i++) {
        sem_wait(&free_places);
        pthread_t thread;
        if (pthread_create(&thread, &detached, short_thread, (void *)(uintptr_t)i)) return perror("pthread_create"), 2;
    }
    for (unsigned i = 0; i < at_once; i++) sem_wait(&free_places);
    uint64_t total = 0;
    for (unsigned leaf = 0; leaf < LEAF_COUNT; leaf++) total += nanoseconds[leaf];
    for (unsigned leaf = 0; leaf < LEAF_COUNT; leaf++)
        printf("TRUTH %s %.6f\n", leaf_names[leaf], total ? (double)nanoseconds[leaf] / (double)total : 0.0);
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    printf("CPU %.6f\n", seconds(self.ru_utime) + seconds(self.ru_stime) + seconds(children.ru_utime) + seconds(children.ru_stime));
    return 0;
}
