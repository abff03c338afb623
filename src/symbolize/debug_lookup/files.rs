//! The source files of a unit, by the numbers that its entries and lines have for them.

use gimli::{DebugLineOffset, IncompleteLineProgram, Reader as _, UnitRef};
use rustc_hash::FxHashMap;

use super::Bytes;

/// Longest part of a path that is believed (`PATH_MAX`); a file may say one of megabytes for each of its units.
const MOST_PATH: usize = 4096;

/// The files of one unit, each written out when it is first asked for. What stands in front of the line program is read
/// only then, as it lists all files.
pub(super) struct Files<'u, 'a> {
    unit: UnitRef<'u, Bytes<'a>>,
    at: Option<DebugLineOffset>,
    program: Option<Option<IncompleteLineProgram<Bytes<'a>>>>,
    is_damaged: bool,
    rows: FxHashMap<u64, u32>,
}

impl<'u, 'a> Files<'u, 'a> {
    pub fn of(unit: UnitRef<'u, Bytes<'a>>, at: Option<DebugLineOffset>) -> Files<'u, 'a> {
        Files { unit, at, program: None, is_damaged: false, rows: FxHashMap::default() }
    }

    /// The unit's line program; none if it has none, or one that cannot be read.
    pub fn program(&mut self) -> Option<IncompleteLineProgram<Bytes<'a>>> {
        self.read().clone()
    }

    /// Whether there is a line program of which not even the beginning can be read.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// How many files and folders were read in front of the line program.
    pub fn listed(&self) -> usize {
        let header = self.program.iter().flatten().map(IncompleteLineProgram::header);
        header.map(|header| header.file_names().len() + header.include_directories().len()).sum()
    }

    fn read(&mut self) -> &Option<IncompleteLineProgram<Bytes<'a>>> {
        let (unit, at, is_damaged) = (self.unit, self.at, &mut self.is_damaged);
        self.program.get_or_insert_with(|| {
            let size = unit.header.address_size();
            let program = unit.dwarf.debug_line.program(at?, size, unit.comp_dir, unit.name);
            *is_damaged = program.is_err();
            program.ok()
        })
    }

    /// The row of a file in the table of all units; 0 for none.
    pub fn row(&mut self, index: u64, table: &mut Vec<String>) -> u32 {
        if let Some(row) = self.rows.get(&index) {
            return *row;
        }
        let row = self.path_of(index).map_or(0, |path| {
            table.push(path);
            u32::try_from(table.len() - 1).unwrap_or(0)
        });
        self.rows.insert(index, row);
        row
    }

    /// The path of a file: below its directory, and that below the one in which the unit was compiled.
    fn path_of(&mut self, index: u64) -> Option<String> {
        let unit = self.unit;
        let header = self.read().as_ref()?.header();
        let file = header.file(index)?;
        let bounded = |text: Bytes<'a>| (text.len() <= MOST_PATH).then(|| text.to_string_lossy().into_owned());
        let text = |value| bounded(unit.attr_string(value).ok()?);
        let mut path = unit.comp_dir.map_or_else(|| Some(String::new()), bounded)?;
        // Directory 0 is the one of the unit.
        if file.directory_index() != 0
            && let Some(directory) = file.directory(header)
        {
            push(&mut path, &text(directory)?);
        }
        push(&mut path, &text(file.path_name())?);
        Some(path)
    }
}

fn push(path: &mut String, part: &str) {
    if part.starts_with('/') {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(part);
}
