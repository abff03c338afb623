//! What a file says of others that know more of it: `.gnu_debuglink`, `.gnu_debugaltlink`, `.debug_sup`.

use super::elf_file::ElfFile;
use crate::model::BuildId;

/// `.gnu_debuglink`: the file with the debug information of this one (GDB manual, "Debugging Information in Separate Files").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DebugLink {
    /// Its name, without folders.
    pub name: Box<[u8]>,
    /// The checksum of all its bytes.
    pub checksum: u32,
}

/// `.gnu_debugaltlink` (a GNU extension, made by `dwz -m`), or `.debug_sup` (DWARF 5, section 7.3.6): the file with what the
/// debug information of several programs has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SupplementaryLink {
    /// Its path, relative to the folder of the file that says so, or absolute.
    pub path: Box<[u8]>,
    /// Its build id, or what `.debug_sup` has in place of one; never empty.
    pub id: Box<[u8]>,
}

/// Longest path that is believed (`PATH_MAX`).
const MOST_PATH: usize = 4096;
/// Longest id: no hash in use is longer.
const MOST_ID: usize = 64;

impl DebugLink {
    /// What the file says; `None` if it says nothing, or a name that is no plain one.
    pub fn of(file: &ElfFile) -> Option<DebugLink> {
        parse_debug_link(&file.section_contents(".gnu_debuglink")?, file.is_big_endian())
    }
}

impl SupplementaryLink {
    /// What the file says; `None` if it says nothing that makes sense.
    pub fn of(file: &ElfFile) -> Option<SupplementaryLink> {
        let gnu = file.section_contents(".gnu_debugaltlink").and_then(|bytes| parse_alt_link(&bytes));
        gnu.or_else(|| match parse_sup(&file.section_contents(".debug_sup")?, file.is_big_endian())? {
            Sup { is_supplementary: false, link } => Some(link),
            Sup { .. } => None,
        })
    }

    /// Whether a file is the one that is meant: by its build id, or by its own `.debug_sup`.
    pub fn is_to(&self, file: &ElfFile) -> bool {
        let sup = || file.section_contents(".debug_sup").and_then(|bytes| parse_sup(&bytes, file.is_big_endian()));
        self.build_id().is_some_and(|wanted| file.build_id() == Some(wanted))
            || sup().is_some_and(|sup| sup.is_supplementary && sup.link.id == self.id)
    }

    /// Its id, as one that is found below `.build-id`.
    pub fn build_id(&self) -> Option<BuildId> {
        BuildId::new(&self.id)
    }
}

/// A name, zero, padding to four bytes, and a CRC in the file's byte order.
fn parse_debug_link(bytes: &[u8], is_big_endian: bool) -> Option<DebugLink> {
    let (name, _) = text(bytes)?;
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return None;
    }
    let checksum = *bytes.get((name.len() + 1).next_multiple_of(4)..)?.first_chunk()?;
    let checksum = if is_big_endian { u32::from_be_bytes(checksum) } else { u32::from_le_bytes(checksum) };
    Some(DebugLink { name: name.into(), checksum })
}

/// A path, zero, and the build id to the end of the section.
fn parse_alt_link(bytes: &[u8]) -> Option<SupplementaryLink> {
    let (path, id) = text(bytes)?;
    (!path.is_empty() && !id.is_empty() && id.len() <= MOST_ID)
        .then(|| SupplementaryLink { path: path.into(), id: id.into() })
}

struct Sup {
    is_supplementary: bool,
    link: SupplementaryLink,
}

/// `version`, `is_supplementary`, `sup_filename`, `sup_checksum_len` (LEB128), `sup_checksum`.
fn parse_sup(bytes: &[u8], is_big_endian: bool) -> Option<Sup> {
    let (version, rest) = bytes.split_first_chunk::<2>()?;
    let version = if is_big_endian { u16::from_be_bytes(*version) } else { u16::from_le_bytes(*version) };
    let (flag, rest) = rest.split_first()?;
    let (path, rest) = text(rest)?;
    // A length that takes a second byte is longer than any id.
    let (length, rest) = rest.split_first()?;
    let id = rest.get(..usize::from(*length)).filter(|id| !id.is_empty() && id.len() <= MOST_ID)?;
    let is_supplementary = *flag == 1;
    (version >= 5 && is_supplementary == path.is_empty())
        .then(|| Sup { is_supplementary, link: SupplementaryLink { path: path.into(), id: id.into() } })
}

fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().take(MOST_PATH).position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_link_is_a_plain_name_and_a_checksum() {
        let link = |bytes: &[u8]| parse_debug_link(bytes, false).map(|link| (link.name.to_vec(), link.checksum));
        assert_eq!(link(b"a.debug\0\x01\x02\x03\x04"), Some((b"a.debug".to_vec(), 0x0403_0201)));
        assert_eq!(link(b"ab.debug\0\0\0\0\x01\x02\x03\x04"), Some((b"ab.debug".to_vec(), 0x0403_0201)));
        assert_eq!(parse_debug_link(b"a\0\0\0\0\0\0\x01", true).map(|link| link.checksum), Some(1));
        let wrong: [&[u8]; 8] = [
            b"",
            b"a",
            b"a\0",
            b"a\0\0\0\x01",
            b"../a\0\0\0\0\0\0\0",
            b"..\0\0\0\0\0\0",
            b"/a\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0",
        ];
        for bytes in wrong {
            assert_eq!(link(bytes), None, "{bytes:?}");
        }
        assert_eq!(link(&[b'a'; 10_000]), None);
    }

    #[test]
    fn supplementary_links_have_a_path_and_an_id() {
        let expected = SupplementaryLink { path: (*b"../x").into(), id: (*b"id").into() };
        assert_eq!(parse_alt_link(b"../x\0id"), Some(expected.clone()));
        for bytes in [&b""[..], b"x", b"x\0", b"\0id", &[b"x\0", &[1; 65][..]].concat()] {
            assert_eq!(parse_alt_link(bytes), None, "{bytes:?}");
        }
        let sup = |bytes: &[u8]| parse_sup(bytes, false).map(|sup| (sup.is_supplementary, sup.link));
        assert_eq!(sup(b"\x05\0\0../x\0\x02id"), Some((false, expected)));
        assert!(sup(b"\x05\0\x01\0\x02id").is_some_and(|(is_supplementary, _)| is_supplementary));
        for bytes in [
            &b""[..],
            b"\x05\0\0x\0",
            b"\x05\0\0x\0\x05id",
            b"\x04\0\0x\0\x02id",
            b"\x05\0\0\0\x02id",
            b"\x05\0\x01x\0\x02id",
        ] {
            assert_eq!(sup(bytes), None, "{bytes:?}");
        }
    }
}
