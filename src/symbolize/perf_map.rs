//! Names of JIT code out of perf maps, which [`crate::image::PerfMap`] reads while a process is recorded. Of one that was
//! not followed, or of a recording, the whole map is read once, at the end.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;

use super::SymbolizeOptions;
use super::answers::Answers;
use super::lines::each_line;
use crate::image::{FileSources, Generation, PerfMap, PerfMapLine, open_perf_map, parse_line};
use crate::model::Unnamed;
use crate::process::JitHost;

/// Most bytes read of one map; a large server's takes some tens of megabytes.
const MOST_BYTES: u64 = 512 << 20;
/// Longest line; what is longer is cut, as a name has no use for more.
const MOST_LINE: usize = 4 << 10;
/// Most times that a line names an address; ranges that cover everything would otherwise cost lines times addresses.
const MOST_HITS: usize = 64 << 20;

/// Names addresses of a process that runs, or has run, here; they are sorted.
pub(super) fn name(host: &JitHost, addresses: &[u64], options: &SymbolizeOptions) -> Answers {
    name_by(open(host), addresses, options)
}

/// Names addresses of the process `pid` of a recording; they are sorted.
///
/// Its map is the one that was kept, see [`FileSources::perf_map`]. If there is none, and the process still runs on this
/// machine since before the recording ended, it is the one that it goes on writing.
pub(super) fn name_recorded(sources: &FileSources, pid: u32, addresses: &[u64], options: &SymbolizeOptions) -> Answers {
    let running = || {
        let recorded = sources.recorded_unix.filter(|_| sources.own_machine)?;
        open(&JitHost::open_older(pid, recorded).ok()?)
    };
    name_by(sources.perf_map(pid).or_else(running), addresses, options)
}

fn name_by(map: Option<File>, addresses: &[u64], options: &SymbolizeOptions) -> Answers {
    let mut answers = Answers::unnamed(addresses.len(), Unnamed::Anonymous);
    let Some(file) = map else { return answers };
    for (index, name) in read(file.take(MOST_BYTES), addresses).into_iter().enumerate() {
        if let Some(name) = name {
            answers.set_jit_name(index, &name, None, options);
        } else {
            answers.set_reason(index, Unnamed::NoMatch);
        }
    }
    answers
}

/// Names addresses by what was read of a process's map while it ran; they are sorted.
pub(super) fn name_read(
    map: &PerfMap,
    generation: Generation,
    addresses: &[u64],
    options: &SymbolizeOptions,
) -> Answers {
    let mut answers = Answers::unnamed(addresses.len(), Unnamed::NoMatch);
    let Generation::Of(generation) = generation else { return answers };
    for (index, address) in addresses.iter().enumerate() {
        if let Some(piece) = map.history().piece_of(generation, *address) {
            answers.set_jit_name(index, map.name(piece), None, options);
        }
    }
    answers
}

fn open(host: &JitHost) -> Option<File> {
    let may_have_written = |written| host.may_have_written(written);
    open_perf_map(host.root()?, host.namespace_pid(), host.pid(), host.uid(), may_have_written)
}

/// The name of each address, by the last line that covers it: code is replaced, and the map only grows.
fn read(map: impl Read, addresses: &[u64]) -> Vec<Option<Box<[u8]>>> {
    let mut names: Vec<Option<Box<[u8]>>> = vec![None; addresses.len()];
    let mut hits = 0;
    each_line(map, MOST_LINE, |line| {
        take_line(line, addresses, &mut names, &mut hits);
        if hits >= MOST_HITS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    names
}

fn take_line(line: &[u8], addresses: &[u64], names: &mut [Option<Box<[u8]>>], hits: &mut usize) {
    let Some(PerfMapLine { start, size, name }) = parse_line(line) else { return };
    let first = addresses.partition_point(|address| *address < start);
    let end = start.saturating_add(size);
    for (address, known) in addresses[first..].iter().zip(&mut names[first..]) {
        if *address >= end || *hits >= MOST_HITS {
            return;
        }
        *hits += 1;
        if known.as_deref() != Some(name) {
            *known = Some(name.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(map: &[u8], addresses: &[u64], expected: &[Option<&str>]) {
        let names = read(map, addresses);
        let names: Vec<_> = names.iter().map(|name| name.as_deref().map(String::from_utf8_lossy)).collect();
        assert_eq!(names.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn later_line_overrides_earlier() {
        check(
            b"1000 100 old\n1080 100 new name (1)\n0x2000 0x10 c\n",
            &[0x0fff, 0x1000, 0x107f, 0x1080, 0x10ff, 0x117f, 0x1180, 0x200f],
            &[
                None,
                Some("old"),
                Some("old"),
                Some("new name (1)"),
                Some("new name (1)"),
                Some("new name (1)"),
                None,
                Some("c"),
            ],
        );
    }

    #[test]
    fn bad_lines_are_passed_over() {
        let map = b"\n\xff\xfe\n1000\n1000 zz x\n1000 10\n1000 0 nothing\n1000,10 x\n\
            fffffffffffffffff 1 long\nffffffffffffff00 ffffffffffffffff top\n1000 10 good\n1000 10 unfinished";
        check(map, &[0x1000, u64::MAX - 1], &[Some("good"), Some("top")]);
    }

    #[test]
    fn junk_is_read_in_bounded_memory() {
        let mut map = b"10 10 before\n".to_vec();
        map.extend(std::iter::repeat_n(b'x', 3 << 20));
        map.extend_from_slice(b"\n20 10 ");
        map.extend(std::iter::repeat_n(b'n', 1 << 20));
        map.extend_from_slice(b"\n30 10 after\n");
        let names = read(map.as_slice(), &[0x10, 0x20, 0x30]);
        assert_eq!(names[0].as_deref(), Some(&b"before"[..]));
        assert!(names[1].as_deref().is_some_and(|name| name.len() <= MOST_LINE && name.starts_with(b"nnn")));
        assert_eq!(names[2].as_deref(), Some(&b"after"[..]));
    }
}
