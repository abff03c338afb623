//! The words that a table is made of. `sampler/bpf/c/abi.h` is the same for the programs that read it in the kernel; `tests/tidy.rs`
//! holds the numbers against each other.

/// Words of 4 bytes in a block.
pub const BLOCK_WORDS: u32 = 2048;
/// Words before a table's index of pages.
pub const TABLE_HEADER_WORDS: u32 = 4;
/// Flag of a table: its code is Go's.
pub const TABLE_GO: u32 = 1;
/// A table's pages are of so many bits of addresses.
pub const PAGE_SHIFT_OF_TABLE: u32 = 13;
/// Lower bits of a row, which say its rule; those above are its address in its page.
pub const ROW_RULE_BITS: u32 = 19;

/// How many rules there are at most, of all tables together.
pub const RULES: u32 = 65536;

/// Kind of rule: no call frame information covers the code.
pub const RULE_NO_INFO: u32 = 0;
/// Kind of rule: nobody has called it.
pub const RULE_ROOT: u32 = 1;
/// Kind of rule: the CFA is the stack pointer plus `cfa` words.
pub const RULE_SP: u32 = 2;
/// Kind of rule: the CFA is the frame pointer plus `cfa` words.
pub const RULE_FP: u32 = 3;
/// Kind of rule: the CFA is what stands `cfa` words from the stack pointer, plus `argument` words.
pub const RULE_SP_DEREF: u32 = 4;
/// Kind of rule: the same by the frame pointer.
pub const RULE_FP_DEREF: u32 = 5;
/// Kind of rule: a stub of a PLT; from byte `argument` of its 16 on one word more is on the stack.
pub const RULE_PLT: u32 = 6;
/// Kind of rule: code of Go that has taken `cfa` words; `argument` is one of `GO_*`.
pub const RULE_GO: u32 = 7;
/// Kind of rule: more than a rule can say.
pub const RULE_ROW: u32 = 8;
/// Kind of rule: a trampoline that a signal's handler returns to.
pub const RULE_SIGNAL: u32 = 9;

/// Code of Go that stays on its stack.
pub const GO_STAYS: u32 = 0;
/// Code of Go that puts another stack in place; the frame pointer leads back.
pub const GO_LEADS_BACK: u32 = 1;
/// Code of Go that puts another stack in place; nothing leads back.
pub const GO_LOST: u32 = 2;
/// Code of Go that puts another stack in place, in a thread that it has made.
pub const GO_NEW_THREAD: u32 = 3;

/// Where a register of the caller is: in its register still.
pub const SLOT_IN_REGISTER: i16 = -32768;
/// Where a register of the caller is: where the frame pointer points to.
pub const SLOT_AT_FP: i16 = 32767;
