//! Which code was where, and when: pieces of generated code that replace each other.
//!
//! ```text
//! address |  g0: a    g0: b        pieces in order of arrival: each lies above those that it overlaps
//!         |  +------+ +----+
//!         |     +------+           a generation holds pieces without overlap, so each is found by a search
//!         |     g1: c
//! ```

use std::collections::BTreeMap;

/// A piece of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// From when on it is there, nanoseconds on the recording's clock.
    pub begin: u64,
    /// Up to when it is known to be there, if nothing replaces it; `u64::MAX` if nobody has said that it is gone.
    pub until: u64,
    /// How many pieces lay below it, one above the other, when it came.
    pub generation: u16,
    /// What it is, for whoever has put it there.
    pub value: u64,
}

/// Deepest pile of pieces that is kept apart; the pieces above are taken for the only ones at their addresses.
const MOST_GENERATIONS: u16 = 255;

/// Pieces of code of one process.
#[derive(Debug, Default)]
pub struct CodeHistory {
    pieces: Vec<Piece>,
    /// What lies on top: from an address to another, which piece.
    top: BTreeMap<u64, (u64, u32)>,
    /// Rows of `pieces` by generation, sorted by where they start.
    generations: Vec<Vec<u32>>,
    settled: usize,
}

impl CodeHistory {
    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Puts a piece above all that came before; empty ones are passed over.
    pub fn add(&mut self, start: u64, end: u64, begin: u64, value: u64) {
        let Ok(row) = u32::try_from(self.pieces.len()) else { return };
        if start >= end {
            return;
        }
        let first = match self.top.range(..=start).next_back() {
            Some((at, (its_end, _))) if *its_end > start => *at,
            _ => start,
        };
        let covered: Vec<(u64, (u64, u32))> = self.top.range(first..end).map(|(at, rest)| (*at, *rest)).collect();
        let below = covered.iter().map(|(_, (_, row))| self.pieces[*row as usize].generation).max();
        let mut generation = below.map_or(0, |below| below + 1);
        if generation > MOST_GENERATIONS {
            generation = MOST_GENERATIONS;
            for (_, (_, row)) in &covered {
                let hidden = &mut self.pieces[*row as usize];
                hidden.until = hidden.begin;
            }
        }
        for (at, (its_end, row)) in covered {
            self.top.remove(&at);
            if at < start {
                self.top.insert(at, (start, row));
            }
            if its_end > end {
                self.top.insert(end, (its_end, row));
            }
        }
        self.top.insert(start, (end, row));
        self.pieces.push(Piece { start, end, begin, until: u64::MAX, generation, value });
    }

    /// The piece that came last of those at an address.
    pub fn latest(&self, address: u64) -> Option<&Piece> {
        self.latest_row(address).map(|row| &self.pieces[row])
    }

    pub(super) fn latest_row(&self, address: u64) -> Option<usize> {
        let (_, (end, row)) = self.top.range(..=address).next_back()?;
        (address < *end).then_some(*row as usize)
    }

    pub(super) fn piece_mut(&mut self, row: usize) -> &mut Piece {
        &mut self.pieces[row]
    }

    /// Says that the pieces from the `first`th on came at a time, which is no earlier than was said before.
    pub(super) fn came_later(&mut self, first: usize, time: u64) {
        for piece in self.pieces.iter_mut().skip(first) {
            piece.begin = piece.begin.max(time);
        }
    }

    /// Says that all pieces are gone at a time, but for those that are gone already.
    pub fn end_all(&mut self, time: u64) {
        for piece in &mut self.pieces {
            piece.until = piece.until.min(time);
        }
    }

    /// Makes [`CodeHistory::pieces_at`] know the pieces that have come.
    pub fn settle(&mut self) {
        if self.settled == self.pieces.len() {
            return;
        }
        self.settled = self.pieces.len();
        self.generations.clear();
        for (row, piece) in self.pieces.iter().enumerate() {
            let generation = usize::from(piece.generation);
            if self.generations.len() <= generation {
                self.generations.resize_with(generation + 1, Vec::new);
            }
            self.generations[generation].push(row as u32);
        }
        for rows in &mut self.generations {
            rows.sort_by_key(|row| self.pieces[*row as usize].start);
        }
    }

    /// All pieces that were at an address before [`CodeHistory::settle`], lowest generation first.
    pub fn pieces_at(&self, address: u64) -> impl Iterator<Item = &Piece> {
        (0..self.generations.len()).filter_map(move |generation| self.piece_of(generation as u16, address))
    }

    /// The piece of a generation that is at an address.
    pub fn piece_of(&self, generation: u16, address: u64) -> Option<&Piece> {
        let rows = self.generations.get(usize::from(generation))?;
        let at = rows.partition_point(|row| self.pieces[*row as usize].start <= address).checked_sub(1)?;
        Some(&self.pieces[rows[at] as usize]).filter(|piece| address < piece.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(adds: &[(u64, u64)], address: u64, expected: &[(u16, u64)]) {
        let mut history = CodeHistory::default();
        for (value, (start, end)) in adds.iter().enumerate() {
            history.add(*start, *end, value as u64, value as u64);
        }
        history.settle();
        let found: Vec<_> = history.pieces_at(address).map(|piece| (piece.generation, piece.value)).collect();
        assert_eq!(found, expected);
        assert_eq!(history.latest(address).map(|piece| piece.value), expected.last().map(|(_, value)| *value));
    }

    #[test]
    fn later_pieces_lie_above() {
        let adds = [(10, 20), (20, 30), (15, 25), (5, 50), (40, 45), (60, 60), (70, 65)];
        check(&adds, 4, &[]);
        check(&adds, 5, &[(2, 3)]);
        check(&adds, 10, &[(0, 0), (2, 3)]);
        check(&adds, 15, &[(0, 0), (1, 2), (2, 3)]);
        check(&adds, 24, &[(0, 1), (1, 2), (2, 3)]);
        check(&adds, 25, &[(0, 1), (2, 3)]);
        check(&adds, 44, &[(2, 3), (3, 4)]);
        check(&adds, 50, &[]);
        check(&adds, 65, &[]);
        check(&[(10, 30), (15, 20), (25, 28)], 26, &[(0, 0), (1, 2)]);
        check(&[(10, 30), (15, 20), (25, 28)], 22, &[(0, 0)]);
    }

    #[test]
    fn pile_without_end_keeps_the_last() {
        let mut history = CodeHistory::default();
        for value in 0..2000 {
            history.add(100, 110, value, value);
        }
        history.settle();
        assert_eq!(history.latest(105).map(|piece| piece.value), Some(1999));
        let valid = history.pieces_at(105).filter(|piece| piece.until > piece.begin).count();
        assert!(valid <= usize::from(MOST_GENERATIONS) + 1, "{valid}");
    }
}
