//! Records made by hand.

use super::*;

const LAYOUT: Layout = Layout {
    fields: SampleFields::IDENTIFIER
        .with(SampleFields::IP)
        .with(SampleFields::TID)
        .with(SampleFields::TIME)
        .with(SampleFields::CPU)
        .with(SampleFields::PERIOD)
        .with(SampleFields::CALLCHAIN)
        .with(SampleFields::REGS_USER)
        .with(SampleFields::STACK_USER),
    regs_user: 0b1_1100_0000,
    sample_id_all: true,
    ..Layout::NONE
};

fn two(low: u32, high: u32) -> u64 {
    u64::from_ne_bytes([low.to_ne_bytes(), high.to_ne_bytes()].concat().try_into().expect("eight bytes"))
}

fn record(kind: u32, misc: u16, words: &[u64]) -> Vec<u8> {
    let mut bytes = kind.to_ne_bytes().to_vec();
    bytes.extend(misc.to_ne_bytes());
    bytes.extend((HEADER as u16 + words.len() as u16 * 8).to_ne_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    bytes
}

/// A sample with a copy of three words, of which two are valid.
fn sample_bytes() -> Vec<u8> {
    let head = [7, 0x1000, two(10, 11), 555, two(1, 0), 99];
    let chain = [2, -512i64 as u64, 0x1000];
    let registers = [2, 0xb0, 0x7ff0, 0x1000];
    let stack = [24, 1, 2, 3, 16];
    record(kind::SAMPLE, 2, &[&head[..], &chain, &registers, &stack].concat())
}

/// What stands at the end of records that are no samples: ids, time, CPU, event.
const IDENTITY: fn() -> [u64; 4] = || [two(10, 11), 555, two(1, 0), 7];

#[test]
fn sample_is_read() {
    let bytes = sample_bytes();
    let Record::Sample(sample) = parse(&bytes, &LAYOUT) else { panic!("no sample") };
    assert_eq!(sample.identity, Identity { pid: 10, tid: 11, time: 555, cpu: 1, id: 7 });
    assert_eq!((sample.ip, sample.period), (0x1000, 99));
    assert_eq!(sample.callchain.iter().collect::<Vec<_>>(), [-512i64 as u64, 0x1000]);
    let registers = sample.user_registers.expect("registers");
    assert_eq!([6, 7, 8, 9].map(|number| registers.get(number)), [Some(0xb0), Some(0x7ff0), Some(0x1000), None]);
    assert_eq!((sample.user_stack.len() / 8, sample.user_stack_full), (2, false));
    assert_eq!(time(&bytes, &LAYOUT), 555);
}

#[test]
fn stack_copy_is_found_without_reading_the_rest() {
    let bytes = sample_bytes();
    let word = |offset: usize| u64::from_ne_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"));
    let copy = stack_copy(&LAYOUT, bytes.len(), word).expect("there is one");
    assert_eq!((word(copy.size_at), copy.size, copy.valid), (24, 24, 16));
    // A count that lies ends the search.
    let word = |offset: usize| if offset == HEADER + 48 { u64::MAX } else { word(offset) };
    assert_eq!(stack_copy(&LAYOUT, bytes.len(), word), None);
}

#[test]
fn cut_samples_are_malformed() {
    let whole = sample_bytes();
    for length in (0..whole.len()).step_by(4) {
        let mut bytes = whole[..length].to_vec();
        if length >= HEADER {
            bytes[6..8].copy_from_slice(&(length as u16).to_ne_bytes());
        }
        assert!(matches!(parse(&bytes, &LAYOUT), Record::Malformed(_)), "{length}");
    }
}

#[test]
fn mapping_carries_what_identifies_its_file() {
    let mut words = vec![two(10, 11), 0x1000, 0x2000, 0x3000];
    let identified = u64::from_ne_bytes([4, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
    let path = u64::from_ne_bytes(*b"/lib\0\0\0\0");
    words.extend([identified, 0, 0, two(5, 0), path]);
    words.extend(IDENTITY());
    let bytes = record(kind::MMAP2, 1 << 14, &words);
    let Record::Mmap(mmap) = parse(&bytes, &LAYOUT) else { panic!("no mapping") };
    assert_eq!((mmap.pid, mmap.start, mmap.length, mmap.offset), (10, 0x1000, 0x2000, 0x3000));
    assert_eq!((mmap.path, mmap.executable), (&b"/lib"[..], true));
    assert_eq!(mmap.build_id, BuildId::new(&[0xde, 0xad, 0xbe, 0xef]));
    assert_eq!(time(&bytes, &LAYOUT), 555);
    // What another profiler's wish for build ids does to the flags of this one's records.
    for major in [8, 254, 20] {
        words[4..7].copy_from_slice(&[two(major, 1), 42, 7]);
        let bytes = record(kind::MMAP2, 1 << 14, &words);
        let Record::Mmap(mmap) = parse(&bytes, &LAYOUT) else { panic!("no mapping") };
        assert_eq!((mmap.build_id, mmap.device_inode), (None, Some(((major, 1), 42))), "{major}");
    }
    words[4..7].copy_from_slice(&[two(8, 1), 42, 0]);
    let bytes = record(kind::MMAP2, 0, &words);
    let Record::Mmap(mmap) = parse(&bytes, &LAYOUT) else { panic!("no mapping") };
    assert_eq!((mmap.build_id, mmap.device_inode), (None, Some(((8, 1), 42))));
}

#[test]
fn tasks_names_and_losses_are_read() {
    let fork = record(kind::FORK, 0, &[&[two(20, 10), two(21, 11), 444][..], &IDENTITY()].concat());
    assert_eq!(
        parse(&fork, &LAYOUT),
        Record::Fork(Task { pid: 20, parent_pid: 10, tid: 21, parent_tid: 11, time: 444 })
    );
    let name = u64::from_ne_bytes(*b"cc1\0\0\0\0\0");
    let comm = record(kind::COMM, 1 << 13, &[&[two(20, 20), name][..], &IDENTITY()].concat());
    let Record::Comm(comm) = parse(&comm, &LAYOUT) else { panic!("no name") };
    assert_eq!((comm.pid, comm.exec, comm.name), (20, true, &b"cc1"[..]));
    let lost = record(kind::LOST, 0, &[&[7, 12][..], &IDENTITY()].concat());
    assert_eq!(parse(&lost, &LAYOUT), Record::Lost(12));
    assert_eq!(parse(&record(9999, 0, &[1]), &LAYOUT), Record::Other(9999));
}

#[test]
fn junk_is_survived() {
    let mut random = 1u64;
    for _ in 0..20_000 {
        let mut bytes = sample_bytes();
        for _ in 0..4 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (random >> 33) as usize % bytes.len();
            bytes[at] = (random >> 20) as u8;
        }
        let _ = (parse(&bytes, &LAYOUT), time(&bytes, &LAYOUT));
        let word = |offset: usize| bytes.get(offset..offset + 8).map_or(0, |word| word[0].into());
        let _ = stack_copy(&LAYOUT, bytes.len(), word);
    }
}
