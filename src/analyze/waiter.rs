//! Which function waited, of the stack of a wait: the first outward that is not of the kernel's scheduler.
//!
//! ```text
//! main  read  ksys_read  pipe_read  schedule  __schedule  [off-CPU]
//!                        ^ waited   '------- of the scheduler
//! ```
//!
//! Every wait ends in `__schedule`, so that says nothing. What is of the scheduler is the kernel's own rule: functions in its section
//! `.sched.text` (from `__sched_text_start` to `__sched_text_end` in `/proc/kallsyms`), which are the scheduler and what sleeps on its
//! behalf: locks, completions, timeouts. `/proc/PID/wchan` and `ps -o wchan` pass over these (`get_wchan` and `in_sched_functions` in
//! kernel/sched/core.c), and `/proc/PID/stack` too (`stack_trace_consume_entry_nosched` in kernel/stacktrace.c), from which waits come
//! that began before the recording. Addresses are not known of every import, so the rule goes by name here.

use rustc_hash::FxHashSet;

use super::call_tree::CallTree;
use super::node::{Node, is_function};
use crate::model::{FrameKind, off_cpu};

/// Functions in `.sched.text` that may sleep, of kernels 4.4 to 6.18: what has `__sched` in kernel/sched, kernel/locking, kernel/time,
/// and drivers/tty/tty_ldsem.c. A name that a compiler has given an ending (`.constprop.0`, `.isra.0`) is meant without it.
///
/// The viewer has the same names (`functionTable` in viewer/trees.js).
const SCHEDULER: &str = "\
    __schedule schedule schedule_idle schedule_preempt_disabled schedule_rtlock schedule_user preempt_schedule \
    preempt_schedule_common preempt_schedule_irq preempt_schedule_notrace __cond_resched _cond_resched \
    console_conditional_schedule yield yield_to io_schedule io_schedule_timeout schedule_timeout schedule_timeout_idle \
    schedule_timeout_interruptible schedule_timeout_killable schedule_timeout_uninterruptible schedule_hrtimeout \
    schedule_hrtimeout_range schedule_hrtimeout_range_clock do_nanosleep hrtimer_nanosleep_restart usleep_range \
    usleep_range_state bit_wait bit_wait_io bit_wait_io_timeout bit_wait_timeout __wait_on_bit __wait_on_bit_lock \
    out_of_line_wait_on_bit out_of_line_wait_on_bit_lock out_of_line_wait_on_bit_timeout __wait_for_common wait_for_common \
    wait_for_completion wait_for_completion_interruptible wait_for_completion_interruptible_timeout wait_for_completion_io \
    wait_for_completion_io_timeout wait_for_completion_killable wait_for_completion_killable_timeout \
    wait_for_completion_state wait_for_completion_timeout __mutex_lock __mutex_lock_interruptible_slowpath \
    __mutex_lock_killable_slowpath __mutex_lock_slowpath mutex_lock mutex_lock_interruptible \
    mutex_lock_interruptible_nested mutex_lock_io mutex_lock_io_nested mutex_lock_killable mutex_lock_killable_nested \
    mutex_lock_nested __ww_mutex_lock __ww_mutex_lock_interruptible_slowpath __ww_mutex_lock_slowpath ww_mutex_lock \
    ww_mutex_lock_interruptible __down __down_common __down_interruptible __down_killable __down_timeout down \
    down_interruptible down_killable down_timeout down_read down_read_interruptible down_read_killable down_write \
    down_write_killable rwsem_down_read_failed rwsem_down_read_failed_killable rwsem_down_read_slowpath \
    rwsem_down_write_failed rwsem_down_write_failed_killable rwsem_down_write_slowpath __percpu_down_read \
    percpu_down_write ldsem_down_read ldsem_down_write __rt_mutex_slowlock rt_mutex_slowlock rt_mutex_slowlock_block \
    rt_mutex_lock rt_mutex_lock_interruptible rt_mutex_lock_killable rt_mutex_wait_proxy_lock rtlock_slowlock \
    rtlock_slowlock_locked";

/// The event of recordings of time off the CPU alone: what has no mark there was blocked.
const OFF_CPU_ALONE: &str = "off-cpu";

/// Which samples of a tree are waits, and which functions pass them on.
pub(super) struct Waiter<'a> {
    tree: &'a CallTree,
    /// By name: whether it is one of the scheduler's; empty if there are no waits.
    of_scheduler: Vec<bool>,
    /// Whether the tree says of frames that they are the kernel's. Folded stacks do not unless they are annotated.
    has_kernel: bool,
    /// Whether what has no mark waited too.
    pub is_wait_unmarked: bool,
}

impl<'a> Waiter<'a> {
    /// Looks at all nodes of `tree`.
    pub fn new(tree: &'a CallTree) -> Waiter<'a> {
        let (mut has_marks, mut has_kernel) = (false, false);
        // Only where time on the CPU is shown beside, time off it has a mark of its own.
        let mut is_beside = tree.event.contains("clock");
        for node in &tree.nodes {
            has_kernel |= node.kind == FrameKind::Kernel;
            if node.kind == FrameKind::OffCpu {
                has_marks = true;
                is_beside |= tree.names.get(node.name) == off_cpu::OFF_CPU;
            }
        }
        let mut waiter = Waiter {
            tree,
            of_scheduler: Vec::new(),
            has_kernel,
            is_wait_unmarked: !is_beside && (has_marks || tree.event == OFF_CPU_ALONE),
        };
        if has_marks || waiter.is_wait_unmarked {
            let known: FxHashSet<&str> = SCHEDULER.split(' ').collect();
            let plain = |name: &'a str| name.split('.').next().unwrap_or(name);
            waiter.of_scheduler = tree.names.iter().map(|name| known.contains(plain(name))).collect();
        }
        waiter
    }

    /// The row of the function that waited, if a wait ends in `row`, which `node` shows; `caller` is the sort of code that called it and
    /// what this gave for that. If all are of the scheduler it is the outermost.
    pub fn outer(&self, node: &Node, row: u32, caller: Option<(FrameKind, Outer)>) -> Outer {
        let name = node.name.index();
        let is_listed = || self.of_scheduler.get(name) == Some(&true);
        let passes_on = match (node.kind, caller) {
            // It is a part of the function that it is in.
            (FrameKind::Inlined, Some((_, outer))) => outer.passes_on,
            (FrameKind::Kernel, _) => is_listed(),
            (FrameKind::User, _) if !self.has_kernel => is_listed(),
            _ => false,
        };
        let is_innermost = self.has_kernel || matches!(self.tree.names.get(node.name), "schedule" | "__schedule");
        let beyond = caller.filter(|(kind, _)| passes_on && is_function(*kind));
        Outer { row: beyond.map_or(row, |(_, outer)| outer.row), passes_on, is_innermost }
    }
}

/// Who waited, if a wait ends in a function.
#[derive(Clone, Copy)]
pub(super) struct Outer {
    row: u32,
    /// Whether the function is of the scheduler.
    passes_on: bool,
    /// Whether a wait can be known to end in it: a program's own `yield` may be there too where nothing is known to be the kernel's.
    is_innermost: bool,
}

impl Outer {
    /// The row of who waited, if it ends in the function of `row`.
    pub fn of(self, row: u32) -> u32 {
        if self.is_innermost { self.row } else { row }
    }
}

#[cfg(test)]
mod tests {
    use super::super::made::with_event;
    use super::super::{Top, View};
    use super::*;
    use crate::model::Unit;

    /// Self and total of each function that has any of its own.
    fn check(event: &str, lines: &[&str], expected: &[(&str, u64, u64)]) {
        let profile = with_event((event, Unit::Nanoseconds, None), lines);
        let tree = CallTree::build(&profile, &View::default());
        let functions = Top::build(&tree).functions;
        let own: Vec<_> = functions.iter().filter(|function| function.self_value > 0).collect();
        let rows = own.iter().map(|of| (tree.names.get(of.name), of.self_value, of.total_value));
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        assert_eq!(functions.iter().map(|of| of.self_value).sum::<u64>(), tree.root().total_value);
    }

    #[test]
    fn a_wait_is_of_the_first_function_outside_of_the_scheduler() {
        check(
            "off-cpu",
            &[
                "p;main;read;pipe_read_[k];schedule_[k];__schedule_[k] 9",
                // From before: the kernel has left out its scheduler already.
                "p;main;read;pipe_read_[k];[blocked before] 1",
                "p;main;unlink;do_unlinkat_[k];down_write_[k];rwsem_down_write_slowpath.isra.0_[k];schedule_[k];__schedule_[k];context_switch_[i];[runnable] 7",
                "p;main;yield 5",
                "p;[truncated: too deep];io_schedule_[k];schedule_[k] 3",
                "kthread;schedule_[k] 2",
                "q;main;futex_wait_[k];schedule_[k];__schedule_[k];[woken by];schedule_[k];waker 1",
            ],
            &[
                ("pipe_read", 10, 10),
                ("do_unlinkat", 7, 7),
                ("yield", 5, 5),
                ("io_schedule", 3, 3),
                ("schedule", 2, 22),
                ("futex_wait", 1, 1),
            ],
        );
    }

    #[test]
    fn time_on_the_cpu_stays_where_it_was() {
        let lines = [
            "p;main;read;pipe_read_[k];schedule_[k];__schedule_[k] 9",
            "p;main;read;pipe_read_[k];schedule_[k];__schedule_[k];[off-CPU] 5",
        ];
        check("cpu-clock", &lines, &[("__schedule", 9, 14), ("pipe_read", 5, 14)]);
        check("cpu-clock", &lines[..1], &[("__schedule", 9, 9)]);
    }

    /// Folded stacks do not say which frames are the kernel's.
    #[test]
    fn without_kernel_frames_only_below_schedule() {
        let lines = [
            "p;main;read;pipe_read;schedule;__schedule;[off-CPU] 9",
            "p;main;mutex_lock;[off-CPU] 5",
            "p;main;wait;io_schedule;schedule;[off-CPU] 3",
        ];
        check("samples", &lines, &[("pipe_read", 9, 9), ("mutex_lock", 5, 5), ("wait", 3, 3)]);
    }

    #[test]
    fn the_viewer_has_the_same_names() {
        let script = include_str!("../render/viewer/trees.js");
        let (_, list) = script.split_once("const names = '__schedule").expect("the list is there");
        let list = format!("__schedule{}", list.split_once(';').expect("it ends").0);
        let list: String = list.split('\'').filter(|part| !part.contains('+')).collect();
        assert_eq!(list, SCHEDULER);
    }
}
