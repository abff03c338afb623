//! Names of the kernel, its modules and BPF programs.

use blazesym::MaybeDefault;
use blazesym::symbolize::source::{Kernel, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::answers::Answers;
use crate::model::Unnamed;

/// Names addresses of the kernel, which are sorted.
pub(super) fn name(addresses: &[u64]) -> Answers {
    let mut answers = Answers::unnamed(addresses.len(), Unnamed::NoMatch);
    let source = Source::Kernel(Kernel {
        kallsyms: MaybeDefault::Default,
        vmlinux: MaybeDefault::None,
        kaslr_offset: Some(0),
        debug_syms: false,
        ..Kernel::default()
    });
    let symbolizer =
        Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).enable_demangling(false).build();
    let Ok(symbols) = symbolizer.symbolize(&source, Input::AbsAddr(addresses)) else { return answers };
    for (index, symbol) in symbols.iter().enumerate() {
        if let Symbolized::Sym(symbol) = symbol {
            answers.set_name(index, symbol.name.as_bytes(), None);
        }
    }
    answers
}
