//! Where the running kernel and its modules are, as `/proc` and `/sys` tell.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use crate::model::BuildId;

/// The kernel's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelText {
    /// The symbol at its start: `_text`, or `_stext`.
    pub symbol: &'static str,
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
}

/// A kernel module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, with `_` where the file has `-`.
    pub name: String,
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
}

/// The kernel's own code; nothing if the user may not see its addresses (`kernel.kptr_restrict`), which are zeros then.
pub fn kernel_text() -> Option<KernelText> {
    let memory = fs::read_to_string("/proc/iomem").unwrap_or_default();
    text_of(BufReader::new(File::open("/proc/kallsyms").ok()?), text_size(&memory))
}

/// Reads symbols up to the end of the code, or only to its start if its size is known: the kernel needs tens of
/// milliseconds to print all that lie between.
fn text_of(mut symbols: impl BufRead, size: Option<u64>) -> Option<KernelText> {
    let mut line = Vec::new();
    let mut begin: Option<(&str, u64)> = None;
    while symbols.read_until(b'\n', &mut line).is_ok_and(|size| size > 0) {
        // `ffffffff81000000 T _text`
        let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
        let address = words.next().and_then(|word| u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
        match (words.nth(1), address) {
            (Some(b"_text" | b"_stext" | b"_etext"), Some(0)) => return None,
            (Some(b"_text"), Some(start)) => begin = Some(("_text", start)),
            (Some(b"_stext"), Some(start)) => begin = begin.or(Some(("_stext", start))),
            (Some(b"_etext"), Some(end)) => return begin.and_then(|(symbol, start)| kernel(symbol, start, Some(end))),
            _ => {}
        }
        if let (Some(("_text", start)), Some(size)) = (begin, size) {
            return kernel("_text", start, start.checked_add(size));
        }
        line.clear();
    }
    None
}

fn kernel(symbol: &'static str, start: u64, end: Option<u64>) -> Option<KernelText> {
    end.filter(|end| *end > start).map(|end| KernelText { symbol, start, end })
}

/// How large the code is by `/proc/iomem`, `  01000000-0220bb07 : Kernel code`; for others than root it has zeros.
///
/// On x86 it ends at `_etext` (`setup_arch`); elsewhere it may begin or end with something else.
fn text_size(memory: &str) -> Option<u64> {
    if !cfg!(target_arch = "x86_64") {
        return None;
    }
    let range = memory.lines().find_map(|line| line.trim().strip_suffix(" : Kernel code"))?;
    let (first, last) = range.trim().split_once('-')?;
    let [first, last] = [first, last].map(|word| u64::from_str_radix(word, 16).ok());
    last?.checked_sub(first?)?.checked_add(1).filter(|size| *size > 1)
}

/// The modules that are loaded and whose addresses the user may see.
pub fn modules() -> Vec<Module> {
    modules_of(&fs::read_to_string("/proc/modules").unwrap_or_default())
}

fn modules_of(text: &str) -> Vec<Module> {
    let module = |line: &str| {
        // `ext4 999424 1 - Live 0xffffffffc0400000`
        let mut words = line.split(' ');
        let (name, size) = (words.next()?, words.next()?.parse::<u64>().ok()?);
        let start = words.find_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())?;
        (start > 0).then(|| Module { name: name.to_owned(), start, end: start.saturating_add(size) })
    };
    text.lines().filter_map(module).collect()
}

/// The files of modules below `/lib/modules`, by the modules' names; only of those that `modules.dep` lists.
pub fn module_files() -> Vec<(String, String)> {
    let folder = format!("/lib/modules/{}", rustix::system::uname().release().to_string_lossy());
    let listed = fs::read_to_string(format!("{folder}/modules.dep")).unwrap_or_default();
    let file = |line: &str| {
        let (path, _) = line.split_once(':')?;
        let stem = path.rsplit('/').next()?.split('.').next()?;
        Some((stem.replace('-', "_"), format!("{folder}/{path}")))
    };
    listed.lines().filter_map(file).collect()
}

/// The build id of the running kernel.
pub fn kernel_build_id() -> Option<BuildId> {
    gnu_build_id(&fs::read("/sys/kernel/notes").ok()?)
}

/// The build id of a module that is loaded.
pub fn module_build_id(name: &str) -> Option<BuildId> {
    if name.contains('/') {
        return None;
    }
    gnu_build_id(&fs::read(format!("/sys/module/{name}/notes/.note.gnu.build-id")).ok()?)
}

/// Finds `NT_GNU_BUILD_ID` (3) of owner `GNU` in ELF notes, see `elf(5)`.
fn gnu_build_id(mut notes: &[u8]) -> Option<BuildId> {
    loop {
        let (head, rest) = notes.split_at_checked(12)?;
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
        let (name, descriptor) = (rest.get(..word(0))?, word(0).checked_next_multiple_of(4)?);
        let bytes = rest.get(descriptor..descriptor.checked_add(word(4))?)?;
        if word(8) == 3 && name == b"GNU\0" {
            return BuildId::new(bytes);
        }
        notes = rest.get(descriptor.checked_add(word(4).checked_next_multiple_of(4)?)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_text_is_found_or_hidden() {
        let symbols = "0000000000000000 A fixed\nffffffff81000000 T _stext\nffffffff81000000 T _text\n\
            ffffffff81000010 t not_text\nffffffff82200000 T _etext\nffffffffc0000000 t _text\t[module]\n";
        let text = text_of(symbols.as_bytes(), None);
        let expected = KernelText { symbol: "_text", start: 0xffff_ffff_8100_0000, end: 0xffff_ffff_8220_0000 };
        assert_eq!(text, Some(expected));
        let hidden = "0000000000000000 T _text\n0000000000000000 T _etext\n";
        assert_eq!(text_of(hidden.as_bytes(), None), None);
        assert_eq!(text_of("".as_bytes(), None), None);
        let size = text_size("00100000-0fffffff : System RAM\n  01000000-021fffff : Kernel code\n");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(size, Some(0x120_0000));
            let begin = symbols.split_inclusive('\n').take(3).collect::<String>();
            assert_eq!(text_of(begin.as_bytes(), size), text);
        }
        assert_eq!(text_size("  00000000-00000000 : Kernel code\n"), None);
    }

    #[test]
    fn modules_are_read() {
        let text = "ext4 999424 1 - Live 0xffffffffc0400000\nmbcache 16384 1 ext4, Live 0x0000000000000000 (E)\njunk\n";
        let ext4 = Module { name: "ext4".into(), start: 0xffff_ffff_c040_0000, end: 0xffff_ffff_c04f_4000 };
        assert_eq!(modules_of(text), [ext4]);
    }

    #[test]
    fn build_id_is_found_behind_other_notes() {
        let note = |name: &[u8], kind: u32, bytes: &[u8]| {
            let mut note =
                [(name.len() as u32).to_ne_bytes(), (bytes.len() as u32).to_ne_bytes(), kind.to_ne_bytes()].concat();
            note.extend(name);
            note.resize(note.len().next_multiple_of(4), 0);
            note.extend(bytes);
            note.resize(note.len().next_multiple_of(4), 0);
            note
        };
        let notes = [note(b"Xen\0", 3, &[1; 5]), note(b"GNU\0", 3, &[9; 20])].concat();
        assert_eq!(gnu_build_id(&notes), BuildId::new(&[9; 20]));
        for cut in 0..notes.len() {
            assert_eq!(gnu_build_id(&notes[..cut]), None);
        }
        let hostile = [u32::MAX.to_ne_bytes(), u32::MAX.to_ne_bytes(), 3u32.to_ne_bytes()].concat();
        assert_eq!(gnu_build_id(&hostile), None);
    }
}
