use std::io::Cursor;
use std::sync::{Arc, Mutex};

use super::*;
use crate::perf::ByteOrder;
use crate::perf::data::write::{BuildIdOf, Owner, comm};
use crate::perf::record::header;

/// A disk of so many bytes, which can be looked at later.
#[derive(Clone)]
struct Disk {
    bytes: Arc<Mutex<Cursor<Vec<u8>>>>,
    limit: u64,
}

impl Disk {
    fn of(limit: u64) -> Disk {
        Disk { bytes: Arc::default(), limit }
    }

    fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().get_ref().clone()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.bytes.lock().unwrap();
        let room = self.limit.saturating_sub(file.position()).min(bytes.len() as u64);
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write(&bytes[..room as usize])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.lock().unwrap().seek(to)
    }
}

fn events() -> Vec<RecordedEvent> {
    vec![RecordedEvent { name: "cpu-clock".into(), attr: EventAttr::counting(1, 0), ids: vec![5, 6, 7] }]
}

fn features() -> Features {
    let build_id = crate::model::BuildId::new(&[7; 20]).unwrap();
    let build_ids = vec![BuildIdOf { owner: Owner::User, build_id, path: b"/bin/x".to_vec() }];
    Features { hostname: "box".into(), cpus: Some((4, 2)), build_ids, ..Features::default() }
}

fn record_bytes(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    comm(&mut bytes, 16, number, number, "name");
    bytes
}

/// Writes `count` records in rounds of 100.
fn write(output: Output, count: u64, compress: bool) -> Finished {
    let mut writer = Writer::create(output, events(), features(), compress).unwrap();
    for number in 0..count {
        writer.append(&record_bytes(number as u32), Tally { samples: number + 1, value: 2 * (number + 1) });
        if number % 100 == 99 {
            writer.end_round();
        }
    }
    writer.finish()
}

fn word(bytes: &[u8], at: u64) -> u64 {
    u64::from_ne_bytes(bytes[at as usize..at as usize + 8].try_into().unwrap())
}

/// The records of a file, packed ones unpacked, and the features by number.
fn read(bytes: &[u8]) -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
    assert_eq!((&bytes[..8], word(bytes, 8), word(bytes, 16)), (MAGIC.as_slice(), 104, 128));
    let (start, size, flags) = (word(bytes, 40), word(bytes, 48), word(bytes, 72));
    let data = &bytes[start as usize..(start + size) as usize];
    let mut at = start + size;
    let mut features = Vec::new();
    for number in (0..64).filter(|number| flags & (1 << number) != 0) {
        let (offset, size) = (word(bytes, at), word(bytes, at + 8));
        features.push((number, bytes[offset as usize..(offset + size) as usize].to_vec()));
        at += 16;
    }
    (unpacked(data), features)
}

fn unpacked(data: &[u8]) -> Vec<u8> {
    use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
    let mut decoder = Decoder::new().unwrap();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let (kind, _, size) = header(&data[at..], ByteOrder::Native).expect("whole records");
        match kind {
            81 => {
                let mut piece = vec![0; 70_000];
                let mut input = InBuffer::around(&data[at + 8..at + size]);
                let mut output = OutBuffer::around(piece.as_mut_slice());
                while input.pos() < size - 8 {
                    decoder.run(&mut input, &mut output).unwrap();
                }
                let given = output.pos();
                assert!((1..=PIECE).contains(&given), "each record gives something, and no more than is stated");
                out.extend(&piece[..given]);
            }
            FINISHED_ROUND => {}
            _ => out.extend(&data[at..at + size]),
        }
        at += size;
    }
    out
}

#[test]
fn files_read_back_packed_or_not() {
    let expected: Vec<u8> = (0..30_000).flat_map(record_bytes).collect();
    let mut sizes = Vec::new();
    for compress in [false, true] {
        let disk = Disk::of(u64::MAX);
        let finished = write(Output::File(Box::new(disk.clone())), 30_000, compress);
        assert!(finished.failure.is_none());
        assert_eq!(finished.tally, Tally { samples: 30_000, value: 60_000 });
        let bytes = disk.content();
        assert_eq!(finished.size, bytes.len() as u64);
        let (data, features) = read(&bytes);
        assert!(data == expected, "{compress}: {} of {} bytes", data.len(), expected.len());
        let numbers: Vec<u8> = features.iter().map(|(number, _)| *number).collect();
        let packed: &[u8] = if compress { &[27] } else { &[] };
        assert_eq!(numbers, [&[2, 3, 7, 12], packed].concat());
        assert_eq!(features[1].1[..8], *b"\x40\0\0\0box\0");
        sizes.push(bytes.len());
    }
    assert!(sizes[1] * 5 < sizes[0], "{sizes:?}");
}

#[test]
fn what_cannot_be_packed_still_fits_records() {
    let mut state = 1u64;
    // Of the largest size that a record can have.
    let noise: Vec<u8> = (0..8190)
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state ^ state >> 29).to_ne_bytes()
        })
        .collect();
    let mut large = Vec::new();
    record(&mut large, 9, 0, 0, &noise);
    assert_eq!(large.len(), 65_528);
    let disk = Disk::of(u64::MAX);
    let mut writer = Writer::create(Output::File(Box::new(disk.clone())), events(), features(), true).unwrap();
    for _ in 0..20 {
        writer.append(&large, Tally::default());
    }
    assert!(writer.finish().failure.is_none());
    assert!(read(&disk.content()).0 == large.repeat(20));
}

#[test]
fn full_disk_leaves_a_shorter_whole_file() {
    let whole: Vec<u8> = (0..30_000).flat_map(record_bytes).collect();
    for (limit, compress) in [(700_000, false), (1_000_001, false), (1_202_900, false), (20_000, true)] {
        let disk = Disk::of(limit);
        let finished = write(Output::File(Box::new(disk.clone())), 30_000, compress);
        assert_eq!(finished.failure.map(|error| error.kind()), Some(io::ErrorKind::StorageFull), "{limit}");
        let (data, features) = read(&disk.content());
        assert!(features.len() >= 4, "{limit}: the features have found room");
        assert!(whole.starts_with(&data) && !data.is_empty());
        assert_eq!(finished.tally.samples, (data.len() / record_bytes(0).len()) as u64, "{limit}");
        assert!(finished.size <= limit);
    }
}

#[test]
fn stream_is_made_of_records() {
    let disk = Disk::of(u64::MAX);
    let finished = write(Output::Pipe(Box::new(disk.clone())), 300, false);
    let bytes = disk.content();
    assert_eq!((finished.size, finished.tally.samples), (bytes.len() as u64, 300));
    assert_eq!((&bytes[..8], word(&bytes, 8)), (MAGIC.as_slice(), 16));
    let (mut at, mut kinds) = (16, Vec::new());
    while at < bytes.len() {
        let (kind, _, size) = header(&bytes[at..], ByteOrder::Native).expect("whole records");
        kinds.push(kind);
        at += size;
    }
    kinds.dedup();
    assert_eq!(kinds, [HEADER_ATTR, HEADER_FEATURE, 3, FINISHED_ROUND, 3, FINISHED_ROUND, 3, FINISHED_ROUND, 67]);
}

#[test]
fn closed_pipe_is_a_failure_of_writing() {
    let disk = Disk::of(5_000);
    let finished = write(Output::Pipe(Box::new(disk)), 30_000, false);
    assert!(finished.failure.is_some());
}
