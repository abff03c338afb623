//! Names of the stubs through which a program calls what other files have: `memcpy@plt`.
//!
//! A stub jumps to where a slot of the global offset table points; the relocation of that slot says to which symbol. So a
//! stub is named by the slot that its instructions read, whichever linker made it:
//!
//! ```text
//! x86-64   [endbr64] [bnd] jmp *SLOT(%rip)             .plt, .plt.got, .plt.sec; GNU ld, gold, lld, mold
//!          endbr64; push $INDEX; [bnd] jmp PLT0        .plt where .plt.sec has the jumps (IBT)
//! i386     [endbr32] jmp *SLOT / jmp *OFFSET(%ebx)     the latter from the begin of .got.plt
//! aarch64  [bti c] adrp x16, PAGE; ldr x17, [x16, LOW]; ...; br x17
//! ```
//!
//! See the System V ABI of each processor, "Procedure Linkage Table", and elf(5) for relocations.

use object::elf;
use rustc_hash::FxHashMap;

use super::elf_symbols;
use crate::image::{ElfImage, Section};

/// Stubs of one file; nothing is read until an address of one is asked for.
pub(super) struct Stubs<'a> {
    image: &'a ElfImage,
    sections: Vec<Section>,
    slots: Option<Slots<'a>>,
}

/// What slots are relocated to.
struct Slots<'a> {
    by_address: FxHashMap<u64, Target>,
    /// By position in `.rela.plt`.
    by_index: Vec<Target>,
    /// The names of the `.dynsym` that relocations refer to.
    symbols: &'a [u8],
    strings: &'a [u8],
    /// Names of functions that choose.
    choosers: FxHashMap<u64, Option<&'a [u8]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A row of `.dynsym`.
    Symbol(u32),
    /// What the function at this address chooses when the program starts (IFUNC).
    ChosenBy(u64),
}

/// Longest name that is taken over.
const MOST_NAME: usize = 64 << 10;
/// Most functions that choose whose names are looked up, each by a pass over the symbols; libc has some hundred.
const MOST_CHOOSERS: usize = 1000;

impl<'a> Stubs<'a> {
    /// Of a file; those of other processors, and of files without section headers, are not known.
    pub fn of(image: &'a ElfImage) -> Stubs<'a> {
        let names = [".plt", ".plt.sec", ".plt.got", ".plt.bnd", ".iplt"];
        let is_known = [elf::EM_X86_64, elf::EM_386, elf::EM_AARCH64].iter().any(|known| known.0 == image.machine());
        let sections = match is_known && !image.is_big_endian() {
            true => names.iter().filter_map(|name| image.section(name)).collect(),
            false => Vec::new(),
        };
        Stubs { image, sections, slots: None }
    }

    /// `name@plt` of the stub that an address is in.
    pub fn name(&mut self, svma: u64) -> Option<Vec<u8>> {
        let inside = |section: &&Section| svma.checked_sub(section.svma).is_some_and(|at| at < section.size);
        let section = *self.sections.iter().find(inside)?;
        let code = self.image.data().get(range(section.file_offset, section.size)?)?;
        let at = usize::try_from(svma - section.svma).ok()?;
        let image = self.image;
        let slots = self.slots.get_or_insert_with(|| Slots::of(image));
        let target = *match elf::Machine(image.machine()) {
            elf::EM_AARCH64 => slots.by_address.get(&slot_aarch64(code, section.svma, at)?),
            elf::EM_X86_64 => slots.of_x86(code, at, |jump, operand| match jump {
                Jump::Memory => section.svma.checked_add(operand.end as u64)?.checked_add_signed(operand.value.into()),
                Jump::Got => None,
            }),
            _ => {
                let got = [".got.plt", ".got"].iter().find_map(|name| image.section(name)).map(|section| section.svma);
                slots.of_x86(code, at, |jump, operand| match jump {
                    Jump::Memory => Some(u64::from(operand.value as u32)),
                    Jump::Got => Some(u64::from((got? as u32).wrapping_add(operand.value as u32))),
                })
            }
        }?;
        let mut name = slots.name_of(image, target)?.to_vec();
        name.extend_from_slice(b"@plt");
        Some(name)
    }
}

/// How a jump of x86 says where it reads its target.
#[derive(Clone, Copy)]
enum Jump {
    /// At an address: relative to the next instruction (x86-64), or absolute (i386).
    Memory,
    /// So far from the begin of the table of slots (i386, `%ebx`).
    Got,
}

struct Operand {
    value: i32,
    /// Where in the section the next instruction begins.
    end: usize,
}

impl<'a> Slots<'a> {
    fn of(image: &'a ElfImage) -> Slots<'a> {
        let contents = |name: &str| {
            let section = image.section(name).filter(|section| !section.compressed)?;
            image.data().get(range(section.file_offset, section.size)?)
        };
        let mut slots = Slots {
            by_address: FxHashMap::default(),
            by_index: Vec::new(),
            symbols: contents(".dynsym").unwrap_or_default(),
            strings: contents(".dynstr").unwrap_or_default(),
            choosers: FxHashMap::default(),
        };
        // What i386 adds stands in the slot itself.
        let (plt, dynamic, with_addend) = match image.is_64() {
            true => ([".rela.plt", ".rela.iplt"], ".rela.dyn", true),
            false => ([".rel.plt", ".rel.iplt"], ".rel.dyn", false),
        };
        let entry = if with_addend { 24 } else { 8 };
        for name in plt.into_iter().chain([dynamic]) {
            let entries = contents(name).unwrap_or_default().chunks_exact(entry);
            for relocation in entries {
                let (address, target) = relocation_of(image, relocation);
                if name != dynamic {
                    // A relocation of another kind has its place in the order too.
                    slots.by_index.push(target.unwrap_or(Target::Symbol(0)));
                }
                if let Some(target) = target {
                    slots.by_address.entry(address).or_insert(target);
                }
            }
        }
        slots
    }

    /// What the stub of x86 that has the byte `at` jumps to. Stubs are 16 bytes long, the short ones of `.plt.got` 8.
    fn of_x86(&self, code: &[u8], at: usize, address: impl Fn(Jump, Operand) -> Option<u64>) -> Option<&Target> {
        let begin = at & !15;
        let stub = &code[begin..code.len().min(begin + 16)];
        // Two short ones, or one long one.
        let is_short = |half: usize| matches!(stub.get(half..), Some([0xff, 0x25 | 0xa3, ..]));
        let halves = at % 16 / 8 * 8;
        let (from, stub) = match is_short(0) && (is_short(8) || stub.len() == 8) {
            true => (begin + halves, stub.get(halves..halves + 8)?),
            false => (begin, stub),
        };
        let jump = (0..stub.len().saturating_sub(5)).find_map(|offset| {
            let jump = match stub[offset..] {
                [0xff, 0x25, ..] => Jump::Memory,
                [0xff, 0xa3, ..] => Jump::Got,
                _ => return None,
            };
            let value = i32::from_le_bytes(*stub[offset + 2..].first_chunk()?);
            address(jump, Operand { value, end: from + offset + 6 })
        });
        match (jump, stub) {
            (Some(slot), _) => self.by_address.get(&slot),
            // endbr64 or endbr32, and the number of its relocation, for the function that looks the symbol up.
            (None, [0xf3, 0x0f, 0x1e, 0xfa | 0xfb, 0x68, index @ ..]) => {
                self.by_index.get(u32::from_le_bytes(*index.first_chunk()?) as usize)
            }
            _ => None,
        }
    }

    fn name_of(&mut self, image: &'a ElfImage, target: Target) -> Option<&'a [u8]> {
        match target {
            Target::Symbol(0) => None,
            Target::Symbol(row) => {
                // `st_name` is the first field of both widths.
                let size = if image.is_64() { 24 } else { 16 };
                let name = u32_at(self.symbols, (row as usize).checked_mul(size)?)?;
                let name = self.strings.get(name as usize..)?;
                let end = name[..name.len().min(MOST_NAME)].iter().position(|byte| *byte == 0)?;
                Some(&name[..end]).filter(|name| !name.is_empty())
            }
            Target::ChosenBy(svma) => {
                if self.choosers.len() >= MOST_CHOOSERS {
                    return self.choosers.get(&svma).copied().flatten();
                }
                let find = || elf_symbols::find(&[image.data()], &[svma]).names[0];
                *self.choosers.entry(svma).or_insert_with(find)
            }
        }
    }
}

/// Where a relocation is, and what it puts there if that is a function's address.
fn relocation_of(image: &ElfImage, entry: &[u8]) -> (u64, Option<Target>) {
    let word = |at: usize| u64_at(entry, at).unwrap_or(0);
    let half = |at: usize| u32_at(entry, at).unwrap_or(0);
    let (address, symbol, kind, addend) = match entry.len() {
        24 => (word(0), (word(8) >> 32) as u32, word(8) as u32, Some(word(16))),
        _ => (u64::from(half(0)), half(4) >> 8, half(4) & 0xff, None),
    };
    /// `GLOB_DAT`, `JUMP_SLOT`, `IRELATIVE` of x86-64, i386 and aarch64.
    const KINDS: [(elf::Machine, u32, u32, u32); 3] =
        [(elf::EM_X86_64, 6, 7, 37), (elf::EM_386, 6, 7, 42), (elf::EM_AARCH64, 1025, 1026, 1032)];
    let kinds = KINDS.iter().find(|(machine, ..)| machine.0 == image.machine());
    let target = match kinds {
        Some((_, data, jump, _)) if kind == *data || kind == *jump => Some(Target::Symbol(symbol)),
        Some((.., chosen)) if kind == *chosen => {
            let in_slot = || {
                let offset = usize::try_from(image.offset_of_svma(address)?).ok()?;
                u32_at(image.data(), offset).map(u64::from)
            };
            addend.or_else(in_slot).map(Target::ChosenBy)
        }
        _ => None,
    };
    (address, target)
}

/// The slot that the stub of aarch64 reads which has the byte `at`; none for the first one, which is of all.
fn slot_aarch64(code: &[u8], section: u64, at: usize) -> Option<u64> {
    const BTI_C: u32 = 0xd503_245f;
    let instruction = |at: usize| u32_at(code, at);
    let is_adrp = |word: u32| word & 0x9f00_001f == 0x9000_0010;
    let here = at & !3;
    let begin = match instruction(here)? {
        BTI_C => here + 4,
        _ => (0..=5).filter_map(|back| here.checked_sub(back * 4)).find(|at| instruction(*at).is_some_and(is_adrp))?,
    };
    let (page, load) = (instruction(begin)?, instruction(begin + 4)?);
    // ldr x17, [x16, #LOW]
    if !is_adrp(page) || load & 0xffc0_03ff != 0xf940_0211 {
        return None;
    }
    let pages = i64::from(((page >> 5 & 0x7_ffff) << 2 | page >> 29 & 3) as i32) << 43 >> 31;
    let low = u64::from(load >> 10 & 0xfff) * 8;
    let pc = section.checked_add(begin as u64)? & !0xfff;
    pc.checked_add_signed(pages)?.checked_add(low)
}

fn range(offset: u64, size: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    Some(start..start.checked_add(usize::try_from(size).ok()?)?)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_aarch64_go_both_ways() {
        // bti c; adrp x16, #-0x1000; ldr x17, [x16, #0xff8]; add x16, x16, #0xff8; br x17; nop
        let words: [u32; 6] = [0xd503_245f, 0xf0ff_fff0, 0xf947_fe11, 0x913f_e210, 0xd61f_0220, 0xd503_201f];
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for at in 0..24 {
            assert_eq!(slot_aarch64(&code, 0x40_2010, at), Some(0x40_1ff8), "{at}");
        }
        assert_eq!(slot_aarch64(&code, 0x40_2010, 24), None);
        let forwards: Vec<u8> =
            [0x9000_0010u32 | 1 << 5, words[2]].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(slot_aarch64(&forwards, 0x1000, 0), Some(0x5ff8));
        assert_eq!(slot_aarch64(&forwards[..4], 0x1000, 0), None);
    }

    #[test]
    fn corrupt_files_are_survived() {
        let good = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let image = ElfImage::from_bytes(&*good).unwrap();
        let stubs = [".plt", ".plt.got", ".plt.sec"].iter().find_map(|name| image.section(name));
        let dynamic: Vec<Section> =
            [".dynsym", ".dynstr", ".rela.plt", ".rela.dyn"].iter().filter_map(|name| image.section(name)).collect();
        let (Some(stubs), false) = (stubs, dynamic.is_empty()) else {
            return crate::skip::here("this program has no stubs");
        };
        // What is read of the file ends early; its last bytes are the table of sections, which has to be moved there.
        let end = dynamic.iter().map(|section| section.file_offset + section.size).max().unwrap();
        let end = end.max(stubs.file_offset + stubs.size).next_multiple_of(64) as usize;
        let table = usize::try_from(u64_at(&good, 40).unwrap()).unwrap();
        let count = usize::from(u16::from_le_bytes([good[60], good[61]]));
        let mut small = good[..end].to_vec();
        small.extend_from_slice(&good[table..table + count * 64]);
        let names = usize::from(u16::from_le_bytes([good[62], good[63]]));
        let strings = u64_at(&good, table + names * 64 + 24).unwrap() as usize;
        let size = u64_at(&good, table + names * 64 + 32).unwrap() as usize;
        small.extend_from_slice(&good[strings..strings + size]);
        small[40..48].copy_from_slice(&(end as u64).to_le_bytes());
        let at = end + names * 64 + 24;
        small[at..at + 8].copy_from_slice(&((end + count * 64) as u64).to_le_bytes());
        let named = |bytes: Vec<u8>| {
            let Some(image) = ElfImage::from_bytes(bytes) else { return 0 };
            let mut all = Stubs::of(&image);
            (stubs.svma..stubs.svma + stubs.size).step_by(4).filter(|svma| all.name(*svma).is_some()).count()
        };
        assert!(named(small.clone()) > 0);
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..300 {
            let mut changed = small.clone();
            for _ in 0..=next(8) {
                let at = match next(3) {
                    0 => end as u64 + next((small.len() - end) as u64),
                    1 => stubs.file_offset + next(stubs.size),
                    _ => {
                        let section = dynamic[next(dynamic.len() as u64) as usize];
                        section.file_offset + next(section.size)
                    }
                };
                changed[at as usize] = if next(2) == 0 { 0xff } else { next(256) as u8 };
            }
            named(changed);
        }
    }
}
