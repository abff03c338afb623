/*
 * handlers SECONDS LIBRARY LIBRARY: works in a signal handler, and in two libraries that are loaded and unloaded in turn, at about
 * the same place.
 *
 * A handler's frame is followed by that of the code it interrupted; a later mapping cuts an earlier one.
 *
 * Prints: CPU <seconds>
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sum;

static double cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

__attribute__((noinline)) static void in_handler(int signal) {
    for (long turn = 0; turn < 200000; turn++) sum = sum * 31 + (unsigned long)(turn + signal);
}

__attribute__((noinline)) static void interrupted(void) {
    raise(SIGUSR1);
    sum++;
}

__attribute__((noinline)) static void in_library(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    unsigned long (*work)(unsigned long, unsigned long) =
        (unsigned long (*)(unsigned long, unsigned long))dlsym(library, "late_work");
    if (!work) exit(1);
    sum += work(200000, 1);
    dlclose(library);
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    double seconds = atof(arguments[1]);
    signal(SIGUSR1, in_handler);
    while (cpu_seconds() < seconds) {
        interrupted();
        in_library(arguments[2]);
        in_library(arguments[3]);
    }
    printf("CPU %f\n", cpu_seconds());
    return 0;
}
