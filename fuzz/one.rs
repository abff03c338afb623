// What every fuzz target does with one input; tests/fuzz_seeds.rs does the same on a stable compiler.
#![allow(dead_code, reason = "a target uses one of them")]

use std::io::Cursor;

use flameprofile::analyze::View;
use flameprofile::image::{ElfImage, GoTable, JitDump};
use flameprofile::import::{ImportOptions, Input, Kind, import};
use flameprofile::perf::record::{self, parse};
use flameprofile::perf::{ByteOrder, Layout, Record, SampleFields};
use flameprofile::render::folded::{self, FoldedOptions};

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
    }
}

/// Reads bytes as an ELF file with Go's table, and asks it about all of its code.
pub fn read_go_table(bytes: &[u8]) {
    let Some(image) = ElfImage::from_bytes(bytes) else { return };
    let Some(table) = GoTable::of(&image) else { return };
    for segment in image.segments().iter().filter(|segment| segment.executable) {
        for svma in (segment.svma.saturating_sub(1)..).take(bytes.len().min(1000)) {
            let frame = table.frame(&image, svma);
            assert!(frame.is_none_or(|frame| (frame.start..frame.end).contains(&svma)));
            assert!(table.function_name(&image, svma).is_none_or(|name| name.len() <= bytes.len()));
        }
    }
}
