//! The records of a ring, or of a perf.data: what the kernel says happened.
//!
//! ```text
//! header { type u32, misc u16, size u16 }   body   identity (of all records but samples, with SAMPLE_ID_ALL)
//! ```
//! A record borrows its bytes, of either byte order. Unknown types are kept as [`Record::Other`]; a record that is shorter than
//! its type says, or contradicts itself, is [`Record::Malformed`]: it is counted, and never an error.
//!
//! See `include/uapi/linux/perf_event.h`, `enum perf_event_type`.

mod parse;
mod sample;
mod stack_copy;
pub mod unwound;

pub use parse::{header, identifier, parse, time};
pub use sample::{Branches, Read, Sample, UserRegisters};
pub use stack_copy::{StackCopy, TRIMMED, stack_copy};
pub use unwound::{KeyedStack, Unwound};

use super::attr::{AttrFlags, EventAttr, SampleFields, Sampling};
use super::fields::{ByteOrder, Words};
use crate::model::BuildId;

/// Type numbers: `enum perf_event_type`.
pub mod kind {
    /// A mapping.
    pub const MMAP: u32 = 1;
    /// Records lost.
    pub const LOST: u32 = 2;
    /// A name.
    pub const COMM: u32 = 3;
    /// An end.
    pub const EXIT: u32 = 4;
    /// An event is held back.
    pub const THROTTLE: u32 = 5;
    /// It goes on.
    pub const UNTHROTTLE: u32 = 6;
    /// A beginning.
    pub const FORK: u32 = 7;
    /// A counter, read at the end of its task.
    pub const READ: u32 = 8;
    /// A sample.
    pub const SAMPLE: u32 = 9;
    /// A mapping, with more about its file.
    pub const MMAP2: u32 = 10;
    /// Data in the AUX area.
    pub const AUX: u32 = 11;
    /// Instruction tracing begins.
    pub const ITRACE_START: u32 = 12;
    /// Samples lost.
    pub const LOST_SAMPLES: u32 = 13;
    /// A task goes on or off a CPU.
    pub const SWITCH: u32 = 14;
    /// The same, with the other task.
    pub const SWITCH_CPU_WIDE: u32 = 15;
    /// A task's namespaces.
    pub const NAMESPACES: u32 = 16;
    /// A kernel symbol comes or goes.
    pub const KSYMBOL: u32 = 17;
    /// A BPF program comes or goes.
    pub const BPF_EVENT: u32 = 18;
    /// A control group's path.
    pub const CGROUP: u32 = 19;
    /// The kernel changes its own code.
    pub const TEXT_POKE: u32 = 20;
    /// An id of the hardware.
    pub const AUX_OUTPUT_HW_ID: u32 = 21;
    /// The user part of call chains, taken later.
    pub const CALLCHAIN_DEFERRED: u32 = 22;
}

/// The name of a type of record, as perf spells it; those that only tools write included.
pub fn kind_name(kind: u32) -> String {
    const KERNEL: [&str; 23] = [
        "",
        "MMAP",
        "LOST",
        "COMM",
        "EXIT",
        "THROTTLE",
        "UNTHROTTLE",
        "FORK",
        "READ",
        "SAMPLE",
        "MMAP2",
        "AUX",
        "ITRACE_START",
        "LOST_SAMPLES",
        "SWITCH",
        "SWITCH_CPU_WIDE",
        "NAMESPACES",
        "KSYMBOL",
        "BPF_EVENT",
        "CGROUP",
        "TEXT_POKE",
        "AUX_OUTPUT_HW_ID",
        "CALLCHAIN_DEFERRED",
    ];
    // `enum perf_user_event_type`, tools/lib/perf/include/perf/event.h, from 64 on.
    const PERF: [&str; 20] = [
        "ATTR",
        "EVENT_TYPE",
        "TRACING_DATA",
        "BUILD_ID",
        "FINISHED_ROUND",
        "ID_INDEX",
        "AUXTRACE_INFO",
        "AUXTRACE",
        "AUXTRACE_ERROR",
        "THREAD_MAP",
        "CPU_MAP",
        "STAT_CONFIG",
        "STAT",
        "STAT_ROUND",
        "EVENT_UPDATE",
        "TIME_CONV",
        "FEATURE",
        "COMPRESSED",
        "FINISHED_INIT",
        "COMPRESSED2",
    ];
    // `enum user_record_type`, simpleperf's record.h, from 32769 on.
    const SIMPLEPERF: [&str; 10] = [
        "SIMPLEPERF_KERNEL_SYMBOL",
        "SIMPLEPERF_DSO",
        "SIMPLEPERF_SYMBOL",
        "SIMPLEPERF_SPLIT",
        "SIMPLEPERF_SPLIT_END",
        "SIMPLEPERF_EVENT_ID",
        "SIMPLEPERF_CALLCHAIN",
        "SIMPLEPERF_UNWINDING_RESULT",
        "SIMPLEPERF_TRACING_DATA",
        "SIMPLEPERF_DEBUG",
    ];
    let known = match kind {
        1..64 => KERNEL.get(kind as usize),
        64..32769 => PERF.get(kind as usize - 64),
        32769.. => SIMPLEPERF.get(kind as usize - 32769),
        0 => None,
    };
    known.map_or_else(|| format!("type {kind}"), |name| (*name).to_owned())
}

/// Size of a record's header in bytes.
pub const HEADER: usize = 8;

/// What the records of an event look like: the fields of its attribute that say so.
///
/// All events that share a live ring are opened with the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `sample_type`.
    pub fields: SampleFields,
    /// `sample_regs_user`.
    pub regs_user: u64,
    /// `sample_regs_intr`.
    pub regs_intr: u64,
    /// `read_format`.
    pub read_format: u64,
    /// `branch_sample_type`.
    pub branches: u64,
    /// Whether records that are no samples end with their identity.
    pub sample_id_all: bool,
    /// What a sample counts for that does not say so itself: the event's fixed period; 1 if it has none.
    pub period: u64,
    /// Which event it is; kept in the sample.
    pub event: u32,
    /// The recording's byte order.
    pub order: ByteOrder,
}

impl Default for Layout {
    fn default() -> Self {
        Layout::NONE
    }
}

impl Layout {
    /// Records that carry nothing.
    pub const NONE: Layout = Layout {
        fields: SampleFields(0),
        regs_user: 0,
        regs_intr: 0,
        read_format: 0,
        branches: 0,
        sample_id_all: false,
        period: 1,
        event: 0,
        order: ByteOrder::Native,
    };

    /// The layout of the records of event number `event`.
    pub fn of(attr: &EventAttr, event: u32, order: ByteOrder) -> Layout {
        Layout {
            fields: attr.sample_fields,
            regs_user: attr.sample_regs_user,
            regs_intr: attr.sample_regs_intr,
            read_format: attr.read_format,
            branches: attr.branch_sample_type,
            sample_id_all: attr.flags.has(AttrFlags::SAMPLE_ID_ALL),
            period: if let Sampling::Period(period) = attr.sampling { period } else { 1 },
            event,
            order,
        }
    }
}

/// Where and when a record was made, as its identity says; zeros where the event does not carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Nanoseconds on the event's clock.
    pub time: u64,
    /// CPU.
    pub cpu: u32,
    /// The event's id.
    pub id: u64,
}

/// In which mode the processor was, as a record's header says (`PERF_RECORD_MISC_CPUMODE_MASK`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CpuMode {
    /// The header does not say.
    #[default]
    Unknown,
    /// The kernel.
    Kernel,
    /// The program.
    User,
    /// The hypervisor.
    Hypervisor,
    /// A guest's kernel.
    GuestKernel,
    /// A guest's program.
    GuestUser,
}

impl CpuMode {
    fn of(misc: u16) -> CpuMode {
        match misc & 7 {
            1 => CpuMode::Kernel,
            2 => CpuMode::User,
            3 => CpuMode::Hypervisor,
            4 => CpuMode::GuestKernel,
            5 => CpuMode::GuestUser,
            _ => CpuMode::Unknown,
        }
    }
}

/// One record.
#[expect(clippy::large_enum_variant, reason = "a record is parsed where it lies and handed on, not kept")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record<'a> {
    /// A sample.
    Sample(Sample<'a>),
    /// Memory was mapped (or became executable).
    Mmap(Mmap<'a>),
    /// A thread got a name.
    Comm(Comm<'a>),
    /// A thread or process began.
    Fork(Task),
    /// A thread ended.
    Exit(Task),
    /// So many records were lost because the ring was full.
    Lost(u64),
    /// So many samples were lost (by the PMU's own buffer, or by an event as the kernel counts them).
    LostSamples(u64),
    /// The kernel stopped an event for the rest of the tick, as it came too often.
    Throttle,
    /// It goes on.
    Unthrottle,
    /// A task went on or off a CPU.
    Switch(Switch),
    /// The user part of samples whose call chain ends in [`context::USER_DEFERRED`].
    Deferred(Deferred<'a>),
    /// A kernel symbol came or went: a BPF program, a trampoline.
    Ksymbol(Ksymbol<'a>),
    /// Data of a hardware trace, which is not decoded; the flags say whether some of it is missing.
    Aux {
        /// Bytes.
        size: u64,
        /// `PERF_AUX_FLAG_*`.
        flags: u64,
    },
    /// A stack that was walked in the kernel.
    KeyedStack(KeyedStack<'a>),
    /// A sample of such a stack.
    Unwound(Unwound),
    /// A type that we do not know or do not use.
    Other(u32),
    /// Shorter than its type says, or in contradiction with itself.
    Malformed(u32),
}

/// Marks in call chains: `enum perf_callchain_context`, `include/uapi/linux/perf_event.h`.
pub mod context {
    /// What follows is of the hypervisor.
    pub const HYPERVISOR: u64 = -32i64 as u64;
    /// What follows is of the kernel.
    pub const KERNEL: u64 = -128i64 as u64;
    /// What follows is of the program.
    pub const USER: u64 = -512i64 as u64;
    /// What follows is the cookie of a record that brings the user part later (Linux 6.19).
    pub const USER_DEFERRED: u64 = -640i64 as u64;
    /// What follows is of a guest, of its kernel, of its program.
    pub const GUEST: u64 = -2048i64 as u64;
    /// See [`GUEST`].
    pub const GUEST_KERNEL: u64 = -2176i64 as u64;
    /// See [`GUEST`].
    pub const GUEST_USER: u64 = -2560i64 as u64;
    /// This and all above are marks.
    pub const FIRST: u64 = -4095i64 as u64;
}

/// A mapping, of MMAP or MMAP2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mmap<'a> {
    /// Where and when the record was made.
    pub identity: Identity,
    /// Whose memory; `u32::MAX` for the kernel's own.
    pub pid: u32,
    /// Whose code it is.
    pub mode: CpuMode,
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// File offset of the first address; for the kernel itself the address of its first symbol.
    pub offset: u64,
    /// Whether code may run there.
    pub executable: bool,
    /// What the file is: its build id, or
    pub build_id: Option<BuildId>,
    /// its device and inode.
    pub device_inode: Option<((u32, u32), u64)>,
    /// The path as the process saw it.
    pub path: &'a [u8],
}

/// A thread's new name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comm<'a> {
    /// When.
    pub identity: Identity,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Whether an exec gave it: the address space is a new one.
    pub exec: bool,
    /// The name.
    pub name: &'a [u8],
}

/// A thread or process that began or ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Process.
    pub pid: u32,
    /// Process of the one that began it.
    pub parent_pid: u32,
    /// Thread.
    pub tid: u32,
    /// The one that began it.
    pub parent_tid: u32,
    /// Nanoseconds on the event's clock.
    pub time: u64,
}

/// A task that went on or off a CPU; which task is in the identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// Which task, when and where.
    pub identity: Identity,
    /// Whether it went off the CPU.
    pub out: bool,
    /// Whether it could have gone on: it was preempted (Linux 4.17).
    pub preempted: bool,
}

/// The user part of call chains, taken when the task returned to user mode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deferred<'a> {
    /// Which task, and when.
    pub identity: Identity,
    /// What the samples that wait for it name it by.
    pub cookie: u64,
    /// The chain, innermost first, with `PERF_CONTEXT_*` marks.
    pub callchain: Words<'a>,
}

/// A kernel symbol that came or went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ksymbol<'a> {
    /// First address.
    pub address: u64,
    /// Length in bytes.
    pub length: u32,
    /// Whether it is gone from now on.
    pub gone: bool,
    /// Its name.
    pub name: &'a [u8],
}

#[cfg(test)]
mod tests;
