//! How the entries that nobody asks for are passed over: they are nearly all.
//!
//! What an entry takes follows from its abbreviation, so that is worked out once: mostly it is a number of bytes, and some
//! numbers of variable length.

use gimli::{Abbreviation, Encoding, Endianity as _, Error, Format, Reader as _, Section as _, UnitRef};

use super::Bytes;

/// What an entry is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A function that is somewhere.
    Function,
    /// A function that is inlined somewhere.
    Inlined,
    /// All others, and declarations, and what all instances of an inlined function have in common: these are nowhere.
    Other,
}

/// How much a value takes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Bytes(usize),
    /// A number of variable length.
    Number,
    /// A text that ends in a zero.
    Text,
    /// A number of so many bytes, and then as many bytes as it says.
    Counted(usize),
    /// A number of variable length, and then as many bytes as it says.
    Block,
}

/// What is known of all entries with one abbreviation.
#[derive(Debug)]
pub(super) struct Plan {
    pub kind: Kind,
    pub has_children: bool,
    /// None if that is for gimli to find out.
    steps: Option<Box<[Step]>>,
}

/// The plans of a unit's abbreviations, each made when it is first needed.
pub(super) struct Plans<'u, 'a> {
    unit: &'u UnitRef<'u, Bytes<'a>>,
    by_code: Vec<Option<Plan>>,
    /// That of an abbreviation whose code is too large for a table.
    rare: Option<Plan>,
}

/// Largest code in the table; the largest seen is some thousand.
const MOST_CODES: usize = 1 << 16;

impl<'u, 'a> Plans<'u, 'a> {
    pub fn of(unit: &'u UnitRef<'u, Bytes<'a>>) -> Plans<'u, 'a> {
        Plans { unit, by_code: Vec::new(), rare: None }
    }

    pub fn plan(&mut self, code: u64) -> Result<&Plan, Error> {
        let at = usize::try_from(code).ok().filter(|code| *code < MOST_CODES);
        let place = match at {
            Some(at) => {
                if at >= self.by_code.len() {
                    self.by_code.resize_with(at + 1, || None);
                }
                &mut self.by_code[at]
            }
            None => {
                self.rare = None;
                &mut self.rare
            }
        };
        if place.is_none() {
            let abbreviation = self.unit.abbreviations.get(code).ok_or(Error::InvalidAbbreviationCode(code))?;
            let is_big_endian = self.unit.dwarf.debug_abbrev.reader().endian().is_big_endian();
            *place = Some(Plan::of(abbreviation, self.unit.encoding(), is_big_endian));
        }
        place.as_ref().ok_or(Error::InvalidAbbreviationCode(code))
    }
}

impl Plan {
    fn of(abbreviation: &Abbreviation, encoding: Encoding, is_big_endian: bool) -> Plan {
        let attributes = abbreviation.attributes();
        let is_place = |name| matches!(name, gimli::DW_AT_low_pc | gimli::DW_AT_ranges);
        let is_somewhere = attributes.iter().any(|attribute| is_place(attribute.name()));
        let kind = match abbreviation.tag() {
            gimli::DW_TAG_subprogram if is_somewhere => Kind::Function,
            gimli::DW_TAG_inlined_subroutine if is_somewhere => Kind::Inlined,
            _ => Kind::Other,
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut is_plain = true;
        for attribute in attributes {
            match (step_of(attribute.form(), encoding), steps.last_mut()) {
                (Some(Step::Bytes(more)), Some(Step::Bytes(count))) => *count += more,
                (Some(Step::Counted(2..)), _) if is_big_endian => is_plain = false,
                (Some(step), _) => steps.push(step),
                (None, _) => is_plain = false,
            }
        }
        Plan { kind, has_children: abbreviation.has_children(), steps: is_plain.then(|| steps.into()) }
    }

    /// Where the next entry is, if the values of this one begin at an offset of `bytes`; `None` if that is for gimli to find out.
    pub fn behind(&self, bytes: &[u8], mut at: usize) -> Option<usize> {
        for step in self.steps.as_ref()? {
            at = match *step {
                Step::Bytes(count) => at + count,
                Step::Number => number(bytes, at)?.1,
                Step::Text => at + memchr::memchr(0, bytes.get(at..)?)? + 1,
                Step::Counted(length) => {
                    let mut count = [0; 4];
                    count[..length].copy_from_slice(bytes.get(at..at + length)?);
                    at + length + u32::from_le_bytes(count) as usize
                }
                Step::Block => {
                    let (count, behind) = number(bytes, at)?;
                    behind.checked_add(usize::try_from(count).ok()?)?
                }
            };
        }
        (at <= bytes.len()).then_some(at)
    }
}

/// A number of variable length (unsigned LEB128, DWARF 5, section 7.6), and where it ends; `None` if it is none of 64 bits.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let rest = bytes.get(at..)?;
    let mut value = 0;
    for (index, byte) in rest.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

/// See DWARF 5, section 7.5.6, and for GNU's forms the same of binutils.
fn step_of(form: gimli::DwForm, encoding: Encoding) -> Option<Step> {
    let word = if encoding.format == Format::Dwarf64 { 8 } else { 4 };
    Some(match form {
        gimli::DW_FORM_addr => Step::Bytes(encoding.address_size.into()),
        gimli::DW_FORM_flag_present | gimli::DW_FORM_implicit_const => Step::Bytes(0),
        gimli::DW_FORM_data1
        | gimli::DW_FORM_ref1
        | gimli::DW_FORM_flag
        | gimli::DW_FORM_strx1
        | gimli::DW_FORM_addrx1 => Step::Bytes(1),
        gimli::DW_FORM_data2 | gimli::DW_FORM_ref2 | gimli::DW_FORM_strx2 | gimli::DW_FORM_addrx2 => Step::Bytes(2),
        gimli::DW_FORM_strx3 | gimli::DW_FORM_addrx3 => Step::Bytes(3),
        gimli::DW_FORM_data4
        | gimli::DW_FORM_ref4
        | gimli::DW_FORM_strx4
        | gimli::DW_FORM_addrx4
        | gimli::DW_FORM_ref_sup4 => Step::Bytes(4),
        gimli::DW_FORM_data8 | gimli::DW_FORM_ref8 | gimli::DW_FORM_ref_sig8 | gimli::DW_FORM_ref_sup8 => {
            Step::Bytes(8)
        }
        gimli::DW_FORM_data16 => Step::Bytes(16),
        gimli::DW_FORM_sec_offset
        | gimli::DW_FORM_strp
        | gimli::DW_FORM_line_strp
        | gimli::DW_FORM_strp_sup
        | gimli::DW_FORM_GNU_ref_alt
        | gimli::DW_FORM_GNU_strp_alt => Step::Bytes(word),
        // An address in DWARF 2 only.
        gimli::DW_FORM_ref_addr if encoding.version <= 2 => Step::Bytes(encoding.address_size.into()),
        gimli::DW_FORM_ref_addr => Step::Bytes(word),
        gimli::DW_FORM_sdata
        | gimli::DW_FORM_udata
        | gimli::DW_FORM_ref_udata
        | gimli::DW_FORM_strx
        | gimli::DW_FORM_addrx
        | gimli::DW_FORM_loclistx
        | gimli::DW_FORM_rnglistx
        | gimli::DW_FORM_GNU_addr_index
        | gimli::DW_FORM_GNU_str_index => Step::Number,
        gimli::DW_FORM_string => Step::Text,
        gimli::DW_FORM_block1 => Step::Counted(1),
        gimli::DW_FORM_block2 => Step::Counted(2),
        gimli::DW_FORM_block4 => Step::Counted(4),
        gimli::DW_FORM_block | gimli::DW_FORM_exprloc => Step::Block,
        _ => return None,
    })
}
