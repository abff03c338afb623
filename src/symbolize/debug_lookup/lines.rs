//! The file and line of each address, by the unit's line program.

use super::Pass;
use super::files::Files;

impl Pass<'_, '_, '_> {
    /// Runs the line program until each address has its row. What is in front of an error is believed.
    pub(super) fn lines(&mut self, asked: &[u32], files: &mut Files<'_, '_>, into: &mut [Option<(u32, u32)>]) {
        let Some(program) = files.program() else { return };
        let svma = |at: usize| self.svmas[asked[at] as usize];
        // For each address file and line, as the program numbers them.
        let mut found: Vec<Option<(u64, u32)>> = vec![None; asked.len()];
        let mut left = asked.len();
        let mut rows = program.rows();
        let (mut before, mut at): (Option<(u64, u64, u32)>, usize) = (None, 0);
        while left > 0 {
            let row = match rows.next_row() {
                Ok(Some((_, row))) => row,
                Ok(None) => break,
                Err(_) => {
                    self.is_damaged = true;
                    break;
                }
            };
            self.spend(1);
            if self.is_spent() {
                break;
            }
            let address = row.address();
            match before {
                None => at = asked.partition_point(|row| self.svmas[*row as usize] < address),
                Some((start, file, line)) if start > 0 => {
                    while at < asked.len() && svma(at) < address {
                        if svma(at) >= start && found[at].is_none() {
                            found[at] = Some((file, line));
                            left -= 1;
                        }
                        at += 1;
                    }
                }
                Some(_) => {}
            }
            let line = row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0));
            before = (!row.end_sequence()).then_some((address, row.file_index(), line));
        }
        for (found, into) in found.into_iter().zip(into) {
            *into = found.map(|(file, line)| (files.row(file, &mut self.part.files), line));
        }
    }
}
