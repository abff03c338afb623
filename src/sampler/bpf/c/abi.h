/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the programs and the loader exchange. `../abi.rs` is the same in Rust; `tests/tidy.rs` holds their numbers against each
 * other.
 */
#pragma once

/* The heap: tables of rules and lists of mappings, in blocks of 8 KiB. Block 0 is never used. */
#define BLOCK_WORDS 2048 /* of 4 bytes */
#define SEGMENT_BLOCKS 512
#define SEGMENTS 64

/*
 * A table of rules of a file (`src/unwind/table.rs`), from the first word of a block on:
 *
 *   word 0      the number of the image, as mappings have it
 *   word 1      how many pages of 8 KiB of addresses it covers
 *   word 2      flags: TABLE_GO
 *   word 3      0
 *   word 4+2p   of page p: the block that its rows are in, from the table's first on
 *   word 5+2p   of page p: index of its first row in that block | number of rows << 16
 *   rows        address in its page << 19 | index of the rule in `rules`; the first of a page is at address 0
 */
#define TABLE_HEADER_WORDS 4
#define TABLE_GO 1
#define PAGE_SHIFT_OF_TABLE 13
#define ROW_RULE_BITS 19

/*
 * A rule, 8 bytes: kind | argument << 8 | cfa << 16 | ra << 32 | fp << 48; offsets are in words of 8 bytes.
 */
#define RULES 65536
enum rule_kind {
    RULE_NO_INFO = 0,
    RULE_ROOT = 1,
    RULE_SP = 2,       /* CFA = sp + cfa + (argument << 16) */
    RULE_FP = 3,       /* CFA = fp + cfa + (argument << 16) */
    RULE_SP_DEREF = 4, /* CFA = *(sp + cfa) + argument */
    RULE_FP_DEREF = 5,
    RULE_PLT = 6,    /* CFA = sp + 1 + (address & 15 >= argument) */
    RULE_GO = 7,     /* cfa: depth; argument: enum go_switch */
    RULE_ROW = 8,    /* more than a rule can say */
    RULE_SIGNAL = 9, /* a trampoline that a signal's handler returns to; argument 1: of return addresses alone */
};
enum go_switch { GO_STAYS = 0, GO_LEADS_BACK = 1, GO_LOST = 2, GO_NEW_THREAD = 3 };
#define SLOT_IN_REGISTER -32768
#define SLOT_AT_FP 32767

/*
 * What is mapped in a process: 16 bytes a mapping, sorted by address, at most 511 in one block. Behind them, in the last 16
 * bytes of the block, is the number of the list, which is never used again: a process that was forked has its parent's list
 * until it gets one of its own, and must not take what is in the block by then for one.
 *
 *   first   first page (4 KiB) of addresses << 24 | number of pages
 *   second  first block of the table, 0 if there is none << 40 | first page in the table << 16 | number of the image, 0 if it is
 *           anonymous memory
 */
#define MAPPINGS 511
#define MAPPING_SLOTS 512
struct mapping {
    u64 first;
    u64 second;
};
struct process {
    u32 block;
    u32 count;
    u64 list;    /* number of the list */
    u64 exec_vm; /* what the process had mapped executable (mm->exec_vm, pages) when the list was made; 0 if not to be compared */
    u32 epoch;   /* of its address space: another one whenever other code takes the place of some that was listed; never used again */
    u32 reserved;
};

/* A frame of user mode: the number of an image and an address in its table, or an address. */
#define FRAME_RAW (1ULL << 63) /* the lower 56 bits are the address itself */
#define FRAME_BY_SHIFT 59
#define FRAME_IMAGE_SHIFT 40
#define FRAME_ADDRESS_BITS 40
enum found_by { BY_SAMPLE = 0, BY_RULE = 1, BY_FRAME_POINTER = 2, BY_GO_TABLE = 3 };

/* How the user part of a stack ends. */
enum stack_end {
    END_ROOT = 0,
    END_NOT_MAPPED = 1,    /* an address in no mapping that is known */
    END_NO_INFO = 2,       /* code without call frame information */
    END_NO_TABLE = 3,      /* the table of its image is not there (yet) */
    END_UNREADABLE = 4,    /* the stack could not be read: it is not in memory */
    END_TOO_DEEP = 5,      /* more than USER_FRAMES */
    END_NO_PROGRESS = 6,   /* the stack pointer went down or stood still */
    END_ROW = 7,           /* a rule that needs other registers */
    END_OTHER_STACK = 8,   /* a change of stacks that leads nowhere */
    END_NOT_KNOWN = 9,     /* nothing is known of the process (yet) */
    END_STALE = 10,        /* its mappings have changed since */
    END_OTHER_PROCESSOR = 11, /* a 32-bit program */
    END_NO_REGISTERS = 12,
    END_KERNEL_THREAD = 13, /* no user part: nothing is missing */
    END_NOT_ASKED = 14,
};

#define KERNEL_FRAMES 127
#define USER_FRAMES 4096

/* What comes through the ring. */
enum event_kind { EVENT_STACK = 1, EVENT_SAMPLE = 2, EVENT_STALE = 3 };

/* A stack that has not been sent lately: followed by the frames, innermost first, those of the kernel and then those of the user. */
struct stack_event {
    u32 kind;
    u32 tgid;
    u64 key;   /* hash of all frames */
    u64 check; /* another hash of them */
    u32 kernel_frames;
    u32 user_frames;
    u32 end;
    u32 reserved;
};

struct sample_event {
    u32 kind;
    u32 cpu;
    u64 time; /* CLOCK_MONOTONIC, nanoseconds */
    u64 stack;
    u64 period;
    u32 tgid;
    u32 tid;
    u32 event; /* which of the events, by its cookie */
    u32 epoch; /* by which the user's frames were found; 0 if there are none */
};

/* The mappings of a process are not those that are known here. */
struct stale_event {
    u32 kind;
    u32 tgid;
};

/* Time off the CPU. */
#define STATE_RUNNABLE 0 /* waited for a CPU */
struct wait_key {
    u64 stack;
    u64 waker; /* stack of who woke it; 0 if that is not known, 1 if nobody was asked */
    u32 tid;
    u32 tgid;
    u32 state; /* bits of the task's state when it went off; 0 while it could have run */
    u32 waker_tid;
    u32 epoch; /* as in `sample_event` */
    u32 waker_epoch;
};
struct wait_value {
    u64 time; /* nanoseconds */
    u64 count;
    u64 longest;
};

/* The stack of a wait whose begin was not seen: the thread was off already when the recording began, see `task_record`. */
#define STACK_BEFORE 4
/* Of the first wait of a new thread, which has a stack of its own, and nothing on it yet. */
#define STACK_NEW 8

/*
 * What the iterator says of a thread that is off the CPU, one behind the other. Behind each are its registers of user mode
 * (TASK_REGISTERS words, by DWARF's numbers, the address of the instruction last: 16; 32), and TASK_FRAMES addresses of the kernel.
 */
#define TASK_REGISTERS 33
#define TASK_FRAMES 64
struct task_record {
    u32 tid;
    u32 tgid;
    u32 state;
    u32 kernel_frames;
    u64 since; /* CLOCK_MONOTONIC, nanoseconds */
    u64 woken; /* 0 if it was not */
    u64 stack; /* as in `wait_key` */
    u64 waker;
    u32 waker_tid;
    u32 epoch;
    u32 waker_epoch;
    u32 is_64;
};

/* How long a thread has run. */
struct on_cpu {
    u64 time;  /* nanoseconds, up to when it went off last */
    u64 first; /* when it was seen on a CPU first */
    u64 since; /* since when it is on a CPU; 0 if it is off */
};

/* What is counted, for each CPU. */
enum counter {
    SWITCHES = 0,        /* task switches seen */
    SWITCHES_OUT = 1,    /* of tasks that are recorded, off a CPU */
    SWITCHES_IN = 2,     /* and on */
    NO_BEGIN = 3,        /* came on, and it was not seen when they went off */
    BELOW_MIN = 4,
    ABOVE_MAX = 5,
    OTHER_STATE = 6,
    NO_STORAGE = 7,      /* no room to remember that a task went off */
    WAITS_FULL = 8,      /* no room in `waits` */
    WAITS_FULL_TIME = 9, /* nanoseconds of those */
    RING_FULL = 10,      /* stacks that found no room in the ring */
    RING_FULL_SAMPLES = 11,
    COLLISIONS = 12, /* two stacks of the same hash */
    SAMPLES = 13,    /* handed over with their stack */
    SAMPLES_LEFT = 14, /* left to the perf event, with a copy of the stack */
    SAMPLES_OTHER = 15, /* of tasks that are not recorded */
    TIMED_CALLS = 16,
    TIMED_NANOSECONDS = 17,
    CALLS = 18,
    NO_SCRATCH = 19,
    FRAMES = 20,
    STALE_SENT = 21,
    WAKEUPS = 22,
    KERNEL_STACK_FAILED = 23,
    MEMBERS_FULL = 24, /* a process that could not be followed */
    THREADS_FULL = 25,   /* no room in `on_cpu` */
    REUSED = 26, /* stacks that were the same as before, to the last word */
    LEFT = 27,   /* waits of threads that have left the cgroup meanwhile */
    NO_END = 28,      /* waits whose end was not seen */
    NO_END_TIME = 29, /* nanoseconds of those at most: until their threads were seen to go off again */
    END_FIRST = 32, /* + enum stack_end: how user stacks ended */
    COUNTERS = 64,
};
