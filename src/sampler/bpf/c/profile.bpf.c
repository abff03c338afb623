/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Samples and waits with their stacks, unwound and told apart in the kernel: a stack is sent once, a sample is a few numbers, and
 * waits are added up.
 */
#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "abi.h"
#include "unwind.h"

char license[] SEC("license") = "Dual MIT/GPL";

/* Set by the loader. */
const volatile u32 whom = 0; /* enum whom */
const volatile u32 cpus = 1;
const volatile u32 own_tgid = 0;
const volatile u64 target_cgroup = 0;
const volatile u32 target_cgroup_level = 0;
const volatile u32 namespace_level = 0; /* of the pid namespace that ids are in; 0 is that of the machine */
const volatile u32 namespace_inode = 0;
const volatile u32 with_kernel_threads = 0;
const volatile u32 with_kernel_stacks = 1;
const volatile u32 with_user_stacks = 1;
const volatile u32 with_wakers = 0;
const volatile u32 state_mask = 0xff;
const volatile u64 min_block = 0;
const volatile u64 max_block = ~0ULL;
const volatile u32 time_one_in = 256; /* a power of two */

enum whom { WHOM_ALL = 0, WHOM_PROCESSES = 1, WHOM_THREADS = 2, WHOM_CGROUP = 3 };

/* Recording goes on while this is 1: what happens before all is in place is not counted. */
volatile u32 running = 0;

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, u32);
    __type(value, u32);
} members SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 65536); /* the loader sets it */
    __type(key, u64);
    __type(value, u64);
} sent SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 23); /* the loader sets it */
} ring SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536); /* the loader sets it */
    __type(key, struct wait_key);
    __type(value, struct wait_value);
} waits SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, u32);
    __type(value, u64);
} stale SEC(".maps");

/* What is remembered of a task that is off the CPU. */
struct off {
    u64 since; /* 0 if it is on */
    u64 woken; /* since when it could run again; 0 if it was not woken */
    u64 stack;
    u64 waker;
    u32 state;
    u32 waker_tid;
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct off);
} tasks SEC(".maps");

struct counters {
    u64 of[COUNTERS];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 2); /* of tasks' programs, of interrupts */
    __type(key, u32);
    __type(value, struct counters);
} counts SEC(".maps");

static __always_inline struct counters *counters_of(u32 which) {
    u32 index = which == OF_EVENT;
    return bpf_map_lookup_elem(&counts, &index);
}

#define COUNT(counters, what, by) ((counters)->of[what] += (by))

/* The id of a task in the pid namespace that the recording is in; 0 if it has none there. */
static __always_inline u32 id_of(struct task_struct *task, int id) {
    if (!namespace_level) return id;
    struct pid *pid = task->thread_pid;
    if (!pid || pid->level < namespace_level) return 0;
    struct upid upid;
    if (bpf_core_read(&upid.nr, sizeof upid.nr, &pid->numbers[namespace_level].nr)) return 0;
    struct pid_namespace *namespace = 0;
    if (bpf_core_read(&namespace, sizeof namespace, &pid->numbers[namespace_level].ns)) return 0;
    u32 inode = 0;
    if (bpf_core_read(&inode, sizeof inode, &namespace->ns.inum)) return 0;
    return inode == namespace_inode ? upid.nr : 0;
}

static __always_inline u32 tid_of(struct task_struct *task) {
    return id_of(task, task->pid);
}

static __always_inline u32 tgid_of(struct task_struct *task) {
    return namespace_level ? id_of(task->group_leader, 0) : task->tgid;
}

static __always_inline int is_wanted(struct task_struct *task, u32 tid, u32 tgid) {
    if (!tid) return 0;
    if (task->flags & PF_KTHREAD && !(whom == WHOM_THREADS) && !with_kernel_threads) return 0;
    switch (whom) {
    case WHOM_PROCESSES: return bpf_map_lookup_elem(&members, &tgid) != 0;
    case WHOM_THREADS: return bpf_map_lookup_elem(&members, &tid) != 0;
    case WHOM_CGROUP: {
        struct cgroup *group = task->cgroups->dfl_cgrp;
        if (group->level < (int)target_cgroup_level) return 0;
        struct cgroup *ancestor = 0;
        u64 id = 0;
        if (bpf_core_read(&ancestor, sizeof ancestor, &group->ancestors[target_cgroup_level & 31])) return 0;
        if (BPF_CORE_READ_INTO(&id, ancestor, kn, id)) return 0;
        return id == target_cgroup;
    }
    default: return 1;
    }
}

/* User space is to look again at what is mapped in a process; it is told once in 10 ms. */
static __always_inline void tell_stale(struct counters *counters, u32 tgid) {
    u64 now = bpf_ktime_get_ns(), *last = bpf_map_lookup_elem(&stale, &tgid);
    if (last && now - *last < 10000000) return;
    bpf_map_update_elem(&stale, &tgid, &now, BPF_ANY);
    struct stale_event event = {.kind = EVENT_STALE, .tgid = tgid};
    if (!bpf_ringbuf_output(&ring, &event, sizeof event, BPF_RB_NO_WAKEUP)) COUNT(counters, STALE_SENT, 1);
}

/* Takes the stack of the current task, sends it if it was not sent before, and gives its key; 0 if it could not be sent. */
static __always_inline u64 take_stack(void *context, struct scratch *scratch, u32 which, struct counters *counters,
                                      struct task_struct *task, u32 tgid, const struct user_regs *regs, u32 fallback) {
    struct walk *walk = &scratch->walk;
    walk->key = 0x243f6a8885a308d3ULL;
    walk->check = 0x13198a2e03707344ULL;
    walk->kernel_frames = 0;
    walk->frames = 0;
    walk->end = END_NOT_ASKED;
    if (with_user_stacks) {
        /* The kernel's frames come first in memory, and are taken later: their number is not known yet. */
        struct mm_struct *mm = task->mm;
        walk->kernel_frames = KERNEL_FRAMES;
        if (task->flags & PF_KTHREAD || !mm)
            walk->end = END_KERNEL_THREAD;
        else if (!regs->ip)
            walk->end = END_NO_REGISTERS;
        else
            walk_user(scratch, which, tgid, mm, regs, !fallback);
        COUNT(counters, END_FIRST + (walk->end & 31), 1);
        COUNT(counters, FRAMES, walk->frames);
        if (walk->end == END_STALE || walk->end == END_NOT_KNOWN || walk->end == END_NOT_MAPPED ||
            walk->end == END_NO_TABLE)
            tell_stale(counters, tgid);
        if (fallback && walk->end != END_ROOT && walk->end != END_KERNEL_THREAD) return 0;
    }
    u32 kernel = 0;
    if (with_kernel_stacks) {
        long size = bpf_get_stack(context, scratch->frames, KERNEL_FRAMES * 8, 0);
        if (size > 0)
            kernel = (u32)size / 8;
        else if (which != OF_EVENT)
            COUNT(counters, KERNEL_STACK_FAILED, 1);
    }
    if (kernel > KERNEL_FRAMES) kernel = KERNEL_FRAMES;
    for (u32 at = 0; at < KERNEL_FRAMES; at++) {
        if (at >= kernel) break;
        hash(walk, scratch->frames[at]);
    }
    hash(walk, (u64)walk->end << 32 | kernel);
    u64 key = walk->key | 2; /* 0 and 1 mean something else */
    u64 *known = bpf_map_lookup_elem(&sent, &key);
    if (known) {
        if (*known == walk->check) return key;
        COUNT(counters, COLLISIONS, 1);
        key = walk->check | 2;
        known = bpf_map_lookup_elem(&sent, &key);
        if (known && *known == walk->key) return key;
    }
    return key;
}
