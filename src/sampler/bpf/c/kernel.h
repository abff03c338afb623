/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the programs read of the kernel's own structures. Only the fields that are used are named; where they lie is relocated
 * when the programs are loaded (CO-RE, from the BTF of the kernel that runs).
 */
#pragma once

typedef _Bool bool;
typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef signed short __s16;
typedef unsigned int __u32;
typedef signed int __s32;
typedef unsigned long long __u64;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __s16 s16;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;

/* include/uapi/linux/bpf.h */
enum {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_LRU_HASH = 9,
    BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
    BPF_MAP_TYPE_RINGBUF = 27,
    BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_F_USER_STACK = 1 << 8 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
    unsigned int inum;
};
struct pid_namespace {
    struct ns_common ns;
};
struct upid {
    int nr;
    struct pid_namespace *ns;
};
struct pid {
    unsigned int level;
    struct upid numbers[];
};
struct kernfs_node {
    u64 id;
};
struct cgroup {
    int level;
    struct kernfs_node *kn;
    struct cgroup *ancestors[];
};
struct css_set {
    struct cgroup *dfl_cgrp;
};
struct mm_struct {
    unsigned long exec_vm;
};
typedef struct {
    int counter;
} atomic_t;
struct signal_struct {
    atomic_t live;
};
struct task_struct {
    int pid;
    int tgid;
    unsigned int flags;
    unsigned int __state;
    int on_cpu;
    struct mm_struct *mm;
    struct task_struct *group_leader;
    struct task_struct *real_parent;
    struct signal_struct *signal;
    struct pid *thread_pid;
    struct css_set *cgroups;
    char comm[16];
};
struct linux_binprm;
struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
};
struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
    u64 regs[31];
    u64 sp;
    u64 pc;
    u64 pstate;
};
#endif

#pragma clang attribute pop

/* What a program of a perf event gets (include/uapi/linux/bpf_perf_event.h): the layout is fixed. */
#if defined(__TARGET_ARCH_x86)
struct event_regs {
    u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct event_regs {
    u64 regs[31];
    u64 sp;
    u64 pc;
    u64 pstate;
};
#endif
struct bpf_perf_event_data {
    struct event_regs regs;
    u64 sample_period;
    u64 addr;
};
