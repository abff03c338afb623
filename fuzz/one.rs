// What every fuzz target does with one input; tests/fuzz_seeds.rs does the same on a stable compiler.
#![allow(dead_code, reason = "a target uses one of them")]

use std::io::{Cursor, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flameprofile::analyze::View;
use flameprofile::gate::{Config, Day, Matching, RunInput, Runs, Settings, Side};
use flameprofile::image::{DebugFiles, ElfImage, GoTable, Images, JitDump, Wanted};
use flameprofile::import::{ImportOptions, Input, Kind, import};
use flameprofile::model::{ImageId, StackEnd};
use flameprofile::perf::record::{self, parse};
use flameprofile::perf::{ByteOrder, Layout, Record, SampleFields};
use flameprofile::process::{AddressSpace, Mapping};
use flameprofile::render::folded::{self, FoldedOptions};
use flameprofile::render::report::{self, ReportOptions};
use flameprofile::render::top::TopOptions;
use flameprofile::symbolize::source_frames;
use flameprofile::unwind::table::{Limits, RulePool, Table};
use flameprofile::unwind::{Processor, Registers, StackBytes, Unwinder, WithoutTables};

/// Imports bytes as `kind`. That they are refused is fine; a profile must be sound, and can be written.
pub fn import_one(kind: Kind, bytes: &[u8]) {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    let options = ImportOptions { from: Some(kind), ..ImportOptions::default() };
    if let Ok(profile) = import(vec![Input::Stream { name: "input".into(), reader }], &options, &mut |_| {}) {
        profile.check().expect("what is imported is sound");
        folded::write(&profile, &View::default(), &FoldedOptions::default(), &mut std::io::sink())
            .expect("a sink takes all");
    }
}

/// Imports bytes as what a picture's data are when unpacked: packed, in a picture.
pub fn import_picture(bytes: &[u8]) {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("memory takes all");
    let data = STANDARD.encode(packed.finish().expect("memory takes all"));
    let mark = flameprofile::formats::picture::MARK;
    import_one(Kind::Picture, format!("<svg><metadata {mark}>{data}</metadata></svg>").as_bytes());
}

/// Reads bytes as a `profile.toml` and, behind lines `--- base` and `--- new`, runs of folded stacks, and compares them: whatever they say, every
/// report can be written, and none has an escape sequence.
pub fn compare_runs(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\n--- ");
    let config = Config::parse(parts.next().unwrap_or_default(), Path::new("profile.toml"), Settings::default());
    let settings = Settings {
        today: Some(Day { year: 2026, month: 11, day: 22 }),
        ..config.map(|config| config.settings).unwrap_or_default()
    };
    let mut runs = Runs::new(Matching::default(), false);
    for (order, part) in parts.enumerate() {
        let Some((side, stacks)) = part.split_once('\n') else { continue };
        let side = if side.starts_with('n') { Side::New } else { Side::Base };
        let reader = Box::new(Cursor::new(stacks.as_bytes().to_vec()));
        let options = ImportOptions { from: Some(Kind::Folded), ..ImportOptions::default() };
        let Ok(profile) = import(vec![Input::Stream { name: "input".into(), reader }], &options, &mut |_| {}) else {
            continue;
        };
        let (label, order, series) = (format!("run {order}"), Some(order as u32), String::new());
        runs.add(side, RunInput { label, profile, work: 1.0, order, series });
    }
    let found = runs.compare(&settings, None);
    let options = ReportOptions { workspace: Some("/src".into()), ..ReportOptions::default() };
    let style = TopOptions::default();
    let mut reports = vec![report::md::comment(&found, &options), report::junit::report(&found, &options)];
    reports.push(report::github::annotations(&found, &options));
    reports.extend(
        found.rows.iter().take(3).map(|row| {
            report::explain(&found, &row.function.name, &options, &style).expect("a function that is there")
        }),
    );
    let mut written = [Vec::new(), Vec::new(), Vec::new()];
    let [json, sarif, text] = &mut written;
    report::json::write(&found, &options, json).expect("memory takes all");
    report::sarif::write(&found, &options, sarif).expect("memory takes all");
    report::text::write(&found, &options, &style, text).expect("memory takes all");
    reports.extend(written.map(|report| String::from_utf8(report).expect("reports are UTF-8")));
    assert!(reports[0].len() <= 60_000, "a comment of {} bytes", reports[0].len());
    assert!(reports.iter().all(|report| !report.contains('\u{1b}')));
}

/// Reads bytes as one record: four words say which layout it has, the last bit of the fourth which byte order.
pub fn read_record(bytes: &[u8]) {
    let Some((words, record)) = bytes.split_at_checked(32) else { return };
    let word = |row: usize| u64::from_le_bytes(words[row * 8..row * 8 + 8].try_into().expect("eight bytes"));
    let layout = Layout {
        fields: SampleFields(word(0)),
        regs_user: word(1),
        regs_intr: word(1).reverse_bits(),
        read_format: word(2),
        branches: word(3),
        sample_id_all: true,
        order: if word(3) & 1 == 0 { ByteOrder::Native } else { ByteOrder::Swapped },
        ..Layout::NONE
    };
    if let Record::Sample(sample) = parse(record, &layout) {
        assert!(sample.callchain.count() * 8 <= record.len() && sample.user_stack.len() <= record.len());
        assert_eq!(sample.branches.iter().count(), sample.branches.count());
        sample
            .user_registers
            .inspect(|registers| drop((0..64).map(|number| registers.get(number)).collect::<Vec<_>>()));
    }
    record::time(record, &layout);
    record::identifier(record, &layout);
}

/// Reads bytes as a JIT's dump, and looks up what it says.
pub fn read_jit_dump(bytes: &[u8]) {
    let Some(dump) = JitDump::from_bytes(bytes) else { return };
    for code in dump.loads() {
        assert!(dump.name(code).len() <= bytes.len());
        dump.line_at(code.offset);
        dump.load_at(code.offset.wrapping_add(code.size));
        let mut context = gimli::UnwindContext::new();
        for offset in [code.offset, code.offset + code.size - 1] {
            let Some((entry, svma)) = dump.frame_entry(offset) else { continue };
            assert!((entry.start()..entry.start() + entry.length()).contains(&svma));
            entry.row(svma, &mut context);
        }
    }
}

/// Reads bytes as an ELF file with Go's table, and asks it about all of its code.
pub fn read_go_table(bytes: &[u8]) {
    let Some(image) = ElfImage::from_bytes(bytes) else { return };
    let Some(table) = GoTable::of(&image) else { return };
    let mut sources = table.sources(&image);
    for segment in image.segments().iter().filter(|segment| segment.executable) {
        for svma in (segment.svma.saturating_sub(1)..).take(bytes.len().min(1000)) {
            let frame = table.frame(&image, svma);
            assert!(frame.is_none_or(|frame| (frame.start..frame.end).contains(&svma)));
            let name = table.function_name(&image, svma);
            assert!(name.is_none_or(|name| name.len() <= bytes.len()));
            assert_eq!(sources.at(svma, true).last().map(|outermost| outermost.function), name);
        }
    }
}

/// Reads bytes as an ELF file, and looks for the files that it says belong to it; there are none beside it but itself.
pub fn find_debug_files(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is room for a file");
    let path = folder.path().join("input");
    std::fs::write(&path, bytes).expect("there is room for a file");
    let wanted = Wanted::of_path(path.as_os_str().as_bytes());
    let mut images = Images::default();
    let id = images.intern(&wanted, |_, _, _| ImageId(0));
    let files = images.debug_files(id);
    assert!(files.supplementary.is_none() && images.refused().len() <= bytes.len());
    files.split.open(folder.path().as_os_str().as_bytes(), b"input");
    let Some(image) = images.get(id) else { return };
    for name in [".debug_info", ".debug_str", ".debug_sup"] {
        let contents = image.section_contents(name).map(|contents| contents.len());
        assert_eq!(contents, image.section_contents(name).map(|contents| contents.len()));
    }
}

/// Reads bytes as a program and a file beside it, which is everything that such a file can be: what the debug information
/// shares, its package, and each of its split units. In front stands the length of the program, in four bytes, lowest first.
pub fn symbolize(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (program, other) = rest.split_at(rest.len().min(u32::from_le_bytes(*length) as usize));
    let Some(image) = ElfImage::from_bytes(program) else { return };
    let other = ElfImage::from_bytes(other).map(Arc::new);
    let debug = DebugFiles { supplementary: other.clone(), package: other.clone(), ..DebugFiles::default() };
    let svmas = image.segments().iter().filter(|segment| segment.executable);
    let svmas: Vec<u64> =
        svmas.flat_map(|segment| (0..1000).map(|at| segment.svma.wrapping_sub(1).wrapping_add(at))).collect();
    let frames = source_frames(&image, &debug, &|_, _| other.clone(), &svmas);
    assert_eq!(frames.len(), svmas.len());
    // One who is caught in a circle of references would name more.
    assert!(frames.iter().all(|frames| frames.len() <= 600));
}

/// Where a file's first byte is mapped, and where the stack is.
const CODE: u64 = 0x2000_0000;
const STACK: u64 = 0x7000_0000;

/// A file, mapped as a process would have it.
struct Mapped {
    images: Images,
    space: AddressSpace,
    image: ImageId,
    length: u64,
    /// Where its code begins, and how much of it there is.
    code: (u64, u64),
}

impl Mapped {
    fn open(path: &Path, length: u64) -> Mapped {
        let mut images = Images::default();
        let (pid, end) = (std::process::id(), CODE + length);
        let path = path.as_os_str().as_bytes();
        let wanted =
            Wanted { path, build_id: None, device: None, inode: None, pid, start: CODE, end, offset: 0, time: 0 };
        let image = images.intern(&wanted, |_, _, _| ImageId(5));
        let mut space = AddressSpace::default();
        space.insert(Mapping { start: CODE, end, offset: 0, image });
        let file = images.get(image);
        let text = file.and_then(|file| file.section(".text")).map(|text| (text.file_offset, text.size));
        let segments = file.map_or(&[][..], |file| file.segments());
        let by_segment =
            || segments.iter().find(|segment| segment.executable).map(|code| (code.offset, code.file_size));
        let (at, size) = text.or_else(by_segment).unwrap_or((0, length));
        let code = (at.min(length), size.clamp(1, length.max(1)));
        Mapped { images, space, image, length, code }
    }

    /// A place of its code.
    fn place(&self, number: u64) -> u64 {
        CODE + self.code.0 + number % self.code.1
    }

    /// A number that leads somewhere: into the code, up the stack, or nowhere.
    fn leading(&self, word: u64, stack: u64) -> u64 {
        match word >> 60 {
            0..=5 => self.place(word & 0xffff_ffff),
            6..=10 => STACK + (((word & 0xffff_ffff) % stack.max(1)) & !7),
            11 => STACK + (word & 0xffff_ffff) % stack.max(1),
            12 => word & 0xff,
            13 => (word & 0xffff).wrapping_neg(),
            _ => word,
        }
    }

    /// Unwinds one stack, with and without what there is besides tables; what comes out must be bounded and in its place.
    fn unwind(&self, unwinders: &mut [Unwinder], registers: &Registers, stack: &StackBytes<'_>) {
        for unwinder in unwinders {
            let mut frames = Vec::new();
            let end = unwinder.unwind(&self.space, &self.images, registers, stack, &mut frames);
            let words = (stack.bytes.len() + stack.rest.len()) / 4;
            assert!(!frames.is_empty() && frames.len() <= words + 100, "{} frames of {words} words", frames.len());
            let (_, callers) = frames.split_first().expect("there is one");
            assert!(callers.iter().all(|frame| frame.image == self.image && frame.offset <= self.length));
            assert!(end != StackEnd::Unstated);
        }
    }
}

fn unwinders() -> [Unwinder; 2] {
    [WithoutTables::Try, WithoutTables::Stop].map(Unwinder::new)
}

/// Reads bytes as an ELF file whose code is on stacks that are made of them, too.
pub fn unwind_by_file(bytes: &[u8]) {
    let thread = format!("{:?}", std::thread::current().id());
    let number: String = thread.chars().filter(char::is_ascii_digit).collect();
    let path = std::env::temp_dir().join(format!("flameprofile-fuzz-{}-{number}", std::process::id()));
    std::fs::write(&path, bytes).expect("the temporary folder is writable");
    let length = bytes.len() as u64;
    let mapped = Mapped::open(&path, length.max(1));
    let mut random = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random ^ (random >> 29)
    };
    let processor = match mapped.images.get(mapped.image).map(|image| image.machine()) {
        Some(3) => Processor::X86,
        Some(183) => Processor::Aarch64,
        _ => Processor::X86_64,
    };
    if let Some(image) = mapped.images.get(mapped.image) {
        compile(image);
    }
    let mut unwinders = unwinders();
    let word = processor.word() as usize;
    for _ in 0..6 {
        let ip = mapped.place(next());
        let copy: Vec<u8> = (0..128)
            .flat_map(|row| {
                // Every other one is code: return addresses.
                let word = if row % 2 == 0 { mapped.place(next()) } else { mapped.leading(next(), 1024) };
                word.to_le_bytes()
            })
            .collect::<Vec<u8>>()
            .chunks(8)
            .flat_map(|number| number[..word].to_vec())
            .collect();
        let mut registers = Registers::new(processor, ip, STACK);
        (0..31).filter(|number| *number != processor.sp()).for_each(|number| {
            registers.set(number, Some(mapped.leading(next(), copy.len() as u64)));
        });
        let stack = StackBytes { start: STACK, bytes: &copy, full: next() & 1 == 0, ..StackBytes::default() };
        mapped.unwind(&mut unwinders, &registers, &stack);
    }
    std::fs::remove_file(&path).expect("it was written");
}

/// Makes the table for the kernel; what it says is of its pool.
fn compile(image: &ElfImage) {
    let mut pool = RulePool::new(100);
    let Ok(table) = Table::compile(image, &mut pool, Limits { blocks: 4000 }) else { return };
    assert!(table.bytes() <= 4000 << 13 && pool.rules().len() <= 100);
    for segment in image.segments() {
        for svma in [0, 1, segment.file_size / 2, segment.file_size, 1 << 13, 1 << 40] {
            let rule = table.rule_at(segment.svma.wrapping_add(svma), &pool);
            assert!(pool.rules().contains(&rule));
        }
    }
}

/// Reads bytes as registers and a stack, with the code of the program that this runs in: eight registers, then words that
/// may lead into the code or up the stack.
pub fn unwind_by_stack(bytes: &[u8]) {
    thread_local! {
        static OWN: Mapped = {
            let path = std::env::current_exe().expect("it runs");
            let length = path.metadata().expect("it is there").len();
            Mapped::open(&path, length)
        };
    }
    let (first, rest) = bytes.split_at(bytes.len().min(64 + 1));
    let kind = first.first().copied().unwrap_or(0);
    let number = |bytes: &[u8]| {
        let mut all = [0; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(all)
    };
    OWN.with(|own| {
        let size = rest.len() as u64;
        let lead = |bytes: &[u8]| own.leading(number(bytes), size);
        // As they are, or as they lead.
        let copy: Vec<u8> = match kind & 1 {
            0 => rest.chunks(8).flat_map(|word| lead(word).to_le_bytes()[..word.len()].to_vec()).collect(),
            _ => rest.to_vec(),
        };
        let processor = match kind >> 1 & 7 {
            0 => Processor::X86,
            1 => Processor::Aarch64,
            _ => Processor::X86_64,
        };
        let mut words = first.get(1..).unwrap_or_default().chunks(8).map(lead);
        let ip = words.next().unwrap_or(CODE);
        let sp = words.next().filter(|_| kind & 16 != 0).unwrap_or(STACK);
        let mut registers = Registers::new(processor, ip, sp);
        registers.set(processor.fp(), words.next());
        words.zip([3, 12, 13, 14, 15]).for_each(|(word, number)| registers.set(number, Some(word)));
        let middle = copy.len() / 2;
        let stack = match kind & 32 {
            0 => StackBytes { start: sp, bytes: &copy, full: true, ..StackBytes::default() },
            _ => StackBytes {
                start: sp,
                bytes: &copy[..middle],
                rest_start: sp.wrapping_add(middle as u64),
                rest: &copy[middle..],
                full: false,
            },
        };
        own.unwind(&mut unwinders(), &registers, &stack);
    });
}
