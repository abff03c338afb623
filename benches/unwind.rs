//! How many frames are unwound in a second, beside framehop on the same mapped recordings.
//!
//! `cargo bench --bench unwind`. perf records a C++ compiler (`cc1plus`), a Rust program of 50 MB of debug information
//! (`testdata/programs/parse_load`) and a C program that is in libc most of the time, with copies of 16 KiB. The file is mapped;
//! each side reads its records and unwinds the stacks of the process that has most samples:
//!
//! - ours: the record parser in place, and `unwind::Unwinder`;
//! - the peer: linux-perf-data over the same mapped bytes, and framehop with its own cache;
//! - framehop alone: its unwinding on what our parser has read, to tell reading and unwinding apart.
//!
//! First touch: a mapping nobody has looked into (the file is in the page cache), with no rule known. Warm: the same again, with
//! all that was learned. The middle of the rounds counts.

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::fs::File;
use std::io::Cursor;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use common::account;
use flameprofile::image::{ElfImage, FileSources, Images, Wanted};
use flameprofile::model::ImageId;
use flameprofile::perf::data::header::{self, Start};
use flameprofile::perf::{ByteOrder, Layout, Layouts, Record, record};
use flameprofile::process::{AddressSpace, Mapping};
use flameprofile::unwind::{Processor, Registers, StackBytes, Unwinder, WalkedFrame};
use framehop::Unwinder as _;
use linux_perf_data::linux_perf_event_reader::{EventRecord, constants};
use linux_perf_data::{PerfFileReader, PerfFileRecord};
use memmap2::Mmap;

const ROUNDS: usize = 7;
/// Frames a second of ours by those of linux-perf-data and framehop.
const GOALS: (f64, f64) = (1.2, 1.8);

fn main() {
    if !account::have("perf") || !cfg!(target_arch = "x86_64") {
        return println!("SKIPPED unwind: there is no perf, or the machine is no x86_64");
    }
    let folder = account::folder();
    for program in [compiler(folder.path()), rust(), in_libc()] {
        let (name, words) = match program {
            Ok(program) => program,
            Err(reason) => {
                println!("SKIPPED unwind: {reason}");
                continue;
            }
        };
        let recording = folder.path().join("perf.data");
        let mut command = Command::new("perf");
        command.args(["record", "-q", "-F", "3999", "-e", "cpu-clock:u", "--call-graph", "dwarf,16384", "-o"]);
        command.arg(&recording).arg("--").args(&words).stdout(Stdio::null()).stderr(Stdio::null());
        if !command.status().is_ok_and(|status| status.success()) {
            println!("SKIPPED unwind: perf record of {name} failed");
            continue;
        }
        measure(name, &recording);
        fs::remove_file(&recording).expect("it is ours");
    }
}

fn measure(name: &str, recording: &Path) {
    let (pid, samples) = main_process(&map(recording));
    let (images, space) = mapped(&map(recording), pid);
    let modules = framehop_modules(&map(recording), pid);
    let mut times: Vec<[Duration; 7]> = Vec::new();
    let mut counted = [0; 3];
    for _ in 0..ROUNDS {
        let mut row = [Duration::ZERO; 7];
        let bytes = map(recording);
        let mut unwinder = Unwinder::default();
        for time in &mut row[..2] {
            (*time, counted[0]) = timed(|| ours(&bytes, pid, &space, &images, &mut unwinder));
        }
        let (lookups, misses) = unwinder.lookups_and_misses();
        if times.is_empty() {
            println!(
                "{name}: {samples} samples, {} frames, rules known {:.2} %",
                counted[0],
                100.0 - misses as f64 * 100.0 / lookups.max(1) as f64
            );
        }
        let bytes = map(recording);
        let mut cache = framehop::CacheNative::new();
        for time in &mut row[2..4] {
            (*time, counted[1]) = timed(|| peer(&bytes, pid, &modules, &mut cache));
        }
        let mut cache = framehop::CacheNative::new();
        framehop_alone(&bytes, pid, &modules, &mut cache);
        (row[4], counted[2]) = timed(|| framehop_alone(&bytes, pid, &modules, &mut cache));
        let bytes = map(recording);
        let mut unwinders = [Unwinder::default(), Unwinder::default()];
        for time in &mut row[5..7] {
            let begin = Instant::now();
            let count = on_two(&bytes, pid, &space, &images, &mut unwinders);
            *time = begin.elapsed();
            assert_eq!(count, counted[0], "two threads unwind the same");
        }
        times.push(row);
    }
    let median = |column: usize| {
        let mut column: Vec<f64> = times.iter().map(|row| row[column].as_secs_f64()).collect();
        column.sort_by(f64::total_cmp);
        column[column.len() / 2]
    };
    let rate = |column: usize, side: usize| counted[side] as f64 / median(column);
    for (what, column, side) in [
        ("ours, first touch", 0, 0),
        ("ours, warm", 1, 0),
        ("linux-perf-data + framehop, first touch", 2, 1),
        ("linux-perf-data + framehop, warm", 3, 1),
        ("our parser + framehop, warm", 4, 2),
        ("ours on two cores, first touch", 5, 0),
        ("ours on two cores, warm", 6, 0),
    ] {
        let rate = rate(column, side);
        println!("  {:6.1} M frames/s {:6.1} ns a frame  {what}", rate / 1e6, 1e9 / rate);
    }
    let verdict = |met: bool| if met { "ok  " } else { "MISS" };
    let (first, warm) = (rate(0, 0) / rate(2, 1), rate(1, 0) / rate(3, 1));
    let two = rate(6, 0) / rate(3, 1);
    println!(
        "{} one core, warm, by the peer            goal >= {} measured {warm:.2}",
        verdict(warm >= GOALS.0),
        GOALS.0
    );
    println!("     one core, first touch, by the peer               measured {first:.2}");
    println!(
        "{} two cores, warm, by the peer's one     goal >= {} measured {two:.2}",
        verdict(two >= GOALS.1),
        GOALS.1
    );
    println!("     two cores, warm, by our one                      measured {:.2}", rate(6, 0) / rate(1, 0));
    println!(
        "     frames beside framehop's                         measured {:.4}",
        counted[0] as f64 / counted[2] as f64
    );
}

/// How much CPU time of this thread it took: other work on the machine is no part of it.
fn timed(work: impl FnOnce() -> usize) -> (Duration, usize) {
    let begin = thread_time();
    let count = work();
    (thread_time() - begin, count)
}

fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn map(path: &Path) -> Mmap {
    let file = File::open(path).expect("perf wrote it");
    // SAFETY: the file is in a folder of ours, and nobody changes it.
    unsafe { Mmap::map(&file) }.expect("a file can be mapped")
}

/// The layouts of a recording's records, and their bytes.
fn layouts(bytes: &[u8]) -> (Layouts, &[u8]) {
    let Ok(Start::File(header)) = header::read(bytes) else { panic!("perf wrote a file") };
    let mut layouts = Layouts::default();
    for (row, (attr, ids)) in header.attrs(bytes).into_iter().enumerate() {
        layouts.add(Layout::of(&attr, row as u32, ByteOrder::Native), ids);
    }
    (layouts, header::slice(bytes, &header.data).expect("the recording is whole"))
}

/// The bytes of each record.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (_, _, size) = record::header(bytes, ByteOrder::Native)?;
        let (record, behind) = bytes.split_at(size);
        bytes = behind;
        Some(record)
    })
}

/// All records of a recording, in its order.
fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let (layouts, bytes) = layouts(bytes);
    split(bytes).filter_map(move |record| Some(record::parse(record, layouts.of(record)?)))
}

/// The process with most samples, and how many it has.
fn main_process(bytes: &[u8]) -> (u32, usize) {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    for record in records(bytes) {
        if let Record::Sample(sample) = record {
            *counts.entry(sample.identity.pid).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).expect("it has samples")
}

/// What the process has mapped: its last program, of which nothing is unmapped.
fn mapped(bytes: &[u8], pid: u32) -> (Images, AddressSpace) {
    let mut images = Images::recorded(FileSources { own_machine: true, ..FileSources::default() });
    let mut space = AddressSpace::default();
    let mut rows = 2;
    for record in records(bytes) {
        let Record::Mmap(mmap) = record else { continue };
        if mmap.pid != pid || !mmap.executable {
            continue;
        }
        let end = mmap.start + mmap.length;
        let wanted = Wanted {
            path: mmap.path,
            build_id: mmap.build_id,
            device: mmap.device_inode.map(|(device, _)| device),
            inode: mmap.device_inode.map(|(_, inode)| inode),
            pid,
            start: mmap.start,
            end,
            offset: mmap.offset,
            time: 0,
        };
        let mut add = |_, _: &str, _| {
            rows += 1;
            ImageId(rows)
        };
        let is_vdso = mmap.path == b"[vdso]";
        let image = if is_vdso { images.intern_vdso(&wanted, &mut add) } else { images.intern(&wanted, &mut add) };
        space.insert(Mapping { start: mmap.start, end, offset: if is_vdso { 0 } else { mmap.offset }, image });
    }
    (images, space)
}

/// The samples of the process that can be unwound.
fn samples(bytes: &[u8], pid: u32) -> impl Iterator<Item = (Registers, StackBytes<'_>)> {
    records(bytes).filter_map(move |record| sample(record, pid))
}

fn sample(record: Record<'_>, pid: u32) -> Option<(Registers, StackBytes<'_>)> {
    let Record::Sample(sample) = record else { return None };
    let values = sample.user_registers.filter(|_| sample.identity.pid == pid)?;
    let registers = Registers::from_sample(Processor::X86_64, |number| values.get(number))?;
    let (start, full) = (registers.sp(), sample.user_stack_full);
    Some((registers, StackBytes { start, bytes: sample.user_stack, full, ..StackBytes::default() }))
}

fn ours(bytes: &[u8], pid: u32, space: &AddressSpace, images: &Images, unwinder: &mut Unwinder) -> usize {
    let mut frames: Vec<WalkedFrame> = Vec::new();
    let mut count = 0;
    for (registers, stack) in samples(bytes, pid) {
        frames.clear();
        unwinder.unwind(space, images, &registers, &stack, &mut frames);
        count += frames.len();
    }
    count
}

/// Records are handed out 256 at a time.
fn on_two(bytes: &[u8], pid: u32, space: &AddressSpace, images: &Images, unwinders: &mut [Unwinder; 2]) -> usize {
    const PART: usize = 256;
    let (layouts, records) = layouts(bytes);
    let queue = std::sync::Mutex::new(split(records));
    let work = |unwinder: &mut Unwinder| {
        let (mut frames, mut part) = (Vec::<WalkedFrame>::new(), Vec::with_capacity(PART));
        let mut count = 0;
        loop {
            part.extend(queue.lock().expect("nobody panics").by_ref().take(PART));
            if part.is_empty() {
                return count;
            }
            let parsed = part.drain(..).filter_map(|record| Some(record::parse(record, layouts.of(record)?)));
            for (registers, stack) in parsed.filter_map(|record| sample(record, pid)) {
                frames.clear();
                unwinder.unwind(space, images, &registers, &stack, &mut frames);
                count += frames.len();
            }
        }
    };
    let [first, second] = unwinders;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(second));
        work(first) + other.join().expect("it does not panic")
    })
}

type Framehop = framehop::UnwinderNative<SectionBytes, framehop::MayAllocateDuringUnwind>;
type Cache = framehop::CacheNative<framehop::MayAllocateDuringUnwind>;

/// A section of a file.
#[derive(Clone)]
struct SectionBytes(Arc<ElfImage>, std::ops::Range<usize>);

impl Deref for SectionBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.data()[self.1.clone()]
    }
}

fn framehop_modules(bytes: &[u8], pid: u32) -> Framehop {
    let mut unwinder = Framehop::new();
    for record in records(bytes) {
        let Record::Mmap(mmap) = record else { continue };
        let path = String::from_utf8_lossy(mmap.path).into_owned();
        if mmap.pid != pid || !mmap.executable || !path.starts_with('/') {
            continue;
        }
        let Ok(image) = ElfImage::open(Path::new(&path)).map(Arc::new) else { continue };
        let range = |name: &str| image.section(name).map(|section| section.svma..section.svma + section.size);
        let bytes = |name: &str| {
            let section = image.section(name)?;
            let start = section.file_offset as usize;
            Some(SectionBytes(image.clone(), start..start + section.size as usize))
        };
        let sections = framehop::ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: range(".text"),
            got_svma: range(".got"),
            eh_frame_svma: range(".eh_frame"),
            eh_frame: bytes(".eh_frame"),
            eh_frame_hdr_svma: range(".eh_frame_hdr"),
            eh_frame_hdr: bytes(".eh_frame_hdr"),
            text: None,
            stubs_svma: None,
            stub_helper_svma: None,
            unwind_info: None,
            debug_frame: None,
            text_segment_svma: None,
            text_segment: None,
        };
        let Some(base) = image.bias_of_mapping(mmap.start, mmap.offset, mmap.length) else { continue };
        unwinder.add_module(framehop::Module::new(path, mmap.start..mmap.start + mmap.length, base, sections));
    }
    unwinder
}

fn by_framehop(
    unwinder: &Framehop,
    cache: &mut Cache,
    (ip, sp, fp): (u64, u64, u64),
    mut word: impl FnMut(u64) -> Option<u64>,
) -> usize {
    let mut read = |address| word(address).ok_or(());
    let registers = framehop::x86_64::UnwindRegsX86_64::new(ip, sp, fp);
    let mut frames = unwinder.iter_frames(ip, registers, cache, &mut read);
    let mut count = 0;
    while let Ok(Some(_)) = frames.next() {
        count += 1;
    }
    count
}

fn peer(bytes: &[u8], pid: u32, unwinder: &Framehop, cache: &mut Cache) -> usize {
    let PerfFileReader { mut perf_file, mut record_iter } =
        PerfFileReader::parse_file(Cursor::new(bytes)).expect("it is a recording");
    let mut count = 0;
    while let Some(record) = record_iter.next_record(&mut perf_file).expect("it is whole") {
        let PerfFileRecord::EventRecord { record, .. } = record else { continue };
        let Ok(EventRecord::Sample(sample)) = record.parse() else { continue };
        let (Some(registers), Some((stack, _))) = (&sample.user_regs, &sample.user_stack) else { continue };
        if sample.pid != Some(pid as i32) {
            continue;
        }
        let get = |number| registers.get(number).unwrap_or(0);
        let sp = get(constants::PERF_REG_X86_SP);
        let stack = stack.as_slice();
        let word = |address: u64| {
            let offset = usize::try_from(address.checked_sub(sp)?).ok()?;
            Some(u64::from_le_bytes(stack.get(offset..offset.checked_add(8)?)?.try_into().expect("eight bytes")))
        };
        let registers = (get(constants::PERF_REG_X86_IP), sp, get(constants::PERF_REG_X86_BP));
        count += by_framehop(unwinder, cache, registers, word);
    }
    count
}

fn framehop_alone(bytes: &[u8], pid: u32, unwinder: &Framehop, cache: &mut Cache) -> usize {
    let unwind = |(registers, stack): (Registers, StackBytes<'_>)| {
        let start = (registers.ip, registers.sp(), registers.get(Processor::X86_64.fp()).unwrap_or(0));
        by_framehop(unwinder, cache, start, |address| stack.word(address))
    };
    samples(bytes, pid).map(unwind).sum()
}

type Program = Result<(&'static str, Vec<PathBuf>), String>;

/// A C++ compiler, without its driver.
fn compiler(folder: &Path) -> Program {
    let asked = Command::new("g++").arg("-print-prog-name=cc1plus").output().map_err(|_| "there is no g++")?;
    let program = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    let source = folder.join("bench.cpp");
    let headers = ["regex", "map", "iostream", "algorithm", "functional", "future"];
    let text: String = headers.iter().map(|header| format!("#include <{header}>\n")).collect();
    let body = "int f(int n) { std::map<int, std::regex> m; m.emplace(n, \"a+\"); return m.size(); }\n";
    fs::write(&source, text + body).map_err(|error| error.to_string())?;
    let read = folder.join("bench.ii");
    let status = Command::new("g++").arg("-E").arg(&source).arg("-o").arg(&read).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err("g++ cannot read its headers".into());
    }
    let words =
        [program, "-quiet".into(), "-fpreprocessed".into(), "-O2".into(), read, "-o".into(), "/dev/null".into()];
    Ok(("cc1plus", words.into()))
}

fn rust() -> Program {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/programs/parse_load/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parse_load");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--quiet", "--manifest-path", manifest, "--target-dir"]).arg(&target);
    if !command.status().is_ok_and(|status| status.success()) {
        return Err("cargo build of testdata/programs/parse_load failed".into());
    }
    let words = [target.join("release/parse_load"), concat!(env!("CARGO_MANIFEST_DIR"), "/src").into()];
    Ok(("parse_load (Rust)", words.into_iter().chain(["5", "1"].map(PathBuf::from)).collect()))
}

fn in_libc() -> Program {
    Ok(("libc_heavy (C)", vec![common::programs::c("libc_heavy"), "5".into()]))
}
