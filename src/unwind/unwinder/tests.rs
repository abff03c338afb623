//! Row by row over whole libraries: what the fast walk makes of a row, what the slow one makes of it, and what the row says, read
//! here by gimli alone and evaluated anew.

use std::sync::Arc;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gimli::{
    BaseAddresses, CfaRule, EhFrame, LittleEndian, Operation, Register, RegisterRule, UnwindSection, UnwindTableRow,
};
use object::{Object, ObjectSection};

use super::*;
use crate::model::ImageId;

/// Where the file's first byte is mapped.
const BASE: u64 = 0x2000_0000;
/// Where the stack is, and how large: some functions have a MiB of it.
const STACK: u64 = 0x4000_0000;
const STACK_BYTES: u64 = 4 << 20;

/// The caller, as far as the three must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    At { ip: u64, sp: u64, fp: Option<u64> },
    Root,
    NotThere(u64),
    Senseless,
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// What the words of the stack hold: each another address of it, so that whatever is read leads on, and tells where it was.
fn stack_bytes(word: u64) -> Vec<u8> {
    let count = STACK_BYTES / word;
    let place = |row: u64| STACK + (row.wrapping_mul(0x9e37_79b1) % count) * word;
    (0..count).flat_map(|row| place(row).to_le_bytes().into_iter().take(word as usize)).collect()
}

fn registers(processor: Processor, ip: u64, random: &mut Random) -> Registers {
    let word = processor.word();
    // All point into the lower half of the stack, and the frame pointer not below the stack pointer.
    let sp = STACK + random.below(STACK_BYTES / 8) / word * word;
    let mut registers = Registers::new(processor, ip, sp);
    let count = if processor == Processor::X86_64 { 16 } else { 32 };
    for number in (0..count).filter(|number| *number != processor.sp()) {
        registers.set(number, Some(sp + random.below(STACK_BYTES / 8) / word * word));
    }
    registers
}

/// The row, evaluated without any code of `row` and `rule`; nothing if it has an operation that is not known here.
struct Said<'s, Section> {
    section: &'s Section,
    encoding: gimli::Encoding,
    ra: Register,
    registers: &'s Registers,
    stack: &'s [u8],
}

type Bytes<'a> = gimli::EndianSlice<'a, LittleEndian>;

/// No answer: it cannot be read there, or the operation is not known here.
enum No {
    NotThere(u64),
    Unknown,
}

impl<'s, Section: UnwindSection<Bytes<'s>>> Said<'s, Section> {
    fn register(&self, register: Register) -> Result<u64, No> {
        if register == self.ra && self.registers.processor.lr().is_none() {
            return Ok(self.registers.ip);
        }
        self.registers.get(register.0).ok_or(No::Unknown)
    }

    fn word(&self, address: u64) -> Result<u64, No> {
        let size = self.registers.processor.word() as usize;
        let at = usize::try_from(address.wrapping_sub(STACK)).map_err(|_| No::NotThere(address))?;
        let bytes = self.stack.get(at..at.saturating_add(size)).ok_or(No::NotThere(address))?;
        let mut word = [0; 8];
        word[..size].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(word))
    }

    fn expression(&self, expression: &gimli::UnwindExpression<usize>, cfa: Option<u64>) -> Result<u64, No> {
        let expression = expression.get(self.section).map_err(|_| No::Unknown)?;
        let mut operations = expression.operations(self.encoding);
        let mut values: Vec<u64> = cfa.into_iter().collect();
        while let Some(operation) = operations.next().map_err(|_| No::Unknown)? {
            let mut pop = || values.pop().ok_or(No::Unknown);
            let value = match operation {
                Operation::RegisterOffset { register, offset, .. } => {
                    self.register(register)?.wrapping_add_signed(offset)
                }
                Operation::Deref { space: false, .. } => self.word(pop()?)?,
                Operation::PlusConstant { value } => pop()?.wrapping_add(value),
                Operation::UnsignedConstant { value } => value,
                Operation::SignedConstant { value } => value as u64,
                Operation::And => pop()? & pop()?,
                Operation::Plus => pop()?.wrapping_add(pop()?),
                Operation::Shl => {
                    let by = pop()?;
                    pop()?.wrapping_shl(by as u32)
                }
                Operation::Ge => {
                    let right = pop()? as i64;
                    u64::from(pop()? as i64 >= right)
                }
                Operation::Nop => continue,
                _ => return Err(No::Unknown),
            };
            values.push(value);
        }
        values.pop().ok_or(No::Unknown)
    }

    fn saved(&self, register: Register, rule: &RegisterRule<usize>, cfa: u64) -> Result<Option<u64>, No> {
        Ok(Some(match rule {
            RegisterRule::Undefined => return Ok(None),
            RegisterRule::SameValue => self.register(register)?,
            RegisterRule::Offset(offset) => {
                let at = cfa.wrapping_add_signed(*offset);
                // What is below the stack pointer has been taken from there already.
                if at < self.registers.sp() && register != self.ra { self.register(register)? } else { self.word(at)? }
            }
            RegisterRule::ValOffset(offset) => cfa.wrapping_add_signed(*offset),
            RegisterRule::Register(other) => self.register(*other)?,
            RegisterRule::Expression(expression) => self.word(self.expression(expression, Some(cfa))?)?,
            RegisterRule::ValExpression(expression) => self.expression(expression, Some(cfa))?,
            _ => return Err(No::Unknown),
        }))
    }

    fn caller(&self, row: &UnwindTableRow<usize>) -> Result<Caller, No> {
        let processor = self.registers.processor;
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => self.register(*register)?.wrapping_add_signed(*offset),
            CfaRule::Expression(expression) => self.expression(expression, None)?,
        };
        let get = |number: u16, otherwise: u64| match row.register(Register(number)) {
            Some(rule) => self.saved(Register(number), &rule, cfa),
            None => Ok(Some(otherwise)),
        };
        let ip = match row.register(self.ra) {
            Some(rule) => self.saved(self.ra, &rule, cfa)?,
            // Still where the call, or the function's first instructions, put it.
            None => Some(self.register(self.ra)?),
        };
        let Some(ip) = ip else { return Ok(Caller::Root) };
        let sp = get(processor.sp(), cfa)?.ok_or(No::Unknown)?;
        let fp = get(processor.fp(), self.registers.get(processor.fp()).ok_or(No::Unknown)?)?;
        Ok(Caller::At { ip, sp, fp })
    }
}

fn caller_of(found: Result<Frame, Stop>) -> Caller {
    match found {
        Ok(frame) => {
            let ip = match frame.address {
                CodeAddress::Ip(ip) => ip,
                CodeAddress::Return(address) => address.get(),
            };
            Caller::At { ip, sp: frame.sp, fp: Some(frame.fp) }
        }
        Err(Stop::End(StackEnd::Root)) => Caller::Root,
        Err(Stop::Memory(address)) => Caller::NotThere(address),
        Err(_) => Caller::Senseless,
    }
}

fn agree(found: Caller, said: Caller) -> bool {
    match (found, said) {
        // Which one is wanted first is not said.
        (Caller::NotThere(_), Caller::NotThere(_)) => true,
        // Of a frame pointer that nobody needs it does not matter what it is.
        (Caller::At { ip, sp, .. }, Caller::At { ip: said_ip, sp: said_sp, fp: None }) => {
            (ip, sp) == (said_ip, said_sp)
        }
        (found, said) => found == said,
    }
}

/// What was compared.
#[derive(Debug, Default)]
struct Account {
    kinds: BTreeMap<&'static str, u64>,
    rows: u64,
    not_judged: u64,
    differences: Vec<String>,
}

fn kind(rule: Rule) -> &'static str {
    match rule {
        Rule::NoInfo => "NoInfo",
        Rule::Root => "Root",
        Rule::Offset { .. } => "Offset",
        Rule::Far { .. } => "Far",
        Rule::Deref { .. } => "Deref",
        Rule::Plt { .. } => "Plt",
        Rule::Go { .. } => "Go",
        Rule::Row => "Row",
        Rule::Signal => "Signal",
        Rule::SignalCode => "SignalCode",
    }
}

/// Compares all rows of every `stride`th entry of a file.
fn compare(path: &Path, stride: usize, account: &mut Account) -> Option<()> {
    let bytes = std::fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let (data, address_size, processor, vendor) = match file.architecture() {
        object::Architecture::X86_64 => (file.section_by_name(".eh_frame")?, 8, Processor::X86_64, false),
        object::Architecture::I386 => (file.section_by_name(".eh_frame")?, 4, Processor::X86, false),
        object::Architecture::Aarch64 => (file.section_by_name(".eh_frame")?, 8, Processor::Aarch64, true),
        _ => return None,
    };
    let text = file.section_by_name(".text").map_or(0, |text| text.address());
    let bases = BaseAddresses::default().set_eh_frame(data.address()).set_text(text);
    let mut section = EhFrame::new(data.data().ok()?, LittleEndian);
    section.set_address_size(address_size);
    if vendor {
        section.set_vendor(gimli::Vendor::AArch64);
    }

    let image = Arc::new(ElfImage::open(path).ok()?);
    let space = AddressSpace::default();
    let images = Images::default();
    let stack_bytes = stack_bytes(processor.word());
    let stack = StackBytes { start: STACK, bytes: &stack_bytes, full: true, ..StackBytes::default() };
    let mut unwinder = Unwinder::default();
    let mut context = UnwindContext::new();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut entries = section.entries(&bases);
    let mut number = 0;
    while let Some(entry) = entries.next().ok()? {
        let gimli::CieOrFde::Fde(entry) = entry else { continue };
        number += 1;
        if number % stride != 0 {
            continue;
        }
        let entry = entry.parse(EhFrame::cie_from_offset).ok()?;
        let mut rows = entry.rows(&section, &bases, &mut context).ok()?;
        while let Ok(Some(row)) = rows.next_row() {
            let (start, end) = (row.start_address(), row.end_address().min(entry.end_address()));
            if start >= end {
                continue;
            }
            account.rows += 1;
            for svma in [start, start + random.below(end - start), end - 1] {
                let Some(offset) = image.offset_of_svma(svma) else { continue };
                let ip = BASE + offset;
                let registers = registers(processor, ip, &mut random);
                let ra = entry.cie().return_address_register();
                let encoding = entry.cie().encoding();
                let said = Said { section: &section, encoding, ra, registers: &registers, stack: &stack_bytes };
                let said = match said.caller(row) {
                    Ok(caller) => caller,
                    Err(No::NotThere(address)) => Caller::NotThere(address),
                    Err(No::Unknown) => {
                        account.not_judged += 1;
                        continue;
                    }
                };
                let mapping = Mapping { start: BASE, end: BASE + bytes.len() as u64, offset: 0, image: ImageId(1) };
                let at = At { mapping, image: Some(&image) };
                let mut walk = unwinder.walker(at, (&space, &images), &stack, processor);
                let here = Frame {
                    address: CodeAddress::Ip(ip),
                    sp: registers.sp(),
                    fp: registers.get(processor.fp()).unwrap(),
                    lr: processor.lr().and_then(|lr| registers.get(lr)),
                    by: FoundBy::Sample,
                };
                let rule = walk.rule(ImageId(1), offset, here.address);
                *account.kinds.entry(kind(rule)).or_default() += 1;
                let slow = caller_of(walk.by_row(&here, ImageId(1), offset, &mut Some(registers)));
                let fast = match rule {
                    Rule::Row | Rule::Signal => slow,
                    Rule::Root => Caller::Root,
                    rule => caller_of(walk.by_rule(&here, rule)),
                };
                if !agree(fast, said) || !agree(slow, said) {
                    let difference =
                        format!("{}+{svma:x}: {rule:?}: {fast:x?}, {slow:x?}, {said:x?}: {row:x?}", path.display());
                    account.differences.push(difference);
                }
            }
        }
    }
    Some(())
}

/// The machine's libraries, and every how many of their entries are looked at.
fn libraries() -> Vec<(PathBuf, usize)> {
    let mut libraries = vec![(std::env::current_exe().unwrap(), 1)];
    let mut add = |path: &str, stride| {
        if Path::new(path).exists() {
            libraries.push((path.into(), stride));
        } else {
            crate::skip::here(&format!("no {path}"));
        }
    };
    for name in ["libc.so.6", "libcrypto.so.3", "libstdc++.so.6", "libm.so.6"] {
        add(&format!("/usr/lib/x86_64-linux-gnu/{name}"), 1);
    }
    add("/lib64/ld-linux-x86-64.so.2", 1);
    add("/usr/bin/python3.11", 1);
    for (path, stride) in [
        ("/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", 40),
        ("/lib32/libc.so.6", 1),
        ("/lib/ld-linux.so.2", 1),
        ("/usr/aarch64-linux-gnu/lib/libc.so.6", 1),
        ("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1", 1),
    ] {
        add(path, stride);
    }
    // What this was compiled by: made by LLVM, and linked by lld.
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let sysroot = std::process::Command::new(compiler).args(["--print", "sysroot"]).output().unwrap().stdout;
    let folder = Path::new(String::from_utf8(sysroot).unwrap().trim()).join("lib");
    for file in folder.read_dir().into_iter().flatten().flatten() {
        let is_elf = || std::fs::read(file.path()).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
        if file.file_name().as_encoded_bytes().windows(3).any(|part| part == b".so") && is_elf() {
            libraries.push((file.path(), 400));
        }
    }
    libraries
}

#[test]
fn rule_row_and_gimli_agree_row_by_row() {
    // All of them takes a minute where nothing is optimized.
    let factor = if cfg!(debug_assertions) { 8 } else { 1 };
    let mut all = Account::default();
    for (path, stride) in libraries() {
        let stride = stride * factor;
        let mut account = Account::default();
        assert!(compare(&path, stride, &mut account).is_some(), "{} cannot be read", path.display());
        println!(
            "{} (1 in {stride}): {} rows, {:?}, not judged {}, {} differences",
            path.display(),
            account.rows,
            account.kinds,
            account.not_judged,
            account.differences.len()
        );
        account.differences.iter().take(5).for_each(|difference| println!("  {difference}"));
        all.rows += account.rows;
        all.not_judged += account.not_judged;
        account.kinds.iter().for_each(|(kind, count)| *all.kinds.entry(kind).or_default() += count);
        all.differences.append(&mut account.differences);
    }
    println!(
        "{} rows, {:?}, not judged {}, {} differences",
        all.rows,
        all.kinds,
        all.not_judged,
        all.differences.len()
    );
    let judged: u64 = all.kinds.values().sum();
    let slow = all.kinds.get("Row").copied().unwrap_or(0);
    assert!(all.rows > 10_000 && all.not_judged * 1000 < judged);
    assert!(slow * 200 < judged, "of {judged} places {slow} go the slow way");
    assert!(all.differences.is_empty(), "{}", all.differences[0]);
}
