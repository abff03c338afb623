//! Samples: every field of every `sample_type`.

use super::{CpuMode, Identity, Layout};
use crate::model::Sample as Row;
use crate::perf::attr::{SampleFields, branch_type, read_format};
use crate::perf::fields::{ByteOrder, Fields, Words};

/// A sample: only what the layout carries is set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample<'a> {
    /// Process, thread, time, CPU, event.
    pub identity: Identity,
    /// Which event, as [`Layout::event`] has it.
    pub event: u32,
    /// In which mode the processor was.
    pub mode: CpuMode,
    /// Instruction pointer.
    pub ip: u64,
    /// What it counts for; the event's fixed period if the sample does not say.
    pub period: u64,
    /// Data address.
    pub address: Option<u64>,
    /// The event's counters.
    pub read: Option<Read<'a>>,
    /// Call chain, innermost first, with `PERF_CONTEXT_*` marks.
    pub callchain: Words<'a>,
    /// What a tracepoint says.
    pub raw: &'a [u8],
    /// The last branches, latest first.
    pub branches: Branches<'a>,
    /// User registers.
    pub user_registers: Option<UserRegisters<'a>>,
    /// The valid part of the copy of the user stack, which begins at the stack pointer.
    pub user_stack: &'a [u8],
    /// Whether all of the copy is valid, so that the stack may go on behind it.
    pub user_stack_full: bool,
    /// How costly it was (`PERF_SAMPLE_WEIGHT`, or `_WEIGHT_STRUCT` as one word).
    pub weight: Option<u64>,
    /// Where its data came from.
    pub data_source: Option<u64>,
    /// Flags of a hardware transaction.
    pub transaction: Option<u64>,
    /// Physical data address.
    pub physical_address: Option<u64>,
    /// The control group's id.
    pub cgroup: Option<u64>,
    /// Page size at the data address, in bytes.
    pub data_page_size: Option<u64>,
    /// Page size at the instruction pointer, in bytes.
    pub code_page_size: Option<u64>,
    /// Bytes of hardware trace that it carries, which are not decoded.
    pub aux: &'a [u8],
    /// The byte order of all of it.
    pub order: ByteOrder,
}

impl Sample<'_> {
    /// A number of 32 bits in what a tracepoint says.
    pub fn raw_u32(&self, offset: usize) -> Option<u32> {
        let bytes = self.raw.get(offset..)?.first_chunk()?;
        Some(self.order.u32(*bytes))
    }
}

/// The counters that a sample carries, as `read(2)` on the event would give them (`read_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Read<'a> {
    /// Nanoseconds that the event was enabled.
    pub time_enabled: Option<u64>,
    /// Nanoseconds that it counted.
    pub time_running: Option<u64>,
    /// For each event of the group (or the one): value, then id and samples lost as far as the format has them.
    pub values: Words<'a>,
}

/// A branch stack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Branches<'a> {
    /// Three words for each branch: from, to, flags (`struct perf_branch_entry`).
    words: Words<'a>,
    /// Whether it was taken as a call stack (`PERF_SAMPLE_BRANCH_CALL_STACK`): each branch is a call that has not returned.
    pub is_call_stack: bool,
}

impl<'a> Branches<'a> {
    /// How many branches.
    pub fn count(&self) -> usize {
        self.words.count() / 3
    }

    /// From where to where, latest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let words = self.words;
        (0..self.count()).filter_map(move |row| Some((words.get(row * 3)?, words.get(row * 3 + 1)?)))
    }
}

/// User registers of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRegisters<'a> {
    /// `PERF_SAMPLE_REGS_ABI_32` (1) or `_64` (2).
    pub abi: u64,
    /// Which registers: bits numbered as in `asm/perf_regs.h`.
    pub mask: u64,
    /// Their values, lowest bit first.
    pub values: Words<'a>,
}

impl UserRegisters<'_> {
    /// The value of the register with bit `number`.
    pub fn get(&self, number: u32) -> Option<u64> {
        let bit = 1u64.checked_shl(number)?;
        if self.mask & bit == 0 {
            return None;
        }
        self.values.get((self.mask & (bit - 1)).count_ones() as usize)
    }
}

/// Where the time stands in a sample's body; nothing if samples have none.
pub(super) fn time_offset(fields: SampleFields) -> Option<usize> {
    let before = [SampleFields::IDENTIFIER, SampleFields::IP, SampleFields::TID];
    fields.has(SampleFields::TIME).then(|| before.into_iter().filter(|field| fields.has(*field)).count() * 8)
}

/// Reads a sample, field by field in the order of `perf_output_sample` (kernel/events/core.c); nothing if a field does not fit
/// into what is left of the record.
pub(super) fn sample<'a>(body: &'a [u8], mode: CpuMode, layout: &Layout) -> Option<Sample<'a>> {
    let from = &mut Fields::new(body, layout.order);
    let has = |field| layout.fields.has(field);
    let (event, period, order) = (layout.event, layout.period, layout.order);
    let mut sample = Sample { event, mode, period, order, ..Sample::default() };
    let identity = &mut sample.identity;
    if has(SampleFields::IDENTIFIER) {
        identity.id = from.u64()?;
    }
    if has(SampleFields::IP) {
        sample.ip = from.u64()?;
    }
    if has(SampleFields::TID) {
        identity.pid = from.u32()?;
        identity.tid = from.u32()?;
    }
    if has(SampleFields::TIME) {
        identity.time = from.u64()?;
    }
    if has(SampleFields::ADDR) {
        sample.address = Some(from.u64()?);
    }
    if has(SampleFields::ID) {
        identity.id = from.u64()?;
    }
    if has(SampleFields::STREAM_ID) {
        from.u64()?;
    }
    identity.cpu = Row::NO_CPU;
    if has(SampleFields::CPU) {
        identity.cpu = from.u32()?;
        from.u32()?;
    }
    if has(SampleFields::PERIOD) {
        sample.period = from.u64()?;
    }
    if has(SampleFields::READ) {
        sample.read = Some(read(from, layout.read_format)?);
    }
    if has(SampleFields::CALLCHAIN) {
        let count = from.u64()?;
        sample.callchain = from.words(count)?;
    }
    if has(SampleFields::RAW) {
        let size = from.u32()?;
        sample.raw = from.bytes(size as usize)?;
    }
    if has(SampleFields::BRANCH_STACK) {
        sample.branches = branches(from, layout.branches)?;
    }
    if has(SampleFields::REGS_USER) {
        sample.user_registers = registers(from, layout.regs_user)?;
    }
    if has(SampleFields::STACK_USER) {
        let size = usize::try_from(from.u64()?).ok()?;
        let copy = from.bytes(size)?;
        if size > 0 {
            let valid = usize::try_from(from.u64()?).ok()?;
            sample.user_stack = copy.get(..valid)?;
            sample.user_stack_full = valid == size;
        }
    }
    if has(SampleFields::WEIGHT) || has(SampleFields::WEIGHT_STRUCT) {
        sample.weight = Some(from.u64()?);
    }
    if has(SampleFields::DATA_SRC) {
        sample.data_source = Some(from.u64()?);
    }
    if has(SampleFields::TRANSACTION) {
        sample.transaction = Some(from.u64()?);
    }
    if has(SampleFields::REGS_INTR) {
        registers(from, layout.regs_intr)?;
    }
    if has(SampleFields::PHYS_ADDR) {
        sample.physical_address = Some(from.u64()?);
    }
    if has(SampleFields::CGROUP) {
        sample.cgroup = Some(from.u64()?);
    }
    if has(SampleFields::DATA_PAGE_SIZE) {
        sample.data_page_size = Some(from.u64()?);
    }
    if has(SampleFields::CODE_PAGE_SIZE) {
        sample.code_page_size = Some(from.u64()?);
    }
    if has(SampleFields::AUX) {
        let size = usize::try_from(from.u64()?).ok()?;
        sample.aux = from.bytes(size)?;
    }
    Some(sample)
}

fn read<'a>(from: &mut Fields<'a>, format: u64) -> Option<Read<'a>> {
    let mut read = Read::default();
    let has = |bit| format & bit != 0;
    let words = 1 + u64::from(has(read_format::ID)) + u64::from(has(read_format::LOST));
    let group = if has(read_format::GROUP) { Some(from.u64()?) } else { None };
    // The value of a single event stands before its times, those of a group behind.
    let single = if group.is_none() { Some(from.words(1)?) } else { None };
    if has(read_format::TOTAL_TIME_ENABLED) {
        read.time_enabled = Some(from.u64()?);
    }
    if has(read_format::TOTAL_TIME_RUNNING) {
        read.time_running = Some(from.u64()?);
    }
    match (group, single) {
        (Some(count), _) => read.values = from.words(count.checked_mul(words)?)?,
        (None, single) => {
            from.words(words - 1)?;
            read.values = single?;
        }
    }
    Some(read)
}

fn branches<'a>(from: &mut Fields<'a>, kinds: u64) -> Option<Branches<'a>> {
    let count = from.u64()?;
    if kinds & branch_type::HW_INDEX != 0 {
        from.u64()?;
    }
    let words = from.words(count.checked_mul(3)?)?;
    if kinds & branch_type::COUNTERS != 0 {
        from.words(count)?;
    }
    Some(Branches { words, is_call_stack: kinds & branch_type::CALL_STACK != 0 })
}

/// The outer option is whether the record is long enough.
fn registers<'a>(from: &mut Fields<'a>, mask: u64) -> Option<Option<UserRegisters<'a>>> {
    let abi = from.u64()?;
    if abi == 0 {
        return Some(None);
    }
    let values = from.words(u64::from(mask.count_ones()))?;
    Some(Some(UserRegisters { abi, mask, values }))
}
