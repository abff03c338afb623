//! One line of a call chain.
//!
//! ```text
//!     55d0c5a0 main+0x1f (/usr/bin/prog)       a symbol, an offset that may be missing, what it is in
//!     55d0c5a0 helper (inlined)                copied into the function that follows
//!     7f12a000 [unknown] (/usr/lib/libc.so.6)
//!     55d0c5a0 main                            without `-F dso`
//! ```
//! `tools/perf/util/evsel_fprintf.c`, `sample__fprintf_callchain`.

use std::borrow::Cow;

use crate::model::FrameKind;

/// A frame as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextFrame<'a> {
    /// Functions, outermost first: a JIT's inlined ones stand behind arrows in one symbol.
    pub names: Vec<Cow<'a, str>>,
    /// Whether there was no symbol, and the name is that of what it is in.
    pub is_nameless: bool,
    pub kind: FrameKind,
}

/// What a line within a sample is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FrameLine<'a> {
    Frame(TextFrame<'a>),
    /// `-F brstack`, `brstacksym`.
    Branches,
    /// `-F srcline`: the place in the source of the frame above.
    SourceLine,
    Other,
}

/// Reads a line within a sample; blanks before it have a meaning.
pub(super) fn parse(line: &[u8]) -> FrameLine<'_> {
    let text = line.trim_ascii();
    let first = text.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
    let rest = text[first.len()..].trim_ascii_start();
    // `-F brstackinsn`: the instructions between two branches.
    if is_branch(first) || is_hex(first) && (rest.starts_with(b"insn:") || rest.starts_with(b"ilen:")) {
        return FrameLine::Branches;
    }
    if is_hex(first) {
        let mut frame = frame(rest);
        // Without `-F dso`; on all 64-bit processors the upper end of the addresses is the kernel's.
        if frame.kind == FrameKind::User && first.len() == 16 && first.starts_with(b"ffff") {
            frame.kind = FrameKind::Kernel;
        }
        return FrameLine::Frame(frame);
    }
    if is_source_line(line) {
        return FrameLine::SourceLine;
    }
    // `-F` without `ip`.
    if text.ends_with(b")") && !text.starts_with(b"(") {
        return FrameLine::Frame(frame(text));
    }
    FrameLine::Other
}

/// Whether text behind an event is an address with a symbol, or an address alone: a stack of one frame.
pub(super) fn is_one_line(rest: &[u8]) -> bool {
    let first = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    is_hex(first) && (first.len() >= 6 && first.len() <= 16 || rest.ends_with(b")"))
}

fn is_hex(word: &[u8]) -> bool {
    !word.is_empty() && word.len() <= 16 && word.iter().all(u8::is_ascii_hexdigit)
}

/// `0x4005a0/0x4005b0/P/-/-/0`, or with symbols `main+0x5/main+0x20/P/-/-/0`.
fn is_branch(word: &[u8]) -> bool {
    let mut parts = word.split(|byte| *byte == b'/').skip(2);
    let is_one_of = |part: Option<&[u8]>, letters: &[u8]| matches!(part, Some([letter]) if letters.contains(letter));
    is_one_of(parts.next(), b"MPN-") && is_one_of(parts.next(), b"X-")
}

/// Two blanks and `file.c:12`; for what has no line `libc.so.6[1a2b]` or `[unknown]`.
fn is_source_line(line: &[u8]) -> bool {
    let Some(place) = line.strip_prefix(b"  ").filter(|place| !place.starts_with(b" ")) else { return false };
    let place = place.trim_ascii_end();
    let colon = place.iter().rposition(|byte| *byte == b':');
    let number = colon.map(|colon| &place[colon + 1..]);
    // `file.c:12 (discriminator 3)`
    let number = number.map(|number| number.split(|byte| *byte == b' ').next().unwrap_or_default());
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit)) || place.ends_with(b"]")
}

/// Everything behind the address.
fn frame(text: &[u8]) -> TextFrame<'_> {
    let (symbol, object) = split(text);
    let symbol = without_offset(symbol);
    let kind = if object == b"inlined" { FrameKind::Inlined } else { kind_of(object) };
    if symbol.is_empty() || symbol == b"[unknown]" {
        let name = match base_name(object) {
            b"" | b"[unknown]" | b"unknown" | b"inlined" => Cow::Borrowed("[unknown]"),
            base if base.starts_with(b"[") => String::from_utf8_lossy(base),
            base => Cow::Owned(format!("[{}]", String::from_utf8_lossy(base))),
        };
        return TextFrame { names: vec![name], is_nameless: true, kind };
    }
    let symbol = String::from_utf8_lossy(symbol);
    let names = match kind {
        // perf-map-agent writes `outer->inner`; elsewhere an arrow belongs to the name (`operator->`).
        FrameKind::Jit if symbol.contains("->") => {
            symbol.split("->").filter(|name| !name.is_empty()).map(|name| Cow::Owned(name.to_owned())).collect()
        }
        _ => vec![symbol],
    };
    TextFrame { names, is_nameless: false, kind }
}

/// Splits `symbol (object)`; the object may hold blanks, and end in ` (deleted)`.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let Some(inside) = text.strip_suffix(b")") else { return (text, b"") };
    let bare = inside.strip_suffix(b" (deleted)").unwrap_or(inside);
    let open = (0..bare.len()).rev().find(|at| bare[*at] == b'(' && (*at == 0 || bare[*at - 1] == b' '));
    match open {
        Some(open) => (text[..open].trim_ascii_end(), &bare[open + 1..]),
        // A symbol with arguments, and nothing behind it.
        None => (text, b""),
    }
}

/// `main+0x1f` to `main`.
fn without_offset(symbol: &[u8]) -> &[u8] {
    let Some(plus) = symbol.windows(3).rposition(|window| window == b"+0x") else { return symbol };
    let digits = &symbol[plus + 3..];
    if !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit) { &symbol[..plus] } else { symbol }
}

fn kind_of(object: &[u8]) -> FrameKind {
    let object = without_offset(object);
    let starts = |prefix: &[u8]| object.starts_with(prefix);
    if starts(b"/tmp/perf-") && object.ends_with(b".map") || starts(b"[JIT]") || is_jitted(object) {
        return FrameKind::Jit;
    }
    if starts(b"[") {
        // Modules stand in brackets (`[nf_conntrack]`), as do a process's own regions.
        let regions: [&[u8]; 9] =
            [b"[vdso", b"[vsyscall", b"[heap", b"[stack", b"[anon", b"[unknown", b"[uprobes", b"[vvar", b"[vectors"];
        return if regions.iter().any(|region| starts(region)) { FrameKind::User } else { FrameKind::Kernel };
    }
    let is_module = [&b".ko"[..], b".ko.gz", b".ko.xz", b".ko.zst"].iter().any(|end| object.ends_with(end));
    let is_kernel = base_name(object).starts_with(b"vmlinux") || starts(b"bpf_prog_");
    if is_module || is_kernel { FrameKind::Kernel } else { FrameKind::User }
}

/// `/home/x/.debug/jit/.../jitted-4121-7.so`, made by `perf inject --jit`.
fn is_jitted(object: &[u8]) -> bool {
    base_name(object).starts_with(b"jitted-") && object.ends_with(b".so")
}

/// The last part of a path; of `[module]` the inside.
fn base_name(object: &[u8]) -> &[u8] {
    let object = without_offset(object);
    let base = object.rsplit(|byte| *byte == b'/').next().unwrap_or(object);
    base.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_variants_of_frames() {
        let check = |line: &str, expected: &str| {
            let found = match parse(line.as_bytes()) {
                FrameLine::Frame(TextFrame { names, is_nameless, kind }) => {
                    format!("{}|{kind:?}{}", names.join(";"), if is_nameless { "|nameless" } else { "" })
                }
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{line}");
        };
        check("\t    55d0c5a0 main+0x1f (/usr/bin/prog)", "main|User");
        check("\t    55d0c5a0 main (/usr/bin/prog)", "main|User");
        check("\t    55d0c5a0 main", "main|User");
        check("\tffffffff817554ea elf_load", "elf_load|Kernel");
        check("\t    55d0c5a0 foo(int, char) (/usr/bin/my prog)", "foo(int, char)|User");
        check("\t    55d0c5a0 foo(int, char)", "foo(int, char)|User");
        check("\t    55d0c5a0 (anonymous namespace)::f(int) (/usr/bin/prog)", "(anonymous namespace)::f(int)|User");
        check("\t    55d0c5a0 operator->+0x4 (/memfd:x (deleted))", "operator->|User");
        check("\t    55d0c5a0 helper (inlined)", "helper|Inlined");
        check("\t    7f12a000 [unknown] (/usr/lib/libc.so.6)", "[libc.so.6]|User|nameless");
        check("\t    7f12a000 [unknown] (/usr/lib/libc.so.6+0x12a000)", "[libc.so.6]|User|nameless");
        check("\t           0 [unknown] ([unknown])", "[unknown]|User|nameless");
        check("\t    7f12a000  (/lib/libc-2.15.so)", "[libc-2.15.so]|User|nameless");
        check("\t    7f12a000", "[unknown]|User|nameless");
        check("\tffffffff81 do_idle+0x1 ([kernel.kallsyms])", "do_idle|Kernel");
        check("\tffffffff81 start_kernel ([kernel.kallsyms].init.text)", "start_kernel|Kernel");
        check("\tffffffff81 [unknown] ([kernel.kallsyms])", "[kernel.kallsyms]|Kernel|nameless");
        check("\t       7d8 conn+0x7f8f80b8 ([nf_conntrack_ipv4])", "conn|Kernel");
        check("\t       7d8 x (/lib/modules/6.1/kernel/fs/btrfs/btrfs.ko.xz)", "x|Kernel");
        check("\tffffffff81 f ([guest.kernel.kallsyms.4711])", "f|Kernel");
        check(
            "\tffffffffc0 bpf_prog_6deef7357e7b4530+0x4 (bpf_prog_6deef7357e7b4530)",
            "bpf_prog_6deef7357e7b4530|Kernel",
        );
        check("\t    7ffc1000 clock_gettime+0x5 ([vdso])", "clock_gettime|User");
        check("\t    7f72a000 Lfoo;::a->Lbar;::b (/tmp/perf-19982.map)", "Lfoo;::a;Lbar;::b|Jit");
        check("\t    7f72a000 [unknown] ([JIT] tid 123)", "[JIT] tid 123|Jit|nameless");
        check("\t    7f72a000 f (/home/x/.debug/jit/x/jitted-4121-7.so)", "f|Jit");
        check(" main (/usr/bin/prog)", "main|User");
        check("  prog.c:12", "SourceLine");
        check("  prog.c:12 (discriminator 3)", "SourceLine");
        check("  libc.so.6[28000]", "SourceLine");
        check(" 0x4005a0/0x4005b0/P/-/-/0  0x400400/0x4005a0/P/-/-/0", "Branches");
        check(" main+0x5/main+0x20/P/-/-/0/COND/-", "Branches");
        check(" ABI:2    AX:0x1", "Other");
        check("\t00005571a2b3c4d5\tinsn: 55 # PRED 1 cycles", "Branches");
        check("\t~~~", "Other");
        check("\t ()", "Other");
    }
}
