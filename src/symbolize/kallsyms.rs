//! A list of the kernel's symbols, as `/proc/kallsyms` gives it or as it was saved: `ADDRESS TYPE NAME [MODULE]`.
//!
//! A list has some 200,000 lines and a profile asks about few addresses: one pass keeps the nearest symbol at or before
//! each of them and nothing else. There are no sizes, so a symbol is believed for as long as a function can be. See nm(1)
//! for the types.

use std::cmp::Ordering;
use std::io::Read;
use std::ops::ControlFlow;

use super::SymbolizeOptions;
use super::answers::Answers;
use super::demangle::in_module;
use super::lines::each_line;
use crate::model::Unnamed;

/// Longer than any function of the kernel. What is further behind the last symbol is code that the list does not have,
/// such as BPF programs with `net.core.bpf_jit_kallsyms=0`.
pub(super) const MOST_DISTANCE: u64 = 256 << 10;
/// Longest line: names have at most 512 bytes (`KSYM_NAME_LEN`), modules 56.
const MOST_LINE: usize = 1 << 10;
/// Most bytes read of one list; a distribution's kernel makes some ten megabytes.
const MOST_BYTES: u64 = 1 << 30;

/// Where the list's kernel was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the recorded addresses.
    Same,
    /// The recorded addresses are this much higher, wrapping around; modules were elsewhere, by an amount unknown.
    Shifted(u64),
}

/// Names addresses of the kernel, which are sorted.
pub(super) fn name(list: impl Read, place: Place, addresses: &[u64], options: &SymbolizeOptions) -> Answers {
    let shift = match place {
        Place::Same => 0,
        Place::Shifted(shift) => shift,
    };
    let mut pass = Pass { places: vec![Nearest::default(); addresses.len()], any: false };
    // Subtracting may wrap around, and what wraps comes first then.
    let mut asked: Vec<(u64, usize)> =
        addresses.iter().enumerate().map(|(index, address)| (address.wrapping_sub(shift), index)).collect();
    asked.sort_unstable();
    let sorted: Vec<u64> = asked.iter().map(|(address, _)| *address).collect();
    each_line(list.take(MOST_BYTES), MOST_LINE, |line| {
        if let Some(symbol) = parse(line).filter(|symbol| place == Place::Same || symbol.module.is_none()) {
            pass.offer(&symbol, &sorted);
        }
        ControlFlow::Continue(())
    });
    let unnamed = match (pass.any, place) {
        (false, _) => Unnamed::KernelHidden,
        (true, Place::Same) => Unnamed::NoMatch,
        (true, Place::Shifted(_)) => Unnamed::OtherKernel,
    };
    let mut answers = Answers::unnamed(addresses.len(), unnamed);
    let mut last: Option<&Nearest> = None;
    for ((address, index), nearest) in asked.iter().zip(&pass.places) {
        last = if nearest.name.is_empty() { last } else { Some(nearest) };
        let Some(nearest) = last.filter(|nearest| address - nearest.start < MOST_DISTANCE) else { continue };
        let module = || in_module(&nearest.name, &String::from_utf8_lossy(&nearest.module), options);
        let shown = (!nearest.module.is_empty()).then(module);
        answers.set_name(*index, &nearest.name, shown.as_deref());
    }
    answers
}

/// Where the list says that the kernel's code begins: the symbol that perf writes into its recordings, `_text`, or
/// `_stext` where that is not there (`ref_reloc_sym_names`, tools/perf/util/machine.c). `None` if it is hidden too.
pub(super) fn text_address(list: impl Read) -> Option<u64> {
    let (mut text, mut start_text) = (None, None);
    each_line(list.take(MOST_BYTES), MOST_LINE, |line| {
        match parse(line).map(|symbol| (symbol.name, symbol.start)) {
            Some((b"_text", start)) => text = Some(start),
            Some((b"_stext", start)) => start_text = Some(start),
            _ => {}
        }
        if text.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    text.or(start_text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Symbol<'a> {
    start: u64,
    is_global: bool,
    name: &'a [u8],
    module: Option<&'a [u8]>,
}

/// A symbol of code that is not hidden (address 0).
fn parse(line: &[u8]) -> Option<Symbol<'_>> {
    let digits = line.iter().position(|byte| *byte == b' ').filter(|digits| (1..=16).contains(digits))?;
    let mut start = 0;
    for digit in &line[..digits] {
        start = start << 4 | u64::from((*digit as char).to_digit(16)?);
    }
    let [b' ', kind @ (b't' | b'T' | b'w' | b'W'), b' ', rest @ ..] = &line[digits..] else { return None };
    if start == 0 {
        return None;
    }
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let module = rest.trim_ascii().strip_prefix(b"[").and_then(|module| module.strip_suffix(b"]"));
    (!name.is_empty()).then_some(Symbol { start, is_global: kind.is_ascii_uppercase(), name, module })
}

/// The last symbol at or before an address, if that is after the address before.
#[derive(Clone, Debug, Default)]
struct Nearest {
    start: u64,
    is_global: bool,
    /// Empty if there is none.
    name: Vec<u8>,
    module: Vec<u8>,
}

struct Pass {
    places: Vec<Nearest>,
    any: bool,
}

impl Pass {
    fn offer(&mut self, symbol: &Symbol<'_>, addresses: &[u64]) {
        self.any = true;
        let first = addresses.partition_point(|address| *address < symbol.start);
        let Some(nearest) = self.places.get_mut(first) else { return };
        // Of two aliases a visible one, then the plainer name, then the first of the list.
        let better = match symbol.start.cmp(&nearest.start) {
            _ if nearest.name.is_empty() => true,
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => {
                let underscores = |name: &[u8]| name.iter().take(8).take_while(|byte| **byte == b'_').count();
                (symbol.is_global, underscores(&nearest.name)) > (nearest.is_global, underscores(symbol.name))
            }
        };
        if better {
            nearest.start = symbol.start;
            nearest.is_global = symbol.is_global;
            nearest.name.clear();
            nearest.name.extend_from_slice(symbol.name);
            nearest.module.clear();
            nearest.module.extend_from_slice(symbol.module.filter(is_module).unwrap_or_default());
        }
    }
}

/// Whether what stands in brackets is a module: BPF programs and the code of kprobes and ftrace have a word there too
/// (`kallsyms_open`, kernel/kallsyms.c).
fn is_module(name: &&[u8]) -> bool {
    **name != *b"bpf" && !name.starts_with(b"__builtin__")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _stext\nffffffff81000000 T _text\n\
        ffffffff81000100 t do_one\nffffffff81000100 T __do_one_alias\nffffffff81000200 D some_data\n\
        ffffffff81000300 W weak_one\nffffffffc0000000 t ext4_read\t[ext4]\nffffffffc0000040 T bpf_prog_1\t[bpf]\n\
        junk\nffffffffc0000010 t\nfffffffffffffffff t toolong\n";

    fn names(list: &str, place: Place, addresses: &[u64]) -> Vec<Result<String, Unnamed>> {
        let answers = name(list.as_bytes(), place, addresses, &SymbolizeOptions::default());
        let names: Vec<_> = answers.names().collect();
        let shown = |row: u32| {
            let name = &names[row as usize];
            name.shown.as_deref().map_or_else(|| String::from_utf8_lossy(&name.raw).into_owned(), str::to_owned)
        };
        let of = |answer: Result<&[super::super::answers::AnswerLine], super::super::answers::Nameless>| {
            answer.map(|lines| shown(lines[0].name)).map_err(|nameless| nameless.reason)
        };
        answers.answers().map(of).collect()
    }

    fn check(list: &str, place: Place, expected: &[(u64, Result<&str, Unnamed>)]) {
        let addresses: Vec<u64> = expected.iter().map(|(address, _)| *address).collect();
        let wanted: Vec<_> = expected.iter().map(|(_, name)| name.map(str::to_owned)).collect();
        assert_eq!(names(list, place, &addresses), wanted);
    }

    #[test]
    fn nearest_symbol_of_code_is_taken() {
        check(
            LIST,
            Place::Same,
            &[
                (0x1000, Err(Unnamed::NoMatch)),
                (0xffff_ffff_8100_0050, Ok("_stext")),
                (0xffff_ffff_8100_0100, Ok("__do_one_alias")),
                (0xffff_ffff_8100_0150, Ok("__do_one_alias")),
                (0xffff_ffff_8100_0250, Ok("__do_one_alias")),
                (0xffff_ffff_8100_0300, Ok("weak_one")),
                (0xffff_ffff_8100_0300 + MOST_DISTANCE, Err(Unnamed::NoMatch)),
                (0xffff_ffff_c000_0001, Ok("ext4_read [ext4]")),
                (0xffff_ffff_c000_0100, Ok("bpf_prog_1")),
                (u64::MAX, Err(Unnamed::NoMatch)),
            ],
        );
    }

    #[test]
    fn shifted_kernel_keeps_its_names_and_loses_its_modules() {
        let by = 0x1200_0000;
        check(
            LIST,
            Place::Shifted(by),
            &[
                (0x10, Err(Unnamed::OtherKernel)),
                (0xffff_ffff_8100_0310 + by, Ok("weak_one")),
                (0xffff_ffff_c000_0001, Err(Unnamed::OtherKernel)),
            ],
        );
        assert_eq!(
            names(LIST, Place::Shifted(0u64.wrapping_sub(by)), &[0xffff_ffff_8100_0310 - by]),
            [Ok("weak_one".into())]
        );
    }

    #[test]
    fn hidden_list_says_so() {
        let list = "0000000000000000 T _text\n0000000000000000 t do_one\n";
        check(list, Place::Same, &[(0xffff_ffff_8100_0050, Err(Unnamed::KernelHidden))]);
        assert_eq!(text_address(list.as_bytes()), None);
        assert_eq!(text_address(LIST.as_bytes()), Some(0xffff_ffff_8100_0000));
    }

    #[test]
    fn junk_is_survived() {
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        for _ in 0..5000 {
            let mut list = LIST.as_bytes().to_vec();
            for _ in 0..=next(8) {
                let at = next(list.len());
                list[at] = [b'\n', b' ', b'f', b'[', next(256) as u8][next(5)];
            }
            let asked = [0, 1, 0xffff_ffff_8100_0050, 0xffff_ffff_c000_0001, u64::MAX];
            for place in [Place::Same, Place::Shifted(next(1 << 30) as u64)] {
                assert_eq!(name(&*list, place, &asked, &SymbolizeOptions::default()).answers().count(), asked.len());
            }
        }
        let long = format!("ffffffff81000000 T {}\n", "x".repeat(3 << 20));
        let answers = name(long.as_bytes(), Place::Same, &[0xffff_ffff_8100_0000], &SymbolizeOptions::default());
        assert!(answers.names().all(|name| name.raw.len() < MOST_LINE));
    }
}
