//! What only simpleperf, Android's perf, writes: symbol tables within the recording, and pairs of key and value.
//!
//! See record_file_format.h, record.h and record_file.proto of system/extras/simpleperf.

use crate::formats::protobuf;
use crate::perf::fields::{ByteOrder, Fields};

/// simpleperf's own types of records are above (`SIMPLE_PERF_RECORD_TYPE_START`).
pub const FIRST: u32 = 32768;

/// Types of its own records.
pub mod kind {
    /// A copy of `/proc/kallsyms`: size (u32), text.
    pub const KERNEL_SYMBOL: u32 = 32769;
    /// Ids of events that were opened after the start: number, then pairs of event and id.
    pub const EVENT_ID: u32 = 32774;
    /// Formats of tracepoints: size (u32), bytes.
    pub const TRACING_DATA: u32 = 32777;
}

/// What sort of file symbols are of (`DsoType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The kernel; symbols have addresses.
    Kernel,
    /// A module of it.
    KernelModule,
    /// An ELF file; symbols have the addresses that the file states.
    Elf,
    /// A file with dex code in it; symbols have offsets in the file.
    Dex,
    /// A JIT's memory; symbols have addresses.
    SymbolMap,
    /// Something else; symbols have offsets in it.
    Unknown,
}

/// The symbols of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolFile {
    /// The path, as mappings have it.
    pub path: String,
    /// What sort of file it is.
    pub kind: FileKind,
    /// The lowest address of its executable segment, as the file states it.
    pub min_address: u64,
    /// Where that is in the file.
    pub offset_of_min_address: u64,
    /// Address, size, name.
    pub symbols: Vec<(u64, u32, String)>,
}

/// What simpleperf says besides records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Pairs of key and value: `simpleperf_version`, `event_type_info`, ...
    pub pairs: Vec<(String, String)>,
    /// Symbols.
    pub files: Vec<SymbolFile>,
    /// A copy of `/proc/kallsyms`; empty if there is none.
    pub kernel_symbols: Vec<u8>,
    /// Files whose symbols could not be read.
    pub broken_files: u64,
}

impl Meta {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// The name of the event with this type and `config`: a line `name,type,config` of `event_type_info`.
    pub fn event_name(&self, kind: u32, config: u64) -> Option<&str> {
        self.get("event_type_info")?.lines().find_map(|line| {
            let mut words = line.rsplitn(3, ',');
            let (known_config, known_kind, name) = (words.next()?, words.next()?, words.next()?);
            (known_kind.parse() == Ok(kind) && known_config.parse() == Ok(config)).then_some(name)
        })
    }

    /// Reads the body of a record with a copy of `/proc/kallsyms`: size, text.
    pub fn add_kernel_symbols(&mut self, body: &[u8], order: ByteOrder) {
        let mut fields = Fields::new(body, order);
        if let Some(text) = fields.u32().and_then(|size| fields.bytes(size as usize)) {
            self.kernel_symbols.extend_from_slice(text);
        }
    }

    /// Reads strings that end with zero bytes, by turns key and value.
    pub(super) fn add_pairs(&mut self, bytes: &[u8]) {
        let mut texts = bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
            self.pairs.push((key, value));
        }
    }

    /// Reads the section of Android 12 and before: `file_struct` after its size.
    pub(super) fn add_files(&mut self, bytes: &[u8], order: ByteOrder) {
        self.each_file(bytes, order, |bytes| old_file(bytes, order));
    }

    /// Reads the section of Android 13 on: a message of protocol buffers after its size.
    pub(super) fn add_files_2(&mut self, bytes: &[u8], order: ByteOrder) {
        self.each_file(bytes, order, new_file);
    }

    fn each_file(&mut self, bytes: &[u8], order: ByteOrder, read: impl Fn(&[u8]) -> Option<SymbolFile>) {
        let mut fields = Fields::new(bytes, order);
        while let Some(size) = fields.u32() {
            let Some(bytes) = fields.bytes(size as usize) else { break };
            match read(bytes) {
                Some(file) => self.files.push(file),
                None => self.broken_files += 1,
            }
        }
        self.broken_files += u64::from(!fields.rest().is_empty());
    }
}

fn file_kind(number: u32) -> FileKind {
    match number {
        0 => FileKind::Kernel,
        1 => FileKind::KernelModule,
        2 => FileKind::Elf,
        3 => FileKind::Dex,
        4 => FileKind::SymbolMap,
        _ => FileKind::Unknown,
    }
}

fn old_file(bytes: &[u8], order: ByteOrder) -> Option<SymbolFile> {
    let mut rest = bytes;
    let text = |from: &mut &[u8]| {
        let end = from.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(&from[..end]).into_owned();
        *from = &from[end + 1..];
        Some(text)
    };
    let path = text(&mut rest)?;
    let mut fields = Fields::new(rest, order);
    let kind = file_kind(fields.u32()?);
    let min_address = fields.u64()?;
    let count = fields.u32()?;
    let mut symbols = Vec::new();
    for _ in 0..count {
        let (address, size) = (fields.u64()?, fields.u32()?);
        let mut rest = fields.rest();
        let name = text(&mut rest)?;
        fields = Fields::new(rest, order);
        symbols.push((address, size, name));
    }
    if kind == FileKind::Dex {
        let count = fields.u32()?;
        fields.words(u64::from(count))?;
    }
    // Older ones do not have it, and mean 0.
    let offset_of_min_address = if kind == FileKind::Elf { fields.u64().unwrap_or(0) } else { 0 };
    Some(SymbolFile { path, kind, min_address, offset_of_min_address, symbols })
}

/// `message FileFeature` of record_file.proto: path 1, type 2, lowest address 3, symbols 4 (address 1, size 2, name 3), and of an
/// ELF file (6) or a module (7) where that address is, 1.
fn new_file(message: &[u8]) -> Option<SymbolFile> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut file = SymbolFile {
        path: String::new(),
        kind: FileKind::Kernel,
        min_address: 0,
        offset_of_min_address: 0,
        symbols: Vec::new(),
    };
    for field in protobuf::Fields::new(message) {
        match field.ok()? {
            (1, value) => file.path = text(value.bytes()),
            (2, value) => file.kind = file_kind(u32::try_from(value.number()).ok()?),
            (3, value) => file.min_address = value.number(),
            (4, value) => {
                let mut symbol = (0, 0, String::new());
                for field in protobuf::Fields::new(value.bytes()) {
                    match field.ok()? {
                        (1, value) => symbol.0 = value.number(),
                        (2, value) => symbol.1 = u32::try_from(value.number()).ok()?,
                        (3, value) => symbol.2 = text(value.bytes()),
                        _ => {}
                    }
                }
                file.symbols.push(symbol);
            }
            (6 | 7, value) => {
                for field in protobuf::Fields::new(value.bytes()) {
                    if let (1, value) = field.ok()? {
                        file.offset_of_min_address = value.number();
                    }
                }
            }
            _ => {}
        }
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::protobuf::Message;

    #[test]
    fn events_have_the_names_of_the_list() {
        let mut meta = Meta::default();
        meta.add_pairs(b"simpleperf_version\x001.2\0event_type_info\0cpu-clock,1,0\nsched:sched_switch,2,45\0");
        assert_eq!((meta.event_name(2, 45), meta.event_name(1, 1)), (Some("sched:sched_switch"), None));
        assert_eq!(meta.get("simpleperf_version"), Some("1.2"));
    }

    #[test]
    fn symbols_of_both_forms_are_read() {
        let file = SymbolFile {
            path: "/system/lib64/libc.so".into(),
            kind: FileKind::Elf,
            min_address: 0x1000,
            offset_of_min_address: 0x800,
            symbols: vec![(0x1010, 16, "open".into()), (0x1020, 0, "read".into())],
        };
        let mut old = b"/system/lib64/libc.so\0".to_vec();
        old.extend(2u32.to_ne_bytes());
        old.extend(0x1000u64.to_ne_bytes());
        old.extend(2u32.to_ne_bytes());
        for (address, size, name) in &file.symbols {
            old.extend(address.to_ne_bytes());
            old.extend(size.to_ne_bytes());
            old.extend(name.bytes().chain([0]));
        }
        old.extend(0x800u64.to_ne_bytes());
        let mut new = Message::default();
        new.bytes(1, file.path.as_bytes());
        new.number(2, 2);
        new.number(3, 0x1000);
        for (address, size, name) in &file.symbols {
            let mut symbol = Message::default();
            symbol.number(1, *address);
            symbol.number(2, u64::from(*size));
            symbol.bytes(3, name.as_bytes());
            new.bytes(4, symbol.as_bytes());
        }
        let mut elf = Message::default();
        elf.number(1, 0x800);
        new.bytes(6, elf.as_bytes());
        let sized = |bytes: &[u8]| [&(bytes.len() as u32).to_ne_bytes()[..], bytes].concat();
        let (old, new) = (sized(&old), sized(new.as_bytes()));
        let mut meta = Meta::default();
        meta.add_files(&old, ByteOrder::Native);
        meta.add_files_2(&new, ByteOrder::Native);
        assert_eq!((meta.files.as_slice(), meta.broken_files), (&[file.clone(), file][..], 0));
        let mut broken = Meta::default();
        for length in 1..old.len() {
            broken.add_files(&old[..length], ByteOrder::Native);
            broken.add_files_2(&new[..length.min(new.len() - 1)], ByteOrder::Native);
        }
        assert!(broken.files.is_empty() && broken.broken_files > 0);
    }
}
