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

char LICENSE[] SEC("license") = "Dual MIT/GPL";

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
const volatile u32 with_on_cpu = 0;  /* time on the CPU of each thread is added up in `on_cpu` */
const volatile u32 both = 0;         /* samples go both ways, to be compared */
const volatile u32 time_one_in = 256; /* a power of two */

enum whom { WHOM_ALL = 0, WHOM_PROCESSES = 1, WHOM_THREADS = 2, WHOM_CGROUP = 3 };

/* Recording goes on while this is RUNS: what happens before all is in place is not counted. */
enum { STANDS = 0, RUNS = 1, LISTS = 2 }; /* LISTS: nothing changes any more, and tasks that are off can be listed */
volatile u32 running = STANDS;

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define TASK_DEAD 0x80
#define EXIT_STATES 0x30 /* EXIT_DEAD, EXIT_ZOMBIE */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, u32);
    __type(value, u32); /* enum membership */
} members SEC(".maps");

/*
 * A process takes CPU time after the tracepoint of its end: Linux 6.18 hits that before memory is taken apart, which was 4 % of the
 * time of a storm of short programs. So it stays a member until so many others have ended.
 */
enum membership { MEMBER = 1, MEMBER_ENDS = 2 };
#define ENDING 1024

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, ENDING + 1); /* the last counts them */
    __type(key, u32);
    __type(value, u32);
} ending SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 65536); /* a stack that is forgotten is sent once more */
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
    u64 early; /* 1: somebody began to wake it before it was seen to be off; the waker's fields are said already */
    u64 stack;
    u64 waker;
    u32 state;
    u32 waker_tid;
    u32 epoch;
    u32 waker_epoch;
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct off);
} tasks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536); /* the loader makes it 1 where waits are not recorded */
    __type(key, u32);
    __type(value, struct on_cpu);
} on_cpu SEC(".maps");

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

/* Makes the hashes of the kernel's frames. A function of its own, as `step` is. */
__noinline long hash_kernel(u32 which, u32 frames) {
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &which);
    if (!scratch) return 0;
    u64 key = 0x13198a2e03707344ULL, check = 0x243f6a8885a308d3ULL;
    for (u32 frame = 0; frame < KERNEL_FRAMES; frame++) {
        if (frame >= frames) break;
        mix(&key, &check, scratch->frames[frame]);
    }
    scratch->walk.kernel_key = key;
    scratch->walk.kernel_check = check;
    return 0;
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

/* User space is to look again at what is mapped in a process, now: it is woken, once in a millisecond for each process. */
static __always_inline void tell_stale(struct counters *counters, u32 tgid) {
    u64 now = bpf_ktime_get_ns(), *last = bpf_map_lookup_elem(&stale, &tgid);
    if (last && now - *last < 1000000) return;
    bpf_map_update_elem(&stale, &tgid, &now, BPF_ANY);
    struct stale_event event = {.kind = EVENT_STALE, .tgid = tgid};
    if (!bpf_ringbuf_output(&ring, &event, sizeof event, BPF_RB_FORCE_WAKEUP)) COUNT(counters, STALE_SENT, 1);
}

/* The names of a stack, of those of its parts. */
struct stack_name {
    u64 key;
    u64 check;
};

static __always_inline struct stack_name name_of(const struct walk *walk) {
    struct stack_name name = {.key = walk->key, .check = walk->check};
    mix(&name.key, &name.check, walk->kernel_key);
    mix(&name.key, &name.check, walk->kernel_check ^ ((u64)walk->end << 32 | walk->kernel_frames));
    name.key |= 2; /* 0 and 1 mean something else */
    return name;
}

static __always_inline void no_frames(struct walk *walk) {
    walk->key = 0x243f6a8885a308d3ULL;
    walk->check = 0x13198a2e03707344ULL;
    walk->frames = 0;
}

/* A pointer as a number: the verifier takes no other arithmetic with it than within what it points to. */
static __always_inline u64 address_of(struct scratch *scratch, void *pointer) {
    *(void *volatile *)&scratch->address = pointer;
    return *(volatile u64 *)&scratch->address;
}

/* The key of a stack whose user part is the one that is kept, if it was sent; else 0: its frames are needed. */
static __always_inline u64 known_by_kept(struct walk *walk, const struct kept *kept, struct counters *counters) {
    walk->key = kept->key;
    walk->check = kept->check;
    walk->end = END_ROOT;
    struct stack_name name = name_of(walk);
    u64 *known = bpf_map_lookup_elem(&sent, &name.key);
    if (!known || *known != name.check) return 0;
    COUNT(counters, END_FIRST + END_ROOT, 1);
    COUNT(counters, FRAMES, kept->frames);
    COUNT(counters, REUSED, 1);
    return name.key;
}

/*
 * Takes the stack of a task whose memory is that of the current one, sends it if it was not sent lately, and gives its key; 0 if it
 * could not be sent, or, with WITH_FALLBACK, if it is not whole. WITH_KERNEL: with the kernel's part, which is of the current task.
 */
enum { WITH_KERNEL = 1, WITH_FALLBACK = 2 };
static __always_inline u64 take_stack(void *context, struct scratch *scratch, u32 which, struct counters *counters,
                                      struct task_struct *task, u32 tgid, const struct user_regs *regs, u32 how) {
    struct walk *walk = &scratch->walk;
    struct mm_struct *mm = task->mm;
    u32 fallback = how & WITH_FALLBACK, with_kernel = with_kernel_stacks && how & WITH_KERNEL;
    u32 kernel = 0, walks = 0, slot = 0;
    struct kept *kept = 0;
    walk->epoch = 0;
    walk->end = END_NOT_ASKED;
    no_frames(walk);
    if (with_user_stacks) {
        if (task->flags & PF_KTHREAD || !mm)
            walk->end = END_KERNEL_THREAD;
        else if (!regs->ip)
            walk->end = END_NO_REGISTERS;
        else
            walks = begin_walk(scratch, tgid, mm, regs, !fallback);
    }
    /* Code that is at work is hardly ever where it was. */
    if (walks && !fallback) {
        slot = kept_at(&scratch->kept, which);
        scratch->kept.kernel_top = with_kernel ? address_of(scratch, (void *)bpf_task_pt_regs(task)) : 0;
        scratch->kept.kernel_begin = address_of(scratch, context);
        long parts = is_kept(which, slot);
        if (parts) kept = bpf_map_lookup_elem(&kept_stacks, &slot);
        if (kept && (parts & KEPT_KERNEL || !with_kernel)) {
            if (with_kernel) {
                walk->kernel_frames = kept->kernel_frames;
                walk->kernel_key = kept->kernel_key;
                walk->kernel_check = kept->kernel_check;
            } else {
                walk->kernel_frames = 0;
                hash_kernel(which, 0);
            }
            u64 known = known_by_kept(walk, kept, counters);
            if (known) return known;
        }
    }
    if (with_kernel) {
        long size = bpf_get_stack(context, scratch->frames, KERNEL_FRAMES * 8, 0);
        /* An event that found the task in user mode has none. */
        if (size > 0)
            kernel = (u32)size / 8;
        else if (which % SCRATCH_KINDS != OF_EVENT)
            COUNT(counters, KERNEL_STACK_FAILED, 1);
        if (kernel > KERNEL_FRAMES) kernel = KERNEL_FRAMES;
    }
    walk->kernel_frames = kernel;
    hash_kernel(which, kernel);
    if (kept && with_kernel) {
        keep_kernel(which, slot, kernel);
        u64 known = known_by_kept(walk, kept, counters);
        if (known) return known;
    }
    if (with_user_stacks) {
        if (walks) {
            no_frames(walk);
            if (fallback) scratch->kept.reads = KEPT_NOTHING;
            walk_user(scratch, which);
            if (walk->end == END_ROOT && scratch->kept.reads <= KEPT_READS) {
                scratch->kept.key = walk->key;
                scratch->kept.check = walk->check;
                scratch->kept.frames = walk->frames;
                scratch->kept.kernel_words = 0;
                scratch->kept.kernel_misses = 0;
                bpf_map_update_elem(&kept_stacks, &slot, &scratch->kept, BPF_ANY);
            }
        }
        COUNT(counters, END_FIRST + (walk->end & 31), 1);
        COUNT(counters, FRAMES, walk->frames);
        if (walk->end == END_STALE || walk->end == END_NOT_KNOWN || walk->end == END_NOT_MAPPED ||
            walk->end == END_NO_TABLE)
            tell_stale(counters, tgid);
        if (fallback && walk->end != END_ROOT && walk->end != END_KERNEL_THREAD) return 0;
    }
    struct stack_name name = name_of(walk);
    u64 *known = bpf_map_lookup_elem(&sent, &name.key);
    if (known && *known != name.check) {
        COUNT(counters, COLLISIONS, 1);
        u64 key = name.check | 2;
        name.check = name.key;
        name.key = key;
        known = bpf_map_lookup_elem(&sent, &name.key);
    }
    if (known && *known == name.check) return name.key;
    u32 frames = walk->frames;
    struct stack_event *event = &scratch->event;
    event->kind = EVENT_STACK;
    event->tgid = tgid;
    event->key = name.key;
    event->check = name.check;
    event->kernel_frames = kernel;
    event->user_frames = frames;
    event->end = walk->end;
    event->reserved = 0;
    u64 size = sizeof *event + 8 * ((u64)kernel + frames);
    if (size > sizeof *event + 8 * (KERNEL_FRAMES + USER_FRAMES)) return 0;
    if (bpf_ringbuf_output(&ring, event, size, BPF_RB_NO_WAKEUP)) {
        COUNT(counters, RING_FULL, 1);
        return 0;
    }
    bpf_map_update_elem(&sent, &name.key, &name.check, BPF_ANY);
    return name.key;
}

/* Whether this call is one that is timed: one in `time_one_in`. */
static __always_inline u64 begin_call(struct counters *counters) {
    COUNT(counters, CALLS, 1);
    return counters->of[CALLS] & (time_one_in - 1) ? 0 : bpf_ktime_get_ns();
}

static __always_inline void end_call(struct counters *counters, u64 began) {
    if (!began) return;
    COUNT(counters, TIMED_CALLS, 1);
    COUNT(counters, TIMED_NANOSECONDS, bpf_ktime_get_ns() - began);
}

/* The registers that a task had in user mode. */
static __always_inline void user_regs_of(struct task_struct *task, struct user_regs *into) {
    struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
    into->ip = into->sp = into->fp = into->lr = 0;
    into->is_64 = 1;
    if (!regs) return;
#if defined(__TARGET_ARCH_x86)
    into->ip = regs->ip;
    into->sp = regs->sp;
    into->fp = regs->bp;
    into->is_64 = regs->cs != 0x23; /* __USER32_CS */
#else
    into->ip = regs->pc;
    into->sp = regs->sp;
    into->fp = regs->regs[29];
    into->lr = regs->regs[30];
    into->is_64 = !(regs->pstate & 0x10); /* PSR_MODE32_BIT */
#endif
}

static __always_inline struct scratch *scratch_of(u32 *which) {
    *which = bpf_get_smp_processor_id() * SCRATCH_KINDS + *which;
    return bpf_map_lookup_elem(&scratches, which);
}

static __always_inline void add_wait(struct counters *counters, const struct wait_key *key, u64 time) {
    struct wait_value *value = bpf_map_lookup_elem(&waits, key);
    if (!value) {
        struct wait_value first = {.time = time, .count = 1, .longest = time};
        if (!bpf_map_update_elem(&waits, key, &first, BPF_NOEXIST)) return;
        /* Another CPU may have been first; else it is full. */
        value = bpf_map_lookup_elem(&waits, key);
        if (!value) {
            COUNT(counters, WAITS_FULL, 1);
            COUNT(counters, WAITS_FULL_TIME, time);
            return;
        }
    }
    __sync_fetch_and_add(&value->time, time);
    __sync_fetch_and_add(&value->count, 1);
    /* Two at once may leave the shorter of both: it is not summed. */
    if (value->longest < time) value->longest = time;
}

static __always_inline void no_waker(struct off *off) {
    off->waker = 1;
    off->waker_tid = 0;
    off->waker_epoch = 0;
}

/* A thread has run up to now. */
static __always_inline void ran_until(u32 tid, u64 now) {
    struct on_cpu *on = bpf_map_lookup_elem(&on_cpu, &tid);
    if (!on || !on->since) return;
    on->time += now - on->since;
    on->since = 0;
}

/* A task goes off its CPU. It is still the current one, and its memory can be read. */
static __always_inline void goes_off(void *context, struct counters *counters, struct task_struct *prev, u32 state,
                                     u64 now) {
    u32 tid = tid_of(prev), tgid = tgid_of(prev);
    if (!is_wanted(prev, tid, tgid)) {
        /* It may have left the cgroup since it came on. */
        if (whom == WHOM_CGROUP && tid) ran_until(tid, now);
        return;
    }
    COUNT(counters, SWITCHES_OUT, 1);
    ran_until(tid, now);
    if (state & (TASK_DEAD | EXIT_STATES)) return;
    struct off *off = bpf_task_storage_get(&tasks, prev, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!off) {
        COUNT(counters, NO_STORAGE, 1);
        return;
    }
    /* It was off, and has come on since: the kernel has not told of that switch. */
    if (off->since) {
        COUNT(counters, NO_END, 1);
        COUNT(counters, NO_END_TIME, now - off->since);
        off->since = 0;
    }
    if (state && !(state & state_mask)) {
        COUNT(counters, OTHER_STATE, 1);
        return;
    }
    /* It is off its run queue already: who wakes it now, on another CPU, is seen, and it cannot come on before this is over. */
    if (!off->early || !state) no_waker(off);
    off->early = 0;
    off->state = state & 0xff;
    off->woken = 0;
    off->stack = 0;
    off->since = now;
    u32 which = OF_SWITCH;
    struct scratch *scratch = scratch_of(&which);
    if (!scratch) {
        COUNT(counters, NO_SCRATCH, 1);
        return;
    }
    struct user_regs regs;
    user_regs_of(prev, &regs);
    off->stack = take_stack(context, scratch, which, counters, prev, tgid, &regs, WITH_KERNEL);
    off->epoch = scratch->walk.epoch;
}

static __always_inline void comes_on(struct counters *counters, struct task_struct *next, u64 now) {
    u32 tid = tid_of(next), tgid = tgid_of(next);
    if (!is_wanted(next, tid, tgid)) {
        if (whom != WHOM_CGROUP) return;
        /* It may have left the cgroup while it was off: when is not known. */
        struct off *left = bpf_task_storage_get(&tasks, next, 0, 0);
        if (!left || !left->since) return;
        left->since = 0;
        left->early = 0;
        COUNT(counters, LEFT, 1);
        return;
    }
    COUNT(counters, SWITCHES_IN, 1);
    if (with_on_cpu) {
        struct on_cpu *on = bpf_map_lookup_elem(&on_cpu, &tid);
        if (on) {
            on->since = now;
        } else {
            struct on_cpu first = {.first = now, .since = now};
            if (bpf_map_update_elem(&on_cpu, &tid, &first, BPF_NOEXIST)) COUNT(counters, THREADS_FULL, 1);
        }
    }
    struct off *off = bpf_task_storage_get(&tasks, next, 0, 0);
    if (!off || !off->since) {
        COUNT(counters, NO_BEGIN, 1);
        return;
    }
    u64 since = off->since, woken = off->woken;
    off->since = 0;
    off->early = 0;
    /* The iterator may have found it off just now, on another CPU: until behind this it is not told to be on one. */
    if (since > now) since = now;
    if (woken > now) woken = now;
    struct wait_key key = {.stack = off->stack, .waker = off->waker, .tid = tid, .tgid = tgid, .state = off->state,
                           .waker_tid = off->waker_tid, .epoch = off->epoch, .waker_epoch = off->waker_epoch};
    /* A wake-up that was not seen, as of a task that was woken before it was off, leaves no wait for a CPU to tell apart. */
    u64 blocked = woken > since ? woken - since : now - since;
    u64 waited = now - since - blocked;
    if (off->state) {
        if (blocked < min_block)
            COUNT(counters, BELOW_MIN, 1);
        else if (blocked > max_block)
            COUNT(counters, ABOVE_MAX, 1);
        else
            add_wait(counters, &key, blocked);
    } else {
        waited = now - since;
    }
    if (!waited || waited < min_block || waited > max_block) return;
    key.state = STATE_RUNNABLE;
    key.waker = 1;
    key.waker_tid = 0;
    key.waker_epoch = 0;
    add_wait(counters, &key, waited);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state) {
    struct counters *counters = counters_of(OF_SWITCH);
    if (!counters || running != RUNS) return 0;
    COUNT(counters, SWITCHES, 1);
    u64 began = begin_call(counters), now = bpf_ktime_get_ns();
    /* A task that is preempted stays on its run queue, whatever state it has set by then (`__schedule`, kernel/sched/core.c). */
    goes_off(ctx, counters, prev, preempt ? 0 : prev_state, now);
    comes_on(counters, next, now);
    end_call(counters, began);
    return 0;
}

/*
 * Who wakes a task is the current one here; at `sched_wakeup` it may be the idle task of another CPU.
 *
 * The task may still be on its way: off its run queue, while its CPU looks for another one to run (`__schedule`). That, or it is
 * woken in time and stays on; `sched_wakeup` tells, which waits for the CPU.
 */
SEC("tp_btf/sched_waking")
int BPF_PROG(sched_waking, struct task_struct *task) {
    if (!with_wakers || running != RUNS) return 0;
    struct counters *counters = counters_of(OF_SWITCH);
    if (!counters) return 0;
    int is_leaving = task->on_cpu != 0;
    struct off *off = 0;
    if (is_leaving) {
        if (!is_wanted(task, tid_of(task), tgid_of(task))) return 0;
        off = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
        if (!off) COUNT(counters, NO_STORAGE, 1);
    } else {
        off = bpf_task_storage_get(&tasks, task, 0, 0);
    }
    if (!off) return 0;
    if (off->since ? !off->state || off->waker != 1 : !is_leaving) return 0;
    u32 which = OF_WAKING;
    struct scratch *scratch = scratch_of(&which);
    if (!scratch) {
        COUNT(counters, NO_SCRATCH, 1);
        return 0;
    }
    if (!off->since) off->early = 1;
    struct task_struct *waker = bpf_get_current_task_btf();
    struct user_regs regs;
    user_regs_of(waker, &regs);
    off->waker_tid = tid_of(waker);
    off->waker = take_stack(ctx, scratch, which, counters, waker, tgid_of(waker), &regs, WITH_KERNEL);
    off->waker_epoch = scratch->walk.epoch;
    return 0;
}

/* From now on it could run. */
SEC("tp_btf/sched_wakeup")
int BPF_PROG(sched_wakeup, struct task_struct *task) {
    if (running != RUNS) return 0;
    struct off *off = bpf_task_storage_get(&tasks, task, 0, 0);
    if (!off) return 0;
    if (!off->since) off->early = 0;
    if (!off->since || off->woken) return 0;
    off->woken = bpf_ktime_get_ns();
    struct counters *counters = counters_of(OF_SWITCH);
    if (counters) COUNT(counters, WAKEUPS, 1);
    return 0;
}

/*
 * A new task waits for a CPU for the first time. One that was forked does so at the place where its parent, the current task, has
 * made it: it has the same stack, and what its memory holds by then the parent's holds too.
 */
SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new, struct task_struct *task) {
    struct counters *counters = counters_of(OF_SWITCH);
    if (!counters || running != RUNS) return 0;
    u32 tid = tid_of(task), tgid = tgid_of(task);
    if (!is_wanted(task, tid, tgid)) return 0;
    struct off *off = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!off) {
        COUNT(counters, NO_STORAGE, 1);
        return 0;
    }
    u32 which = OF_WAKING;
    struct scratch *scratch = scratch_of(&which);
    if (!scratch) {
        COUNT(counters, NO_SCRATCH, 1);
        return 0;
    }
    struct user_regs regs, of_parent;
    user_regs_of(task, &regs);
    user_regs_of(bpf_get_current_task_btf(), &of_parent);
    no_waker(off);
    off->state = STATE_RUNNABLE;
    off->woken = 0;
    off->epoch = 0;
    off->stack = STACK_NEW;
    off->since = bpf_ktime_get_ns();
    if (!regs.ip || regs.sp != of_parent.sp) return 0;
    off->stack = take_stack(ctx, scratch, which, counters, task, tgid, &regs, 0);
    off->epoch = scratch->walk.epoch;
    return 0;
}

struct task_report {
    struct task_record record;
    u64 registers[TASK_REGISTERS];
    u64 kernel[TASK_FRAMES];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); /* one reads at a time */
    __type(key, u32);
    __type(value, struct task_report);
} task_reports SEC(".maps");

static __always_inline void all_registers_of(struct task_struct *task, struct task_report *report) {
    struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
    if (!regs) return;
    u64 *into = report->registers;
#if defined(__TARGET_ARCH_x86)
    into[0] = regs->ax, into[1] = regs->dx, into[2] = regs->cx, into[3] = regs->bx;
    into[4] = regs->si, into[5] = regs->di, into[6] = regs->bp, into[7] = regs->sp;
    into[8] = regs->r8, into[9] = regs->r9, into[10] = regs->r10, into[11] = regs->r11;
    into[12] = regs->r12, into[13] = regs->r13, into[14] = regs->r14, into[15] = regs->r15;
    into[16] = regs->ip;
    report->record.is_64 = regs->cs != 0x23;
#else
    for (int at = 0; at < 31; at++) into[at] = regs->regs[at];
    into[31] = regs->sp;
    into[32] = regs->pc;
    report->record.is_64 = !(regs->pstate & 0x10);
#endif
}

/*
 * All threads that are recorded and off the CPU. Those that were off before the recording began are off since now, so that their
 * waits end like others.
 */
SEC("iter/task")
int task_iter(struct bpf_iter__task *ctx) {
    struct task_struct *task = ctx->task;
    if (!task || running == STANDS) return 0;
    u32 tid = tid_of(task), tgid = tgid_of(task), zero = 0, state = task->__state;
    if (!is_wanted(task, tid, tgid)) return 0;
    struct off *off = 0;
    struct on_cpu *on = bpf_map_lookup_elem(&on_cpu, &tid);
    if (running == LISTS) {
        /* As it was when all stopped: it may have come on since. */
        off = bpf_task_storage_get(&tasks, task, 0, 0);
        if (!off || !off->since || (on && on->since)) return 0;
    } else {
        if (task->on_cpu || state & (TASK_DEAD | EXIT_STATES) || (state && !(state & state_mask))) return 0;
        off = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    }
    struct task_report *report = bpf_map_lookup_elem(&task_reports, &zero);
    if (!off || !report) return 0;
    if (!off->since) {
        off->state = state & 0xff;
        off->stack = STACK_BEFORE;
        off->woken = 0;
        off->epoch = 0;
        no_waker(off);
        off->since = bpf_ktime_get_ns();
        /* It may have come on meanwhile, and not have seen that it was off. */
        on = bpf_map_lookup_elem(&on_cpu, &tid);
        if (task->on_cpu || (on && on->since)) {
            off->since = 0;
            return 0;
        }
    }
    struct task_record *record = &report->record;
    record->tid = tid;
    record->tgid = tgid;
    record->state = off->state;
    record->since = off->since;
    record->woken = off->woken;
    record->stack = off->stack;
    record->waker = off->waker;
    record->waker_tid = off->waker_tid;
    record->epoch = off->epoch;
    record->waker_epoch = off->waker_epoch;
    record->is_64 = 1;
    long size = bpf_get_task_stack(task, report->kernel, sizeof report->kernel, 0);
    record->kernel_frames = size > 0 ? (u32)size / 8 : 0;
    report->registers[16] = report->registers[32] = 0;
    if (!(task->flags & PF_KTHREAD)) all_registers_of(task, report);
    bpf_seq_write(ctx->meta->seq, report, sizeof *report);
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(sched_fork, struct task_struct *parent, struct task_struct *child) {
    u32 from = tgid_of(parent), to = tgid_of(child), member = MEMBER;
    if (!from || !to || from == to) return 0;
    struct counters *counters = counters_of(OF_SWITCH);
    if (whom == WHOM_PROCESSES) {
        if (!bpf_map_lookup_elem(&members, &from)) {
            /* Another's process has the number of one that is gone. */
            if (bpf_map_lookup_elem(&members, &to)) bpf_map_delete_elem(&members, &to);
            return 0;
        }
        if (bpf_map_update_elem(&members, &to, &member, BPF_ANY) && counters) COUNT(counters, MEMBERS_FULL, 1);
    }
    /* What is mapped in the child is what is mapped in its parent. */
    struct process *process = bpf_map_lookup_elem(&processes, &from);
    if (process) {
        struct process copy = *process;
        bpf_map_update_elem(&processes, &to, &copy, BPF_NOEXIST);
    }
    return 0;
}

/* What was mapped is gone. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_exec, struct task_struct *task, int old_pid, struct linux_binprm *program) {
    u32 tgid = tgid_of(task);
    bpf_map_delete_elem(&processes, &tgid);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_exit, struct task_struct *task) {
    u32 tgid = tgid_of(task);
    /* `do_exit` has counted this thread off already. */
    if (task->signal->live.counter) return 0;
    bpf_map_delete_elem(&processes, &tgid);
    if (whom != WHOM_PROCESSES) return 0;
    u32 last_row = ENDING, *ended = bpf_map_lookup_elem(&ending, &last_row);
    u32 *membership = bpf_map_lookup_elem(&members, &tgid);
    if (!membership || !ended) return 0;
    u32 at = __sync_fetch_and_add(ended, 1) % ENDING;
    u32 *before = bpf_map_lookup_elem(&ending, &at);
    if (!before) return 0;
    *membership = MEMBER_ENDS;
    u32 gone = *before;
    *before = tgid;
    u32 *last = bpf_map_lookup_elem(&members, &gone);
    if (last && *last == MEMBER_ENDS && gone != tgid) bpf_map_delete_elem(&members, &gone);
    return 0;
}

/* 1: the event's sample is to be written into its own ring, with a copy of the stack. */
SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx) {
    struct counters *counters = counters_of(OF_EVENT);
    if (!counters || running != RUNS) return 1;
    u64 began = begin_call(counters);
    struct task_struct *task = bpf_get_current_task_btf();
    u32 tid = tid_of(task), tgid = tgid_of(task);
    /* An idle CPU, or a task of which only its own namespace knows the number. */
    if (!tid) return 1;
    if (!is_wanted(task, tid, tgid)) {
        COUNT(counters, SAMPLES_OTHER, 1);
        return 0;
    }
    struct user_regs regs;
#if defined(__TARGET_ARCH_x86)
    if ((ctx->regs.cs & 3) == 3) {
        regs.ip = ctx->regs.ip;
        regs.sp = ctx->regs.sp;
        regs.fp = ctx->regs.bp;
        regs.lr = 0;
        regs.is_64 = ctx->regs.cs != 0x23;
    }
#else
    if ((ctx->regs.pstate & 0xf) == 0) {
        regs.ip = ctx->regs.pc;
        regs.sp = ctx->regs.sp;
        regs.fp = ctx->regs.regs[29];
        regs.lr = ctx->regs.regs[30];
        regs.is_64 = !(ctx->regs.pstate & 0x10);
    }
#endif
    else
        user_regs_of(task, &regs);
    u32 which = OF_EVENT;
    struct scratch *scratch = scratch_of(&which);
    if (!scratch) {
        COUNT(counters, NO_SCRATCH, 1);
        return 1;
    }
    u64 stack = take_stack(ctx, scratch, which, counters, task, tgid, &regs, WITH_KERNEL | WITH_FALLBACK);
    if (!stack) {
        COUNT(counters, SAMPLES_LEFT, 1);
        end_call(counters, began);
        return 1;
    }
    struct sample_event event = {
        .kind = EVENT_SAMPLE,
        .cpu = bpf_get_smp_processor_id(),
        .time = bpf_ktime_get_ns(),
        .stack = stack,
        .period = ctx->sample_period,
        .tgid = tgid,
        .tid = tid,
        .event = bpf_get_attach_cookie(ctx),
        .epoch = scratch->walk.epoch,
    };
    if (bpf_ringbuf_output(&ring, &event, sizeof event, BPF_RB_NO_WAKEUP)) {
        COUNT(counters, RING_FULL_SAMPLES, 1);
        end_call(counters, began);
        return 1;
    }
    COUNT(counters, SAMPLES, 1);
    end_call(counters, began);
    return both;
}
