//! Namespaces and classes around functions of C++ that have no linkage name: those of one file alone (`static`, in an unnamed namespace), as GCC
//! describes them where they are inlined. Without its scope `app::Cache::get` would be `get`, and another function than where it is called.

use std::borrow::Cow;
use std::cell::Cell;

use gimli::{AttributeValue, Error, UnitOffset, UnitRef};

use super::entry::steps_of;
use super::skip::{Plans, number};
use super::{Bytes, is_spent, spend};

/// How many scopes are around one another at most.
const MOST_DEPTH: usize = 64;

/// Longer names have no scope: the longest seen has some thousand bytes.
const MOST_BYTES: usize = 1 << 16;

/// A namespace or class: what lies behind its entry and before the end is in it.
#[derive(Clone, Copy, Debug)]
struct Scope<'a> {
    begin: usize,
    end: usize,
    /// The one around it.
    parent: Option<usize>,
    /// None of what has no name: an unnamed namespace, or a class or union within one.
    name: Option<AttributeValue<Bytes<'a>>>,
    is_class: bool,
}

/// The namespaces and classes of a unit, in the order of their entries.
#[derive(Debug, Default)]
pub(super) struct Scopes<'a> {
    scopes: Vec<Scope<'a>>,
}

impl<'a> Scopes<'a> {
    /// Those of a unit; none if it is not of C++.
    pub fn of(unit: &UnitRef<'_, Bytes<'a>>, steps: &Cell<usize>) -> Scopes<'a> {
        let mut scopes = Scopes::default();
        // What comes behind damage has none, as where there are none.
        let _ = scopes.read(unit, steps);
        scopes
    }

    fn read(&mut self, unit: &UnitRef<'_, Bytes<'a>>, steps: &Cell<usize>) -> Result<(), Error> {
        let root = unit.header.root_offset().0;
        let bytes = unit.header.range_from(UnitOffset(root)..)?.slice();
        let mut plans = Plans::of(unit);
        // Those that are open: how deep their entry is, and which they are.
        let mut open: Vec<(isize, usize)> = Vec::new();
        let (mut at, mut depth) = (0, 0);
        while at < bytes.len() {
            let (code, behind_code) = number(bytes, at).ok_or(Error::BadUnsignedLeb128)?;
            if code == 0 {
                depth -= 1;
                at = behind_code;
                if let Some((_, closed)) = open.pop_if(|(of, _)| *of >= depth) {
                    self.scopes[closed].end = root + at;
                }
                continue;
            }
            let offset = root + at;
            let plan = plans.plan(code)?;
            let has_children = plan.has_children;
            let behind = if has_children { None } else { plan.behind(bytes, behind_code) };
            match behind {
                Some(behind) => at = behind,
                None => {
                    let mut entries = unit.entries_raw(Some(UnitOffset(offset)))?;
                    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
                    spend(steps, steps_of(abbreviation));
                    if is_spent(steps) {
                        return Ok(());
                    }
                    let (tag, mut name, mut is_cpp) = (abbreviation.tag(), None, true);
                    for attribute in abbreviation.attributes() {
                        let attribute = entries.read_attribute(*attribute)?;
                        match attribute.name() {
                            gimli::DW_AT_name => name = Some(attribute.value()),
                            gimli::DW_AT_language => is_cpp = is_of_cpp(attribute.value()),
                            _ => {}
                        }
                    }
                    at = entries.next_offset().0 - root;
                    if !is_cpp {
                        return Ok(());
                    }
                    let is_class = matches!(
                        tag,
                        gimli::DW_TAG_class_type | gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type
                    );
                    if has_children && (is_class || tag == gimli::DW_TAG_namespace) && open.len() < MOST_DEPTH {
                        let parent = open.last().map(|(_, scope)| *scope);
                        open.push((depth, self.scopes.len()));
                        self.scopes.push(Scope { begin: offset, end: root + bytes.len(), parent, name, is_class });
                    }
                }
            }
            depth += isize::from(has_children);
        }
        Ok(())
    }

    /// The name of a function whose entry is `at`, with those of what is around it: `app::(anonymous namespace)::Cache::get`.
    ///
    /// What is external and in no class has a linkage name, or is C's, whose functions are in no namespace.
    pub fn qualified<'n>(
        &self,
        unit: &UnitRef<'_, Bytes<'a>>,
        at: UnitOffset,
        name: &'n [u8],
        is_external: bool,
    ) -> Cow<'n, [u8]> {
        let mut next = self.scopes.partition_point(|scope| scope.begin < at.0).checked_sub(1);
        let mut around: Vec<&Scope<'a>> = Vec::new();
        while let Some(scope) = next.map(|scope| &self.scopes[scope]) {
            around.extend((scope.end > at.0).then_some(scope));
            next = scope.parent;
        }
        if around.is_empty() || (is_external && !around.iter().any(|scope| scope.is_class)) {
            return Cow::Borrowed(name);
        }
        let mut qualified = Vec::with_capacity(name.len() + 32);
        for scope in around.into_iter().rev() {
            match scope.name.map(|name| unit.attr_string(name)) {
                Some(Ok(name)) if name.slice().len() <= MOST_BYTES => qualified.extend_from_slice(name.slice()),
                Some(_) => return Cow::Borrowed(name),
                None if scope.is_class && name == b"operator()" => qualified.extend_from_slice(b"{lambda}"),
                None if scope.is_class => qualified.extend_from_slice(b"(anonymous class)"),
                None => qualified.extend_from_slice(b"(anonymous namespace)"),
            }
            qualified.extend_from_slice(b"::");
        }
        qualified.extend_from_slice(name);
        if qualified.len() > MOST_BYTES { Cow::Borrowed(name) } else { Cow::Owned(qualified) }
    }
}

/// DWARF 5, table 7.17, and the numbers of C++17 and C++20 that were given since (<https://dwarfstd.org/languages.html>).
fn is_of_cpp(value: AttributeValue<Bytes<'_>>) -> bool {
    matches!(
        value,
        AttributeValue::Language(
            gimli::DW_LANG_C_plus_plus
                | gimli::DW_LANG_C_plus_plus_03
                | gimli::DW_LANG_C_plus_plus_11
                | gimli::DW_LANG_C_plus_plus_14
                | gimli::DW_LANG_C_plus_plus_17
                | gimli::DW_LANG_C_plus_plus_20
        )
    )
}
