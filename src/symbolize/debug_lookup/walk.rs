//! The functions of a unit that hold addresses, and what is inlined into them.

use std::ops::Range;

use gimli::{Error, UnitOffset, UnitRef};

use super::entry::{self, Entry};
use super::files::Files;
use super::names::{Names, Sources};
use super::skip::{Kind, Plans, number};
use super::units::Units;
use super::{Bytes, NONE, Node, Pass};

/// How deep functions may be inlined; the deepest seen is some forty.
const MOST_DEPTH: usize = 512;

/// One level of functions around the current entry.
struct Level {
    depth: isize,
    node: u32,
    /// Its addresses, as part of the stack of them.
    hits: Range<usize>,
}

impl<'d, 'a> Pass<'d, 'a, '_> {
    /// Finds the functions of a unit of the file itself. After an error in a function its addresses have none: half a list
    /// would take an inlined function for the outer one.
    pub(super) fn entries(&mut self, unit: &UnitRef<'_, Bytes<'a>>, asked: &[u32], files: &mut Files<'_, '_>) {
        let mut names = std::mem::take(&mut self.names);
        self.entries_of(self.units, unit, asked, files, &mut names);
        self.names = names;
    }

    /// The same for a unit of a file whose units are `units`.
    pub(super) fn entries_of<'e, 'b>(
        &mut self,
        units: &Units<'e, 'b>,
        unit: &UnitRef<'_, Bytes<'b>>,
        asked: &[u32],
        files: &mut Files<'_, '_>,
        names: &mut Names<'e, 'b>,
    ) {
        let mut hits: Vec<u32> = Vec::new();
        let result = self.walk(units, unit, asked, files, names, &mut hits);
        if result.is_err() || self.is_spent() {
            hits.iter().for_each(|row| self.node_of[*row as usize] = NONE);
        }
        self.is_damaged |= result.is_err();
    }

    fn walk<'e, 'b>(
        &mut self,
        units: &Units<'e, 'b>,
        unit: &UnitRef<'_, Bytes<'b>>,
        asked: &[u32],
        files: &mut Files<'_, '_>,
        names: &mut Names<'e, 'b>,
        hits: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let mut levels: Vec<Level> = Vec::new();
        let mut plans = Plans::of(unit);
        let root = unit.header.root_offset().0;
        let bytes = unit.header.range_from(UnitOffset(root)..)?.slice();
        let (mut at, mut depth) = (0, 0);
        // How many addresses have no function yet; with the last one's function the unit is done.
        let mut left = asked.len();
        while at < bytes.len() {
            while let Some(level) = levels.pop_if(|level| level.depth >= depth) {
                hits.truncate(level.hits.start);
            }
            if left == 0 && levels.is_empty() {
                return Ok(());
            }
            let (code, behind_code) = number(bytes, at).ok_or(Error::BadUnsignedLeb128)?;
            if code == 0 {
                at = behind_code;
                depth -= 1;
                continue;
            }
            let offset = UnitOffset(root + at);
            let plan = plans.plan(code)?;
            let is_function = plan.kind == Kind::Function;
            let is_inlined = plan.kind == Kind::Inlined && !levels.is_empty();
            let has_children = plan.has_children;
            if !(is_function || is_inlined)
                && let Some(behind) = plan.behind(bytes, behind_code)
            {
                at = behind;
                depth += isize::from(has_children);
                continue;
            }
            let mut entries = unit.entries_raw(Some(offset))?;
            let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
            self.spend(entry::steps_of(abbreviation));
            if self.is_spent() {
                return Ok(());
            }
            let mut entry = Entry::default();
            if is_function || is_inlined {
                for attribute in abbreviation.attributes() {
                    entry.take(unit, &entries.read_attribute(*attribute)?);
                }
            } else {
                entries.skip_attributes(abbreviation.attributes())?;
            }
            at = entries.next_offset().0 - root;
            let entry_depth = depth;
            depth += isize::from(has_children);
            if !(is_function || is_inlined) {
                continue;
            }
            let first = hits.len();
            // Inlined functions have some of the addresses of what is around them.
            let around = if is_function { None } else { levels.last().map(|level| (level.hits.clone(), level.node)) };
            self.hit(unit, &entry, asked, around.clone(), hits)?;
            if hits.len() == first || levels.len() >= MOST_DEPTH || self.is_spent() {
                hits.truncate(first);
                // Nothing in it is asked for, unless functions of other places are nested in it.
                if is_function
                    && levels.is_empty()
                    && let Some(sibling) = entry.sibling.filter(|sibling| *sibling > offset)
                {
                    at = sibling.0 - root;
                    depth = entry_depth;
                }
                continue;
            }
            let sources = Sources { units, steps: &self.steps };
            let name = names.name_of(&sources, unit, (offset, &entry.called), &mut self.part)?;
            let call = match entry.call_file.filter(|_| is_inlined && self.wanted.lines) {
                Some(file) => (files.row(file, &mut self.part.files), entry.call_line),
                None => (0, if self.wanted.lines { entry.call_line } else { 0 }),
            };
            let node = u32::try_from(self.part.nodes.len()).unwrap_or(NONE);
            self.part.nodes.push(Node { name, parent: around.map_or(NONE, |(_, node)| node), call });
            hits[first..].iter().for_each(|row| self.node_of[*row as usize] = node);
            if is_function {
                left = left.saturating_sub(hits.len() - first);
            }
            levels.push(Level { depth: entry_depth, node, hits: first..hits.len() });
        }
        Ok(())
    }

    /// Adds the addresses that an entry has to `hits`, sorted, each once: those of its caller that no other entry has yet.
    fn hit<'b>(
        &self,
        unit: &UnitRef<'_, Bytes<'b>>,
        entry: &Entry<'b>,
        asked: &[u32],
        around: Option<(Range<usize>, u32)>,
        hits: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let first = hits.len();
        let (svmas, node_of) = (self.svmas, &self.node_of);
        let parent = around.as_ref().map_or(NONE, |(_, node)| *node);
        let mut ranges = 0;
        entry.place.each(unit, &self.steps, |range| {
            ranges += 1;
            let rows = match &around {
                Some((around, _)) => &hits[around.clone()],
                None => asked,
            };
            let begin = rows.partition_point(|row| svmas[*row as usize] < range.start);
            let end = begin + rows[begin..].partition_point(|row| svmas[*row as usize] < range.end);
            self.spend(end - begin);
            if self.is_spent() {
                return;
            }
            for at in begin..end {
                let row = match &around {
                    Some((around, _)) => hits[around.start + at],
                    None => asked[at],
                };
                if node_of[row as usize] == parent {
                    hits.push(row);
                }
            }
        })?;
        if hits.len() > first && ranges > 1 {
            hits[first..].sort_unstable();
            let mut kept = first + 1;
            for at in first + 1..hits.len() {
                if hits[at] != hits[kept - 1] {
                    hits[kept] = hits[at];
                    kept += 1;
                }
            }
            hits.truncate(kept);
        }
        Ok(())
    }
}
