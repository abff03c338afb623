// Code with each kind of row of unwind information, for seeds: see README.md.
__attribute__((noinline)) int leaf(int value) { return value * 3; }
__attribute__((noinline)) int big(int value) { volatile char bytes[5000]; bytes[0] = value; return leaf(bytes[0]) + bytes[1]; }
__attribute__((noinline)) int variable(int size) { volatile char *bytes = __builtin_alloca(size); bytes[0] = size; return leaf(bytes[0]); }
__attribute__((noinline)) int aligned(int value) { volatile char bytes[64] __attribute__((aligned(64))); bytes[1] = value; return big(bytes[1]) + variable(value); }
#ifdef __x86_64__
__asm__(".text\n .globl by_register\nby_register: .cfi_startproc\n mov %rbx, %rbx\n .cfi_def_cfa rbx, 16\n nop\n .cfi_escape 0x0f, 0x05, 0x77, 0x08, 0x06, 0x23, 0x08\n nop\n"
 " .cfi_escape 0x0f, 0x0b, 0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22\n nop\n .cfi_escape 0x0f, 0x04, 0x30, 0x2f, 0xfd, 0xff\n nop\n .cfi_remember_state\n .cfi_val_offset rbp, -24\n nop\n .cfi_restore_state\n ret\n .cfi_endproc\n"
 ".globl restorer\n nop\nrestorer: .cfi_startproc\n .cfi_signal_frame\n .cfi_escape 0x0f, 0x03, 0x77, 0xa0, 0x01\n .cfi_escape 0x10, 0x06, 0x03, 0x77, 0xf8, 0x00\n .cfi_escape 0x10, 0x10, 0x03, 0x77, 0xa8, 0x01\n mov $15, %rax\n syscall\n .cfi_endproc\n"
 ".globl _start\n_start: .cfi_startproc\n .cfi_undefined rip\n call aligned\n hlt\n .cfi_endproc\n");
#else
__asm__(".text\n .globl _start\n_start: .cfi_startproc\n .cfi_undefined eip\n call aligned\n hlt\n .cfi_endproc\n");
#endif
