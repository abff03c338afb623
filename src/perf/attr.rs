//! What an event counts and what its samples carry: `struct perf_event_attr`.

/// When a sample is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Never: the event only counts.
    Count,
    /// Every so many events (nanoseconds for clock events).
    Period(u64),
    /// So often a second; the kernel adapts the period.
    Frequency(u64),
}

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $number:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub u64);

        impl $name {
            $($(#[$bit_doc])* pub const $bit: $name = $name(1 << $number);)*

            /// Whether all bits of `other` are set.
            pub const fn has(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            /// With the bits of `other` set.
            #[must_use]
            pub const fn with(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            /// With the bits of `other` cleared.
            #[must_use]
            pub const fn without(self, other: $name) -> $name {
                $name(self.0 & !other.0)
            }
        }
    };
}

bits!(
    /// The flag bits of `struct perf_event_attr`, by the kernel's names.
    AttrFlags {
        /// Off until enabled.
        DISABLED = 0,
        /// Children inherit it.
        INHERIT = 1,
        /// Always on the PMU.
        PINNED = 2,
        /// Alone on the PMU.
        EXCLUSIVE = 3,
        /// Nothing in user mode.
        EXCLUDE_USER = 4,
        /// Nothing in kernel mode.
        EXCLUDE_KERNEL = 5,
        /// Nothing in the hypervisor.
        EXCLUDE_HV = 6,
        /// Nothing while the CPU idles.
        EXCLUDE_IDLE = 7,
        /// MMAP records.
        MMAP = 8,
        /// COMM records.
        COMM = 9,
        /// The period field is a frequency.
        FREQ = 10,
        /// Enabled by the next exec.
        ENABLE_ON_EXEC = 12,
        /// FORK and EXIT records.
        TASK = 13,
        /// The wake-up field is a number of bytes.
        WATERMARK = 14,
        /// Low bit of `precise_ip`.
        PRECISE_1 = 15,
        /// High bit of `precise_ip`.
        PRECISE_2 = 16,
        /// Data mappings are recorded too.
        MMAP_DATA = 17,
        /// All records end with the sample's identity.
        SAMPLE_ID_ALL = 18,
        /// Nothing of the host.
        EXCLUDE_HOST = 19,
        /// Nothing of guests.
        EXCLUDE_GUEST = 20,
        /// No kernel part of call chains.
        EXCLUDE_CALLCHAIN_KERNEL = 21,
        /// No user part of call chains.
        EXCLUDE_CALLCHAIN_USER = 22,
        /// MMAP2 records in place of MMAP (Linux 3.12).
        MMAP2 = 23,
        /// COMM records of an exec say so (3.16).
        COMM_EXEC = 24,
        /// `clockid` is valid (4.1).
        USE_CLOCKID = 25,
        /// SWITCH records (4.3).
        CONTEXT_SWITCH = 26,
        /// The ring is written from its end.
        WRITE_BACKWARD = 27,
        /// NAMESPACES records (4.12).
        NAMESPACES = 28,
        /// KSYMBOL records (5.1).
        KSYMBOL = 29,
        /// BPF_EVENT records (5.1).
        BPF_EVENT = 30,
        /// Goes to the AUX area (5.4).
        AUX_OUTPUT = 31,
        /// CGROUP records (5.7).
        CGROUP = 32,
        /// TEXT_POKE records (5.9).
        TEXT_POKE = 33,
        /// MMAP2 records carry build ids (5.12).
        BUILD_ID = 34,
        /// Only threads inherit, not processes (5.13).
        INHERIT_THREAD = 35,
        /// Gone at exec (5.13).
        REMOVE_ON_EXEC = 36,
        /// Sends a signal (5.13).
        SIGTRAP = 37,
        /// The user part of call chains comes later (6.19).
        DEFER_CALLCHAIN = 38,
    }
);

bits!(
    /// The bits of `sample_type`: which fields a sample carries, in the kernel's order.
    SampleFields {
        /// Instruction pointer.
        IP = 0,
        /// Process and thread id.
        TID = 1,
        /// Time.
        TIME = 2,
        /// Data address.
        ADDR = 3,
        /// Counter values.
        READ = 4,
        /// Call chain.
        CALLCHAIN = 5,
        /// Id of the event (of the original one if inherited).
        ID = 6,
        /// CPU.
        CPU = 7,
        /// Period.
        PERIOD = 8,
        /// Id of the event itself.
        STREAM_ID = 9,
        /// Raw data.
        RAW = 10,
        /// Last branches.
        BRANCH_STACK = 11,
        /// User registers.
        REGS_USER = 12,
        /// Copy of the user stack.
        STACK_USER = 13,
        /// Weight.
        WEIGHT = 14,
        /// Data source.
        DATA_SRC = 15,
        /// Id of the event, first in the record.
        IDENTIFIER = 16,
        /// Transaction.
        TRANSACTION = 17,
        /// Registers at the interrupt.
        REGS_INTR = 18,
        /// Physical address.
        PHYS_ADDR = 19,
        /// AUX data.
        AUX = 20,
        /// Control group id.
        CGROUP = 21,
        /// Page size of the data address.
        DATA_PAGE_SIZE = 22,
        /// Page size of the code address.
        CODE_PAGE_SIZE = 23,
        /// Weight as a struct.
        WEIGHT_STRUCT = 24,
    }
);

/// Bits of `read_format`: what `read(2)` on an event returns.
pub mod read_format {
    /// Time enabled.
    pub const TOTAL_TIME_ENABLED: u64 = 1 << 0;
    /// Time running.
    pub const TOTAL_TIME_RUNNING: u64 = 1 << 1;
    /// The event's id.
    pub const ID: u64 = 1 << 2;
    /// All events of the group.
    pub const GROUP: u64 = 1 << 3;
    /// Samples lost (Linux 6.0).
    pub const LOST: u64 = 1 << 4;
}

/// Bits of `branch_sample_type`: what is recorded, and what a branch stack looks like.
pub mod branch_type {
    /// Branches in user mode: `PERF_SAMPLE_BRANCH_USER`.
    pub const USER: u64 = 1 << 0;
    /// Calls that have not returned: `PERF_SAMPLE_BRANCH_CALL_STACK`.
    pub const CALL_STACK: u64 = 1 << 11;
    /// An index stands before the branches: `PERF_SAMPLE_BRANCH_HW_INDEX` (Linux 5.7).
    pub const HW_INDEX: u64 = 1 << 17;
    /// A word of counters for each branch stands behind them: `PERF_SAMPLE_BRANCH_COUNTERS` (6.8).
    pub const COUNTERS: u64 = 1 << 19;
}

/// An event to open, or one that was recorded: the fields of `struct perf_event_attr` that we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventAttr {
    /// Which PMU: `PERF_TYPE_*`, or a number from `/sys/bus/event_source/devices/*/type`.
    pub kind: u32,
    /// Which event of it.
    pub config: u64,
    /// More of which.
    pub config1: u64,
    /// More of which.
    pub config2: u64,
    /// When a sample is taken.
    pub sampling: Sampling,
    /// What a sample carries.
    pub sample_fields: SampleFields,
    /// What reading the event returns: bits of [`read_format`].
    pub read_format: u64,
    /// Flags; `FREQ` follows from `sampling` and need not be set.
    pub flags: AttrFlags,
    /// Wake the reader when the ring holds so many bytes (0: at every record).
    pub wakeup_watermark: u32,
    /// Which branches the branch stack holds.
    pub branch_sample_type: u64,
    /// Which user registers a sample carries: bits numbered as in `asm/perf_regs.h`.
    pub sample_regs_user: u64,
    /// Which registers of the interrupted code a sample carries, numbered likewise.
    pub sample_regs_intr: u64,
    /// How much of the user stack a sample carries, in bytes; a multiple of 8, at most 65,528.
    pub sample_stack_user: u32,
    /// Which clock times are of (`CLOCK_MONOTONIC` is 1), if the flag `USE_CLOCKID` is set.
    pub clockid: i32,
    /// Most frames of a call chain; 0 for `kernel.perf_event_max_stack`.
    pub sample_max_stack: u16,
}

impl EventAttr {
    /// An event that only counts.
    pub fn counting(kind: u32, config: u64) -> EventAttr {
        EventAttr {
            kind,
            config,
            config1: 0,
            config2: 0,
            sampling: Sampling::Count,
            sample_fields: SampleFields(0),
            read_format: 0,
            flags: AttrFlags(0),
            wakeup_watermark: 0,
            branch_sample_type: 0,
            sample_regs_user: 0,
            sample_regs_intr: 0,
            sample_stack_user: 0,
            clockid: 0,
            sample_max_stack: 0,
        }
    }
}
