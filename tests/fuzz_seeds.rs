//! The fuzz targets' seeds, and mutations of them, on a stable compiler: no panic, no endless loop, no absurd memory.
//!
//! Mutations are the same in every run. `FUZZ_ROUNDS` sets how many of each seed there are.

#[path = "../fuzz/one.rs"]
mod one;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use flameprofile::import::Kind;
use flameprofile::process::own_cost::peak_rss_bytes;

/// Mutations of each seed.
const ROUNDS: u64 = 300;
/// The most memory that inputs of a few kilobytes justify, with what the test itself takes.
const MEMORY: u64 = 200 << 20;
/// No input of a few kilobytes takes as long; a loop without end does.
const PATIENCE: Duration = Duration::from_secs(10);

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has seeds");
    seeds.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn check(target: &str, kind: Kind) {
    check_by(target, |input| one::import_one(kind, input));
}

fn check_by(target: &str, run: impl Fn(&[u8])) {
    check_with(target, run, mutated);
}

fn check_with(target: &str, run: impl Fn(&[u8]), mutated: impl Fn(&[u8], &mut Random) -> Vec<u8>) {
    let rounds = env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    for (path, seed) in seeds(target) {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for round in 0..=rounds {
            let input = if round == 0 { seed.clone() } else { mutated(&seed, &mut random) };
            let begin = Instant::now();
            run(&input);
            assert!(begin.elapsed() < PATIENCE, "{}: round {round} took {:?}", path.display(), begin.elapsed());
        }
        assert!(peak_rss_bytes() < MEMORY, "{}: took {} bytes of memory", path.display(), peak_rss_bytes());
    }
}

#[test]
fn perf_script() {
    check("perf_script", Kind::PerfScript);
}

#[test]
fn perf_data() {
    check("perf_data", Kind::PerfData);
}

#[test]
fn picture() {
    check_by("picture", one::import_picture);
}

#[test]
fn gate() {
    check_by("gate", one::compare_runs);
}

#[test]
fn records() {
    check_by("records", one::read_record);
}

#[test]
fn jitdump() {
    check_by("jitdump", one::read_jit_dump);
}

#[test]
fn go_table() {
    check_by("go_table", one::read_go_table);
}

#[test]
fn folded() {
    check("folded", Kind::Folded);
}

#[test]
fn pprof() {
    check("pprof", Kind::Pprof);
}

#[test]
fn bpftrace() {
    check("bpftrace", Kind::Bpftrace);
}

#[test]
fn symbolize() {
    // Most of a file is its headers and names; what leads from one entry to another is in few bytes.
    check_with("symbolize", one::symbolize, |seed, random| match random.below(4) {
        0 => mutated(seed, random),
        _ => set(seed, random),
    });
}

#[test]
fn unwind_by_file() {
    // Where bytes are moved, headers lead nowhere, and nothing of the tables is read.
    check_with("unwind_by_file", one::unwind_by_file, |seed, random| match random.below(4) {
        0 => mutated(seed, random),
        _ => set(seed, random),
    });
}

#[test]
fn debug_files() {
    check_with("debug_files", one::find_debug_files, |seed, random| match random.below(4) {
        0 => mutated(seed, random),
        _ => set(seed, random),
    });
}

#[test]
fn unwind_by_stack() {
    check_by("unwind_by_stack", one::unwind_by_stack);
}

/// A seed with one to eight changes: bytes set, removed, repeated, swapped, or cut off.
fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len() + 1);
        let length = random.below(24).min(bytes.len() - at);
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let piece = bytes[at..at + length].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            3 => bytes.insert(at, random.below(256) as u8),
            4 => bytes.splice(at..at, *b"99999999999999999999").for_each(drop),
            5 => bytes.splice(at..at, [0xff; 10]).for_each(drop),
            _ if at < bytes.len() => {
                bytes[at] = [0, b'\n', b' ', b';', b':', b'/', 0xff, random.below(256) as u8][random.below(8)]
            }
            _ => {}
        }
    }
    bytes
}

/// A seed of which one to eight bytes have other values.
fn set(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(8) {
        let at = random.below(bytes.len());
        bytes[at] = [0, 1, 0x7f, 0xff, random.below(256) as u8][random.below(5)];
    }
    bytes
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}
