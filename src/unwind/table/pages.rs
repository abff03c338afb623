//! Rows into pages, pages into blocks.

use rustc_hash::FxHashMap;

use super::format::{BLOCK_WORDS, PAGE_SHIFT_OF_TABLE, ROW_RULE_BITS, TABLE_HEADER_WORDS};
use super::{Limits, Refused, RulePool, Table};

/// Blocks that are kept open, for pages that fit into what is left of them.
const OPEN: usize = 16;
const BLOCK: usize = BLOCK_WORDS as usize;
/// Most pages of a table: 8 GiB of code.
const MOST_PAGES: u64 = 1 << 20;
const PAGE: u64 = 1 << PAGE_SHIFT_OF_TABLE;

/// A table under work: it is told the rule of each address, from the lowest on.
pub(super) struct Pages {
    table: Table,
    /// The address that comes next, from the base on.
    at: u64,
    end: u64,
    /// Rows of the page that `at` is in.
    rows: Vec<u32>,
    most_blocks: usize,
    /// Blocks with room: which, and from which word on.
    open: Vec<(u32, usize)>,
    /// Where rows are that are alone in their page, by the row.
    alone: FxHashMap<u32, (u32, usize)>,
}

impl Pages {
    /// A table for addresses from `start` to `end`.
    pub fn new(start: u64, end: u64, limits: Limits) -> Result<Pages, Refused> {
        let base = start & !(PAGE - 1);
        let pages = end.saturating_sub(base).div_ceil(PAGE);
        let index = u64::from(TABLE_HEADER_WORDS) + 2 * pages.min(MOST_PAGES);
        if pages > MOST_PAGES || index > u64::from(limits.blocks) * u64::from(BLOCK_WORDS) {
            return Err(Refused::TooLarge);
        }
        let index = index as usize;
        let mut blocks = vec![0; index.next_multiple_of(BLOCK)];
        blocks[1] = pages as u32;
        let open = Vec::from_iter((!index.is_multiple_of(BLOCK)).then_some(((index / BLOCK) as u32, index % BLOCK)));
        Ok(Pages {
            table: Table { base, blocks, rows: 0, pages_left_out: 0 },
            at: 0,
            end: end.saturating_sub(base),
            rows: Vec::new(),
            most_blocks: limits.blocks as usize,
            open,
            alone: FxHashMap::default(),
        })
    }

    /// The address that comes next, as the file states it.
    pub fn at(&self) -> u64 {
        self.table.base + self.at
    }

    /// Up to `end`, an address as the file states it, there is this rule.
    pub fn put(&mut self, end: u64, rule: u32) -> Result<(), Refused> {
        const RULE: u32 = (1 << ROW_RULE_BITS) - 1;
        let end = end.saturating_sub(self.table.base).min(self.end);
        while self.at < end {
            if self.rows.last().is_none_or(|row| row & RULE != rule) {
                let within = (self.at % PAGE) as u32;
                self.rows.push(within << ROW_RULE_BITS | rule);
            }
            let page_end = (self.at | (PAGE - 1)) + 1;
            if end < page_end {
                self.at = end;
                break;
            }
            self.finish_page()?;
            self.at = page_end;
        }
        Ok(())
    }

    /// The table; behind what was told there is no information.
    pub fn finish(mut self, flags: u32) -> Result<Table, Refused> {
        // Up to the end of the last page, which ends it.
        self.end = self.end.next_multiple_of(PAGE);
        self.put(self.table.base.saturating_add(self.end), RulePool::NO_INFO)?;
        self.table.blocks[2] = flags;
        self.table.blocks.shrink_to_fit();
        Ok(self.table)
    }

    fn finish_page(&mut self) -> Result<(), Refused> {
        let index = TABLE_HEADER_WORDS as usize + 2 * (self.at / PAGE) as usize;
        if self.rows.len() > BLOCK {
            self.table.pages_left_out += 1;
            self.rows.clear();
            self.rows.push(RulePool::ROW);
        }
        let (block, first) = match self.rows[..] {
            // A page of no rows has no information.
            [RulePool::NO_INFO] => {
                self.rows.clear();
                (0, 0)
            }
            [row] => match self.alone.get(&row) {
                Some(place) => *place,
                None => {
                    let place = self.place()?;
                    self.alone.insert(row, place);
                    place
                }
            },
            _ => self.place()?,
        };
        let words = [block, first as u32 | (self.rows.len() as u32) << 16];
        self.table.blocks[index..index + 2].copy_from_slice(&words);
        self.rows.clear();
        Ok(())
    }

    /// Copies the rows to where they are to stay: into the block that they fill best.
    fn place(&mut self) -> Result<(u32, usize), Refused> {
        let count = self.rows.len();
        let fits = self.open.iter().enumerate().filter(|(_, (_, first))| BLOCK - first >= count);
        let at = match fits.max_by_key(|(_, (_, first))| *first).map(|(at, _)| at) {
            Some(at) => at,
            None => {
                let blocks = &mut self.table.blocks;
                if blocks.len() / BLOCK >= self.most_blocks {
                    return Err(Refused::TooLarge);
                }
                self.open.push(((blocks.len() / BLOCK) as u32, 0));
                blocks.resize(blocks.len() + BLOCK, 0);
                if self.open.len() > OPEN {
                    let fullest = (0..OPEN).max_by_key(|at| self.open[*at].1).unwrap_or(0);
                    self.open.swap_remove(fullest);
                    // The new one, which was the last, stands there now.
                    fullest
                } else {
                    self.open.len() - 1
                }
            }
        };
        let (block, first) = self.open[at];
        let place = block as usize * BLOCK + first;
        self.table.blocks[place..place + count].copy_from_slice(&self.rows);
        self.table.rows += count;
        self.open[at].1 += count;
        if self.open[at].1 == BLOCK {
            self.open.swap_remove(at);
        }
        Ok((block, first))
    }
}
