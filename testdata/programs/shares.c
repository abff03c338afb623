/*
 * shares THREADS ROUNDS: six functions with planted shares of the CPU time, in THREADS threads of ROUNDS rounds each.
 *
 * A round is 1,000,000 turns (about 1.3 ms at 3 GHz), dealt to the six leaves by their shares in an order that is
 * shuffled every round, so that no sampling period can lock onto it. Stacks: leaf < dispatch < round < work < main, or
 * < thread_main < the thread's root.
 *
 * Prints, from each thread's CPU clock:
 *   TRUTH <leaf> <share of the time in leaves>
 *   CPU <seconds of the whole process>
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define TURNS_PER_ROUND UINT64_C(1000000)

struct share {
    pthread_t thread;
    uint64_t seed, rounds, result;
    uint64_t nanoseconds[LEAF_COUNT];
};

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

__attribute__((noipa)) void one_round(struct share *share) {
    unsigned order[LEAF_COUNT] = {0, 1, 2, 3, 4, 5};
    for (unsigned i = LEAF_COUNT - 1; i > 0; i--) {
        unsigned j = (unsigned)(next_random(&share->seed) % (i + 1)), swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
    for (unsigned i = 0; i < LEAF_COUNT; i++) {
        unsigned leaf = order[i];
        uint64_t before = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
        share->result = dispatch(leaf, TURNS_PER_ROUND / 100 * leaf_percent[leaf], share->result);
        share->nanoseconds[leaf] += cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) - before;
    }
}

__attribute__((noipa)) void work(struct share *share) {
    for (uint64_t round = 0; round < share->rounds; round++) one_round(share);
}

__attribute__((noipa)) void *thread_main(void *argument) {
    work(argument);
    __asm__ volatile("" ::: "memory");
    return argument;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: shares THREADS ROUNDS\n"), 2;
    unsigned long threads = strtoul(argv[1], NULL, 10);
    uint64_t rounds = strtoull(argv[2], NULL, 10);
    if (!threads) return 2;
    struct share *shares = calloc(threads, sizeof *shares);
    if (!shares) return 2;
    for (unsigned long i = 0; i < threads; i++) {
        shares[i].seed = UINT64_C(88172645463325252) + i * UINT64_C(7919);
        shares[i].rounds = rounds;
    }
    if (threads == 1) {
        work(&shares[0]);
    } else {
        for (unsigned long i = 0; i < threads; i++)
            if (pthread_create(&shares[i].thread, NULL, thread_main, &shares[i])) return perror("pthread_create"), 2;
        for (unsigned long i = 0; i < threads; i++) pthread_join(shares[i].thread, NULL);
    }
    uint64_t total = 0, each[LEAF_COUNT] = {0};
    for (unsigned long i = 0; i < threads; i++)
        for (unsigned leaf = 0; leaf < LEAF_COUNT; leaf++) {
            each[leaf] += shares[i].nanoseconds[leaf];
            total += shares[i].nanoseconds[leaf];
        }
    for (unsigned leaf = 0; leaf < LEAF_COUNT; leaf++)
        printf("TRUTH %s %.6f\n", leaf_names[leaf], total ? (double)each[leaf] / (double)total : 0.0);
    printf("CPU %.6f\n", (double)cpu_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    return 0;
}
