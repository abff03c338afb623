//! All rules of a file, from its lowest address on.

use std::iter::Peekable;
use std::ops::Range;

use gimli::UnwindContext;

use super::format::TABLE_GO;
use super::pages::Pages;
use super::rules::{self, RulePool, encode};
use super::{Limits, Refused, Table, processor_of};
use crate::image::{ElfImage, FrameEntry, FrameLayer, Segment};
use crate::model::CodeAddress;
use crate::unwind::registers::Processor;
use crate::unwind::rule::Rule;
use crate::unwind::unwinder::make;
use crate::unwind::walk::ENTRY_LENGTH;
use crate::unwind::{arm64_signal, flow, go};

/// Bytes of call frame information that are read at most, by how many there are: each entry once, and some more.
const BYTES_READ: u64 = 4;
const BYTES_READ_MORE: u64 = 16 << 20;

/// Code of Go, and what Go says of it.
struct GoPiece {
    range: Range<u64>,
    rule: u64,
}

pub(super) fn compile(image: &ElfImage, pool: &mut RulePool, limits: Limits) -> Result<Table, Refused> {
    let processor = processor_of(image).ok_or(Refused::Code)?;
    let mut code: Vec<&Segment> = image.segments().iter().filter(|it| it.executable && it.file_size > 0).collect();
    code.sort_by_key(|segment| segment.svma);
    // A damaged file may say that it has more than it has.
    let size = |segment: &Segment| segment.file_size.min((image.data().len() as u64).saturating_sub(segment.offset));
    let end = |segment: &Segment| segment.svma.saturating_add(size(segment));
    let start = code.first().ok_or(Refused::Code)?.svma;
    let last = code.iter().map(|segment| end(segment)).max().ok_or(Refused::Code)?;
    let layers = image.frame_tables().layers(image).ok_or(Refused::Damaged)?;
    let bytes: u64 = layers.iter().map(FrameLayer::bytes).sum();
    let mut compiler = Compiler {
        image,
        processor,
        pool,
        pages: Pages::new(start, last, limits)?,
        go: go_pieces(image, processor)?,
        go_at: 0,
        next: vec![0; layers.len()],
        layers,
        context: Box::default(),
        bytes_left: bytes.saturating_mul(BYTES_READ).saturating_add(BYTES_READ_MORE),
        points: signal_points(image, processor, &code).into_iter().peekable(),
        entry: image.entry()..image.entry().saturating_add(ENTRY_LENGTH),
    };
    let flags = if compiler.go.is_empty() { 0 } else { TABLE_GO };
    for segment in code {
        // What lies between has no code; of two that overlap the first one counts.
        let from = segment.svma.max(compiler.pages.at());
        compiler.pages.put(from, RulePool::NO_INFO)?;
        compiler.fill_by_go(from, end(segment))?;
    }
    compiler.pages.finish(flags)
}

struct Compiler<'a, 'p> {
    image: &'a ElfImage,
    processor: Processor,
    pool: &'p mut RulePool,
    pages: Pages,
    go: Vec<GoPiece>,
    go_at: usize,
    layers: Vec<FrameLayer<'a>>,
    /// Of each layer, the piece that comes next.
    next: Vec<usize>,
    context: Box<UnwindContext<usize>>,
    bytes_left: u64,
    points: Peekable<std::vec::IntoIter<(u64, u64)>>,
    entry: Range<u64>,
}

impl<'a> Compiler<'a, '_> {
    /// Go's table knows more than what Go's linker makes of it for debuggers.
    fn fill_by_go(&mut self, from: u64, to: u64) -> Result<(), Refused> {
        while let Some(GoPiece { range, rule }) = self.go.get(self.go_at) {
            if range.start >= to {
                break;
            }
            let (range, rule) = (range.clone(), *rule);
            if range.end > self.pages.at() {
                let start = range.start.max(from);
                self.fill_by_layer(0, self.pages.at(), start)?;
                self.put(range.end.min(to), rule)?;
            }
            if range.end > to {
                break;
            }
            self.go_at += 1;
        }
        self.fill_by_layer(0, self.pages.at(), to)
    }

    fn fill_by_layer(&mut self, layer: usize, from: u64, to: u64) -> Result<(), Refused> {
        if from >= to {
            return Ok(());
        }
        let Some(entries) = self.layers.get(layer) else { return self.fill_with_nothing(from, to) };
        let mut at = self.next[layer];
        // Code that was passed over, as that of Go.
        at += entries.pieces()[at..].partition_point(|piece| piece.end <= from);
        while let Some(&piece) = self.layers[layer].pieces().get(at)
            && piece.start < to
        {
            let wanted = piece.start.max(from)..piece.end.min(to);
            if let Some(entry) = self.layers[layer].entry(piece) {
                let range = entry.range();
                let covered = range.start.clamp(wanted.start, wanted.end)..range.end.min(wanted.end);
                if covered.start < covered.end {
                    self.fill_by_layer(layer + 1, self.pages.at(), covered.start)?;
                    self.put_entry(&entry, covered)?;
                }
            }
            if piece.end > to {
                break;
            }
            at += 1;
        }
        self.next[layer] = at;
        self.fill_by_layer(layer + 1, self.pages.at(), to)
    }

    /// There is no information; but behind a system call that does not return that of the call counts, see `make`.
    fn fill_with_nothing(&mut self, from: u64, to: u64) -> Result<(), Refused> {
        let before = flow::code(self.image, from.saturating_sub(2)).unwrap_or_default();
        if matches!(before.first_chunk(), Some([0x0f, 0x05] | [0xcd, 0x80] | [0x0f, 0x34]))
            && let Some(offset) = self.offset_of(from)
        {
            let address = CodeAddress::Ip(from);
            let rule = make(self.image, offset, address, self.processor, &mut self.context, true);
            let rule = match rule {
                Rule::Signal => {
                    let entry = self.image.frame_tables().find(self.image, from.saturating_sub(1));
                    entry.map_or(rules::ROW, |entry| self.rule_of_signal(&entry))
                }
                rule => encode(rule),
            };
            self.put(from.saturating_add(1), rule)?;
        }
        self.put(to, rules::NO_INFO)
    }

    /// Where in the file the code at an address is; as code is searched by its place in the file, that must lead back.
    fn offset_of(&self, svma: u64) -> Option<u64> {
        let segment = self.image.segments().iter().find(|segment| {
            segment.executable && svma.checked_sub(segment.svma).is_some_and(|distance| distance < segment.file_size)
        })?;
        segment.offset.checked_add(svma - segment.svma)
    }

    fn put_entry(&mut self, entry: &FrameEntry<'a>, covered: Range<u64>) -> Result<(), Refused> {
        self.bytes_left = self.bytes_left.checked_sub(entry.entry_bytes()).ok_or(Refused::TooLarge)?;
        let mut context = std::mem::take(&mut self.context);
        let mut put = Ok(());
        let mut known: Option<(Rule, u64)> = None;
        entry.rows(&mut context, |range, row| {
            let start = range.start.clamp(covered.start, covered.end);
            let end = range.end.min(covered.end);
            if put.is_err() || start >= end {
                return;
            }
            let rule = Rule::of_row(entry, row, self.processor);
            let encoded = match (rule, known) {
                (rule, Some((before, encoded))) if rule == before => encoded,
                (Rule::Signal, _) => self.rule_of_signal(entry),
                (rule, _) => encode(rule),
            };
            known = Some((rule, encoded));
            put = self.put(start, rules::NO_INFO).and_then(|()| self.put(end, encoded));
        });
        self.context = context;
        put?;
        self.put(covered.end, rules::NO_INFO)
    }

    /// The rule of an entry that says that it is of a signal's trampoline: whether it leads to one of the kernel's frames is told by
    /// its instructions. Compilers let it begin a byte before them, as it is asked for by a return address.
    fn rule_of_signal(&self, entry: &FrameEntry<'_>) -> u64 {
        let is_kernels = |byte: u64| flow::returns_from_signal(self.image, entry.start().wrapping_add(byte));
        let is_kernels = self.processor == Processor::X86_64 && [0, 1].into_iter().any(is_kernels);
        if is_kernels { rules::SIGNAL } else { rules::ROW }
    }

    /// Up to `end` there is this rule, but for single bytes of which more is known.
    fn put(&mut self, end: u64, rule: u64) -> Result<(), Refused> {
        while self.points.next_if(|(point, _)| *point < self.pages.at()).is_some() {}
        while let Some((point, other)) = self.points.next_if(|(point, _)| *point < end) {
            self.put_plain(point, rule)?;
            let other = if rule == rules::SIGNAL { rule } else { other };
            self.put_plain(point.saturating_add(1), other)?;
        }
        self.put_plain(end, rule)
    }

    fn put_plain(&mut self, end: u64, rule: u64) -> Result<(), Refused> {
        let number = self.pool.number(rule);
        if rule == rules::NO_INFO && end > self.entry.start && self.pages.at() < self.entry.end {
            // Nothing calls the code at which the kernel starts the program.
            self.pages.put(self.entry.start, number)?;
            let root = self.pool.number(rules::ROOT);
            self.pages.put(self.entry.end.min(end), root)?;
        }
        self.pages.put(end, number)
    }
}

fn go_pieces(image: &ElfImage, processor: Processor) -> Result<Vec<GoPiece>, Refused> {
    let mut pieces: Vec<GoPiece> = Vec::new();
    let Some(table) = image.go_table() else { return Ok(pieces) };
    let is_all = table.each_frame(image, |range, name, frame| {
        let Some(rule) = go::rule_of(frame, name, processor) else { return };
        let rule = encode(rule);
        match pieces.last_mut() {
            Some(last) if last.range.end == range.start && last.rule == rule => last.range.end = range.end,
            _ => pieces.push(GoPiece { range, rule }),
        }
    });
    if is_all { Ok(pieces) } else { Err(Refused::Damaged) }
}

/// Single bytes of code that are those of a signal's trampoline by its instructions alone, from the lowest on, with their rules.
///
/// All code is read for it. What was read is given back as it goes, as it is mapped.
fn signal_points(image: &ElfImage, processor: Processor, code: &[&Segment]) -> Vec<(u64, u64)> {
    const PIECE: usize = 2 << 20;
    let mut points = Vec::new();
    for segment in code {
        let Some(bytes) = flow::code(image, segment.svma) else { continue };
        for start in (0..bytes.len()).step_by(PIECE) {
            let end = (start + PIECE).min(bytes.len());
            // All that begin in the piece.
            let find = |pattern: &'static [u8]| {
                let piece = &bytes[start..(end + pattern.len() - 1).min(bytes.len())];
                memchr::memmem::find_iter(piece, pattern).map(move |at| start + at)
            };
            match processor {
                // The byte before it, as a return address to it is looked up.
                Processor::X86_64 => {
                    let begins = flow::SIGNAL_RETURNS.into_iter().flat_map(find);
                    let begins = begins.filter(|at| *at > 0);
                    points.extend(begins.map(|at| (segment.svma + at as u64 - 1, rules::SIGNAL_IF_RETURNED_TO)));
                }
                Processor::Aarch64 => {
                    for at in find(&arm64_signal::TRAMPOLINE) {
                        let offset = segment.offset + at as u64;
                        let near =
                            offset.saturating_sub(1)..offset.saturating_add(arm64_signal::TRAMPOLINE.len() as u64);
                        let near = near.filter(|place| arm64_signal::is_trampoline(image.data(), *place));
                        points.extend(near.filter_map(|place| Some((image.svma_of_offset(place)?, rules::SIGNAL))));
                    }
                }
                Processor::X86 => {}
            }
            let first = usize::try_from(segment.offset).unwrap_or(usize::MAX);
            image.forget(first.saturating_add(start)..first.saturating_add(end));
        }
    }
    points.sort_unstable();
    points.dedup_by_key(|(point, _)| *point);
    points
}
