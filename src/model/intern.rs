//! Values to dense ids, first seen first.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::id::StringId;

/// Gives each distinct value a dense number, in the order in which they are first seen.
#[derive(Clone, Debug)]
pub struct Interner<T> {
    ids: FxHashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner { ids: FxHashMap::default(), values: Vec::new() }
    }
}

impl<T: Copy + Eq + Hash> Interner<T> {
    /// The number of `value`, new or known.
    pub fn intern(&mut self, value: T) -> u32 {
        let Interner { ids, values } = self;
        *ids.entry(value).or_insert_with(|| {
            values.push(value);
            u32::try_from(values.len() - 1).expect("a table holds fewer than 2^32 rows")
        })
    }

    /// The values, each at its number.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The values, each at its number; the map is gone.
    pub fn into_values(self) -> Vec<T> {
        self.values
    }
}

/// All strings of a profile, each once; row 0 is the empty string.
#[derive(Clone, Debug)]
pub struct StringTable {
    ids: FxHashMap<Box<str>, StringId>,
    strings: Vec<Box<str>>,
}

impl Default for StringTable {
    fn default() -> Self {
        let mut table = StringTable { ids: FxHashMap::default(), strings: Vec::new() };
        table.intern("");
        table
    }
}

impl StringTable {
    /// The id of `string`, new or known.
    pub fn intern(&mut self, string: &str) -> StringId {
        if let Some(id) = self.ids.get(string) {
            return *id;
        }
        let id = StringId::from_index(self.strings.len());
        self.strings.push(string.into());
        self.ids.insert(string.into(), id);
        id
    }

    /// The string of `id`.
    pub fn get(&self, id: StringId) -> &str {
        &self.strings[id.index()]
    }

    /// How many strings there are; at least one.
    pub fn count(&self) -> usize {
        self.strings.len()
    }

    /// All strings, each at its id.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.strings.iter().map(AsRef::as_ref)
    }
}
