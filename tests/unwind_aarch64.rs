//! Stacks of arm64, on whatever runs this: registers and stacks that programs of `testdata/unwind/aarch64` have written down at known
//! places become a perf.data of an arm64 machine, which is imported by the real binary.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::account::{self, Account};
use common::folded::Folded;
use common::run::{finish, profile, stderr};
use common::summary::Summary;
use flameprofile::image::ElfImage;
use flameprofile::perf::data::write::{ATTR_SIZE, NewMapping, attr_bytes, comm, mmap2};
use flameprofile::perf::{AttrFlags, EventAttr, SampleFields, Sampling};
use object::{Object, ObjectSymbol};

/// How the program was compiled, see its folder's README.
const PROGRAMS: [&str; 4] = ["plain", "frame_pointers", "signed", "debug_frame"];
const PID: u32 = 7;
/// `PERF_SAMPLE_REGS_ABI_64`.
const ABI_64: u64 = 2;
/// `HEADER_ARCH`, tools/perf/util/header.h.
const FEATURE_ARCH: u32 = 6;

/// Where the return address is nowhere: without unwind tables clang does not save it in a function that never returns.
const LOST: [(&str, u64); 1] = [("debug_frame", 6)];

/// What is on the stack at each place, innermost first; `?` is any name.
fn truth(place: u64) -> Vec<&'static str> {
    let inner: &[&str] = match place {
        1 => &["frameless_leaf"],
        2 => &["touch", "big_frame"],
        3 => &["variable_frame"],
        4 => &["in_handler", "on_usr1", "?", "interrupted_leaf"],
        5 => &["recursive"; 21],
        6 => &["never_returns", "calls_last"],
        place => panic!("no place {place}"),
    };
    [inner, &["middle", "begin", "_start"]].concat()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/unwind/aarch64").join(name)
}

/// What a program wrote down at one place.
struct Snapshot {
    place: u64,
    /// x0 to x30, sp, pc: the order of perf's numbers, too (`arch/arm64/include/uapi/asm/perf_regs.h`).
    registers: [u64; 33],
    stack: Vec<u8>,
}

/// Where the program was, and its places.
fn snapshots(name: &str) -> (u64, Vec<Snapshot>) {
    let bytes = fs::read(fixture(&format!("{name}.snapshots"))).expect("the fixtures are there");
    let mut rest = bytes.as_slice();
    let word = |rest: &mut &[u8]| {
        let (word, behind) = rest.split_first_chunk().expect("the fixture is whole");
        *rest = behind;
        u64::from_le_bytes(*word)
    };
    let base = word(&mut rest);
    let mut all = Vec::new();
    while !rest.is_empty() {
        let place = word(&mut rest);
        let registers = std::array::from_fn(|_| word(&mut rest));
        let size = word(&mut rest) as usize;
        let (stack, behind) = rest.split_at(size);
        rest = behind;
        all.push(Snapshot { place, registers, stack: stack.to_vec() });
    }
    (base, all)
}

/// A mapping of the recorded process.
fn mapping(path: &str, start: u64, end: u64, offset: u64) -> NewMapping<'_> {
    let build_id = None;
    let path = path.as_bytes();
    NewMapping { pid: PID, start, end, offset, protection: 5, shared: false, device: (0, 0), inode: 0, build_id, path }
}

/// A perf.data in file mode (tools/perf/Documentation/perf.data-file-format.txt), of an arm64 machine.
fn perf_data(mappings: &[NewMapping<'_>], snapshots: &[Snapshot], copied: usize) -> Vec<u8> {
    let attr = EventAttr {
        sampling: Sampling::Period(1_000_000),
        sample_fields: SampleFields::IP
            .with(SampleFields::TID)
            .with(SampleFields::TIME)
            .with(SampleFields::REGS_USER)
            .with(SampleFields::STACK_USER),
        sample_regs_user: (1 << 33) - 1,
        sample_stack_user: copied as u32,
        flags: AttrFlags::SAMPLE_ID_ALL,
        ..EventAttr::counting(1, 0)
    };
    // Who and when stands behind records that are no samples.
    let identity = 16;
    let mut data = Vec::new();
    comm(&mut data, identity, PID, PID, "stacks");
    mappings.iter().for_each(|mapping| mmap2(&mut data, identity, mapping));
    for (snapshot, time) in snapshots.iter().zip(1000u64..) {
        let mut body: Vec<u64> = vec![snapshot.registers[32], u64::from(PID) << 32 | u64::from(PID), time, ABI_64];
        body.extend(snapshot.registers);
        body.push(copied as u64);
        let mut body: Vec<u8> = body.iter().flat_map(|word| word.to_le_bytes()).collect();
        let valid = snapshot.stack.len().min(copied);
        body.extend(&snapshot.stack[..valid]);
        body.resize(body.len() + copied - valid, 0);
        body.extend((valid as u64).to_le_bytes());
        // `PERF_RECORD_SAMPLE`, in the program.
        data.extend(9u32.to_le_bytes());
        data.extend(2u16.to_le_bytes());
        data.extend((8 + body.len() as u16).to_le_bytes());
        data.extend(body);
    }
    let attrs = [&attr_bytes(&attr)[..], &[0; 16]].concat();
    let (attrs_at, data_at) = (104, 104 + attrs.len() as u64);
    let sections_at = data_at + data.len() as u64;
    let arch = [&64u32.to_le_bytes()[..], b"aarch64", &[0; 57]].concat();
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    [
        b"PERFILE2".to_vec(),
        words(&[104, ATTR_SIZE as u64 + 16, attrs_at, attrs.len() as u64, data_at, data.len() as u64, 0, 0]),
        words(&[1 << FEATURE_ARCH, 0, 0, 0]),
        attrs,
        data,
        words(&[sections_at + 16, arch.len() as u64]),
        arch,
    ]
    .concat()
}

/// Imports with the real binary; stacks innermost first.
fn import(recording: &[u8], flags: &[&str]) -> (Vec<Vec<String>>, Summary) {
    let folder = account::folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("perf.data"), recording).expect("/tmp is writable");
    let mut command = profile(Account::Own);
    command
        .arg("import")
        .arg(path("perf.data"))
        .args(flags)
        .args(["-f", "folded", "--annotate", "-o"])
        .arg(path("folded"));
    command.arg("--stats").arg(path("stats"));
    let output = finish(command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn());
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, stderr(&output));
    let read = |name: &str| fs::read_to_string(path(name)).expect("it was written");
    let rows = Folded::parse(&read("folded")).rows.into_iter();
    let stacks = rows.map(|row| row.frames[1..].iter().rev().cloned().collect()).collect();
    (stacks, Summary::parse(&read("stats")))
}

/// Whether a stack is that of a place.
fn is_at(stack: &[String], place: u64) -> bool {
    let truth = truth(place);
    stack.len() == truth.len() && stack.iter().zip(&truth).all(|(name, truth)| *truth == "?" || name == truth)
}

struct Recorded {
    base: u64,
    snapshots: Vec<Snapshot>,
    image: ElfImage,
}

fn recorded(name: &str) -> Recorded {
    let (base, snapshots) = snapshots(name);
    assert_eq!(snapshots.iter().map(|snapshot| snapshot.place).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    Recorded { base, snapshots, image: ElfImage::open(&fixture(name)).expect("the fixtures are there") }
}

impl Recorded {
    /// What stands in memory at an address that the file states.
    fn address(&self, svma: u64) -> u64 {
        self.base + svma - self.image.segments()[0].svma
    }

    /// The program's code, mapped in pages as a kernel does.
    fn code<'p>(&self, path: &'p str) -> NewMapping<'p> {
        let code = self.image.segments().iter().find(|segment| segment.executable).expect("it has code");
        let (before, start) = (code.offset & 0xfff, self.address(code.svma));
        mapping(path, start - before, (start + code.file_size).next_multiple_of(4096), code.offset - before)
    }
}

#[test]
fn stacks_are_whole_and_true() {
    let root = account::folder();
    fs::create_dir_all(root.path().join("opt/stacks")).expect("/tmp is writable");
    let sysroot = root.path().to_str().expect("test paths are UTF-8");
    let folder = fixture("");
    for name in PROGRAMS {
        let recorded = recorded(name);
        let path = format!("/opt/stacks/{name}");
        fs::copy(fixture(name), root.path().join(&path[1..])).expect("/tmp is writable");
        let build_id = recorded.image.build_id();
        assert!(build_id.is_some());
        let recording = perf_data(&[NewMapping { build_id, ..recorded.code(&path) }], &recorded.snapshots, 16384);
        for flags in [["--sysroot", sysroot], ["--debug-dir", folder.to_str().expect("test paths are UTF-8")]] {
            let (stacks, summary) = import(&recording, &flags);
            let lost = LOST.iter().filter(|(program, ..)| *program == name).map(|(_, place)| *place);
            let lost: Vec<u64> = lost.collect();
            for place in 1..=6 {
                let is_there = stacks.iter().any(|stack| is_at(stack, place));
                assert_eq!(is_there, !lost.contains(&place), "{name}, {flags:?}, {place}: {stacks:#?}");
            }
            assert_eq!(stacks.len(), 6);
            let complete = 1.0 - lost.len() as f64 / 6.0;
            assert!((summary.number("complete") - complete).abs() < 1e-3, "{name}: {}", summary.json());
        }
    }
}

#[test]
fn cut_stacks_are_marked_and_have_no_frame_that_is_wrong() {
    let root = account::folder();
    let folder = fixture("");
    for name in PROGRAMS {
        let recorded = recorded(name);
        for copied in [8, 64, 128, 512, 4096] {
            let code = NewMapping { build_id: recorded.image.build_id(), ..recorded.code("/x") };
            let path = format!("/opt/{name}");
            let code = NewMapping { path: path.as_bytes(), ..code };
            for snapshot in &recorded.snapshots {
                let recording = perf_data(&[code], std::slice::from_ref(snapshot), copied);
                let (stacks, summary) = import(&recording, &["--debug-dir", folder.to_str().expect("UTF-8")]);
                let [stack] = &stacks[..] else { panic!("one sample: {stacks:?}") };
                let complete = summary.number("complete") == 1.0;
                let frames = if complete { &stack[..] } else { &stack[..stack.len() - 1] };
                let truth = truth(snapshot.place);
                let is_beginning = frames.len() <= truth.len()
                    && frames.iter().zip(&truth).all(|(name, truth)| *truth == "?" || name == truth);
                assert!(is_beginning, "{name}, {copied}, {}: {stack:?}", snapshot.place);
                assert_eq!(complete, frames.len() == truth.len(), "{name}, {copied}, {}: {stack:?}", snapshot.place);
                assert!(complete || stack.last().is_some_and(|last| last.starts_with("[truncated: ")), "{stack:?}");
            }
        }
    }
    drop(root);
}

/// The trampoline is in the kernel's vdso, of which nobody has a file.
#[test]
fn handler_is_left_without_the_vdso() {
    let recorded = recorded("plain");
    let bytes = fs::read(fixture("plain")).expect("the fixtures are there");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let trampoline = file.symbols().find(|symbol| symbol.name() == Ok("restorer")).expect("it has symbols").address();
    let start = recorded.address(trampoline) - 4;
    let build_id = recorded.image.build_id();
    let code = NewMapping { build_id, ..recorded.code("/opt/plain") };
    let vdso = mapping("[vdso]", start, start + 12, 0);
    let folder = fixture("");
    let flags = ["--debug-dir", folder.to_str().expect("test paths are UTF-8")];
    let (stacks, summary) = import(&perf_data(&[code, vdso], &recorded.snapshots[3..4], 16384), &flags);
    assert!(is_at(&stacks[0], 4), "{stacks:#?}");
    assert_eq!(summary.number("complete"), 1.0);
}
