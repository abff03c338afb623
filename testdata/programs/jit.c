/*
 * jit NAMES MEMORY PHASES MILLISECONDS (of CPU time, each phase): makes code at one address again and again, and says what it is.
 *
 * In even phases main calls by_even, which calls the code, whose name is even_code then; in odd phases by_odd and odd_code. Both
 * pieces of code stand at the same address. Before and after each change of code it sleeps, so that a change has a time.
 *
 * NAMES: map      lines are appended to /tmp/perf-PID.map
 *        rewrite  the map is written anew each time, as Java does it, with lines of other code before
 *        dump     /tmp/jit-PID.dump, with unwind information and lines
 *        move     the same; in odd phases the even code is moved away first, and called there by by_moved for as long
 *        none     it keeps that to itself
 * MEMORY: anon, zero (shared memory of no file), memfd, file (in /tmp, deleted), heap, stack
 *
 * With dumps the code keeps no frame pointer, so that its unwind information is needed; else it keeps one. Of the processors this
 * is for x86-64 only.
 *
 * Prints: ready, once the code is there, and waits for a line; then PHASES <count>. Exits with 77 on other processors.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NOIPA __attribute__((noipa))
#define SIZE 4096

typedef void code_function(uint64_t turns);

#ifdef __x86_64__
static const unsigned char CODE[] = {
    0x48, 0x83, 0xec, 0x28,             /*    sub $40,%rsp */
    0x48, 0xff, 0xcf,                   /* 1: dec %rdi */
    0x75, 0xfb,                         /*    jnz 1b */
    0x48, 0x83, 0xc4, 0x28,             /*    add $40,%rsp */
    0xc3,                               /*    ret */
};
static const unsigned char WITH_FRAME_POINTER[sizeof CODE] = {
    0x55,                               /*    push %rbp */
    0x48, 0x89, 0xe5,                   /*    mov %rsp,%rbp */
    0x48, 0xff, 0xcf,                   /* 1: dec %rdi */
    0x75, 0xfb,                         /*    jnz 1b */
    0x5d,                               /*    pop %rbp */
    0xc3,                               /*    ret */
};
#else
static const unsigned char CODE[1], WITH_FRAME_POINTER[1];
#endif

static const char *names;
static FILE *out;
static uint64_t code_index;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t cpu_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void nap(void) {
    struct timespec time = {0, 30 * 1000 * 1000};
    nanosleep(&time, NULL);
}

#define CALLS(name)                                                                                                    \
    NOIPA void name(code_function *code, uint64_t until) {                                                             \
        while (cpu_now() < until) code(100000);                                                                           \
        __asm__ volatile("");                                                                                          \
    }
CALLS(by_even)
CALLS(by_odd)
CALLS(by_moved)

static void put32(uint32_t number) { fwrite(&number, 4, 1, out); }
static void put64(uint64_t number) { fwrite(&number, 8, 1, out); }

static void record(uint32_t kind, size_t size) {
    put32(kind);
    put32((uint32_t)(16 + size));
    put64(now());
}

/* The stack pointer is 40 bytes deeper from the fifth byte of code to the last but one; as .eh_frame behind the code. */
static void put_unwinding(void) {
    static const unsigned char CIE[24] = {20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1};
    unsigned char entry[24] = {20, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, sizeof CODE, 0, 0, 0, 0, 0x44, 0x0e, 48, 0x49, 0x0e, 8};
    int32_t begin = -(int32_t)((sizeof CODE + 7) / 8 * 8 + 24 + 8);
    memcpy(entry + 8, &begin, 4);
    record(4, 24 + 52);
    put64(52), put64(0), put64(52);
    fwrite(CIE, 24, 1, out), fwrite(entry, 24, 1, out), put32(0);
}

static void put_lines(uint64_t address, const char *file) {
    record(2, 16 + 2 * 16 + strlen(file) + 1 + 2);
    put64(address), put64(2);
    put64(address), put32(10), put32(0), fwrite(file, strlen(file) + 1, 1, out);
    put64(address + 9), put32(12), put32(0), fwrite("\xff", 2, 1, out);
}

static void put_load(uint64_t address, const char *name) {
    record(0, 40 + strlen(name) + 1 + sizeof CODE);
    put32((uint32_t)getpid()), put32((uint32_t)getpid());
    put64(address), put64(address), put64(sizeof CODE), put64(code_index);
    fwrite(name, strlen(name) + 1, 1, out), fwrite(CODE, sizeof CODE, 1, out);
}

static void put_move(uint64_t from, uint64_t to) {
    record(1, 48);
    put32((uint32_t)getpid()), put32((uint32_t)getpid());
    put64(to), put64(from), put64(to), put64(sizeof CODE), put64(code_index);
}

static void announce(unsigned char *at, const char *name) {
    uint64_t address = (uintptr_t)at;
    if (!strcmp(names, "rewrite")) {
        rewind(out);
        if (ftruncate(fileno(out), 0)) exit(1);
        for (unsigned row = 0; row < 100 + code_index; row++) fprintf(out, "%x 10 other_%u\n", 0x1000 + 16 * row, row);
    }
    code_index++;
    memcpy(at, WITH_FRAME_POINTER, sizeof CODE);
    if (!strcmp(names, "dump") || !strcmp(names, "move")) {
        put_unwinding();
        put_lines(address, name[0] == 'e' ? "even.src" : "odd.src");
        put_load(address, name);
        memcpy(at, CODE, sizeof CODE);
    } else if (out) {
        fprintf(out, "%lx %zx %s\n", (unsigned long)address, sizeof CODE, name);
    }
    if (out) fflush(out);
}

static void open_names(void) {
    char path[64];
    if (!strcmp(names, "none")) return;
    int is_map = !strcmp(names, "map") || !strcmp(names, "rewrite");
    snprintf(path, sizeof path, is_map ? "/tmp/perf-%d.map" : "/tmp/jit-%d.dump", getpid());
    out = fopen(path, "w+");
    if (!out) exit(1);
    if (is_map) return;
    mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(out), 0);
    put32(0x4a695444), put32(1), put32(40), put32(62), put32(0), put32((uint32_t)getpid()), put64(now()), put64(0);
    fflush(out);
}

static unsigned char *memory(const char *kind) {
    int protection = PROT_READ | PROT_WRITE | PROT_EXEC, flags = MAP_PRIVATE, file = -1;
    if (!strcmp(kind, "heap")) {
        unsigned char *here = (unsigned char *)(((uintptr_t)sbrk(3 * SIZE) + SIZE - 1) / SIZE * SIZE);
        return mprotect(here, SIZE, protection) ? NULL : here;
    }
    if (!strcmp(kind, "memfd")) file = memfd_create("code", 0), flags = MAP_SHARED;
    if (!strcmp(kind, "file")) {
        char path[] = "/tmp/jit-code-XXXXXX";
        file = mkstemp(path), flags = MAP_SHARED;
        unlink(path);
    }
    if (file >= 0 && ftruncate(file, SIZE)) return NULL;
    if (!strcmp(kind, "zero")) flags = MAP_SHARED;
    if (file < 0) flags |= MAP_ANONYMOUS;
    unsigned char *code = mmap(NULL, SIZE, protection, flags, file, 0);
    return code == MAP_FAILED ? NULL : code;
}

int main(int count, char **arguments) {
    if (count != 5) return fprintf(stderr, "usage: jit NAMES MEMORY PHASES MILLISECONDS\n"), 2;
#ifndef __x86_64__
    return 77;
#endif
    names = arguments[1];
    unsigned char on_stack[2 * SIZE];
    unsigned char *code = memory(arguments[2]);
    if (!strcmp(arguments[2], "stack")) {
        code = (unsigned char *)(((uintptr_t)on_stack + SIZE - 1) / SIZE * SIZE);
        if (mprotect(code, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC)) return 1;
    }
    if (!code) return perror("no memory for code"), 1;
    int phases = atoi(arguments[3]);
    uint64_t time = (uint64_t)atoi(arguments[4]) * 1000000;
    open_names();
    announce(code, "even_code");
    printf("ready\n"), fflush(stdout);
    getchar();
    for (int naps = 0; naps < 10; naps++) nap();
    for (int phase = 0; phase < phases; phase++) {
        if (phase % 2 == 1 && !strcmp(names, "move")) {
            put_move((uintptr_t)code, (uintptr_t)code + 1024), fflush(out);
            memcpy(code + 1024, CODE, sizeof CODE);
        }
        if (phase > 0) announce(code, phase % 2 ? "odd_code" : "even_code");
        nap();
        (phase % 2 ? by_odd : by_even)((code_function *)(uintptr_t)code, cpu_now() + time);
        if (phase % 2 == 1 && !strcmp(names, "move")) {
            by_moved((code_function *)(uintptr_t)(code + 1024), cpu_now() + time);
        }
        nap();
    }
    printf("PHASES %d\n", phases);
    return 0;
}
