/*
 * libc_heavy SECONDS: a program that spends its time inside libc (qsort, malloc and free, formatted output to /dev/null),
 * always called from libc_work, which main calls.
 *
 * A distribution's libc is built without frame pointers, so a chain of them ends where libc begins.
 *
 * Prints: CPU <seconds>
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ITEMS 4096
#define BLOCKS 512

static uint64_t cpu_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

struct item {
    char key[24];
};

/* Short, and its work is libc's: most samples of the sort have a frame of libc between this program's. */
__attribute__((noipa)) int compare_items(const void *a, const void *b) {
    int order = memcmp(a, b, sizeof(struct item));
    __asm__ volatile("" : "+r"(order));
    return order;
}

__attribute__((noipa)) void libc_work(uint64_t nanoseconds, FILE *sink) {
    static struct item items[ITEMS];
    static void *blocks[BLOCKS];
    uint64_t random = 88172645463325252u;
    while (cpu_nanoseconds() < nanoseconds) {
        for (unsigned i = 0; i < ITEMS; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            snprintf(items[i].key, sizeof items[i].key, "%016llx", (unsigned long long)random);
        }
        qsort(items, ITEMS, sizeof items[0], compare_items);
        for (unsigned i = 0; i < ITEMS; i++) fprintf(sink, "%s %u %.3f\n", items[i].key, i, (double)i / 3);
        for (unsigned i = 0; i < BLOCKS * 8; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            unsigned slot = (unsigned)(random >> 40) % BLOCKS;
            free(blocks[slot]);
            blocks[slot] = malloc(16 + (random >> 33) % 4000);
        }
    }
    fflush(sink);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: libc_heavy SECONDS\n"), 2;
    FILE *sink = fopen("/dev/null", "w");
    if (!sink) return perror("/dev/null"), 2;
    libc_work((uint64_t)(strtod(argv[1], NULL) * 1e9), sink);
    printf("CPU %.6f\n", (double)cpu_nanoseconds() / 1e9);
    return 0;
}
