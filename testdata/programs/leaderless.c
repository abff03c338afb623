/*
 * leaderless MODE SECONDS: naps of 10 ms in `nap_on`, in a thread that is not the first one.
 *
 *   alone    the first thread ends at once, and says `ready <id of the other>` before
 *   execs    after 300 ms it runs this program again (mode `again`), which takes the number of the first thread
 *   again    naps in the first thread
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char *self, *length;

static void nap(long nanoseconds) {
    struct timespec time = {0, nanoseconds};
    nanosleep(&time, NULL);
}

__attribute__((noinline)) void nap_on(void) {
    long naps = (long)(strtod(length, NULL) * 100);
    while (naps--) nap(10000000);
    __asm__ volatile("");
}

static void *other(void *is_alone) {
    if (is_alone) {
        printf("ready %d\n", gettid());
        fflush(stdout);
        nap_on();
        exit(0);
    }
    nap(300000000);
    execl(self, self, "again", length, (char *)NULL);
    perror(self);
    exit(1);
}

int main(int count, char **words) {
    if (count != 3) return 1;
    self = words[0];
    length = words[2];
    if (!strcmp(words[1], "again")) {
        nap_on();
        return 0;
    }
    pthread_t thread;
    pthread_create(&thread, NULL, other, strcmp(words[1], "alone") ? NULL : &thread);
    if (!strcmp(words[1], "alone")) pthread_exit(NULL);
    pause();
}
