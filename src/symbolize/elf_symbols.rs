//! Names out of symbol tables, `.symtab` and `.dynsym`.
//!
//! A table may have a million rows, and a profile asks about few addresses. So the table is not sorted: one pass over it
//! looks each symbol up among the addresses, which are sorted, and only the names of the winners are read.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader, SectionTable, Sym, SymbolTable};

/// The symbols that were found.
#[derive(Debug)]
pub(super) struct Symbols<'a> {
    /// The name for each address, in their order.
    pub names: Vec<Option<&'a [u8]>>,
    /// For each name of a symbol without a size, where it begins: it may have ended long before the address.
    pub unsized_starts: Vec<Option<u64>>,
    /// Whether the file has any symbol of code at all.
    pub any: bool,
}

/// Finds the symbols that cover addresses, which are sorted and as the files state them, in all files of one program.
///
/// A symbol with a size is believed before one without; of several, that of the first file.
pub(super) fn find<'a>(files: &[&'a [u8]], svmas: &[u64]) -> Symbols<'a> {
    let mut best: Vec<Option<Named>> = vec![None; svmas.len()];
    let mut any = false;
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        for data in files {
            if best.iter().all(|best| best.as_ref().is_some_and(|best| best.is_sized)) && !best.is_empty() {
                break;
            }
            any |= match data.get(4) {
                Some(1) => find_as::<elf::FileHeader32<Endianness>>(data, kind, svmas, &mut best),
                Some(2) => find_as::<elf::FileHeader64<Endianness>>(data, kind, svmas, &mut best),
                _ => None,
            }
            .unwrap_or(false);
        }
    }
    let unsized_starts = best.iter().map(|best| best.as_ref().filter(|best| !best.is_sized).map(|best| best.start));
    Symbols {
        unsized_starts: unsized_starts.collect(),
        names: best.iter().map(|best| best.as_ref().map(|best| best.name)).collect(),
        any,
    }
}

/// A symbol that is believed until a better one is found.
#[derive(Clone, Debug)]
struct Named<'a> {
    name: &'a [u8],
    start: u64,
    is_sized: bool,
}

/// The address that the file states for the first symbol of this name.
pub(super) fn value_of(data: &[u8], name: &[u8]) -> Option<u64> {
    match data.get(4) {
        Some(1) => value_of_as::<elf::FileHeader32<Endianness>>(data, name),
        Some(2) => value_of_as::<elf::FileHeader64<Endianness>>(data, name),
        _ => None,
    }
}

fn value_of_as<Elf: FileHeader<Endian = Endianness>>(data: &[u8], name: &[u8]) -> Option<u64> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let table = sections.symbols(endian, data, elf::SHT_SYMTAB).ok()?;
    let strings = sections.section(table.string_section()).ok()?.data(endian, data).ok()?;
    let is_named = |symbol: &&Elf::Sym| {
        let rest = strings.get(symbol.st_name(endian) as usize..).unwrap_or_default();
        rest.starts_with(name) && rest.get(name.len()) == Some(&0)
    };
    table.iter().find(is_named).map(|symbol| symbol.st_value(endian).into())
}

fn find_as<'a, Elf: FileHeader<Endian = Endianness>>(
    data: &'a [u8],
    kind: elf::SectionType,
    svmas: &[u64],
    best: &mut [Option<Named<'a>>],
) -> Option<bool> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let table = sections.symbols(endian, data, kind).ok()?;
    let strings = sections.section(table.string_section()).ok().and_then(|section| section.data(endian, data).ok());
    let mut pass = Pass::new(svmas, strings.unwrap_or_default(), header.e_machine(endian));
    let any = pass.look_through(endian, &sections, &table);
    for (best, winner) in best.iter_mut().zip(pass.winners()) {
        let Some(winner) = winner else { continue };
        let is_sized = winner.size > 0;
        let is_better = best.as_ref().is_none_or(|best| match (best.is_sized, is_sized) {
            (true, _) => false,
            (false, true) => true,
            // One of them ends where the other begins.
            (false, false) => winner.start > best.start,
        });
        if is_better && let Some(name) = pass.name_of(&winner).filter(|name| !name.is_empty()) {
            *best = Some(Named { name, start: winner.start, is_sized });
        }
    }
    Some(any)
}

/// A symbol that may name an address.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    start: u64,
    size: u64,
    /// One past the last address of its section.
    section_end: u64,
    /// Where in the string table its name is.
    name: u32,
    kind: Kind,
}

/// In what the better one of two symbols for the same address is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    is_function: bool,
    /// Global or weak.
    is_visible: bool,
}

/// Most times that a symbol is compared for an address it covers; real symbols cover each address once or twice.
const MOST_COMPARISONS: usize = 16 << 20;

struct Pass<'s, 'a> {
    svmas: &'s [u64],
    strings: &'a [u8],
    /// For each address, the best symbol that covers it.
    covering: Vec<Option<Candidate>>,
    /// For each address, the last symbol at or before it, if that is after the address before.
    nearest: Vec<Option<Candidate>>,
    comparisons: usize,
    machine: elf::Machine,
}

impl<'s, 'a> Pass<'s, 'a> {
    fn new(svmas: &'s [u64], strings: &'a [u8], machine: elf::Machine) -> Pass<'s, 'a> {
        let none = vec![None; svmas.len()];
        Pass { svmas, strings, covering: none.clone(), nearest: none, comparisons: 0, machine }
    }

    /// Says whether there was any symbol of code.
    fn look_through<Elf: FileHeader<Endian = Endianness>>(
        &mut self,
        endian: Endianness,
        sections: &SectionTable<'a, Elf>,
        table: &SymbolTable<'a, Elf>,
    ) -> bool {
        // The lowest bit says that a function is of Thumb instructions, and is no part of its address (ELF for the Arm
        // Architecture, "Symbol Values"; IFUNCs too).
        let thumb = u64::from(self.machine == elf::EM_ARM);
        let ends: Vec<Option<u64>> = sections.iter().map(|section| end_of_code(endian, section)).collect();
        let mut any = false;
        for (index, symbol) in table.enumerate() {
            let is_function = match symbol.st_type() {
                elf::STT_FUNC | elf::STT_GNU_IFUNC => true,
                elf::STT_NOTYPE => false,
                _ => continue,
            };
            let section = match symbol.st_shndx(endian) {
                elf::SHN_XINDEX => table.shndx(endian, index).unwrap_or(0) as usize,
                section => usize::from(section.0),
            };
            // Neither undefined symbols, nor absolute ones, nor labels of data name code.
            let Some(section_end) = ends.get(section).copied().flatten() else { continue };
            let start: u64 = symbol.st_value(endian).into();
            if !is_function && self.is_mapping_symbol(symbol.st_name(endian)) {
                continue;
            }
            any = true;
            self.offer(Candidate {
                start: if is_function { start & !thumb } else { start },
                size: symbol.st_size(endian).into(),
                section_end,
                name: symbol.st_name(endian),
                kind: Kind { is_function, is_visible: symbol.st_bind() != elf::STB_LOCAL },
            });
        }
        any
    }

    /// `$x`, `$d`, `$a.1` and the like, which say what bytes are and not whose (ELF for the Arm 64-bit Architecture, "Mapping
    /// symbols"; RISC-V has them too).
    fn is_mapping_symbol(&self, name: u32) -> bool {
        if ![elf::EM_ARM, elf::EM_AARCH64, elf::EM_RISCV].contains(&self.machine) {
            return false;
        }
        let rest = self.strings.get(name as usize..).unwrap_or_default();
        matches!(rest, [b'$', b'a' | b't' | b'd' | b'x', ..])
    }

    fn offer(&mut self, candidate: Candidate) {
        let first = self.svmas.partition_point(|svma| *svma < candidate.start);
        if first == self.svmas.len() {
            return;
        }
        if self.nearest[first].is_none_or(|known| self.is_better(&candidate, &known)) {
            self.nearest[first] = Some(candidate);
        }
        let end = candidate.start.saturating_add(candidate.size);
        for at in first..self.svmas.len() {
            if self.svmas[at] >= end || self.comparisons >= MOST_COMPARISONS {
                break;
            }
            self.comparisons += 1;
            if self.covering[at].is_none_or(|known| self.is_better(&candidate, &known)) {
                self.covering[at] = Some(candidate);
            }
        }
    }

    /// The one that begins later, as it is the inner one; of two aliases a function, then a visible one, then the plainer
    /// name (`write` rather than `__write`), then the first of the table.
    fn is_better(&self, new: &Candidate, known: &Candidate) -> bool {
        let order = |candidate: &Candidate| (candidate.start, candidate.kind);
        order(new).cmp(&order(known)).then_with(|| self.underscores(known).cmp(&self.underscores(new))).is_gt()
    }

    /// Smaller is plainer. In the vdso the name with the mark is the plain one: `time` calling `time` would puzzle.
    fn underscores(&self, candidate: &Candidate) -> usize {
        let name = self.strings.get(candidate.name as usize..).unwrap_or_default();
        if name.starts_with(b"__vdso_") {
            return 0;
        }
        1 + name.iter().take(8).take_while(|byte| **byte == b'_').count()
    }

    fn winners(&self) -> Vec<Option<Candidate>> {
        let mut before = None;
        let svmas = self.svmas.iter().zip(self.covering.iter().zip(&self.nearest));
        svmas
            .map(|(svma, (covering, nearest))| {
                before = nearest.or(before);
                // A symbol without a size ends where the next symbol begins, or its section ends.
                covering.or_else(|| before.filter(|symbol: &Candidate| symbol.size == 0 && *svma < symbol.section_end))
            })
            .collect()
    }

    fn name_of(&self, candidate: &Candidate) -> Option<&'a [u8]> {
        /// Longer than any name that a compiler makes.
        const MOST_NAME: usize = 64 << 10;
        let name = self.strings.get(candidate.name as usize..)?;
        let name = &name[..name.len().min(MOST_NAME)];
        name.split(|byte| *byte == 0).next()
    }
}

fn end_of_code<Section: SectionHeader<Endian = Endianness>>(endian: Endianness, section: &Section) -> Option<u64> {
    if !section.sh_flags(endian).contains(elf::SHF_EXECINSTR) {
        return None;
    }
    section.sh_addr(endian).into().checked_add(section.sh_size(endian).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: Kind = Kind { is_function: true, is_visible: true };
    const LOCAL: Kind = Kind { is_function: true, is_visible: false };
    const LABEL: Kind = Kind { is_function: false, is_visible: true };

    /// Symbols as (name, start, size, kind), in a section that ends at 1000.
    fn check(symbols: &[(&str, u64, u64, Kind)], expected: &[(u64, Option<&str>)]) {
        let svmas: Vec<u64> = expected.iter().map(|(svma, _)| *svma).collect();
        let mut strings = Vec::new();
        let mut candidates = Vec::new();
        for (name, start, size, kind) in symbols {
            let (start, size, kind) = (*start, *size, *kind);
            candidates.push(Candidate { start, size, section_end: 1000, name: strings.len() as u32, kind });
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        for reversed in [false, true] {
            let mut pass = Pass::new(&svmas, &strings, elf::EM_X86_64);
            candidates.iter().for_each(|candidate| pass.offer(*candidate));
            let names = pass.winners().into_iter().map(|winner| pass.name_of(&winner?));
            let names: Vec<_> = names.map(|name| name.map(|name| std::str::from_utf8(name).unwrap())).collect();
            let wanted: Vec<_> = expected.iter().map(|(_, name)| *name).collect();
            assert_eq!(names, wanted, "reversed: {reversed}");
            candidates.reverse();
        }
    }

    #[test]
    fn gap_between_sized_symbols_has_no_name() {
        check(
            &[("a", 100, 50, FUNCTION), ("b", 200, 50, LOCAL)],
            &[
                (99, None),
                (100, Some("a")),
                (149, Some("a")),
                (150, None),
                (200, Some("b")),
                (249, Some("b")),
                (250, None),
            ],
        );
    }

    #[test]
    fn symbol_without_size_ends_at_the_next() {
        check(
            &[("start", 100, 0, LABEL), ("next", 200, 10, FUNCTION), ("last", 300, 0, FUNCTION)],
            &[
                (150, Some("start")),
                (199, Some("start")),
                (205, Some("next")),
                (250, None),
                (999, Some("last")),
                (1000, None),
            ],
        );
    }

    #[test]
    fn inner_symbol_wins_and_label_does_not_cut() {
        check(
            &[("outer", 100, 100, FUNCTION), ("inner", 120, 10, FUNCTION), ("label", 150, 0, LABEL)],
            &[(110, Some("outer")), (125, Some("inner")), (140, Some("outer")), (160, Some("outer"))],
        );
    }

    #[test]
    fn plain_visible_function_is_the_better_alias() {
        check(
            &[
                ("__write", 10, 10, FUNCTION),
                ("write", 10, 10, FUNCTION),
                ("local_write", 10, 10, LOCAL),
                ("l", 10, 10, LABEL),
            ],
            &[(10, Some("write")), (19, Some("write"))],
        );
    }
}
