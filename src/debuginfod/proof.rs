//! Whether a file that a stranger sent is what was asked for.

use std::fs::File;

use object::read::ReadCache;
use object::{Object, ObjectSection};

use crate::model::BuildId;

/// What an ELF file says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Proof {
    pub build_id: Option<BuildId>,
    /// The file with what several programs have in common (`dwz`), if debug information of this one is in it.
    pub supplementary: Option<BuildId>,
}

/// Reads the build ids of a file; `None` if it is no whole ELF file.
pub(super) fn read(file: &File) -> Option<Proof> {
    let length = file.metadata().ok()?.len();
    let cache = ReadCache::new(file);
    let object = object::File::parse(&cache).ok()?;
    if object.format() != object::BinaryFormat::Elf {
        return None;
    }
    // A transfer that was cut has lost its end.
    let is_inside = |section: object::Section<'_, '_, _>| {
        let end = section.file_range().map_or(Some(0), |(start, size)| start.checked_add(size));
        end.is_some_and(|end| end <= length)
    };
    if object.sections().any(|section| !is_inside(section)) {
        return None;
    }
    let build_id = object.build_id().ok().flatten().and_then(BuildId::new);
    let supplementary = object.gnu_debugaltlink().ok().flatten().and_then(|(_, id)| BuildId::new(id));
    Some(Proof { build_id, supplementary })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn proof(bytes: &[u8]) -> Option<Proof> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read(&file)
    }

    #[test]
    fn whole_elf_file_tells_its_build_id() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = proof(&own).unwrap();
        let object = object::File::parse(&*own).unwrap();
        assert_eq!(found.build_id, object.build_id().unwrap().and_then(BuildId::new));
        assert_eq!(proof(&own[..own.len() - 1]), None, "the section headers stand at the end");
        assert_eq!(proof(&own[..own.len() / 2]), None);
        assert_eq!(proof(b"\x7fELF"), None);
        assert_eq!(proof(b""), None);
        assert_eq!(proof(b"<html></html>"), None);
    }

    #[test]
    fn corrupt_files_are_survived() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/symbolize/names.c");
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let compiled = std::process::Command::new("cc").args(["-O2", "-g", source, "-o"]).arg(&program).status();
        if !compiled.is_ok_and(|status| status.success()) {
            crate::skip::here("cc does not work here");
            return;
        }
        let good = std::fs::read(&program).unwrap();
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let mut still_read = 0;
        for _ in 0..2000 {
            let mut changed = good.clone();
            for _ in 0..4 {
                // The headers stand at both ends.
                let at = if next(2) == 0 { next(1000) } else { good.len() - 1 - next(2500) };
                changed[at] = next(256) as u8;
            }
            still_read += usize::from(proof(&changed).is_some());
        }
        assert!((1..2000).contains(&still_read), "{still_read}");
    }
}
