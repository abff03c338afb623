//! Names of the kernel, its modules and BPF programs: blazesym's, by the list that the kernel gives (`/proc/kallsyms`).
//!
//! The list has no sizes, so a symbol would reach up to the next one however far that is; we believe it for as long as a
//! function can be. Which module an address is in is told by `/proc/modules`. (A reader of our own for the list was as fast,
//! 65 ms against 56 ms for 11,000 addresses, of which the kernel's own part is 40 ms.)

use blazesym::MaybeDefault;
use blazesym::symbolize::source::{Kernel, Source};
use blazesym::symbolize::{Input, Reason, Symbolized, Symbolizer};

use super::answers::Answers;
use crate::model::Unnamed;

/// Longer than any function of the kernel. What is further behind the last symbol is code that the list does not have,
/// such as BPF programs with `net.core.bpf_jit_kallsyms=0`.
const MOST_DISTANCE: u64 = 256 << 10;

/// Names addresses of the kernel, which are sorted.
pub(super) fn name(addresses: &[u64]) -> Answers {
    let mut answers = Answers::unnamed(addresses.len(), Unnamed::KernelHidden);
    // Without code lines and inlined functions, which would take reading a `vmlinux` of some hundred megabytes.
    let source = Source::Kernel(Kernel {
        kallsyms: MaybeDefault::Default,
        vmlinux: MaybeDefault::None,
        kaslr_offset: Some(0),
        debug_syms: false,
        ..Kernel::default()
    });
    let builder = Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false);
    let symbolizer = builder.enable_demangling(false).build();
    let Ok(symbols) = symbolizer.symbolize(&source, Input::AbsAddr(addresses)) else { return answers };
    let modules = std::fs::read_to_string("/proc/modules").map(|list| Modules::parse(&list)).unwrap_or_default();
    for (index, (symbol, address)) in symbols.iter().zip(addresses).enumerate() {
        match symbol {
            Symbolized::Sym(symbol) if address.saturating_sub(symbol.addr) < MOST_DISTANCE => {
                let shown = modules.find(*address).map(|module| format!("{} [{module}]", symbol.name));
                answers.set_name(index, symbol.name.as_bytes(), shown.as_deref());
            }
            // The kernel gives zeros, which blazesym passes over, to those who may not see addresses
            // (`kernel.kptr_restrict`, or no CAP_SYSLOG).
            Symbolized::Unknown(Reason::MissingSyms) => {}
            _ => answers.set_reason(index, Unnamed::NoMatch),
        }
    }
    answers
}

/// Where modules are: start, end, name; sorted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Modules(Vec<(u64, u64, String)>);

impl Modules {
    /// Each line is `NAME SIZE USERS USED_BY STATE 0xADDRESS`; see proc_modules(5).
    fn parse(list: &str) -> Modules {
        let mut modules: Vec<_> = list.lines().filter_map(parse_module).collect();
        modules.sort_unstable();
        Modules(modules)
    }

    fn find(&self, address: u64) -> Option<&str> {
        let at = self.0.partition_point(|(start, ..)| *start <= address).checked_sub(1)?;
        let (_, end, name) = &self.0[at];
        (address < *end).then_some(name)
    }
}

fn parse_module(line: &str) -> Option<(u64, u64, String)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let size: u64 = words.next()?.parse().ok()?;
    let start = u64::from_str_radix(words.nth(3)?.strip_prefix("0x")?, 16).ok().filter(|start| *start != 0)?;
    Some((start, start.checked_add(size)?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn module_is_found_by_address() {
        let modules = Modules::parse(
            "nf_tables 356352 1 - Live 0xffffffffc0100000\next4 4096 2 jbd2,mbcache, Live 0xffffffffc0000000 (E)\n\
             hidden 4096 0 - Live 0x0000000000000000\nshort 1\n",
        );
        for (address, expected) in [
            (0xffff_ffff_bfff_ffff, None),
            (0xffff_ffff_c000_0000, Some("ext4")),
            (0xffff_ffff_c000_1000, None),
            (0xffff_ffff_c010_0001, Some("nf_tables")),
        ] {
            assert_eq!(modules.find(address), expected, "{address:#x}");
        }
    }

    #[test]
    fn names_are_those_of_the_list() {
        let list = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let mut starts: Vec<(u64, &str)> = Vec::new();
        for line in list.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(start), Some("t" | "T"), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            starts.push((u64::from_str_radix(start, 16).unwrap(), name));
        }
        starts.retain(|(start, _)| *start != 0);
        starts.sort_unstable();
        if starts.is_empty() {
            return println!("SKIPPED: /proc/kallsyms shows no addresses");
        }
        let mut asked: Vec<u64> = starts.iter().step_by(11).map(|(start, _)| *start).collect();
        asked.dedup();
        let started = Instant::now();
        let answers = name(&asked);
        println!("{} addresses in {:?}", asked.len(), started.elapsed());
        let names: Vec<_> = answers.names().map(|name| String::from_utf8_lossy(&name.raw)).collect();
        for (start, lines) in asked.iter().zip(answers.answers()) {
            let name = &*names[lines.unwrap()[0].name as usize];
            // Aliases begin at the same address; each is right.
            let aliases = &starts[starts.partition_point(|(known, _)| known < start)..];
            assert!(
                aliases.iter().take_while(|(known, _)| known == start).any(|(_, known)| *known == name),
                "{start:#x}"
            );
        }
        // Nobody's code.
        let nobody = name(&[0x1000, u64::MAX]);
        assert!(nobody.answers().all(|answer| answer.is_err_and(|nameless| nameless.reason == Unnamed::NoMatch)));
    }
}
