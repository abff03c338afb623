//! Namespaces and classes around functions of C++ that have no linkage name: those of one file alone (`static`, in an unnamed namespace), as GCC
//! describes them where they are inlined. Without its scope `app::Cache::get` would be `get`, and another function than where it is called.
//!
//! Functions around a class are not told: `L::g` of a class `L` in `f` is that of one in `h`, too. Nor are numbers of lambdas.

use std::borrow::Cow;
use std::cell::Cell;

use gimli::{AttributeValue, Reader as _, UnitOffset, UnitRef};

use super::entry::steps_of;
use super::skip::{Plans, number};
use super::{Bytes, is_spent, spend};

/// How many scopes are around one another at most.
const MOST_DEPTH: usize = 64;

/// How many scopes of units are kept, and read of one: the largest seen has some ten thousand.
pub(super) const MOST_SCOPES: usize = 1 << 18;

/// Longer names have no scope: the longest seen has some thousand bytes.
const MOST_BYTES: usize = 1 << 16;

/// A namespace or class: what lies behind its entry and before the end is in it.
#[derive(Clone, Copy, Debug)]
struct Scope<'a> {
    begin: usize,
    end: usize,
    /// The one around it.
    parent: Option<usize>,
    /// None of a namespace, class or union without a name.
    name: Option<Bytes<'a>>,
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
        let (mut at, mut open) = (0, Vec::new());
        if scopes.read(unit, steps, &mut at, &mut open).is_none() {
            // What comes behind damage, or behind too many, is in none.
            let end = unit.header.root_offset().0 + at;
            open.into_iter().for_each(|(_, scope)| scopes.scopes[scope].end = end);
        }
        scopes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.scopes.len()
    }

    /// Reads them: `open` has those whose end is not seen yet, with how deep their entries are, and `at` is where the next entry begins.
    fn read(
        &mut self,
        unit: &UnitRef<'_, Bytes<'a>>,
        steps: &Cell<usize>,
        at: &mut usize,
        open: &mut Vec<(isize, usize)>,
    ) -> Option<()> {
        let root = unit.header.root_offset().0;
        let bytes = unit.header.range_from(UnitOffset(root)..).ok()?.slice();
        let mut plans = Plans::of(unit);
        let mut depth = 0;
        while *at < bytes.len() {
            let (code, behind_code) = number(bytes, *at)?;
            if code == 0 {
                depth -= 1;
                *at = behind_code;
                if let Some((_, closed)) = open.pop_if(|(of, _)| *of >= depth) {
                    self.scopes[closed].end = root + *at;
                }
                continue;
            }
            let offset = root + *at;
            let plan = plans.plan(code).ok()?;
            let has_children = plan.has_children;
            let behind = if has_children { None } else { plan.behind(bytes, behind_code) };
            match behind {
                Some(behind) => *at = behind,
                None => {
                    let mut entries = unit.entries_raw(Some(UnitOffset(offset))).ok()?;
                    let Some(abbreviation) = entries.read_abbreviation().ok()? else { return Some(()) };
                    spend(steps, steps_of(abbreviation));
                    if is_spent(steps) || self.scopes.len() >= MOST_SCOPES {
                        return None;
                    }
                    let (tag, mut name, mut is_cpp) = (abbreviation.tag(), None, true);
                    for attribute in abbreviation.attributes() {
                        let attribute = entries.read_attribute(*attribute).ok()?;
                        match attribute.name() {
                            gimli::DW_AT_name => name = Some(attribute.value()),
                            gimli::DW_AT_language => is_cpp = is_of_cpp(attribute.value()),
                            _ => {}
                        }
                    }
                    *at = entries.next_offset().0 - root;
                    if !is_cpp {
                        return Some(());
                    }
                    let is_class = matches!(
                        tag,
                        gimli::DW_TAG_class_type | gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type
                    );
                    if has_children && (is_class || tag == gimli::DW_TAG_namespace) && open.len() < MOST_DEPTH {
                        let name = name.map(|name| unit.attr_string(name)).transpose().ok()?;
                        let length = name.map_or(0, |name| name.len());
                        spend(steps, 1 + length / 16);
                        let parent = open.last().map(|(_, scope)| *scope);
                        open.push((depth, self.scopes.len()));
                        let end = root + bytes.len();
                        self.scopes.push(Scope { begin: offset, end, parent, name, is_class });
                    }
                }
            }
            depth += isize::from(has_children);
        }
        Some(())
    }

    /// The name of a function whose entry is `at`, with those of what is around it: `app::(anonymous namespace)::Cache::get`.
    ///
    /// What is external and in no class has a linkage name, or is C's, whose functions are in no namespace.
    pub fn qualified<'n>(
        &self,
        at: UnitOffset,
        name: &'n [u8],
        is_external: bool,
        steps: &Cell<usize>,
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
        let length: usize = around.iter().map(|scope| scope.name.map_or(0, |name| name.len())).sum();
        if name.len() + length > MOST_BYTES {
            return Cow::Borrowed(name);
        }
        spend(steps, 1 + length / 16);
        let mut qualified = Vec::with_capacity(name.len() + length + 32);
        for scope in around.into_iter().rev() {
            match scope.name {
                Some(name) => qualified.extend_from_slice(name.slice()),
                None if scope.is_class && name == b"operator()" => qualified.extend_from_slice(b"{lambda}"),
                None if scope.is_class => qualified.extend_from_slice(b"(anonymous class)"),
                None => qualified.extend_from_slice(b"(anonymous namespace)"),
            }
            qualified.extend_from_slice(b"::");
        }
        qualified.extend_from_slice(name);
        Cow::Owned(qualified)
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
