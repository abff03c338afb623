//! A perf.data taken apart and put together again, as it is or in the other byte order: the same recording in other clothes.
//!
//! Written from the kernel's and perf's description of the format, apart from the reader under test. It knows what the
//! recordings of `testdata/perf_data` hold, and panics at anything else.

use std::ops::Range;

/// A recording by perf on a machine that puts the low byte first, in a file.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Each attribute, without its size in the file, and its ids.
    attrs: Vec<(Vec<u8>, Vec<u64>)>,
    /// Whole records.
    pub records: Vec<Vec<u8>>,
    /// Number and bytes.
    sections: Vec<(u32, Vec<u8>)>,
}

/// Types of records.
const SAMPLE: u32 = 9;
const FINISHED_ROUND: u32 = 68;

/// The type of a record.
pub fn kind(record: &[u8]) -> u32 {
    u32::from_le_bytes(record[..4].try_into().expect("a record has a header"))
}

/// Where the whole records of a part of a file are.
pub fn records_in(file: &[u8], part: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = part.start;
    while at + 8 <= part.end {
        let size = usize::from(u16::from_le_bytes([file[at + 6], file[at + 7]]));
        assert!(size >= 8, "no record at {at}");
        if at + size > part.end {
            break;
        }
        found.push(at..at + size);
        at += size;
    }
    found
}

/// Where the records of a file are, as its header says.
pub fn data_of(file: &[u8]) -> Range<usize> {
    let (start, size) = (word(file, 40) as usize, word(file, 48) as usize);
    start..start + size
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Recording {
    /// Takes a file apart.
    pub fn parse(file: &[u8]) -> Recording {
        assert_eq!(&file[..8], b"PERFILE2");
        let part = |at: usize| word(file, at) as usize..(word(file, at) + word(file, at + 8)) as usize;
        let entry = word(file, 16) as usize;
        let attrs = file[part(24)].chunks(entry).map(|entry| {
            let (attr, ids) = entry.split_at(entry.len() - 16);
            let ids = word(ids, 0) as usize..(word(ids, 0) + word(ids, 8)) as usize;
            (attr.to_vec(), file[ids].chunks(8).map(|id| word(id, 0)).collect())
        });
        let data = data_of(file);
        let records = records_in(file, data.clone()).into_iter().map(|place| file[place].to_vec()).collect();
        let bits = (0..256).filter(|bit| word(file, 72 + bit / 64 * 8) >> (bit % 64) & 1 == 1);
        let sections = bits.zip((data.end..).step_by(16)).map(|(bit, at)| (bit as u32, file[part(at)].to_vec()));
        Recording { attrs: attrs.collect(), records, sections: sections.collect() }
    }

    /// The bytes of a file in the same byte order.
    pub fn file(&self) -> Vec<u8> {
        self.write(&Little)
    }

    /// The bytes of a folder as `perf record --threads` writes it: what is no sample in `data`, samples turn by turn in two
    /// other files, and no marks of rounds.
    pub fn folder(&self) -> Vec<(String, Vec<u8>)> {
        let mut main = self.clone();
        main.records.retain(|record| kind(record) != SAMPLE && kind(record) != FINISHED_ROUND);
        let mut threads = vec![Vec::new(); 2];
        let samples = self.records.iter().filter(|record| kind(record) == SAMPLE);
        samples.enumerate().for_each(|(row, sample)| threads[row % 2].extend_from_slice(sample));
        let threads = threads.into_iter().enumerate().map(|(row, bytes)| (format!("data.{row}"), bytes));
        std::iter::once(("data".to_owned(), main.file())).chain(threads).collect()
    }

    /// The bytes of a file in the other byte order. Records and sections that nobody needs to understand the samples (the maps
    /// of CPUs and threads, what the machine was) are left out.
    pub fn swapped(&self) -> Vec<u8> {
        /// CPU_MAP, THREAD_MAP, ID_INDEX, EVENT_UPDATE, TIME_CONV.
        const LEFT_OUT: [u32; 5] = [74, 73, 69, 78, 79];
        /// Of sections: formats of tracepoints, build ids, host, release, version, architecture, command, events.
        const KEPT: [u32; 8] = [1, 2, 3, 4, 5, 6, 11, 12];
        let mut kept = self.clone();
        kept.records.retain(|record| !LEFT_OUT.contains(&kind(record)));
        kept.sections.retain(|(number, _)| KEPT.contains(number));
        kept.write(&Big { layouts: self.layouts() })
    }

    fn layouts(&self) -> Vec<Layout> {
        let layout = |(attr, ids): &(Vec<u8>, Vec<u64>)| Layout {
            ids: ids.clone(),
            fields: word(attr, 24),
            read_format: word(attr, 32),
            sample_id_all: word(attr, 40) >> 18 & 1 == 1,
            user: word(attr, 80).count_ones(),
            interrupted: word(attr, 96).count_ones(),
        };
        self.attrs.iter().map(layout).collect()
    }

    fn write(&self, order: &dyn Order) -> Vec<u8> {
        const HEADER: usize = 104;
        let entry = self.attrs[0].0.len() + 16;
        let mut ids_at = HEADER as u64;
        let attrs_at = ids_at + self.attrs.iter().map(|(_, ids)| ids.len() as u64 * 8).sum::<u64>();
        let data_at = attrs_at + (entry * self.attrs.len()) as u64;
        let data: Vec<u8> = self.records.iter().flat_map(|record| order.record(record)).collect();
        let mut features = [0u64; 4];
        self.sections.iter().for_each(|(bit, _)| features[*bit as usize / 64] |= 1 << (bit % 64));

        let mut file = order.word(u64::from_le_bytes(*b"PERFILE2")).to_vec();
        let words =
            [HEADER as u64, entry as u64, attrs_at, (entry * self.attrs.len()) as u64, data_at, data.len() as u64];
        let words = words.into_iter().chain([0, 0]).chain(features);
        file.extend(words.flat_map(|word| order.word(word)));
        file.extend(self.attrs.iter().flat_map(|(_, ids)| ids).flat_map(|id| order.word(*id)));
        for (attr, ids) in &self.attrs {
            file.extend(order.attr(attr));
            file.extend([ids_at, ids.len() as u64 * 8].into_iter().flat_map(|word| order.word(word)));
            ids_at += ids.len() as u64 * 8;
        }
        file.extend(data);
        let sections: Vec<Vec<u8>> =
            self.sections.iter().map(|(number, bytes)| order.section(*number, bytes)).collect();
        let mut at = (file.len() + 16 * sections.len()) as u64;
        for section in &sections {
            file.extend([at, section.len() as u64].into_iter().flat_map(|word| order.word(word)));
            at += section.len() as u64;
        }
        file.extend(sections.concat());
        file
    }
}

/// How numbers are written.
trait Order {
    fn word(&self, word: u64) -> [u8; 8];
    fn attr(&self, attr: &[u8]) -> Vec<u8>;
    fn record(&self, record: &[u8]) -> Vec<u8>;
    fn section(&self, number: u32, bytes: &[u8]) -> Vec<u8>;
}

/// As they are.
struct Little;

impl Order for Little {
    fn word(&self, word: u64) -> [u8; 8] {
        word.to_le_bytes()
    }

    fn attr(&self, attr: &[u8]) -> Vec<u8> {
        attr.to_vec()
    }

    fn record(&self, record: &[u8]) -> Vec<u8> {
        record.to_vec()
    }

    fn section(&self, _number: u32, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}

/// What the samples of an event look like.
#[derive(Clone, Debug)]
struct Layout {
    ids: Vec<u64>,
    fields: u64,
    read_format: u64,
    sample_id_all: bool,
    /// How many registers of each kind.
    user: u32,
    interrupted: u32,
}

impl Layout {
    fn has(&self, bit: u32) -> bool {
        self.fields >> bit & 1 == 1
    }
}

/// With the high byte first.
struct Big {
    layouts: Vec<Layout>,
}

impl Order for Big {
    fn word(&self, word: u64) -> [u8; 8] {
        word.to_be_bytes()
    }

    fn attr(&self, attr: &[u8]) -> Vec<u8> {
        let mut swap = Swap::new(attr);
        swap.numbers(&[4, 4, 8, 8, 8, 8]);
        // Bit-fields are numbered from the other end of each byte.
        swap.out.extend(attr[40..48].iter().map(|byte| byte.reverse_bits()));
        swap.at = 48;
        swap.numbers(&[4, 4, 8, 8, 8, 8, 4, 4, 8, 4, 2, 2, 4, 4, 8]);
        while swap.at < attr.len() {
            swap.numbers(&[8]);
        }
        swap.out
    }

    fn record(&self, record: &[u8]) -> Vec<u8> {
        let kind = kind(record);
        let is_build_id = record[5] >> 6 & 1 == 1;
        let mut swap = Swap::new(record);
        swap.numbers(&[4, 2, 2]);
        if kind == SAMPLE {
            let id = word(record, 8);
            let first = self.layouts.first().expect("there is an event");
            // Several events: all put their id first.
            let layout = self.layouts.iter().find(|layout| layout.ids.contains(&id));
            swap.sample(if first.has(16) { layout.expect("the id is known") } else { first });
            assert!(swap.out.len() <= record.len());
            swap.bytes(record.len() - swap.at);
            return swap.out;
        }
        let layout = &self.layouts[0];
        let identity: Vec<u32> = [1, 2, 6, 9, 7, 16].into_iter().filter(|bit| layout.has(*bit)).collect();
        let behind = if layout.sample_id_all && kind < 64 { identity.len() * 8 } else { 0 };
        let end = record.len() - behind;
        match kind {
            // MMAP, MMAP2, COMM
            1 => swap.numbers(&[4, 4, 8, 8, 8]),
            10 => {
                swap.numbers(&[4, 4, 8, 8, 8]);
                if is_build_id {
                    swap.bytes(24)
                } else {
                    swap.numbers(&[4, 4, 8, 8])
                }
                swap.numbers(&[4, 4]);
            }
            3 => swap.numbers(&[4, 4]),
            // EXIT, FORK
            4 | 7 => swap.numbers(&[4, 4, 4, 4, 8]),
            // LOST, THROTTLE, UNTHROTTLE, LOST_SAMPLES, SWITCH
            2 => swap.numbers(&[8, 8]),
            5 | 6 => swap.numbers(&[8, 8, 8]),
            13 => swap.numbers(&[8]),
            14 => {}
            // NAMESPACES: pairs of device and inode.
            16 => {
                swap.numbers(&[4, 4]);
                while swap.at < end {
                    swap.numbers(&[8]);
                }
            }
            // KSYMBOL, BPF_EVENT, CGROUP
            17 => swap.numbers(&[8, 4, 2, 2]),
            18 => swap.numbers(&[2, 2, 4]),
            19 => swap.numbers(&[8]),
            // FINISHED_ROUND, FINISHED_INIT
            FINISHED_ROUND | 82 => {}
            other => panic!("a record of type {other}, which is not known here"),
        }
        swap.bytes(end - swap.at);
        if behind > 0 {
            for bit in identity {
                // Thread and CPU are two numbers of 32 bits.
                swap.numbers(if matches!(bit, 1 | 7) { &[4, 4] } else { &[8] });
            }
        }
        swap.out
    }

    fn section(&self, number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut swap = Swap::new(bytes);
        match number {
            // Text, as far as anybody reads it.
            1 => swap.bytes(bytes.len()),
            // Build ids: records.
            2 => {
                for place in records_in(bytes, 0..bytes.len()) {
                    swap.numbers(&[4, 2, 2, 4]);
                    swap.bytes(place.end - swap.at);
                }
            }
            3..=6 => swap.string(),
            11 => {
                for _ in 0..swap.number(4) {
                    swap.string();
                }
            }
            12 => {
                let (events, size) = (swap.number(4), swap.number(4) as usize);
                for _ in 0..events {
                    let attr = self.attr(&bytes[swap.at..swap.at + size]);
                    swap.out.extend(attr);
                    swap.at += size;
                    let ids = swap.number(4);
                    swap.string();
                    (0..ids).for_each(|_| swap.numbers(&[8]));
                }
            }
            other => panic!("section {other}, which is not known here"),
        }
        swap.bytes(bytes.len() - swap.at);
        swap.out
    }
}

/// Numbers one after the other, out of one byte order into the other.
struct Swap<'a> {
    from: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl<'a> Swap<'a> {
    fn new(from: &'a [u8]) -> Swap<'a> {
        Swap { from, at: 0, out: Vec::new() }
    }

    fn number(&mut self, size: usize) -> u64 {
        let bytes = &self.from[self.at..self.at + size];
        self.at += size;
        self.out.extend(bytes.iter().rev());
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn numbers(&mut self, sizes: &[usize]) {
        // An attribute or a record of an older perf ends sooner.
        for size in sizes {
            if self.at < self.from.len() {
                self.number(*size);
            }
        }
    }

    fn bytes(&mut self, count: usize) {
        self.out.extend_from_slice(&self.from[self.at..self.at + count]);
        self.at += count;
    }

    /// A length, and text with what fills it up.
    fn string(&mut self) {
        let length = self.number(4) as usize;
        self.bytes(length);
    }

    /// The body of a sample, in the order of `perf_event_open(2)`, "PERF_RECORD_SAMPLE".
    fn sample(&mut self, layout: &Layout) {
        // IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD
        for bit in [16, 0, 1, 2, 3, 6, 9, 7, 8] {
            if layout.has(bit) {
                self.numbers(if matches!(bit, 1 | 7) { &[4, 4] } else { &[8] });
            }
        }
        // READ of one event: value, then what the format adds.
        if layout.has(4) {
            assert_eq!(layout.read_format & 8, 0, "no groups here");
            (0..1 + (layout.read_format & 0x17).count_ones()).for_each(|_| self.numbers(&[8]));
        }
        if layout.has(5) {
            (0..self.number(8)).for_each(|_| self.numbers(&[8]));
        }
        if layout.has(10) {
            let size = self.number(4) as usize;
            let end = self.at + size;
            // sched_switch: common fields, previous task, next task.
            self.numbers(&[2, 1, 1, 4]);
            self.bytes(16);
            self.numbers(&[4, 4, 8]);
            self.bytes(16);
            self.numbers(&[4, 4]);
            self.bytes(end - self.at);
        }
        assert!(!layout.has(11), "no branches here");
        if layout.has(12) && self.number(8) != 0 {
            (0..layout.user).for_each(|_| self.numbers(&[8]));
        }
        if layout.has(13) {
            let size = self.number(8) as usize;
            if size > 0 {
                self.bytes(size);
                self.numbers(&[8]);
            }
        }
        // WEIGHT, WEIGHT_STRUCT, DATA_SRC, TRANSACTION
        for bit in [14, 24, 15, 17] {
            if layout.has(bit) {
                self.numbers(&[8]);
            }
        }
        if layout.has(18) && self.number(8) != 0 {
            (0..layout.interrupted).for_each(|_| self.numbers(&[8]));
        }
        // PHYS_ADDR, CGROUP, DATA_PAGE_SIZE, CODE_PAGE_SIZE
        for bit in [19, 21, 22, 23] {
            if layout.has(bit) {
                self.numbers(&[8]);
            }
        }
        assert!(!layout.has(20), "no hardware trace here");
    }
}
