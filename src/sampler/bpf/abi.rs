//! What the programs and the loader exchange: `c/abi.h` in Rust. `tests/tidy.rs` holds their numbers against each other.
//!
//! Numbers of structures are in the processor's byte order, as programs and loader run on the same one.

pub use crate::unwind::table::format::*;

/// Blocks in a segment of the heap; a block is 8 KiB.
pub const SEGMENT_BLOCKS: u32 = 512;
/// Segments of the heap. Block 0 is never used.
pub const SEGMENTS: u32 = 64;
/// Mappings of a process at most: one block of them, but for the slot that has the number of the list.
pub const MAPPINGS: u32 = 511;
/// Slots of such a block; the last one's `first` is the number of the list.
pub const MAPPING_SLOTS: u32 = 512;

/// A structure without gaps, of numbers only.
macro_rules! words {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$of_field:meta])* pub $field:ident: $number:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(C)]
        pub struct $name { $($(#[$of_field])* pub $field: $number,)* }

        impl $name {
            /// Bytes of it.
            pub const SIZE: usize = 0 $(+ size_of::<$number>())*;

            /// The structure at the begin of some bytes; nothing if they are too few.
            pub fn read(bytes: &[u8]) -> Option<$name> {
                let mut rest = bytes;
                Some($name { $($field: {
                    let (word, behind) = rest.split_first_chunk()?;
                    rest = behind;
                    let _ = rest;
                    <$number>::from_ne_bytes(*word)
                },)* })
            }

            /// Its bytes.
            pub fn bytes(&self) -> [u8; $name::SIZE] {
                let mut bytes = [0; $name::SIZE];
                let mut rest = &mut bytes[..];
                $(
                    let (word, behind) = rest.split_at_mut(size_of::<$number>());
                    word.copy_from_slice(&self.$field.to_ne_bytes());
                    rest = behind;
                )*
                let _ = rest;
                bytes
            }
        }

        const _: () = assert!(size_of::<$name>() == $name::SIZE, "it has no gaps");
    )* };
}

words! {
    /// A mapping of a process.
    pub struct Mapping {
        /// First page (4 KiB) of addresses << 24 | number of pages.
        pub first: u64,
        /// First block of the table, 0 if there is none << 40 | first page in the table << 16 | number of the image, 0 if it is
        /// anonymous memory.
        pub second: u64,
    }

    /// What is mapped in a process.
    pub struct Process {
        /// Where its mappings are.
        pub block: u32,
        /// How many.
        pub count: u32,
        /// Number of the list, as in the last slot of its block; never used again.
        pub list: u64,
        /// What it had mapped executable (`mm->exec_vm`, pages) when the list was made; 0 if that is not to be compared.
        pub exec_vm: u64,
        /// Of its address space: another one whenever other code takes the place of some that was listed; never used again.
        pub epoch: u32,
        /// Nothing.
        pub reserved: u32,
    }

    /// A stack that has not been sent lately: followed by the frames, innermost first, those of the kernel and then those of the
    /// user.
    pub struct StackEvent {
        /// `EVENT_STACK`.
        pub kind: u32,
        /// Process.
        pub tgid: u32,
        /// Hash of all frames.
        pub key: u64,
        /// Another hash of them.
        pub check: u64,
        /// How many frames are the kernel's.
        pub kernel_frames: u32,
        /// How many frames are the user's.
        pub user_frames: u32,
        /// How the user part ends: one of `END_*`.
        pub end: u32,
        /// Nothing.
        pub reserved: u32,
    }

    /// A sample.
    pub struct SampleEvent {
        /// `EVENT_SAMPLE`.
        pub kind: u32,
        /// On which CPU.
        pub cpu: u32,
        /// When (`CLOCK_MONOTONIC`, nanoseconds).
        pub time: u64,
        /// Key of its stack.
        pub stack: u64,
        /// What it stands for, as the event counts.
        pub period: u64,
        /// Process.
        pub tgid: u32,
        /// Thread.
        pub tid: u32,
        /// Which of the events, by its cookie.
        pub event: u32,
        /// By which epoch of the address space the user's frames were found; 0 if there are none.
        pub epoch: u32,
    }

    /// The mappings of a process are not those that are known.
    pub struct StaleEvent {
        /// `EVENT_STALE`.
        pub kind: u32,
        /// Process.
        pub tgid: u32,
    }

    /// Where and how a thread waited.
    pub struct WaitKey {
        /// Key of its stack.
        pub stack: u64,
        /// Stack of who woke it; 0 if that is not known, 1 if nobody was asked.
        pub waker: u64,
        /// Thread.
        pub tid: u32,
        /// Process.
        pub tgid: u32,
        /// Bits of the task's state when it went off; 0 while it could have run.
        pub state: u32,
        /// Thread that woke it.
        pub waker_tid: u32,
        /// As in [`SampleEvent`].
        pub epoch: u32,
        /// Of the waker's stack.
        pub waker_epoch: u32,
    }

    /// How long threads waited.
    pub struct WaitValue {
        /// Nanoseconds in all.
        pub time: u64,
        /// How often.
        pub count: u64,
        /// Nanoseconds of the longest wait.
        pub longest: u64,
    }

    /// What the iterator says of a thread that is off the CPU; [`TASK_REGISTERS`] registers of user mode follow, by DWARF's
    /// numbers, the address of the instruction last (16; 32), and [`TASK_FRAMES`] addresses of the kernel, of which the first
    /// `kernel_frames` count.
    pub struct TaskRecord {
        /// Thread.
        pub tid: u32,
        /// Process.
        pub tgid: u32,
        /// As in [`WaitKey`].
        pub state: u32,
        /// How many addresses of the kernel's stack there are.
        pub kernel_frames: u32,
        /// Since when it is off (`CLOCK_MONOTONIC`, nanoseconds).
        pub since: u64,
        /// Since when it could run again; 0 if it was not woken.
        pub woken: u64,
        /// As in [`WaitKey`].
        pub stack: u64,
        /// As in [`WaitKey`].
        pub waker: u64,
        /// As in [`WaitKey`].
        pub waker_tid: u32,
        /// As in [`WaitKey`].
        pub epoch: u32,
        /// As in [`WaitKey`].
        pub waker_epoch: u32,
        /// 1 if it runs a 64-bit program.
        pub is_64: u32,
    }

    /// How long a thread has run.
    pub struct OnCpu {
        /// Nanoseconds, up to when it went off last.
        pub time: u64,
        /// When it was seen on a CPU first.
        pub first: u64,
        /// Since when it is on a CPU; 0 if it is off.
        pub since: u64,
    }
}

/// The stack of a wait whose begin was not seen: the thread was off already when the recording began, see [`TaskRecord`].
pub const STACK_BEFORE: u64 = 4;
/// Of the first wait of a new thread, which has a stack of its own, and nothing on it yet.
pub const STACK_NEW: u64 = 8;
/// Registers behind a [`TaskRecord`].
pub const TASK_REGISTERS: usize = 33;
/// Addresses behind those.
pub const TASK_FRAMES: usize = 64;

/// Bit of a frame: the lower 56 bits are an address itself, not a place in an image.
pub const FRAME_RAW: u64 = 1 << 63;
/// Where a frame has how it was found: one of `BY_*`.
pub const FRAME_BY_SHIFT: u32 = 59;
/// Where a frame has the number of its image.
pub const FRAME_IMAGE_SHIFT: u32 = 40;
/// Lower bits of a frame, which are an address in the table of its image.
pub const FRAME_ADDRESS_BITS: u32 = 40;

/// A frame that the sample itself names.
pub const BY_SAMPLE: u32 = 0;
/// A frame found by call frame information.
pub const BY_RULE: u32 = 1;
/// A frame found by a frame pointer.
pub const BY_FRAME_POINTER: u32 = 2;
/// A frame found by Go's table.
pub const BY_GO_TABLE: u32 = 3;

/// The stack is whole.
pub const END_ROOT: u32 = 0;
/// The stack ends at an address in no mapping that is known.
pub const END_NOT_MAPPED: u32 = 1;
/// The stack ends in code without call frame information.
pub const END_NO_INFO: u32 = 2;
/// The stack ends as the table of an image is not there (yet).
pub const END_NO_TABLE: u32 = 3;
/// The stack could not be read: it is not in memory.
pub const END_UNREADABLE: u32 = 4;
/// The stack has more than `USER_FRAMES`.
pub const END_TOO_DEEP: u32 = 5;
/// The stack pointer went down or stood still.
pub const END_NO_PROGRESS: u32 = 6;
/// The stack ends at a rule that needs other registers.
pub const END_ROW: u32 = 7;
/// The stack ends at a change of stacks that leads nowhere.
pub const END_OTHER_STACK: u32 = 8;
/// Nothing is known of the process (yet).
pub const END_NOT_KNOWN: u32 = 9;
/// The mappings of the process have changed since.
pub const END_STALE: u32 = 10;
/// The stack is of a 32-bit program.
pub const END_OTHER_PROCESSOR: u32 = 11;
/// There are no registers to begin with.
pub const END_NO_REGISTERS: u32 = 12;
/// There is no user part, and nothing is missing.
pub const END_KERNEL_THREAD: u32 = 13;
/// The user part was not asked for.
pub const END_NOT_ASKED: u32 = 14;

/// Frames of the kernel at most.
pub const KERNEL_FRAMES: u32 = 127;
/// Frames of the user at most.
pub const USER_FRAMES: u32 = 4096;

/// Kind of what comes through the ring: [`StackEvent`].
pub const EVENT_STACK: u32 = 1;
/// Kind of what comes through the ring: [`SampleEvent`].
pub const EVENT_SAMPLE: u32 = 2;
/// Kind of what comes through the ring: [`StaleEvent`].
pub const EVENT_STALE: u32 = 3;

/// State of a thread that waited for a CPU.
pub const STATE_RUNNABLE: u32 = 0;

/// Counter: task switches seen.
pub const SWITCHES: u32 = 0;
/// Counter: switches of tasks that are recorded, off a CPU.
pub const SWITCHES_OUT: u32 = 1;
/// Counter: switches of tasks that are recorded, on a CPU.
pub const SWITCHES_IN: u32 = 2;
/// Counter: tasks came on, and it was not seen when they went off.
pub const NO_BEGIN: u32 = 3;
/// Counter: waits shorter than asked for.
pub const BELOW_MIN: u32 = 4;
/// Counter: waits longer than asked for.
pub const ABOVE_MAX: u32 = 5;
/// Counter: waits in a state that was not asked for.
pub const OTHER_STATE: u32 = 6;
/// Counter: no room to remember that a task went off.
pub const NO_STORAGE: u32 = 7;
/// Counter: waits that found no room.
pub const WAITS_FULL: u32 = 8;
/// Counter: nanoseconds of those.
pub const WAITS_FULL_TIME: u32 = 9;
/// Counter: stacks that found no room in the ring.
pub const RING_FULL: u32 = 10;
/// Counter: samples that found no room in the ring.
pub const RING_FULL_SAMPLES: u32 = 11;
/// Counter: two stacks of the same hash.
pub const COLLISIONS: u32 = 12;
/// Counter: samples handed over with their stack.
pub const SAMPLES: u32 = 13;
/// Counter: samples left to the perf event, with a copy of the stack.
pub const SAMPLES_LEFT: u32 = 14;
/// Counter: samples of tasks that are not recorded.
pub const SAMPLES_OTHER: u32 = 15;
/// Counter: calls of programs that were timed.
pub const TIMED_CALLS: u32 = 16;
/// Counter: nanoseconds of those.
pub const TIMED_NANOSECONDS: u32 = 17;
/// Counter: calls of programs.
pub const CALLS: u32 = 18;
/// Counter: no memory to work in.
pub const NO_SCRATCH: u32 = 19;
/// Counter: frames.
pub const FRAMES: u32 = 20;
/// Counter: times it was told that mappings have changed.
pub const STALE_SENT: u32 = 21;
/// Counter: wake-ups.
pub const WAKEUPS: u32 = 22;
/// Counter: kernel stacks that could not be had.
pub const KERNEL_STACK_FAILED: u32 = 23;
/// Counter: processes that could not be followed.
pub const MEMBERS_FULL: u32 = 24;
/// Counter: threads whose time on the CPU found no room.
pub const THREADS_FULL: u32 = 25;
/// Counter: stacks that were the same as before, to the last word.
pub const REUSED: u32 = 26;
/// Counter: waits of threads that have left the cgroup meanwhile.
pub const LEFT: u32 = 27;
/// Counter: waits whose end was not seen.
pub const NO_END: u32 = 28;
/// Counter: nanoseconds of those at most, until their threads were seen to go off again.
pub const NO_END_TIME: u32 = 29;
/// Counter: this plus one of `END_*`: how user stacks ended.
pub const END_FIRST: u32 = 32;
/// How many counters there are, for each CPU.
pub const COUNTERS: u32 = 64;
