//! Mangled names to names as they are written in the source.
//!
//! Names come from files that anybody may have made, and a name of a few hundred bytes can stand for gigabytes of text
//! (each part may refer back to two earlier ones). So input and output are bounded, and what is more stays mangled.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, ParseOptions};

/// Longest name that is looked at; the longest seen in large programs are some 20 KiB.
const MOST_INPUT: usize = 64 << 10;
/// Longest text that is made of one.
const MOST_OUTPUT: usize = 64 << 10;
/// How deep a C++ name may nest; an unoptimized build takes some 20 KiB of stack a level.
const MOST_DEPTH: u32 = 256;

/// Whether a name looks as C++ and Rust compilers make them.
pub(super) fn is_mangled(name: &[u8]) -> bool {
    name.starts_with(b"_Z") || name.starts_with(b"_R") || name.starts_with(b"_GLOBAL_")
}

/// The name as it is written in the source, or nothing if it is not mangled, or too large.
///
/// To be called on a thread with [`super::job::STACK`] bytes of stack. Unless the name is to be `full`, hashes, `.llvm.`
/// suffixes, parameters and return types are left out.
pub(super) fn demangle(raw: &[u8], full: bool) -> Option<Box<str>> {
    if raw.len() > MOST_INPUT {
        return None;
    }
    let mut text = Bounded { text: String::new() };
    let written = match std::str::from_utf8(raw).ok().filter(|raw| is_rust(raw)) {
        Some(raw) => {
            let name = rustc_demangle::try_demangle(raw).ok()?;
            if full { write!(text, "{name}") } else { write!(text, "{name:#}") }
        }
        None => {
            // Link-time optimization makes local names unique by a hash.
            let raw = if full { raw } else { without_llvm(raw) };
            let options = ParseOptions::default().recursion_limit(MOST_DEPTH);
            let name = cpp_demangle::Symbol::new_with_options(raw, &options).ok()?;
            let mut options = DemangleOptions::new().recursion_limit(MOST_DEPTH);
            if !full {
                options = options.no_params().no_return_type();
            }
            name.structured_demangle(&mut text, &options)
        }
    };
    (written.is_ok() && !text.text.is_empty()).then(|| text.text.into())
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
        check("_ZN5ThingC1Ev", Some("Thing::Thing"), Some("Thing::Thing()"));
    }

    #[test]
    fn other_names_stay() {
        for raw in ["main", "_Zzz", "_Rx", "", "_ZN", "_Z3fo"] {
            check(raw, None, None);
        }
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
