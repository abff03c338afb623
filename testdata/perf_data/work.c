// The program of the recordings: no C library, so that it is small, the same everywhere, and all of it is known.
//
//   work burn ROUNDS    a child and itself: burns CPU in parent_loop and child_loop > outer > inner, touches pages, waits
//   work wait MILLIS    waits ten times MILLIS in long_wait, ten times MILLIS / 4 in short_wait
//
// Built by record.sh: cc -static -nostdlib -O1 -fno-omit-frame-pointer -mgeneral-regs-only
#define NOINLINE __attribute__((noinline, noclone))

static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

enum { SYS_write = 1, SYS_mmap = 9, SYS_munmap = 11, SYS_nanosleep = 35, SYS_fork = 57, SYS_exit = 60, SYS_wait4 = 61 };

volatile unsigned long sum;

static NOINLINE void inner(long turns) {
    for (long turn = 0; turn < turns; turn++) sum = sum * 6364136223846793005ul + (unsigned long)turn;
}

static NOINLINE void outer(long turns) {
    inner(turns);
    sum++;
}

static NOINLINE void parent_loop(long rounds) {
    for (long round = 0; round < rounds; round++) outer(1000000);
    sum++;
}

static NOINLINE void child_loop(long rounds) {
    for (long round = 0; round < rounds; round++) outer(500000);
    sum++;
}

static NOINLINE void touch_pages(long pages) {
    // MAP_PRIVATE | MAP_ANONYMOUS, PROT_READ | PROT_WRITE
    volatile char *memory = (volatile char *)call(SYS_mmap, 0, pages * 4096, 3, 0x22, -1, 0);
    for (long page = 0; page < pages; page++) memory[page * 4096] = 1;
    call(SYS_munmap, (long)memory, pages * 4096, 0, 0, 0, 0);
}

static NOINLINE void long_wait(long nanoseconds) {
    long time[2] = {0, nanoseconds};
    call(SYS_nanosleep, (long)time, 0, 0, 0, 0, 0);
    sum++;
}

static NOINLINE void short_wait(long nanoseconds) {
    long time[2] = {0, nanoseconds};
    call(SYS_nanosleep, (long)time, 0, 0, 0, 0, 0);
    sum++;
}

static NOINLINE void burn(long rounds) {
    long child = call(SYS_fork, 0, 0, 0, 0, 0, 0);
    if (child == 0) {
        child_loop(rounds);
        call(SYS_exit, 0, 0, 0, 0, 0, 0);
    }
    parent_loop(rounds);
    touch_pages(40);
    for (int turn = 0; turn < 5; turn++) long_wait(1000000);
    call(SYS_wait4, child, 0, 0, 0, 0, 0);
}

static NOINLINE void wait(long millis) {
    for (int turn = 0; turn < 10; turn++) {
        long_wait(millis * 1000000);
        short_wait(millis * 250000);
    }
}

static long number(const char *digits) {
    long number = 0;
    while (*digits >= '0' && *digits <= '9') number = number * 10 + (*digits++ - '0');
    return number;
}

NOINLINE void begin(long *stack) {
    const char **arguments = (const char **)(stack + 1);
    if (stack[0] != 3) call(SYS_exit, 2, 0, 0, 0, 0, 0);
    if (arguments[1][0] == 'b') burn(number(arguments[2]));
    if (arguments[1][0] == 'w') wait(number(arguments[2]));
    call(SYS_exit, 0, 0, 0, 0, 0, 0);
}

// Here the stack ends, and the unwind tables say so.
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        ".cfi_startproc\n"
        ".cfi_undefined rip\n"
        "xor %ebp, %ebp\n"
        "mov %rsp, %rdi\n"
        "and $-16, %rsp\n"
        "call begin\n"
        "hlt\n"
        ".cfi_endproc\n"
        ".size _start, . - _start\n");
