use super::*;

/// Writes dumps, as a JIT does.
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
    big: bool,
}

impl Writer {
    pub fn new(pid: u32, big: bool) -> Writer {
        let mut writer = Writer { bytes: Vec::new(), big };
        for number in [0x4a69_5444, 1, 40, 62, 0, pid] {
            writer.u32(number);
        }
        writer.u64(1000);
        writer.u64(0);
        writer
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend(if self.big { number.to_be_bytes() } else { number.to_le_bytes() });
    }

    fn u64(&mut self, number: u64) {
        self.bytes.extend(if self.big { number.to_be_bytes() } else { number.to_le_bytes() });
    }

    pub fn record(&mut self, kind: u32, time: u64, body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.u32(kind);
        self.u32(0);
        self.u64(time);
        body(self);
        let size = (self.bytes.len() - start) as u32;
        self.bytes[start + 4..start + 8].copy_from_slice(&if self.big {
            size.to_be_bytes()
        } else {
            size.to_le_bytes()
        });
    }

    pub fn load(&mut self, time: u64, address: u64, index: u64, name: &str, code: &[u8]) {
        self.record(0, time, |writer| {
            writer.u32(7);
            writer.u32(8);
            for number in [address, address, code.len() as u64, index] {
                writer.u64(number);
            }
            writer.bytes.extend(name.as_bytes());
            writer.bytes.push(0);
            writer.bytes.extend(code);
        });
    }

    pub fn lines(&mut self, time: u64, address: u64, entries: &[(u64, u32, &[u8])]) {
        self.record(2, time, |writer| {
            writer.u64(address);
            writer.u64(entries.len() as u64);
            for (at, line, file) in entries {
                writer.u64(*at);
                writer.u32(*line);
                writer.u32(0);
                writer.bytes.extend(*file);
                writer.bytes.push(0);
            }
        });
    }
}

pub(crate) fn example(big: bool) -> Vec<u8> {
    let mut writer = Writer::new(7, big);
    writer.lines(1, 0x1000, &[(0x1000, 10, b"a.js"), (0x1008, 12, b"\xff"), (0x5000, 99, b"elsewhere.js")]);
    writer.load(30, 0x1000, 1, "LazyCompile:~one a.js:10", &[0xcc; 16]);
    writer.record(4, 30, |writer| writer.bytes.extend([0; 24]));
    writer.load(20, 0x2000, 2, "two", &[0x90; 4]);
    writer.record(1, 40, |writer| {
        writer.u32(7);
        writer.u32(9);
        for number in [0x3000, 0x1000, 0x3000, 16, 1] {
            writer.u64(number);
        }
    });
    writer.record(77, 41, |writer| writer.u64(5));
    writer.load(42, 0x4000, 3, "empty", b"");
    writer.record(3, 50, |_| {});
    writer.bytes
}

#[test]
fn records_are_read_in_both_byte_orders() {
    for big in [false, true] {
        let bytes = example(big);
        let dump = JitDump::from_bytes(bytes.clone()).unwrap();
        assert_eq!((dump.pid(), dump.machine(), dump.created(), dump.arch_timestamps()), (7, 62, 1000, false));
        let loads: Vec<_> =
            dump.loads().map(|load| (load.time, load.address, load.size, load.index, dump.name(load))).collect();
        let one = &b"LazyCompile:~one a.js:10"[..];
        assert_eq!(loads, [(20, 0x2000, 4, 2, &b"two"[..]), (30, 0x1000, 16, 1, one)]);
        for load in dump.loads() {
            let code = &bytes[load.offset as usize..][..load.size as usize];
            assert!(code.iter().all(|byte| *byte == if load.index == 1 { 0xcc } else { 0x90 }));
            assert_eq!((load.pid, load.tid), (7, 8));
        }
        let [moved] = dump.moves() else { panic!("one move") };
        assert_eq!((moved.time, moved.old_address, moved.address, moved.size), (40, 0x1000, 0x3000, 16));
        assert_eq!((moved.tid, moved.index), (9, 1));
        assert_eq!((dump.unwinding_infos(), dump.unknown(), dump.stopped_at()), (1, 1, None));
    }
}

#[test]
fn offset_is_named_with_its_line() {
    let dump = JitDump::from_bytes(example(false)).unwrap();
    let (two, one) = (dump.loads().next().unwrap().offset, dump.loads().nth(1).unwrap().offset);
    let name = &b"LazyCompile:~one a.js:10"[..];
    for (offset, expected) in [
        (one - 1, None),
        (one, Some(JitLine { name, file: b"a.js", line: 10 })),
        (one + 7, Some(JitLine { name, file: b"a.js", line: 10 })),
        (one + 8, Some(JitLine { name, file: b"a.js", line: 12 })),
        (one + 16, None),
        (two + 3, Some(JitLine { name: b"two", file: b"", line: 0 })),
    ] {
        assert_eq!(dump.line_at(offset), expected, "{offset:#x}");
    }
}

#[test]
fn dump_that_is_still_written_gives_what_is_whole() {
    let whole = example(false);
    for length in 0..whole.len() {
        match JitDump::from_bytes(&whole[..length]) {
            None => assert!(length < HEADER, "{length}"),
            Some(dump) => {
                assert!(dump.loads().count() <= 2);
                assert!(dump.stopped_at().is_none_or(|at| at < length as u64));
            }
        }
    }
    assert!(JitDump::from_bytes(*b"\x7fELF with more bytes than a header of a dump has").is_none());
}

#[test]
fn corrupt_dumps_are_survived() {
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % below
    };
    for round in 0..20_000 {
        let mut bytes = example(round % 2 == 0);
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            bytes[at] = [0, 1, 0x7f, 0xff, next(256) as u8][next(5)];
        }
        bytes.truncate(bytes.len() - next(8).saturating_sub(4));
        let length = bytes.len() as u64;
        let Some(dump) = JitDump::from_bytes(bytes) else { continue };
        for load in dump.loads() {
            assert!(load.size > 0 && load.offset + load.size <= length);
            for offset in [load.offset, load.offset + load.size - 1] {
                assert_eq!(dump.line_at(offset).map(|line| line.name), Some(dump.name(load)));
            }
        }
        dump.line_at(next(400) as u64);
    }
}

#[test]
fn dumps_are_known_by_their_names() {
    assert_eq!(pid_of_path(b"/tmp/.debug/jit/x/jit-4121.dump"), Some(4121));
    for path in [&b"/tmp/jit-.dump"[..], b"/tmp/jit-12", b"jit-x.dump", b"/tmp/perf-12.map", b""] {
        assert_eq!(pid_of_path(path), None);
    }
}

/// `.eh_frame` of 16 bytes of code at `code`, whose stack is 40 bytes deeper from the fifth byte on; placed as perf does it.
fn eh_frame(size: i32) -> Vec<u8> {
    let mut bytes = vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0];
    bytes.extend([20, 0, 0, 0, 28, 0, 0, 0]);
    bytes.extend((-((size + 7) / 8 * 8 + 32)).to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend([0, 0x44, 0x0e, 48, 0, 0, 0, 0]);
    bytes.extend([0; 4]);
    bytes
}

fn unwinding(writer: &mut Writer, time: u64, section: &[u8], header: &[u8]) {
    writer.record(4, time, |writer| {
        for number in [section.len() + header.len(), header.len(), section.len()] {
            writer.u64(number as u64);
        }
        writer.bytes.extend(section);
        writer.bytes.extend(header);
    });
}

#[test]
fn unwind_information_is_of_the_function_that_follows() {
    let mut writer = Writer::new(7, false);
    unwinding(&mut writer, 10, &eh_frame(13), &[1; 20]);
    writer.lines(11, 0x1000, &[(0x1000, 10, b"a.js")]);
    writer.load(12, 0x1000, 1, "one", &[0xcc; 13]);
    writer.load(13, 0x2000, 2, "two", &[0xcc; 13]);
    unwinding(&mut writer, 14, &[], &[1; 20]);
    writer.load(15, 0x3000, 3, "three", &[0xcc; 13]);
    let dump = JitDump::from_bytes(writer.bytes).unwrap();
    assert_eq!((dump.unwinding_infos(), dump.unknown()), (2, 0));
    let [one, two, three] = [0, 1, 2].map(|row| dump.loads().nth(row).unwrap().offset);
    let (entry, svma) = dump.frame_entry(one + 4).unwrap();
    assert_eq!((entry.start(), entry.length(), svma), (0x1000, 13, 0x1004));
    let mut context = gimli::UnwindContext::new();
    for (svma, offset) in [(0x1000, 8), (0x1003, 8), (0x1004, 48), (0x100c, 48)] {
        let row = entry.row(svma, &mut context).unwrap();
        let cfa = gimli::CfaRule::RegisterAndOffset { register: gimli::Register(7), offset };
        assert_eq!(*row.cfa(), cfa, "{svma:#x}");
    }
    for offset in [one - 1, one + 13, two, three] {
        assert!(dump.frame_entry(offset).is_none(), "{offset:#x}");
    }
}

#[test]
fn dump_is_followed_as_it_grows() {
    use std::io::Write;
    let mut writer = Writer::new(7, false);
    unwinding(&mut writer, 10, &eh_frame(16), &[]);
    writer.load(12, 0x1000, 1, "one", &[0xcc; 16]);
    writer.load(20, 0x1000, 2, "two", &[0xcc; 32]);
    writer.record(1, 30, |writer| {
        writer.u32(7);
        writer.u32(9);
        for number in [0x3000, 0x1000, 0x3000, 16, 1] {
            writer.u64(number);
        }
    });
    let mut file = tempfile::tempfile().unwrap();
    let mut dump = JitDump::follow(file.try_clone().unwrap()).unwrap();
    assert!(!dump.has_begun());
    for byte in writer.bytes.chunks(7) {
        file.write_all(byte).unwrap();
        dump.grow().unwrap();
    }
    dump.settle();
    let [one, two] = [0, 1].map(|row| dump.loads().nth(row).unwrap().offset);
    let at = |address| -> Vec<(u64, u64)> {
        dump.history().unwrap().pieces_at(address).map(|piece| (piece.begin, piece.value)).collect()
    };
    assert_eq!(at(0x1008), [(12, one), (20, two)]);
    assert_eq!(at(0x1018), [(20, two)]);
    assert_eq!(at(0x3008), [(30, one)]);
    // The code that was moved is unwound as it was where it was made; what came without information is not.
    assert_eq!(dump.frame_entry_now(0x3008).map(|(_, svma)| svma), Some(0x1008));
    assert!(dump.frame_entry_now(0x1008).is_none());
    assert_eq!((dump.loads().count(), dump.moves().len(), dump.stopped_at()), (2, 1, None));
}

#[test]
fn dump_that_is_not_whole_says_what_is_wrong() {
    let whole = example(false);
    let fault = |bytes: &[u8]| JitDump::from_bytes(bytes).and_then(|dump| dump.fault()).unwrap_or_default();
    let cut = fault(&whole[..whole.len() - 1]);
    assert!(cut.starts_with("ends early: its record at byte ") && cut.ends_with(" is not whole"), "{cut}");
    let zeros = fault(&[&whole[..], &[0; 64]].concat());
    assert_eq!(zeros, format!("is damaged: its record at byte {} says that it has 0 bytes", whole.len()));
    let strange = fault(&whole);
    assert_eq!(strange, "is damaged: 1 of its records make no sense", "the example has one of no known kind");
    assert_eq!(fault(&whole[..HEADER]), "", "nothing has been written yet");
    assert_eq!(JitDump::empty(super::Bytes::Owned(Box::default())).fault().unwrap(), "has no header of a jitdump");
}
