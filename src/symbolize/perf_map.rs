//! Names of JIT code out of perf maps: `/tmp/perf-PID.map`, a line for each piece of code, `START SIZE name` in hex.
//!
//! See tools/perf/Documentation/jit-interface.txt. The file is written by the process, so it is believed about the
//! process's own code only, and only if its user (or root) owns it: `/tmp` is everybody's.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::answers::Answers;
use super::lines::each_line;
use crate::image::{FileSources, open_in_root};
use crate::model::Unnamed;
use crate::process::JitHost;

/// Most bytes read of one map; a large server's takes some tens of megabytes.
const MOST_BYTES: u64 = 512 << 20;
/// Longest line; what is longer is cut, as a name has no use for more.
const MOST_LINE: usize = 4 << 10;
/// Most times that a line names an address; ranges that cover everything would otherwise cost lines times addresses.
const MOST_HITS: usize = 64 << 20;

/// Names addresses of a process that runs, or has run, here; they are sorted.
pub(super) fn name(host: &JitHost, addresses: &[u64]) -> Answers {
    name_by(open(host), addresses)
}

/// Names addresses of the process `pid` of a recording; they are sorted.
///
/// Its map is the one that was kept, see [`FileSources::perf_map`]. If there is none, and the process still runs on this
/// machine since before the recording ended, it is the one that it goes on writing.
pub(super) fn name_recorded(sources: &FileSources, pid: u32, addresses: &[u64]) -> Answers {
    let running = || {
        let recorded = sources.recorded_unix.filter(|_| sources.own_machine)?;
        open(&JitHost::open_older(pid, recorded).ok()?)
    };
    name_by(sources.perf_map(pid).or_else(running), addresses)
}

fn name_by(map: Option<File>, addresses: &[u64]) -> Answers {
    let mut answers = Answers::unnamed(addresses.len(), Unnamed::Anonymous);
    let Some(file) = map else { return answers };
    for (index, name) in read(file.take(MOST_BYTES), addresses).into_iter().enumerate() {
        if let Some(name) = name {
            answers.set_name(index, &name, None);
        } else {
            answers.set_reason(index, Unnamed::NoMatch);
        }
    }
    answers
}

/// Opens the map that the process wrote where it lives, or that somebody put where we live.
fn open(host: &JitHost) -> Option<File> {
    let inside = format!("/tmp/perf-{}.map", host.namespace_pid());
    let outside = format!("/tmp/perf-{}.map", host.pid());
    let owned = |file: &File| file.metadata().is_ok_and(|facts| facts.uid() == host.uid() || facts.uid() == 0);
    open_in_root(host.root(), Path::new(&inside)).ok().filter(owned).or_else(|| {
        let root = File::open("/").ok()?;
        open_in_root(std::os::fd::AsFd::as_fd(&root), Path::new(&outside)).ok().filter(owned)
    })
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
    let Some((start, size, name)) = parse(line) else { return };
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

fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (start, rest) = hex(line.trim_ascii_start())?;
    let (size, name) = hex(rest.trim_ascii_start())?;
    let name = name.strip_prefix(b" ").unwrap_or(name).trim_ascii();
    (size > 0 && !name.is_empty()).then_some((start, size, name))
}

/// A hexadecimal number, with `0x` as some runtimes write it, and what follows.
fn hex(text: &[u8]) -> Option<(u64, &[u8])> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let digits = text.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        return None;
    }
    Some((u64::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?, rest))
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
