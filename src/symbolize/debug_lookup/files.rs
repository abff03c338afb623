//! The source files of a unit, by the numbers that its entries and lines have for them.

use gimli::UnitRef;
use rustc_hash::FxHashMap;

use super::Bytes;

/// The files of one unit, each written out when it is first asked for.
pub(super) struct Files<'u, 'a> {
    unit: UnitRef<'u, Bytes<'a>>,
    rows: FxHashMap<u64, u32>,
}

impl<'u, 'a> Files<'u, 'a> {
    pub fn of(unit: UnitRef<'u, Bytes<'a>>) -> Files<'u, 'a> {
        Files { unit, rows: FxHashMap::default() }
    }

    /// The row of a file in the table of all units; 0 for none.
    pub fn row(&mut self, index: u64, table: &mut Vec<String>) -> u32 {
        let unit = self.unit;
        *self.rows.entry(index).or_insert_with(|| {
            let Some(path) = path_of(&unit, index) else { return 0 };
            table.push(path);
            u32::try_from(table.len() - 1).unwrap_or(0)
        })
    }
}

/// The path of a file: below its directory, and that below the one in which the unit was compiled.
fn path_of(unit: &UnitRef<'_, Bytes<'_>>, index: u64) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let file = header.file(index)?;
    let text = |value| Some(unit.attr_string(value).ok()?.to_string_lossy().into_owned());
    let mut path = unit.comp_dir.map_or_else(String::new, |directory| directory.to_string_lossy().into_owned());
    // Directory 0 is the one of the unit.
    if file.directory_index() != 0
        && let Some(directory) = file.directory(header)
    {
        push(&mut path, &text(directory)?);
    }
    push(&mut path, &text(file.path_name())?);
    Some(path)
}

fn push(path: &mut String, part: &str) {
    if part.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(part);
}
