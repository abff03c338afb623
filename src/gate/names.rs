//! Names made equal that are of one function in two builds, before anything is compared.
//!
//! Compilers and linkers add to names what changes with each build: hashes, numbers of copies, versions. Each step takes one such thing
//! away; how many names it changed is counted. What a step takes, and who puts it there:
//!
//! | step | takes | put there by |
//! | --- | --- | --- |
//! | `rust-hash` | `::h0123456789abcdef` at the end | rustc's legacy mangling |
//! | `disambiguator` | `[0123456789abcdef]` behind a crate's name | rustc's v0 mangling (RFC 2603) |
//! | `llvm` | `.llvm.1234` at the end | LLVM, of local functions that ThinLTO promotes |
//! | `clone` | `.cold`, `.part.0`, `.constprop.0`, `.isra.0`, `.lto_priv.0`, `.warm`, ` [clone .cold]` | GCC, LLVM, and the demangler |
//! | `plt` | `@plt` at the end | objdump, perf |
//! | `version` | `@GLIBC_2.2.5`, `@@VERS_1` at the end | symbol versions |
//! | `lambda` | the numbers of `{lambda()#1}`, `{closure#2}`, `$$Lambda$14/0x80` | compilers, the JVM |
//! | `anonymous` | the ways to write an anonymous namespace | `_GLOBAL__N_1`, `{anonymous}` |
//! | `address` | addresses without a name: all of a module are one | nobody |
//! | `generics` (`loose` only) | parameters in `<..>` and `(..)` | |
//!
//! One more is not about names: `interrupts` puts aside what ran in interrupts of the machine, on whose stack they ever came
//! ([`is_interrupt`]). Whether a timer fires in this function or in the next is no property of the program: the two false alarms of 320
//! comparisons of the same with the same were the kernel's way out of the very interrupt that took the samples, while other work ran.

use rustc_hash::FxHashMap;

use crate::model::{Frame, FrameKey, FrameKind, ImageKind, Place, Profile, Resolution, StringId};

/// One step of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Rust's legacy hashes.
    RustHash,
    /// Rust's crate disambiguators.
    Disambiguator,
    /// LLVM's numbers of promoted functions.
    Llvm,
    /// Parts and copies of functions.
    Clone,
    /// Stubs of the procedure linkage table.
    Plt,
    /// Symbol versions.
    Version,
    /// Numbers of lambdas and closures.
    Lambda,
    /// Anonymous namespaces.
    Anonymous,
    /// Addresses.
    Address,
    /// Template and generic parameters.
    Generics,
    /// What ran in interrupts.
    Interrupts,
}

impl Step {
    /// All, in the order in which they are done.
    pub const ALL: [Step; 11] = [
        Step::Plt,
        Step::Version,
        Step::Llvm,
        Step::Clone,
        Step::RustHash,
        Step::Disambiguator,
        Step::Lambda,
        Step::Anonymous,
        Step::Generics,
        Step::Address,
        Step::Interrupts,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Step::RustHash => "rust-hash",
            Step::Disambiguator => "disambiguator",
            Step::Llvm => "llvm",
            Step::Clone => "clone",
            Step::Plt => "plt",
            Step::Version => "version",
            Step::Lambda => "lambda",
            Step::Anonymous => "anonymous",
            Step::Address => "address",
            Step::Generics => "generics",
            Step::Interrupts => "interrupts",
        }
    }
}

/// Which steps are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    steps: Vec<Step>,
}

impl Default for Matching {
    fn default() -> Matching {
        Matching { steps: Step::ALL.into_iter().filter(|step| *step != Step::Generics).collect() }
    }
}

impl Matching {
    /// None: names are compared as they are.
    pub const EXACT: Matching = Matching { steps: Vec::new() };

    /// `exact`, `normal` or `loose`, and then steps that are left out (`-version`) or added, with commas between; or what is wrong.
    pub fn parse(text: &str) -> Result<Matching, String> {
        let mut matching = Matching::default();
        for word in text.split(',') {
            let (is_off, step) = match word.strip_prefix('-').or_else(|| word.strip_prefix("no-")) {
                Some(step) => (true, step),
                None => (false, word),
            };
            match (is_off, step) {
                (false, "exact") => matching = Matching::EXACT,
                (false, "normal") => matching = Matching::default(),
                (false, "loose") => matching = Matching { steps: Step::ALL.to_vec() },
                _ => {
                    let Some(step) = Step::ALL.into_iter().find(|known| known.name() == step) else {
                        let steps = Step::ALL.map(Step::name).join(", ");
                        return Err(format!("exact, normal or loose, and steps to add or (with -) leave out: {steps}"));
                    };
                    matching.steps.retain(|known| *known != step);
                    if !is_off {
                        matching.steps.push(step);
                    }
                }
            }
        }
        matching.steps.sort_by_key(|step| Step::ALL.iter().position(|known| known == step));
        Ok(matching)
    }

    /// Whether `step` is done.
    pub fn has(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }

    /// The name without what changes from build to build; adds the steps that changed it to `counts`.
    fn name(&self, name: &str, counts: &mut [u64; Step::ALL.len()]) -> Option<String> {
        let mut text: Option<String> = None;
        let mut done = [false; Step::ALL.len()];
        // One may stand behind another in any order: `f.isra.0.llvm.5`, `f.llvm.5.cold`. Each round makes the name shorter, but for two.
        for _ in 0..4 {
            let mut is_same = true;
            for (row, step) in Step::ALL.into_iter().enumerate().filter(|(_, step)| self.has(*step)) {
                let now = text.as_deref().unwrap_or(name);
                if let Some(changed) = without(step, now).filter(|changed| !changed.is_empty()) {
                    text = Some(changed);
                    (done[row], is_same) = (true, false);
                }
            }
            if is_same {
                break;
            }
        }
        for (count, is_done) in counts.iter_mut().zip(done) {
            *count += u64::from(is_done);
        }
        text
    }
}

/// The names of several profiles made equal, and how often what was changed.
#[derive(Clone, Debug)]
pub(super) struct Normaliser {
    matching: Matching,
    counts: [u64; Step::ALL.len()],
    /// What became of names, so that each is counted once: nothing if it stays.
    known: FxHashMap<Box<str>, Option<Box<str>>>,
}

impl Normaliser {
    pub fn new(matching: Matching) -> Normaliser {
        Normaliser { matching, counts: [0; Step::ALL.len()], known: FxHashMap::default() }
    }

    /// How many names each step changed; those that changed none are left out.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = Step::ALL.into_iter().zip(self.counts).map(|(step, count)| (step.name(), count));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Whether what ran in interrupts is put aside.
    pub fn puts_interrupts_aside(&self) -> bool {
        self.matching.has(Step::Interrupts)
    }

    /// Changes the names of all functions of `profile`.
    pub fn apply(&mut self, profile: &mut Profile) {
        let mut changed: FxHashMap<StringId, StringId> = FxHashMap::default();
        for row in 0..profile.functions.len() {
            let name = profile.functions[row].name;
            profile.functions[row].name = self.string(profile, name, &mut changed);
        }
        for row in 0..profile.frames.len() {
            let Frame { key, resolution, .. } = profile.frames[row];
            match (key, resolution) {
                (FrameKey::Name { name, kind }, _) if is_code(kind) => {
                    let name = self.string(profile, name, &mut changed);
                    profile.frames[row].key = FrameKey::Name { name, kind };
                }
                (FrameKey::Code { image, .. }, Resolution::Unknown { reason, .. })
                    if self.matching.has(Step::Address) =>
                {
                    let image = &profile.images[image.index()];
                    let path = profile.strings.get(image.path);
                    let module = path.rsplit('/').next().unwrap_or(path);
                    let module = module.trim_start_matches('[').trim_end_matches(']');
                    let kind = match image.kind {
                        ImageKind::Kernel => FrameKind::Kernel,
                        ImageKind::Jit(_) | ImageKind::JitDump => FrameKind::Jit,
                        ImageKind::File | ImageKind::Vdso | ImageKind::Unmapped => FrameKind::User,
                    };
                    let name = match module {
                        "" => "[unknown]".to_owned(),
                        _ => format!("[unknown in {module}]"),
                    };
                    self.count(Step::Address);
                    let name = profile.strings.intern(&name);
                    let frame = &mut profile.frames[row];
                    frame.key = FrameKey::Name { name, kind };
                    frame.resolution = Resolution::Unknown { reason, place: Place::Offset };
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, step: Step) {
        let row = Step::ALL.iter().position(|known| *known == step);
        self.counts[row.expect("all steps are listed")] += 1;
    }

    fn string(&mut self, profile: &mut Profile, id: StringId, changed: &mut FxHashMap<StringId, StringId>) -> StringId {
        if let Some(known) = changed.get(&id) {
            return *known;
        }
        let name = profile.strings.get(id);
        let now = match self.known.get(name) {
            Some(now) => now.clone(),
            None => {
                let now = self.matching.name(name, &mut self.counts).map(String::into_boxed_str);
                self.known.insert(name.into(), now.clone());
                now
            }
        };
        let now = now.map_or(id, |now| profile.strings.intern(&now));
        changed.insert(id, now);
        now
    }
}

/// Whether a function of this name is how the kernel enters an interrupt: on x86 what `DECLARE_IDTENTRY_SYSVEC` and
/// `DECLARE_IDTENTRY_IRQ` make (arch/x86/include/asm/idtentry.h; before Linux 5.8 the names in arch/x86/entry/entry_64.S), on arm64 the
/// vectors of arch/arm64/kernel/entry.S. Faults and system calls are the program's own.
/// Where text does not say what is the kernel's, names that no program has count alone.
pub(super) fn is_interrupt(name: &str, kind: FrameKind) -> bool {
    const NAMES: [&str; 20] = [
        "asm_common_interrupt",
        "asm_spurious_interrupt",
        "common_interrupt",
        "ret_from_intr",
        "apic_timer_interrupt",
        "reschedule_interrupt",
        "call_function_interrupt",
        "call_function_single_interrupt",
        "irq_work_interrupt",
        "x86_platform_ipi",
        "thermal_interrupt",
        "threshold_interrupt",
        "hyperv_callback_vector",
        "xen_hvm_callback_vector",
        "el0_irq",
        "el1_irq",
        "el0_irq_naked",
        "el0t_64_irq",
        "el0t_32_irq",
        "el1h_64_irq",
    ];
    match kind {
        FrameKind::Kernel => name.starts_with("asm_sysvec_") || NAMES.contains(&name),
        FrameKind::User => name.starts_with("asm_sysvec_") || name == "asm_common_interrupt",
        _ => false,
    }
}

fn is_code(kind: FrameKind) -> bool {
    matches!(kind, FrameKind::User | FrameKind::Kernel | FrameKind::Inlined | FrameKind::Jit)
}

/// The name after `step`; nothing if it stays as it is.
fn without(step: Step, name: &str) -> Option<String> {
    let changed = match step {
        Step::RustHash => {
            let (rest, hash) = name.rsplit_once("::h")?;
            (hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| rest.to_owned())?
        }
        Step::Disambiguator => without_disambiguators(name)?,
        Step::Llvm => {
            let (rest, number) = name.rsplit_once(".llvm.")?;
            (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| rest.to_owned())?
        }
        Step::Clone => without_clones(name)?,
        Step::Plt => name.strip_suffix("@plt")?.to_owned(),
        Step::Version => {
            let (rest, version) = name.rsplit_once('@')?;
            let is_version = version.starts_with(|first: char| first.is_ascii_alphabetic())
                && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
                && version != "plt";
            is_version.then(|| rest.trim_end_matches('@').to_owned())?
        }
        Step::Lambda => without_numbers_of_lambdas(name)?,
        Step::Anonymous => {
            if !["{anonymous}", "_GLOBAL__N_1", "<unnamed>", "`anonymous namespace'"]
                .iter()
                .any(|way| name.contains(way))
            {
                return None;
            }
            ["{anonymous}", "_GLOBAL__N_1", "<unnamed>", "`anonymous namespace'"]
                .iter()
                .fold(name.to_owned(), |name, way| name.replace(way, "(anonymous namespace)"))
        }
        Step::Address => address(name)?,
        Step::Generics => without_parameters(name)?,
        // Of stacks, not of names.
        Step::Interrupts => return None,
    };
    (changed != name).then_some(changed)
}

/// `core[8bbf6b2a1f2c9d31]::fmt` is `core::fmt`.
fn without_disambiguators(name: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = name;
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find(']')? + open;
        let inside = &rest[open + 1..close];
        // As many digits as a 64-bit number has; leading zeros are not written.
        let is_hash = (8..=16).contains(&inside.len()) && inside.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_behind_name = rest[..open].ends_with(|last: char| last.is_alphanumeric() || last == '_');
        text += &rest[..open + usize::from(!(is_hash && is_behind_name))];
        if is_hash && is_behind_name {
            rest = &rest[close + 1..];
        } else {
            rest = &rest[open + 1..];
        }
    }
    text += rest;
    Some(text)
}

const CLONES: [&str; 9] = ["cold", "part", "constprop", "isra", "warm", "lto_priv", "hot", "localalias", "simdclone"];

/// `parse.part.0.cold` is `parse`, `parse(int) [clone .cold]` is `parse(int)`.
fn without_clones(name: &str) -> Option<String> {
    let mut text = name;
    loop {
        let before = text;
        if let Some((rest, clone)) = text.rsplit_once(" [clone .")
            && clone.ends_with(']')
        {
            text = rest;
        } else if let Some((rest, last)) = text.rsplit_once('.')
            && !rest.is_empty()
        {
            if CLONES.contains(&last) {
                text = rest;
            } else if last.bytes().all(|byte| byte.is_ascii_digit())
                && !last.is_empty()
                && let Some((rest, of)) = rest.rsplit_once('.')
                && CLONES.contains(&of)
                && !rest.is_empty()
            {
                text = rest;
            }
        }
        if text.len() == before.len() {
            break;
        }
    }
    (text.len() < name.len()).then(|| text.to_owned())
}

/// Numbers behind `#` in braces, and of the JVM's lambda classes.
fn without_numbers_of_lambdas(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    loop {
        let hash = rest.find("#").filter(|at| {
            let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            digits > 0 && rest[at + 1 + digits..].starts_with('}')
        });
        if let Some(at) = hash {
            text += &rest[..at];
            rest = &rest[at + 1..];
            rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            continue;
        }
        // A `#` of another kind: what stands behind it may still have one.
        match rest.find('#') {
            Some(at) => {
                text += &rest[..at + 1];
                rest = &rest[at + 1..];
            }
            None => break,
        }
    }
    text += rest;
    if let Some(at) = text.find("$$Lambda") {
        let behind = &text[at + "$$Lambda".len()..];
        let number = behind
            .strip_prefix(['$', '/'])
            .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
            .map_or(0, |digits| {
                1 + digits.bytes().take_while(|byte| byte.is_ascii_hexdigit() || *byte == b'/' || *byte == b'x').count()
            });
        text.replace_range(at + "$$Lambda".len()..at + "$$Lambda".len() + number, "");
    }
    (text.len() < name.len()).then_some(text)
}

/// What stands for an address without a name.
fn address(name: &str) -> Option<String> {
    let is_hex = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if name.strip_prefix("0x").is_some_and(is_hex) {
        return Some("[unknown]".to_owned());
    }
    let (module, offset) = name.rsplit_once("+0x")?;
    if !is_hex(offset) || module.is_empty() {
        return None;
    }
    // `main+0x1a` is in a function; a module is a path, in brackets, or ends as libraries do.
    let module = module.rsplit('/').next().unwrap_or(module);
    let bare = module.trim_start_matches(['[', '(']).trim_end_matches([']', ')']);
    let is_module = bare.len() < module.len() || bare.contains(".so");
    is_module.then(|| format!("[unknown in {bare}]"))
}

/// Without what stands in `<..>` and `(..)`; `operator<` and `operator()` stay.
fn without_parameters(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut depth = 0u32;
    let mut previous = ' ';
    for letter in name.chars() {
        let is_operator = depth == 0 && text.ends_with("operator");
        match letter {
            '<' | '(' if !is_operator && !text.is_empty() => depth += 1,
            '>' | ')' if depth > 0 && previous != '-' => depth -= 1,
            _ if depth == 0 => text.push(letter),
            _ => {}
        }
        previous = letter;
    }
    (depth == 0 && text.len() < name.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matching: &str, name: &str, expected: &str) {
        let mut counts = [0; Step::ALL.len()];
        let found = Matching::parse(matching).unwrap().name(name, &mut counts);
        assert_eq!(found.as_deref().unwrap_or(name), expected, "{name}");
    }

    #[test]
    fn what_builds_add() {
        for (name, expected) in [
            ("core::ptr::drop_in_place::h0123456789abcdef", "core::ptr::drop_in_place"),
            ("core::ptr::h0123", "core::ptr::h0123"),
            ("core[8bbf6b2a1f2c9d31]::fmt::Debug", "core::fmt::Debug"),
            (
                "<alloc[1a2b3c4d5e6f7788]::vec::Vec<[u8]> as core[0123456789abcdef]::ops>::f",
                "<alloc::vec::Vec<[u8]> as core::ops>::f",
            ),
            ("[deadbeef]", "[deadbeef]"),
            ("a[", "a["),
            ("inner.llvm.12345678", "inner"),
            ("inner.llvm.x", "inner.llvm.x"),
            ("parse.part.0.cold", "parse"),
            ("parse.isra.0.llvm.5", "parse"),
            ("parse.constprop.12", "parse"),
            ("parse(int) [clone .cold]", "parse(int)"),
            ("module.part", "module"),
            (".cold", ".cold"),
            ("memcpy@plt", "memcpy"),
            ("memcpy@GLIBC_2.14", "memcpy"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("user@host 5", "user@host 5"),
            ("run::{closure#0}::{closure#12}", "run::{closure}::{closure}"),
            ("f(int)::{lambda(auto)#2}::operator()", "f(int)::{lambda(auto)}::operator()"),
            ("operator#1", "operator#1"),
            ("Main$$Lambda$14/0x0000000800c03000.apply", "Main$$Lambda.apply"),
            ("{anonymous}::run", "(anonymous namespace)::run"),
            ("_GLOBAL__N_1::run", "(anonymous namespace)::run"),
            ("0x55e1a0", "[unknown]"),
            ("libc.so.6+0x29d90", "[unknown in libc.so.6]"),
            ("[prog]+0x1180", "[unknown in prog]"),
            ("main+0x10", "main+0x10"),
            ("Vec<u8>::push(u8)", "Vec<u8>::push(u8)"),
        ] {
            check("normal", name, expected);
            check("exact", name, name);
        }
    }

    #[test]
    fn steps_are_chosen() {
        check("normal,-version", "memcpy@GLIBC_2.14", "memcpy@GLIBC_2.14");
        check("normal,no-version", "memcpy@plt", "memcpy");
        check("exact,plt", "memcpy.cold@plt", "memcpy.cold");
        check("loose", "Vec<u8>::push(u8)", "Vec::push");
        check("loose", "A::operator<(B const&)", "A::operator<");
        check("loose", "f(std::function<void()->int>)", "f");
        check("loose", "<T as U>::f", "<T as U>::f");
        assert!(Matching::parse("normal,versions").unwrap_err().contains("rust-hash"));
    }
}
