use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use gimli::UnwindContext;

use super::format::{BLOCK_WORDS, RULE_ROW};
use super::rules::{self, RulePool, encode};
use super::{Limits, Refused, Table, processor_of};
use crate::image::ElfImage;
use crate::model::CodeAddress;
use crate::unwind::flow;
use crate::unwind::rule::Rule;
use crate::unwind::unwinder::make;
use crate::unwind::walk::is_entry;

/// What the unwinder does at an address, in the words of a table: of code that was interrupted there, and of code that goes on behind
/// it.
struct Judge<'a> {
    path: &'a Path,
    image: ElfImage,
    context: Box<UnwindContext<usize>>,
}

impl<'a> Judge<'a> {
    fn of(path: &'a Path) -> Judge<'a> {
        Judge { path, image: ElfImage::open(path).unwrap(), context: Box::default() }
    }

    fn made(&mut self, address: CodeAddress) -> Rule {
        let processor = processor_of(&self.image).unwrap();
        let svma = address.lookup();
        // The walk knows the place in the file; other segments may be where code is in a damaged one.
        let mut code = self.image.segments().iter().filter(|segment| segment.executable);
        let code = code.find(|segment| svma.checked_sub(segment.svma).is_some_and(|it| it < segment.file_size));
        let Some(offset) = code.map(|code| code.offset + (svma - code.svma)) else { return Rule::NoInfo };
        make(&self.image, offset, address, processor, &mut self.context, true)
    }

    /// A file whose entries take too long is answered no more: it is opened anew.
    fn rule(&mut self, address: CodeAddress) -> Rule {
        match self.made(address) {
            Rule::NoInfo => {
                if let Some(entry) = self.image.frame_tables().find(&self.image, address.lookup())
                    && entry.row(address.lookup(), &mut self.context).is_none()
                    && !self.path.as_os_str().is_empty()
                {
                    *self = Judge::of(self.path);
                }
                self.made(address)
            }
            rule => rule,
        }
    }

    fn word(&mut self, address: CodeAddress) -> u64 {
        let svma = address.lookup();
        match self.rule(address) {
            Rule::NoInfo if is_entry(&self.image, svma) && flow::code(&self.image, svma).is_some() => rules::ROOT,
            // What a signal's entry says is what the kernel has put there, if it is the kernel's trampoline.
            Rule::Signal => {
                let tables = self.image.frame_tables();
                let entry = tables.find(&self.image, svma).or_else(|| tables.find(&self.image, svma - 1)).unwrap();
                let is_kernels = |byte: u64| flow::returns_from_signal(&self.image, entry.start().wrapping_add(byte));
                let is_x86 = self.image.machine() == 62;
                if is_x86 && (is_kernels(0) || is_kernels(1)) { rules::SIGNAL } else { u64::from(RULE_ROW) }
            }
            rule => encode(rule),
        }
    }
}

impl Judge<'_> {
    fn difference(&mut self, table: &Table, pool: &RulePool, svma: u64) -> Option<String> {
        let found = table.rule_at(svma, pool);
        let (interrupted, called) = (CodeAddress::Ip(svma), CodeAddress::from_return(svma + 1).unwrap());
        let wanted = [self.word(interrupted), self.word(called)];
        let is_same = match found {
            rules::SIGNAL_IF_RETURNED_TO => wanted[1] == rules::SIGNAL && wanted[0] != rules::SIGNAL,
            found => wanted == [found; 2],
        };
        (!is_same).then(|| format!("{svma:x}: {found:x}, not {wanted:x?}"))
    }
}

/// Where rows of a table begin, as the file states it.
fn row_starts(table: &Table, image: &ElfImage) -> Vec<u64> {
    let block = BLOCK_WORDS as usize;
    let mut starts = Vec::new();
    for page in 0..table.blocks[1] as usize {
        let (at, place) = (table.blocks[4 + 2 * page], table.blocks[5 + 2 * page]);
        let first = at as usize * block + (place & 0xffff) as usize;
        let rows = &table.blocks[first..first + (place >> 16) as usize];
        assert!((place & 0xffff) + (place >> 16) <= BLOCK_WORDS, "rows of a page are in one block");
        starts.extend(rows.iter().map(|row| table.base + page as u64 * 8192 + u64::from(row >> 19)));
        assert!(rows.first().is_none_or(|row| row >> 19 == 0), "a page begins with a row");
    }
    assert!(starts.is_sorted());
    starts.retain(|start| flow::code(image, *start).is_some());
    starts
}

/// Addresses that are compared, and differences.
fn compare(mut judge: Judge<'_>) -> (usize, Vec<String>) {
    let mut pool = RulePool::default();
    let table = Table::compile(&judge.image, &mut pool, Limits::default()).unwrap();
    let starts = row_starts(&table, &judge.image);
    assert!(!starts.is_empty() && table.pages_left_out == 0, "{}", judge.path.display());
    let mut addresses: Vec<u64> = starts.iter().flat_map(|start| [start.saturating_sub(1), *start]).collect();
    for segment in judge.image.segments().iter().filter(|segment| segment.executable) {
        addresses.extend((segment.svma..segment.svma + segment.file_size).step_by(7));
        addresses.extend([segment.svma.saturating_sub(1), segment.svma + segment.file_size]);
    }
    addresses.sort_unstable();
    addresses.dedup();
    let mut differences = Vec::new();
    // Unoptimized it takes ten times as long.
    let addresses: Vec<u64> = addresses.into_iter().step_by(if cfg!(debug_assertions) { 23 } else { 1 }).collect();
    for svma in &addresses {
        differences.extend(judge.difference(&table, &pool, *svma));
    }
    (addresses.len(), differences)
}

#[test]
fn tables_are_what_the_unwinder_says() {
    let go =
        ["/usr/lib/go/bin/gofmt", "/usr/local/go/bin/gofmt"].map(PathBuf::from).into_iter().find(|it| it.is_file());
    let known = [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib64/ld-linux-x86-64.so.2",
        "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
        "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
        "/usr/bin/python3.11",
        "/usr/bin/bash",
        "/bin/busybox",
        "/sbin/ldconfig",
        "/usr/lib/x86_64-linux-musl/libc.so",
        "/usr/aarch64-linux-gnu/lib/libc.so.6",
        "/usr/aarch64-linux-gnu/lib/libstdc++.so.6",
    ];
    let own = std::env::current_exe().unwrap();
    let more = std::env::var_os("PROFILE_BPF_TABLES").unwrap_or_default();
    let files = known.iter().map(PathBuf::from).chain([own]).chain(go).chain(std::env::split_paths(&more));
    for file in files.filter(|file| !file.as_os_str().is_empty()) {
        if !file.is_file() {
            crate::skip::here(&format!("no {}", file.display()));
            continue;
        }
        let begin = std::time::Instant::now();
        let (count, differences) = compare(Judge::of(&file));
        println!("{}: {count} addresses, {} ms", file.display(), begin.elapsed().as_millis());
        let first = &differences[..differences.len().min(10)];
        assert!(differences.is_empty(), "{}: {} differ: {first:#?}", file.display(), differences.len());
    }
}

/// The vdso is no file, and has tables all the same.
#[test]
fn table_of_the_vdso_is_what_the_unwinder_says() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let Some(line) = maps.lines().find(|line| line.ends_with("[vdso]")) else { return crate::skip::here("no vdso") };
    let range = line.split(' ').next().unwrap().split_once('-').unwrap();
    let [start, end] = [range.0, range.1].map(|address| u64::from_str_radix(address, 16).unwrap());
    let mut bytes = vec![0; (end - start) as usize];
    fs::File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, start).unwrap();
    let image = ElfImage::from_bytes(bytes).unwrap();
    let (count, differences) = compare(Judge { path: Path::new(""), image, context: Box::default() });
    // Without optimizations few addresses of each file are compared.
    assert!(count > 20 && differences.is_empty(), "{count}, {differences:#?}");
}

/// The same of files of which some bytes are others. Where their segments overlap, the walk goes by places in the file, and nothing
/// is compared.
#[test]
fn tables_of_damaged_files_are_what_the_unwinder_says() {
    let rounds = if cfg!(debug_assertions) { 30 } else { 300 };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/unwind_by_file");
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below
    };
    let (mut compared, mut refused) = (0, 0);
    for seed in ["aarch64", "debug_frame", "with_table", "without_table"] {
        let bytes = fs::read(folder.join(seed)).unwrap();
        for round in 0..rounds {
            let mut changed = bytes.clone();
            for _ in 0..if round == 0 { 0 } else { 1 + next(4) } {
                changed[next(bytes.len())] = [0, 1, 0x7f, 0xff, next(256) as u8][next(5)];
            }
            let Some(image) = ElfImage::from_bytes(changed) else { continue };
            let code: Vec<_> = image.segments().iter().filter(|segment| segment.executable).copied().collect();
            let mut pool = RulePool::default();
            let Ok(table) = Table::compile(&image, &mut pool, Limits::default()) else {
                refused += 1;
                continue;
            };
            let [segment] = code[..] else { continue };
            let mut judge = Judge { path: Path::new(""), image, context: Box::default() };
            let size = segment.file_size.min((bytes.len() as u64).saturating_sub(segment.offset));
            for svma in segment.svma..segment.svma + size {
                let difference = judge.difference(&table, &pool, svma);
                assert_eq!(difference, None, "{seed}, round {round}");
                compared += 1;
            }
        }
    }
    println!("{compared} addresses compared, {refused} files refused");
    assert!(compared > 100 * rounds && refused < rounds);
}

#[test]
fn tables_are_bounded() {
    let own = std::env::current_exe().unwrap();
    let image = ElfImage::open(&own).unwrap();
    let mut pool = RulePool::default();
    let table = Table::compile(&image, &mut pool, Limits::default()).unwrap();
    let blocks = table.blocks.len() / BLOCK_WORDS as usize;
    let with = |blocks: usize| Table::compile(&image, &mut RulePool::default(), Limits { blocks: blocks as u32 });
    assert_eq!(with(blocks).unwrap().blocks, table.blocks, "the same, and it fits");
    for less in [0, 1, blocks / 2, blocks - 1] {
        assert_eq!(with(less), Err(Refused::TooLarge));
    }
    let mut small = RulePool::new(5);
    let table = Table::compile(&image, &mut small, Limits::default()).unwrap();
    assert!(small.refused() > 0 && small.rules().len() == 5);
    let starts = row_starts(&table, &image);
    let rules: Vec<u64> = starts.iter().map(|start| table.rule_at(*start, &small)).collect();
    assert!(rules.iter().all(|rule| small.rules().contains(rule)) && rules.contains(&u64::from(RULE_ROW)));
}
