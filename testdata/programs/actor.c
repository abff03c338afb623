/*
 * actor ACT [ARGUMENTS]: one small act, for tests of how targets are found, followed and left.
 *
 *   exit STATUS            exits with STATUS
 *   kill SIGNAL            dies by SIGNAL
 *   print                  writes "to stdout" and "to stderr"
 *   busy MILLISECONDS      uses CPU time in busy_work
 *   kernel MILLISECONDS    uses CPU time mostly inside the kernel
 *   sleep MILLISECONDS     sleeps
 *   spin                   says "ready", then uses CPU time in busy_work until it is killed
 *   pair                   as spin, in two threads: busy_work in the first, other_work in the second; says "ready TID TID"
 *   fork MILLISECONDS      forks a child that uses CPU time in child_work, and waits for it
 *   later MILLISECONDS     says "ready", waits for a line on stdin, then does fork's act, and a thread in thread_work
 *   exec PROGRAM [ARGS]    executes another program
 *   forkexec PROGRAM [..]  forks, executes another program in the child, and waits for it
 *   dlopen LIBRARY MS      says "ready", waits for a line on stdin, loads LIBRARY and uses CPU time in its late_work
 *   zombie                 forks a child that exits and is not waited for, says "ready CHILD", sleeps until killed
 *   jit MILLISECONDS       says "ready MAP", runs code that it wrote into anonymous memory, named jitted_loop in the perf
 *                          map at MAP, which is full of junk besides
 */
#define _GNU_SOURCE
#include "leaves.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORK(name, addend)                                                                                             \
    LEAF(name##_piece, addend)                                                                                         \
    __attribute__((noipa)) void name(uint64_t milliseconds) {                                                          \
        uint64_t until = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) + milliseconds * 1000000, x = 1;                     \
        while (cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) < until) x = name##_piece(100000, x);                          \
    }

WORK(busy_work, 21)
WORK(other_work, 23)
WORK(child_work, 25)
WORK(thread_work, 27)

#define FOREVER UINT64_C(1000000000)

__attribute__((noipa)) void kernel_work(uint64_t milliseconds) {
    static char bytes[1 << 20];
    uint64_t until = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) + milliseconds * 1000000;
    int zero = open("/dev/zero", O_RDONLY);
    while (cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) < until)
        if (read(zero, bytes, sizeof bytes) < 0) break;
    close(zero);
}

static void say(const char *line) {
    fputs(line, stdout);
    fflush(stdout);
}

static void wait_for_line(void) {
    int byte;
    while ((byte = getchar()) != '\n' && byte != EOF) {
    }
}

static int status_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

static int fork_and_work(uint64_t milliseconds) {
    pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) {
        child_work(milliseconds);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status_of(status);
}

static void *thread_act(void *milliseconds) {
    thread_work((uint64_t)(uintptr_t)milliseconds);
    return NULL;
}

static void *pair_act(void *second) {
    *(volatile long *)second = syscall(SYS_gettid);
    other_work(FOREVER);
    return NULL;
}

static int jit(uint64_t milliseconds) {
#if defined(__x86_64__)
    /* mov rcx, rdi; again: dec rcx; jnz again; ret */
    static const unsigned char code[] = {0x48, 0x89, 0xf9, 0x48, 0xff, 0xc9, 0x75, 0xfb, 0xc3};
#elif defined(__aarch64__)
    /* again: subs x0, x0, #1; b.ne again; ret */
    static const uint32_t code[] = {0xf1000400, 0x54ffffe1, 0xd65f03c0};
#else
    return 77;
#endif
#if defined(__x86_64__) || defined(__aarch64__)
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 77;
    memcpy(memory, code, sizeof code);
    __builtin___clear_cache((char *)memory, (char *)memory + sizeof code);
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "w");
    if (!map) return 77;
    /* Megabytes of junk on both sides of the one line that is right: bytes without a line end, numbers that overflow,
       ranges that wrap, names that never end. */
    uint64_t random = 1;
    for (int side = 0; side < 2; side++) {
        for (unsigned i = 0; i < 1 << 21; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            fputc((int)(random >> 56), map);
        }
        fputc('\n', map);
        for (unsigned i = 0; i < 20000; i++) fprintf(map, "ffffffffffffff%02x ffffffffffffffff wraps_%u\nzz 10 no\n99999999999999999999 1 big\n", i & 255, i);
        for (unsigned i = 0; i < 1 << 20; i++) fputc('n', map);
        fputc('\n', map);
        if (side == 0) fprintf(map, "%llx %zx jitted_loop\n", (unsigned long long)(uintptr_t)memory, sizeof code);
    }
    fclose(map);
    printf("ready %s\n", path);
    fflush(stdout);
    uint64_t until = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) + milliseconds * 1000000;
    while (cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) < until) ((void (*)(uint64_t))(uintptr_t)memory)(1000000);
    /* The file stays: the recorder reads it after we are gone. Whoever started us removes it. */
    return 0;
#endif
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "usage: actor ACT [ARGUMENTS]\n"), 2;
    const char *act = argv[1], *first = argc > 2 ? argv[2] : "0";
    uint64_t number = strtoull(first, NULL, 10);
    if (!strcmp(act, "exit")) return (int)number;
    if (!strcmp(act, "kill")) return signal((int)number, SIG_DFL), raise((int)number), 2;
    if (!strcmp(act, "print")) return puts("to stdout"), fputs("to stderr\n", stderr), 0;
    if (!strcmp(act, "busy")) return busy_work(number), 0;
    if (!strcmp(act, "kernel")) return kernel_work(number), 0;
    if (!strcmp(act, "sleep")) return usleep((useconds_t)number * 1000), 0;
    if (!strcmp(act, "spin")) return say("ready\n"), busy_work(FOREVER), 0;
    if (!strcmp(act, "fork")) return fork_and_work(number);
    if (!strcmp(act, "jit")) return jit(number);
    if (!strcmp(act, "pair")) {
        static volatile long second;
        pthread_t thread;
        if (pthread_create(&thread, NULL, pair_act, (void *)&second)) return 2;
        while (!second) usleep(100);
        printf("ready %ld %ld\n", syscall(SYS_gettid), second);
        fflush(stdout);
        busy_work(FOREVER);
        return 0;
    }
    if (!strcmp(act, "later")) {
        say("ready\n");
        wait_for_line();
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_act, (void *)(uintptr_t)number)) return 2;
        int status = fork_and_work(number);
        pthread_join(thread, NULL);
        return status;
    }
    if (!strcmp(act, "exec") && argc > 2) return execv(argv[2], argv + 2), 127;
    if (!strcmp(act, "forkexec") && argc > 2) {
        pid_t child = fork();
        if (child == 0) execv(argv[2], argv + 2), _exit(127);
        int status = 0;
        waitpid(child, &status, 0);
        return status_of(status);
    }
    if (!strcmp(act, "dlopen") && argc > 3) {
        say("ready\n");
        wait_for_line();
        void *library = dlopen(argv[2], RTLD_NOW);
        if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
        uint64_t (*late_work)(uint64_t, uint64_t);
        *(void **)&late_work = dlsym(library, "late_work");
        uint64_t until = cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) + strtoull(argv[3], NULL, 10) * 1000000, x = 1;
        while (cpu_nanoseconds(CLOCK_THREAD_CPUTIME_ID) < until) x = late_work(100000, x);
        return 0;
    }
    if (!strcmp(act, "zombie")) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        siginfo_t end;
        waitid(P_PID, (id_t)child, &end, WEXITED | WNOWAIT); /* it is a zombie now, and stays one */
        printf("ready %d\n", (int)child);
        fflush(stdout);
        for (;;) pause();
    }
    fprintf(stderr, "actor: unknown act %s\n", act);
    return 2;
}
