//! What is mapped in a process, in the words that the programs search.

use super::abi::{MAPPING_SLOTS, MAPPINGS, Mapping};

/// Bytes of a page, as the words count them; pages of the processor are as large or a multiple.
const PAGE: u64 = 4096;
/// Bits of a number of pages.
const PAGES_BITS: u32 = 24;
/// Bits of the number of a table's first block.
const BLOCK_BITS: u32 = 24;
/// Bits of the number of an image.
const IMAGE_BITS: u32 = 16;

/// Code that is mapped in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// The number of the image, at least 1; 0 of anonymous memory.
    pub image: u32,
    /// First block of the image's table; 0 if there is none.
    pub block: u32,
    /// Address in the table of what is at `start`.
    pub in_table: u64,
}

/// The mappings of a process, sorted, at most [`MAPPINGS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// What the programs search.
    pub words: Vec<Mapping>,
    /// What found no room, or cannot be said in so few bits: code there is in no mapping that is known.
    pub left_out: Vec<Mapped>,
}

impl Mapped {
    fn is_sayable(&self) -> bool {
        let is_page = |address: u64| address.is_multiple_of(PAGE);
        let has_table = self.block == 0 || is_page(self.in_table);
        let fits = self.block < 1 << BLOCK_BITS && self.image < 1 << IMAGE_BITS;
        let in_table = self.in_table.checked_add(self.end - self.start);
        let is_in_table =
            self.block == 0 && self.image == 0 || in_table.is_some_and(|end| end / PAGE < 1 << PAGES_BITS);
        is_page(self.start) && is_page(self.end) && has_table && fits && is_in_table
    }

    fn goes_on_in(&self, next: &Mapped) -> bool {
        let is_same = self.image == next.image && self.block == next.block && self.end == next.start;
        is_same && (self.image == 0 || self.in_table.wrapping_add(self.end - self.start) == next.in_table)
    }

    fn word(&self) -> Mapping {
        let page = if self.image == 0 && self.block == 0 { 0 } else { self.in_table / PAGE };
        Mapping {
            first: ((self.start / PAGE) << PAGES_BITS) | ((self.end - self.start) / PAGE),
            second: u64::from(self.block) << (PAGES_BITS + IMAGE_BITS) | page << IMAGE_BITS | u64::from(self.image),
        }
    }
}

impl List {
    /// The list of these mappings, in any order; of two at the same address the later one counts.
    ///
    /// Where there are too many, memory without a table is left out first, and of the same kind the smallest.
    pub fn of(mappings: &[Mapped]) -> List {
        let mut list = List::default();
        let mut sorted: Vec<Mapped> = mappings.iter().filter(|mapped| mapped.start < mapped.end).copied().collect();
        // The sort is stable: of two with the same start the later one is the last.
        sorted.sort_by_key(|mapped| mapped.start);
        let mut whole: Vec<Mapped> = Vec::new();
        for mapped in sorted {
            // What it covers of those before is not theirs any more; the kernel's list has no such, one that changes may.
            while let Some(before) = whole.last_mut() {
                if before.end > mapped.end {
                    list.left_out.push(Mapped { start: mapped.end, ..*before });
                }
                before.end = before.end.min(mapped.start);
                if before.start < before.end {
                    break;
                }
                whole.pop();
            }
            match whole.last_mut() {
                Some(before) if before.goes_on_in(&mapped) => before.end = mapped.end,
                _ => whole.push(mapped),
            }
        }
        let mut pieces = Vec::new();
        for mapped in whole {
            list.cut(mapped, &mut pieces);
        }
        if pieces.len() > MAPPINGS as usize {
            pieces.sort_unstable_by_key(|it| std::cmp::Reverse((it.block != 0, it.image != 0, it.end - it.start)));
            list.left_out.extend(pieces.drain(MAPPINGS as usize..));
            pieces.sort_unstable_by_key(|it| it.start);
        }
        list.words = pieces.iter().map(Mapped::word).collect();
        list
    }

    /// The block that the programs read, with the number of the list behind all.
    pub fn block(&self, number: u64) -> Vec<Mapping> {
        let mut block = self.words.clone();
        block.resize(MAPPING_SLOTS as usize, Mapping::default());
        block[MAPPING_SLOTS as usize - 1].first = number;
        block
    }

    /// Cuts a mapping into pieces that are not too long.
    fn cut(&mut self, mapped: Mapped, pieces: &mut Vec<Mapped>) {
        const MOST: u64 = ((1 << PAGES_BITS) - 1) * PAGE;
        let mut rest = mapped;
        while rest.start < rest.end {
            let piece = Mapped { end: rest.end.min(rest.start.saturating_add(MOST)), ..rest };
            if !piece.is_sayable() || pieces.len() > 2 * MAPPINGS as usize {
                return self.left_out.push(rest);
            }
            rest.start = piece.end;
            rest.in_table = rest.in_table.wrapping_add(piece.end - piece.start);
            pieces.push(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn code(start: u64, end: u64, image: u32) -> Mapped {
        Mapped { start, end, image, block: image * 10, in_table: start & 0xf_ffff }
    }

    /// What the programs find at an address: image, block, address in the table.
    fn find(list: &List, address: u64) -> Option<(u64, u64, u64)> {
        let page = address >> 12;
        let word = list.words[..].iter().rev().find(|word| word.first >> 24 <= page)?;
        let (begin, pages) = (word.first >> 24, word.first & 0xff_ffff);
        let in_table = ((word.second >> 16 & 0xff_ffff) << 12) + (address - (begin << 12));
        (page - begin < pages).then_some((word.second & 0xffff, word.second >> 40, in_table))
    }

    #[test]
    fn words_say_what_is_mapped() {
        let anonymous = Mapped { start: 0x7000, end: 0x8000, image: 0, block: 0, in_table: 0 };
        let list = List::of(&[code(0x7fff_ffff_f000, 0x8000_0000_0000, 3), anonymous, code(0x1000, 0x3000, 1)]);
        assert_eq!((list.words.len(), list.left_out.len()), (3, 0));
        assert_eq!(list.words[0], Mapping { first: 1 << 24 | 2, second: 10 << 40 | 1 << 16 | 1 });
        assert_eq!(find(&list, 0xfff), None);
        assert_eq!(find(&list, 0x2fff), Some((1, 10, 0x2fff)));
        assert_eq!((find(&list, 0x3000), find(&list, 0x7fff)), (None, Some((0, 0, 0xfff))));
        assert_eq!(find(&list, 0x7fff_ffff_f123), Some((3, 30, 0xf_f123)));
    }

    #[test]
    fn pieces_of_one_mapping_are_one() {
        let list = List::of(&[code(0x1000, 0x3000, 1), code(0x3000, 0x4000, 1), code(0x4000, 0x5000, 2)]);
        assert_eq!((list.words.len(), find(&list, 0x3123)), (2, Some((1, 10, 0x3123))));
        let other = Mapped { in_table: 0, ..code(0x3000, 0x4000, 1) };
        assert_eq!(List::of(&[code(0x1000, 0x3000, 1), other]).words.len(), 2);
    }

    #[test]
    fn later_mapping_cuts_earlier() {
        let list = List::of(&[code(0x1000, 0x5000, 1), code(0x3000, 0x4000, 2), code(0x1000, 0x2000, 3)]);
        assert_eq!(find(&list, 0x1000).unwrap().0, 3);
        assert_eq!((find(&list, 0x3000).unwrap().0, find(&list, 0x4000)), (2, None));
        assert_eq!(list.left_out.iter().map(|it| (it.start, it.end)).collect::<Vec<_>>(), [(0x2000, 0x5000)]);
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let mut all: Vec<Mapped> = (0..600).map(|it| code(it << 16, (it << 16) + 0x1000, 1)).collect();
        for it in 0..100 {
            (all[it * 6].block, all[it * 6].image) = (0, it as u32 % 2);
        }
        all[6].end = 0x6_3000;
        let list = List::of(&all);
        assert_eq!((list.words.len(), list.left_out.len()), (511, 89));
        assert!(list.words.windows(2).all(|pair| pair[0].first < pair[1].first));
        assert!(list.left_out.iter().all(|mapped| mapped.block == 0 && mapped.start != 0x6_0000));
        assert_eq!(list.left_out.iter().filter(|mapped| mapped.image == 0).count(), 50, "anonymous memory goes first");
        for bad in [
            Mapped { block: 1 << 24, ..code(0, 0x1000, 1) },
            Mapped { image: 1 << 16, ..code(0, 0x1000, 1) },
            Mapped { in_table: u64::MAX, ..code(0, 0x1000, 1) },
            Mapped { in_table: 1 << 36, ..code(0, 0x1000, 1) },
            Mapped { start: 0x10, ..code(0, 0x1000, 1) },
        ] {
            assert_eq!(List::of(&[bad]), List { words: Vec::new(), left_out: vec![bad] });
        }
        let block = list.block(7);
        assert_eq!((block.len(), block[511].first, block[510]), (512, 7, list.words[510]));
        let empty = Mapped { start: 2, end: 1, ..code(0, 0, 1) };
        assert_eq!(List::of(&[empty]), List::default());
    }

    #[test]
    fn large_memory_is_several() {
        let large = Mapped { start: 1 << 40, end: (1 << 40) + (200 << 30), image: 0, block: 0, in_table: 0 };
        let list = List::of(&[large]);
        assert_eq!((list.words.len(), list.left_out.len()), (4, 0));
        assert!(find(&list, large.end - 1).is_some() && find(&list, large.end).is_none());
        let endless = Mapped { start: 0, end: !0xfff, ..large };
        assert!(!List::of(&[endless]).left_out.is_empty());
    }
}
