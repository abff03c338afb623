//! What an entry says of a function: where it is, how it is called, where it was inlined.

use std::cell::Cell;
use std::ops::Range;

use gimli::{Abbreviation, Attribute, AttributeValue, Error, UnitOffset, UnitRef};

use super::{Bytes, is_spent, spend};

/// Where code is, as attributes say it.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'a> {
    low: Option<AttributeValue<Bytes<'a>>>,
    high: Option<AttributeValue<Bytes<'a>>>,
    ranges: Option<AttributeValue<Bytes<'a>>>,
}

impl<'a> Place<'a> {
    pub fn take(&mut self, attribute: &Attribute<Bytes<'a>>) {
        match attribute.name() {
            gimli::DW_AT_low_pc => self.low = Some(attribute.value()),
            gimli::DW_AT_high_pc => self.high = Some(attribute.value()),
            gimli::DW_AT_ranges => self.ranges = Some(attribute.value()),
            _ => {}
        }
    }

    /// Hands over each range. What linkers have thrown away is at 0, where no code is.
    pub fn each(
        &self,
        unit: &UnitRef<'_, Bytes<'a>>,
        steps: &Cell<usize>,
        mut to: impl FnMut(Range<u64>),
    ) -> Result<(), Error> {
        let mut give = |begin: u64, end: u64| {
            if begin < end && begin > 0 {
                to(begin..end);
            }
        };
        if let Some(value) = self.ranges
            && let Some(mut ranges) = unit.attr_ranges(value)?
        {
            while let Some(range) = ranges.next()? {
                spend(steps, 1);
                if is_spent(steps) {
                    return Ok(());
                }
                give(range.begin, range.end);
            }
            return Ok(());
        }
        let Some(low) = self.low.map(|low| unit.attr_address(low)).transpose()?.flatten() else { return Ok(()) };
        match self.high {
            Some(AttributeValue::Udata(size)) => give(low, low.wrapping_add(size)),
            Some(high) => {
                if let Some(high) = unit.attr_address(high)? {
                    give(low, high);
                }
            }
            None => {}
        }
        Ok(())
    }
}

/// Steps that it costs to read an entry with an abbreviation. A hostile one may have a million attributes that take no bytes of
/// the entry (`DW_FORM_flag_present`); those of real ones are free, as they are paid for by the bytes.
pub(super) fn steps_of(abbreviation: &Abbreviation) -> usize {
    const MOST_FREE: usize = 32;
    abbreviation.attributes().len().saturating_sub(MOST_FREE)
}

/// What an entry says of a function.
#[derive(Default)]
pub(super) struct Entry<'a> {
    pub place: Place<'a>,
    pub called: Called<'a>,
    pub sibling: Option<UnitOffset>,
    pub call_file: Option<u64>,
    pub call_line: u32,
}

/// How a function is called, or which entry says it.
#[derive(Clone, Copy, Default)]
pub(super) struct Called<'a> {
    pub linkage_name: Option<AttributeValue<Bytes<'a>>>,
    pub name: Option<AttributeValue<Bytes<'a>>>,
    pub origin: Option<AttributeValue<Bytes<'a>>>,
    /// Whether other files can call it.
    pub is_external: bool,
}

impl<'a> Called<'a> {
    pub fn take(&mut self, attribute: &Attribute<Bytes<'a>>) {
        match attribute.name() {
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => self.linkage_name = Some(attribute.value()),
            gimli::DW_AT_name => self.name = Some(attribute.value()),
            gimli::DW_AT_external => self.is_external = attribute.value() == AttributeValue::Flag(true),
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => self.origin = Some(attribute.value()),
            _ => {}
        }
    }
}

impl<'a> Entry<'a> {
    pub fn take(&mut self, unit: &UnitRef<'_, Bytes<'a>>, attribute: &Attribute<Bytes<'a>>) {
        match attribute.name() {
            gimli::DW_AT_sibling => {
                if let AttributeValue::UnitRef(offset) = attribute.value() {
                    self.sibling = Some(offset);
                }
            }
            gimli::DW_AT_call_file => {
                // 0 is no file before DWARF 5, and the first one since (section 6.2.4.1).
                if let AttributeValue::FileIndex(file) = attribute.value() {
                    self.call_file = (file > 0 || unit.header.version() >= 5).then_some(file);
                }
            }
            gimli::DW_AT_call_line => {
                self.call_line = attribute.udata_value().and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
            }
            _ => {
                self.place.take(attribute);
                self.called.take(attribute);
            }
        }
    }
}
