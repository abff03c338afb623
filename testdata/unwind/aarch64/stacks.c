// Stacks of arm64, of every kind that is hard to unwind; runs alone, without a C library.
//
// At each `brk` below the kernel sends SIGTRAP, whose handler writes down what perf would: the registers and a copy of the stack,
// up to its end. On standard output, little-endian:
//
//   u64 load address of the program (of its ELF header)
//   then for each place: u64 number, x0 to x30, sp, pc, size of the copy; the copy
//
// See README.md for how it is built and run, and which functions are on the stack at each place.

typedef unsigned long u64;
typedef unsigned char u8;

#define NOINLINE __attribute__((noinline))

static u64 stack_end;
static volatile u64 sink;

static long call(long number, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

enum { WRITE = 64, EXIT = 93, KILL = 129, SIGACTION = 134, GETPID = 172, TRAP = 5, USR1 = 10 };

static void put(const void *bytes, u64 size) {
    const u8 *at = bytes;
    while (size) {
        long done = call(WRITE, 1, (long)at, size, 0);
        if (done <= 0) call(EXIT, 1, 0, 0, 0);
        at += done;
        size -= done;
    }
}

// arch/arm64/include/uapi/asm/ucontext.h and sigcontext.h.
struct context {
    u64 flags, link, stack[3];
    u8 mask[128];
    u64 fault __attribute__((aligned(16)));
    u64 registers[31], sp, pc, state;
};

// The place's number stands in the instruction.
static void on_trap(int signal, void *info, struct context *context) {
    u64 number = *(unsigned *)context->pc >> 5 & 0xffff;
    u64 size = stack_end - context->sp;
    put(&number, 8);
    put(context->registers, 31 * 8);
    put(&context->sp, 8);
    put(&context->pc, 8);
    put(&size, 8);
    put((void *)context->sp, size);
    context->pc += 4;
}

// As that of musl: nothing says how to unwind it, and its caller's registers are in the frame that the kernel made.
__attribute__((visibility("hidden"))) void restorer(void);
__asm__(".text\n nop\n .global restorer\n .hidden restorer\n .type restorer,%function\nrestorer: mov x8, #139\n svc #0\n .size restorer, .-restorer\n");

struct action { void *handler; u64 flags; void *restorer; u64 mask; };

static void handle(int number, void *handler) {
    struct action action = {handler, 4 | 0x04000000 | 0x40000000, (void *)restorer, 0};
    call(SIGACTION, number, (long)&action, 0, 8);
}

#define STOP(number) __asm__ volatile("brk #" #number ::: "memory")

// 1: the return address is in x30 alone.
NOINLINE void frameless_leaf(void) { STOP(1); }

// 2: called from more than one instruction can subtract, and more than 1 KiB from where return address and x29 are.
NOINLINE void touch(volatile u8 *bytes) {
    bytes[0] = 1;
    STOP(2);
    sink = bytes[1];
}
NOINLINE void big_frame(void) {
    volatile u8 bytes[9000];
    touch(bytes);
    sink = bytes[0] + bytes[8999];
}

// 3: sp is anywhere; the frame is found by x29.
NOINLINE void variable_frame(u64 size) {
    volatile u8 *bytes = __builtin_alloca(size);
    bytes[0] = 1;
    bytes[size - 1] = 2;
    STOP(3);
    sink = bytes[0];
}

// 4: in a handler, which interrupted a frameless leaf: its return address is in x30 of the interrupted context alone.
NOINLINE void in_handler(void) {
    STOP(4);
    sink = 4;
}
static void on_usr1(int signal, void *info, struct context *context) {
    in_handler();
    sink = 5;
}

NOINLINE void interrupted_leaf(long pid) {
    register long x8 __asm__("x8") = KILL;
    register long x0 __asm__("x0") = pid;
    register long x1 __asm__("x1") = USR1;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
}

// 5: recursion, with callee-saved registers in use.
NOINLINE u64 recursive(u64 depth, u64 a, u64 b, u64 c) {
    if (depth == 0) {
        STOP(5);
        return a;
    }
    u64 result = recursive(depth - 1, b * 3, c * 5, a * 7);
    return result + a * b + c;
}

// 6: the call is the last instruction: the return address is in the next function.
NOINLINE __attribute__((noreturn)) void never_returns(void) {
    STOP(6);
    sink = 7;
    call(EXIT, 0, 0, 0, 0);
    for (;;) {}
}
NOINLINE void calls_last(u64 value) {
    sink = value;
    never_returns();
}

NOINLINE void middle(u64 argument) {
    frameless_leaf();
    sink = argument;
    big_frame();
    sink = argument + 1;
    variable_frame(argument * 100);
    sink = argument + 2;
    interrupted_leaf(call(GETPID, 0, 0, 0, 0));
    sink = argument + 3;
    sink = recursive(20, argument, argument + 1, argument + 2);
    if (sink) calls_last(argument);
}

__attribute__((used)) void begin(u64 *stack) {
    // The strings behind the environment are the end of the stack; the words before them are enough.
    u64 *end = stack + 1 + stack[0] + 1;
    while (*end) end++;
    stack_end = (u64)(end + 1);
    u64 base;
    __asm__("adrp %0, __ehdr_start\n add %0, %0, :lo12:__ehdr_start" : "=r"(base));
    put(&base, 8);
    handle(TRAP, on_trap);
    handle(USR1, on_usr1);
    middle(7);
    sink = 0;
}

__asm__(".text\n .global _start\n .type _start,%function\n_start: .cfi_startproc\n .cfi_undefined x30\n mov x29, #0\n mov x30, #0\n"
        " mov x0, sp\n bl begin\n brk #99\n .cfi_endproc\n .size _start, .-_start\n");
