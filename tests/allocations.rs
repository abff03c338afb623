//! Reading a recording allocates nothing for a sample whose stack is known: counted by an allocator of our own, on two recordings
//! that differ only in how many samples they have.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use flameprofile::import::{ImportOptions, Input, import};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: all is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn record(kind: u32, misc: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &misc.to_le_bytes(), &(8 + body.len() as u16).to_le_bytes(), body].concat()
}

/// A recording as perf writes one: cpu-clock, call chains of user and kernel on two CPUs, a round every 100 samples.
fn recording(samples: u64) -> Vec<u8> {
    // IP | TID | TIME | CALLCHAIN | CPU | PERIOD | IDENTIFIER, with sample_id_all.
    let fields = 1 | 2 | 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 16;
    let mut data = Vec::new();
    let identity = words(&[10 | 10 << 32, 1, 0, 1]);
    data.extend(record(3, 0, &[&words(&[10 | 10 << 32])[..], b"program\0", &identity].concat()));
    for number in 0..samples {
        let chain =
            [-128i64 as u64, 0xffff_ffff_8100_0000, -512i64 as u64, 0x40_1000 + number % 16 * 64, 0x40_2000, 0x40_3000];
        let head = [1, chain[1], 10 | 10 << 32, 1000 + number, number % 2, 1_000_000, chain.len() as u64];
        data.extend(record(9, 1, &[words(&head), words(&chain)].concat()));
        if number % 100 == 99 {
            data.extend(record(68, 0, &[]));
        }
    }
    let mut attr = vec![0; 112];
    attr[..8].copy_from_slice(&words(&[1 | 112 << 32]));
    attr[16..24].copy_from_slice(&words(&[1_000_000]));
    attr[24..32].copy_from_slice(&words(&[fields]));
    attr[40..48].copy_from_slice(&words(&[1 << 18]));
    let (ids, attrs, start) = (104, 112, 112 + 128);
    let mut file = b"PERFILE2".to_vec();
    file.extend(words(&[104, 128, attrs, 128, start, data.len() as u64, 0, 0, 0, 0, 0, 0]));
    file.extend(words(&[1]));
    file.extend([attr, words(&[ids, 8]), data].concat());
    file
}

/// How often memory was allocated while a recording was read.
fn allocations(samples: u64) -> u64 {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&recording(samples)).expect("it can be written");
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let inputs = vec![Input::Path(file.path().to_owned())];
    let profile = import(inputs, &ImportOptions::default(), &mut |_| {}).expect("it is a recording");
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    assert_eq!(profile.stats.samples, samples, "{:?}", profile.stats.skipped);
    after - before
}

#[test]
fn a_sample_of_a_known_stack_allocates_nothing() {
    // What is made once: threads, tables, names.
    allocations(1_000);
    let (few, many) = (allocations(20_000), allocations(220_000));
    let per_sample = many.saturating_sub(few) as f64 / 200_000.0;
    println!("{few} allocations for 20,000 samples, {many} for 220,000: {per_sample:.4} a sample");
    assert!(per_sample < 0.01, "{per_sample} allocations a sample ({few}, {many})");
}
