//! Which addresses of the kernel are its own tracing, and which are the ways into an interrupt.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;

/// Some functions of the kernel that runs, by address; of a kernel that hides its addresses none are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelPlaces {
    tracing: Vec<Range<u64>>,
    interrupts: Vec<Range<u64>>,
}

impl KernelPlaces {
    /// How many frames of tracing a stack begins with at most: the program, the tracepoint's two or three, and one to spare.
    const MOST_TRACING: usize = 8;

    /// Reads `/proc/kallsyms`; that takes the kernel tens of milliseconds.
    pub fn read() -> KernelPlaces {
        File::open("/proc/kallsyms")
            .map_or_else(|_| KernelPlaces::default(), |file| KernelPlaces::parse(BufReader::new(file)))
    }

    /// Reads the list of symbols, whose part of the kernel itself is in order of address.
    ///
    /// A tracepoint's way to a program is `__traceiter_NAME`, `__bpf_trace_NAME`, `bpf_trace_runN`, of which some may be missing
    /// (`include/trace/bpf_probe.h`). What is between `__irqentry_text_start` and `_end` are interrupts, and on x86 exceptions too
    /// (`arch/x86/entry/entry_64.S`): what a program does itself, as page faults.
    pub fn parse(mut symbols: impl BufRead) -> KernelPlaces {
        let mut places = KernelPlaces::default();
        let mut line = Vec::new();
        let mut open: Option<(Begins, u64)> = None;
        let mut in_entry = false;
        while symbols.read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
            let text = String::from_utf8_lossy(&line);
            let mut words = text.split_ascii_whitespace();
            let (address, name, module) = (words.next(), words.nth(1), words.next());
            let address = address.and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or(0);
            if let (Some(name), None, 1..) = (name, module, address) {
                if let Some((kind, start)) = open
                    && address > start
                {
                    let ranges = match kind {
                        Begins::Tracing => &mut places.tracing,
                        Begins::Interrupt => &mut places.interrupts,
                    };
                    ranges.push(start..address);
                    open = None;
                }
                match name {
                    "__irqentry_text_start" => in_entry = true,
                    "__irqentry_text_end" => in_entry = false,
                    _ => {}
                }
                // Several names of one address: the first that says something.
                open = open.or_else(|| begins(name, in_entry).map(|kind| (kind, address)));
            }
            line.clear();
        }
        places
    }

    /// Whether nothing is known: no frames of tracing are taken off, and no interrupts told apart.
    pub fn is_empty(&self) -> bool {
        self.tracing.is_empty()
    }

    /// A stack that a program of a tracepoint has taken, innermost first, without the frames of the tracing itself.
    pub fn without_tracing<'a>(&self, frames: &'a [u64]) -> &'a [u64] {
        let first = &frames[..frames.len().min(KernelPlaces::MOST_TRACING)];
        let last = first.iter().rposition(|address| contains(&self.tracing, *address));
        &frames[last.map_or(0, |last| last + 1)..]
    }

    /// How many frames of a stack, innermost first, are of an interrupt: what is behind them is what was interrupted.
    pub fn interrupt(&self, frames: &[u64]) -> Option<usize> {
        frames.iter().position(|address| contains(&self.interrupts, *address)).map(|at| at + 1)
    }
}

fn contains(ranges: &[Range<u64>], address: u64) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

/// What a symbol begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Tracing,
    Interrupt,
}

fn begins(name: &str, in_entry: bool) -> Option<Begins> {
    const TRACING: [&str; 3] = ["__traceiter_sched_", "__bpf_trace_sched_", "bpf_trace_run"];
    // Interrupts are handled there, on the way out of one or by a thread.
    const INTERRUPTS: [&str; 5] =
        ["__do_softirq", "handle_softirqs", "gic_handle_irq", "el0_interrupt", "el1_interrupt"];
    if TRACING.iter().any(|begin| name.starts_with(begin)) {
        return Some(Begins::Tracing);
    }
    let is_entry = in_entry && name.starts_with("asm_") && !name.starts_with("asm_exc_");
    (is_entry || INTERRUPTS.contains(&name)).then_some(Begins::Interrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "ffff0100 T __irqentry_text_start\nffff0100 T asm_exc_page_fault\nffff0200 T asm_sysvec_reschedule_ipi\n\
        ffff0300 T __irqentry_text_end\nffff0400 T asm_later\nffff1000 t handle_softirqs\nffff1100 T other\n\
        ffff2000 T __traceiter_sched_switch\nffff2080 T __probestub_sched_switch\nffff3000 T bpf_trace_run4\nffff3100 T next\n\
        ffff4000 T __schedule\nffff9000 t bpf_prog_1_sched_switch\t[bpf]\n";

    #[test]
    fn tracing_is_taken_off() {
        let places = KernelPlaces::parse(LIST.as_bytes());
        let stack = [0xffff_9010, 0xffff_3050, 0xffff_2010, 0xffff_4100, 0xffff_1010];
        assert_eq!(places.without_tracing(&stack), [0xffff_4100, 0xffff_1010]);
        assert_eq!(places.without_tracing(&stack[3..]), [0xffff_4100, 0xffff_1010]);
        assert_eq!(KernelPlaces::default().without_tracing(&stack), stack);
        assert!(places.without_tracing(&[]).is_empty());
    }

    #[test]
    fn exceptions_are_no_interrupts() {
        let places = KernelPlaces::parse(LIST.as_bytes());
        assert_eq!(places.interrupt(&[0xffff_4100, 0xffff_0210, 0xffff_4200]), Some(2));
        assert_eq!(places.interrupt(&[0xffff_1010]), Some(1));
        assert_eq!(places.interrupt(&[0xffff_4100, 0xffff_0110, 0xffff_0410]), None);
    }

    #[test]
    fn hidden_addresses_tell_nothing() {
        let list =
            "0000000000000000 T __irqentry_text_start\n0000000000000000 T bpf_trace_run4\n0000000000000000 T x\n";
        assert!(KernelPlaces::parse(list.as_bytes()).is_empty());
    }
}
