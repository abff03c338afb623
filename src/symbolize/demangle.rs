//! Mangled names to names as they are written in the source.
//!
//! Names come from files that anybody may have made, and a name of a few hundred bytes can stand for gigabytes of text
//! (each part may refer back to two earlier ones). So input and output are bounded, and what is more stays mangled.
//!
//! C++ and both kinds of Rust's are known; Go's need no more than escapes undone. Names of D (`_D`) and Swift (`$s`) stay as
//! they are: no demangler of theirs in Rust alone is known to us.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, ParseOptions};

use super::SymbolizeOptions;

/// Longest name that is looked at; the longest seen in large programs are some 20 KiB.
const MOST_INPUT: usize = 64 << 10;
/// Longest text that is made of one.
const MOST_OUTPUT: usize = 64 << 10;
/// How deep a C++ name may nest; an unoptimized build takes some 20 KiB of stack a level.
const MOST_DEPTH: u32 = 256;

/// What compilers append to the name of a function that they have taken apart, copied or made unique, each followed by a
/// number: gcc's `clone_function_name` (cgraphclones.cc, ipa-cp.cc, ipa-split.cc, lto-partition.cc), clang's
/// `-funique-internal-linkage-names` and LLVM's `ThinLTO` promotion.
const NUMBERED: [&[u8]; 9] =
    [b"part", b"constprop", b"isra", b"lto_priv", b"llvm", b"cold", b"localalias", b"__uniq", b"warm"];
/// The same without a number: parts that are hardly run, and aliases.
const BARE: [&[u8]; 2] = [b"cold", b"localalias"];
/// What names the stub of a function in a PLT.
const STUB: &[u8] = b"@plt";

/// Whether a name may be shown otherwise than it is.
pub(super) fn is_shown_otherwise(name: &[u8]) -> bool {
    let plain = name.strip_suffix(STUB).unwrap_or(name);
    is_mangled(plain) || bpf_name(plain).is_some() || without_clones(plain).len() < plain.len() || has_go_escape(plain)
}

/// Whether a name looks as C++ and Rust compilers make them.
pub(super) fn is_mangled(name: &[u8]) -> bool {
    name.starts_with(b"_Z") || name.starts_with(b"_R") || name.starts_with(b"_GLOBAL_")
}

/// The name as it is written in the source, or nothing if it is no other, or too large.
///
/// To be called on a thread with [`super::job::STACK`] bytes of stack. Unless the name is to be `full`, hashes, what
/// compilers append to parts and copies of a function, parameters and return types are left out.
pub(super) fn demangle(raw: &[u8], full: bool) -> Option<Box<str>> {
    if raw.len() > MOST_INPUT {
        return None;
    }
    let (name, stub) = raw.strip_suffix(STUB).map_or((raw, ""), |name| (name, "@plt"));
    let plain = if full { name } else { without_clones(name) };
    let as_it_is = || (plain.len() < name.len()).then(|| String::from_utf8_lossy(plain).into_owned());
    let of_bpf = || bpf_name(plain).filter(|_| !full).map(|name| format!("{} [bpf]", String::from_utf8_lossy(name)));
    let shown = by_language(plain, full).or_else(|| of_go(plain)).or_else(of_bpf).or_else(as_it_is)?;
    Some((shown + stub).into())
}

/// The name of a kernel module's function, with the module's: `ext4_read [ext4]`.
pub(super) fn in_module(raw: &[u8], module: &str, options: &SymbolizeOptions) -> String {
    let shown = if options.demangle { demangle(raw, options.full_names) } else { None };
    let name = shown.map_or_else(|| String::from_utf8_lossy(raw).into_owned(), String::from);
    format!("{name} [{module}]")
}

/// The name of a BPF program, which the kernel puts behind a hash of its instructions: `bpf_prog_ea526ba59980a33b_enter`
/// (`bpf_get_prog_name` in the kernel's kernel/bpf/core.c).
pub(super) fn bpf_name(raw: &[u8]) -> Option<&[u8]> {
    let (tag, name) = raw.strip_prefix(b"bpf_prog_")?.split_at_checked(16)?;
    let name = name.strip_prefix(b"_").filter(|name| !name.is_empty())?;
    tag.iter().all(|digit| is_hex(*digit)).then_some(name)
}

fn by_language(raw: &[u8], full: bool) -> Option<String> {
    if !is_mangled(raw) {
        return None;
    }
    let mut text = Bounded { text: String::new() };
    let written = match std::str::from_utf8(raw).ok().filter(|raw| is_rust(raw)) {
        Some(raw) => {
            let name = rustc_demangle::try_demangle(raw).ok()?;
            if full { write!(text, "{name}") } else { write!(text, "{name:#}") }
        }
        None => {
            let options = ParseOptions::default().recursion_limit(MOST_DEPTH);
            let name = cpp_demangle::Symbol::new_with_options(raw, &options).ok()?;
            let mut options = DemangleOptions::new().recursion_limit(MOST_DEPTH);
            if !full {
                options = options.no_params().no_return_type();
            }
            name.structured_demangle(&mut text, &options)
        }
    };
    // An empty pack of arguments leaves its comma.
    let text = if text.text.contains(", >") { text.text.replace(", >", ">") } else { text.text };
    let mut text = of_thunk(&text).unwrap_or(text);
    if !full {
        // Of a member function that says of which kind its object is.
        while let Some(shorter) = [" &&", " &", " const", " volatile"].iter().find_map(|kind| text.strip_suffix(kind)) {
            text.truncate(shorter.len());
        }
    }
    (written.is_ok() && !text.is_empty()).then_some(text)
}

/// `virtual thunk to NAME`, as the other tools have it, of `{virtual override thunk({virtual offset(0, -24)}, NAME)}`.
fn of_thunk(text: &str) -> Option<String> {
    let inner = text.strip_prefix("{virtual override thunk({")?.strip_suffix(")}")?;
    let (offset, name) = inner.split_once("}, ")?;
    let kind = if offset.starts_with("virtual") { "virtual" } else { "non-virtual" };
    Some(format!("{kind} thunk to {name}"))
}

/// The name of a function without what compilers append to those of its parts and copies.
pub(super) fn without_clones(name: &[u8]) -> &[u8] {
    let mut name = without_llvm(name);
    loop {
        let Some((rest, last)) = split_at_dot(name) else { return name };
        let shorter = if BARE.contains(&last) {
            Some(rest)
        } else if last.iter().all(u8::is_ascii_digit) {
            split_at_dot(rest).filter(|(_, word)| NUMBERED.contains(word)).map(|(rest, _)| rest)
        } else {
            None
        };
        match shorter {
            Some(shorter) => name = shorter,
            None => return name,
        }
    }
}

/// What stands before and behind the last dot; neither is empty.
fn split_at_dot(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0 && at + 1 < name.len())?;
    Some((&name[..at], &name[at + 1..]))
}

/// Whether a name has an escape as Go's linker makes them of dots in the last part of an import path, and of what is no plain
/// character (`objabi.PathToPrefix` of Go's `cmd/internal/objabi`): `gopkg.in/yaml%2ev3.Unmarshal`.
fn has_go_escape(name: &[u8]) -> bool {
    name.windows(3).any(|window| matches!(window, [b'%', high, low] if is_hex(*high) && is_hex(*low)))
}

fn is_hex(digit: u8) -> bool {
    matches!(digit, b'0'..=b'9' | b'a'..=b'f')
}

fn of_go(name: &[u8]) -> Option<String> {
    if !has_go_escape(name) {
        return None;
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        if let [b'%', high, low, after @ ..] = rest
            && is_hex(*high)
            && is_hex(*low)
        {
            let digit = |digit: u8| if digit > b'9' { digit - b'a' + 10 } else { digit - b'0' };
            bytes.push(digit(*high) << 4 | digit(*low));
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Rust's names; the older ones are C++'s with a hash as their last part (`17h` and 16 digits).
fn is_rust(raw: &str) -> bool {
    if raw.starts_with("_R") {
        return true;
    }
    // Dots stand inside of names too (`core..iter`): what was appended to one follows its last letter.
    ends_in_hash(raw) || raw.rfind("E.").is_some_and(|end| ends_in_hash(&raw[..=end]))
}

fn ends_in_hash(raw: &str) -> bool {
    let Some(path) = raw.strip_prefix("_ZN").and_then(|path| path.strip_suffix('E')) else { return false };
    let hash = path.len().checked_sub(19).and_then(|at| path.get(at..));
    let hash = hash.and_then(|hash| hash.strip_prefix("17h"));
    hash.is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn without_llvm(raw: &[u8]) -> &[u8] {
    const MARK: &[u8] = b".llvm.";
    raw.windows(MARK.len()).position(|window| window == MARK).map_or(raw, |at| &raw[..at])
}

/// Text that refuses to grow past [`MOST_OUTPUT`].
struct Bounded {
    text: String,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.text.len() + part.len() > MOST_OUTPUT {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, short: Option<&str>, full: Option<&str>) {
        assert_eq!(demangle(raw.as_bytes(), false).as_deref(), short, "{raw}");
        assert_eq!(demangle(raw.as_bytes(), true).as_deref(), full, "{raw}");
    }

    #[test]
    fn rust_legacy_loses_its_hash() {
        check("_ZN3foo3bar17h05af221e174051e9E", Some("foo::bar"), Some("foo::bar::h05af221e174051e9"));
        check("_ZN3foo3bar17h05af221e174051e9E.llvm.123ABC", Some("foo::bar"), Some("foo::bar::h05af221e174051e9"));
    }

    #[test]
    fn rust_legacy_has_dots_inside_of_names() {
        let name = "_ZN91_$LT$core..slice..iter..Iter$LT$T$GT$$u20$as$u20$core..iter..traits..iterator..Iterator$GT$\
                    4next17he5ba49850eca453cE";
        let short = "<core::slice::iter::Iter<T> as core::iter::traits::iterator::Iterator>::next";
        let full = format!("{short}::he5ba49850eca453c");
        check(name, Some(short), Some(&full));
        check(&format!("{name}.llvm.42"), Some(short), Some(&full));
    }

    #[test]
    fn rust_v0_loses_its_hash() {
        check("_RNvNtCs1234_7mycrate3foo3bar", Some("mycrate::foo::bar"), Some("mycrate[3c1c0]::foo::bar"));
    }

    #[test]
    fn cpp_loses_parameters() {
        check("_ZN3foo3barEiPKc", Some("foo::bar"), Some("foo::bar(int, char const*)"));
        check("_ZN3foo3barEiPKc.llvm.77", Some("foo::bar"), Some("foo::bar(int, char const*) [clone .llvm.77]"));
        check(
            "_ZN3foo3barEiPKc.part.0.cold",
            Some("foo::bar"),
            Some("foo::bar(int, char const*) [clone .part.0] [clone .cold]"),
        );
        check("_ZN5ThingC1Ev", Some("Thing::Thing"), Some("Thing::Thing()"));
        check("_ZThn8_N1A1fEi", Some("non-virtual thunk to A::f"), Some("non-virtual thunk to A::f(int)"));
        check("_ZTv0_n24_N1A1fEi", Some("virtual thunk to A::f"), Some("virtual thunk to A::f(int)"));
        check("_ZNO1A1fEv", Some("A::f"), Some("A::f() &&"));
        check("_ZNVKR1A1fEv", Some("A::f"), Some("A::f() const volatile &"));
        let lambda = "main::{lambda(unsigned int)#1}::operator()";
        check("_ZZ4mainENKUljE_clEj", Some(lambda), Some(&format!("{lambda}(unsigned int) const")));
        check("_ZN1AIJEE1fEv", Some("A<>::f"), Some("A<>::f()"));
        check("_ZN1AI1BJEE1fEv", Some("A<B>::f"), Some("A<B>::f()"));
    }

    #[test]
    fn other_names_stay() {
        for raw in ["main", "_Zzz", "_Rx", "", "_ZN", "_Z3fo"] {
            check(raw, None, None);
        }
    }

    #[test]
    fn parts_and_copies_have_the_name_of_the_function() {
        for (raw, short) in [
            ("main.cold", "main"),
            ("read_file.part.0.isra.12", "read_file"),
            ("tree_insert.constprop.3.lto_priv.0", "tree_insert"),
            ("helper.__uniq.12345678.llvm.998", "helper"),
            ("old_gcc.cold.17", "old_gcc"),
            ("alias.localalias.2", "alias"),
        ] {
            check(raw, Some(short), None);
        }
        for raw in
            ["nested.1234", "main.func1", "runtime.part.x", ".cold", "a.", "loop._omp_fn.0", "f.resolver", "main.part"]
        {
            check(raw, None, None);
        }
        check("_ZN3foo3bar17h05af221e174051e9E.cold", Some("foo::bar"), Some("foo::bar::h05af221e174051e9.cold"));
    }

    #[test]
    fn bpf_programs_lose_their_hash() {
        check("bpf_prog_ea526ba59980a33b_planted_enter", Some("planted_enter [bpf]"), None);
        for raw in ["bpf_prog_ea526ba59980a33b", "bpf_prog_ea526ba59980a33b_", "bpf_prog_put_deferred_and_more"] {
            check(raw, None, None);
        }
    }

    #[test]
    fn stubs_have_the_name_of_what_they_call() {
        check("memcpy@plt", None, None);
        check("_ZN3foo3barEi@plt", Some("foo::bar@plt"), Some("foo::bar(int)@plt"));
        check("work.part.0@plt", Some("work@plt"), None);
    }

    #[test]
    fn escapes_of_go_are_undone() {
        let shown = Some("gopkg.in/yaml.v3.(*Decoder).Decode");
        check("gopkg.in/yaml%2ev3.(*Decoder).Decode", shown, shown);
        check("example.com/gr%c3%b6%c3%9fe.Work", Some("example.com/größe.Work"), Some("example.com/größe.Work"));
        check("example.com/x%ff.Work", None, None);
        check("main.(*T).m", None, None);
        check("100%", None, None);
    }

    #[test]
    fn name_of_a_module_is_behind_that_of_the_function() {
        let options = SymbolizeOptions::default();
        assert_eq!(in_module(b"ext4_read.isra.0", "ext4", &options), "ext4_read [ext4]");
        let raw = SymbolizeOptions { demangle: false, ..options };
        assert_eq!(in_module(b"ext4_read.isra.0", "ext4", &raw), "ext4_read.isra.0 [ext4]");
    }

    #[test]
    fn name_that_doubles_is_refused() {
        // Each template argument refers twice to all before it.
        let mut raw = String::from("_Z1fI1A");
        raw.push_str("St4pairIS0_S0_E");
        for row in 1..60u32 {
            let digit = std::char::from_digit(row % 36, 36).unwrap().to_ascii_uppercase();
            raw.push_str(&format!("St4pairIS{digit}_S{digit}_E"));
        }
        raw.push_str("EvT_");
        let started = std::time::Instant::now();
        let demangle = |raw: &[u8], full: bool| {
            std::thread::scope(|scope| {
                let builder = std::thread::Builder::new().stack_size(crate::symbolize::job::STACK);
                builder.spawn_scoped(scope, || demangle(raw, full)).unwrap().join().unwrap()
            })
        };
        let text = demangle(raw.as_bytes(), true);
        assert!(text.is_none_or(|text| text.len() <= MOST_OUTPUT));
        let deep = format!("_Z1f{}i", "P".repeat(60_000));
        assert_eq!(demangle(deep.as_bytes(), true), None);
        let wide = format!("_Z1f{}", "i".repeat(200_000));
        assert_eq!(demangle(wide.as_bytes(), true), None);
        assert!(started.elapsed().as_secs() < 5);
    }
}
