//! Rules that were made before, by image and offset: shared by all processes, and untouched by what any of them maps.

use super::rule::Rule;

/// One rule in 16 bytes.
#[derive(Clone, Copy, Debug)]
struct CacheSlot {
    key: u64,
    rule: Rule,
}

/// The slots that a rule may be in: what a processor reads of memory at a time.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Set([CacheSlot; 4]);

/// How many sets: 32,768 rules in 512 KiB. Of a compiler's 11,000 addresses 99 % are found again; with one slot for each rule
/// 95 %, as two that share one drive each other out.
const SETS: usize = 1 << 13;
/// No place in a file has this key, see [`RuleCache::key`].
const EMPTY: CacheSlot = CacheSlot { key: u64::MAX, rule: Rule::NoInfo };

/// A cache of rules: each set keeps those that were asked for last.
#[derive(Debug)]
pub struct RuleCache {
    sets: Box<[Set]>,
    lookups: u64,
    misses: u64,
}

impl Default for RuleCache {
    fn default() -> Self {
        RuleCache { sets: vec![Set([EMPTY; 4]); SETS].into(), lookups: 0, misses: 0 }
    }
}

impl RuleCache {
    /// What stands for an offset of an image, and one of four kinds of processor; nothing if the numbers are too large for that.
    #[inline]
    pub fn key(image: u32, offset: u64, kind: u8) -> Option<u64> {
        const OFFSET_BITS: u32 = 40;
        const IMAGE_BITS: u32 = 22;
        let fits = offset < 1 << OFFSET_BITS && image < (1 << IMAGE_BITS) - 1 && kind < 4;
        fits.then_some((u64::from(image) << 2 | u64::from(kind)) << OFFSET_BITS | offset)
    }

    /// The rule of a key; `make` makes it if it is not there.
    #[inline]
    pub fn get(&mut self, key: u64, make: impl FnOnce() -> Rule) -> Rule {
        self.lookups += 1;
        // Fibonacci hashing: the upper bits of the product depend on all bits of the key.
        let set = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SETS.trailing_zeros())) as usize;
        let Set(slots) = &mut self.sets[set];
        if slots[0].key == key {
            return slots[0].rule;
        }
        let found = slots.iter().position(|slot| slot.key == key);
        let at = found.unwrap_or(slots.len() - 1);
        if found.is_none() {
            self.misses += 1;
            slots[at] = CacheSlot { key, rule: make() };
        }
        // The one that was asked for last is the first.
        slots[..=at].rotate_right(1);
        slots[0].rule
    }

    /// How many rules were asked for, and how many of them had to be made.
    pub fn lookups_and_misses(&self) -> (u64, u64) {
        (self.lookups, self.misses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_asked_for_last_are_kept() {
        let mut cache = RuleCache::default();
        let key = |n: u64| RuleCache::key(1, n, 0).unwrap();
        for turn in 0..3 {
            for n in 0..10_000 {
                cache.get(key(n), || if n % 2 == 0 { Rule::Root } else { Rule::Row });
            }
            let (_, misses) = cache.lookups_and_misses();
            assert!(misses <= 10_000 + turn * 500, "{misses}");
        }
        assert_eq!(cache.get(key(4), || panic!("it is there")), Rule::Root);
    }

    #[test]
    fn rules_are_made_once() {
        let mut cache = RuleCache::default();
        let key = RuleCache::key(7, 0x1234, 0).unwrap();
        assert_eq!(cache.get(key, || Rule::Root), Rule::Root);
        assert_eq!(cache.get(key, || panic!("it is there")), Rule::Root);
        assert_eq!(cache.get(RuleCache::key(8, 0x1234, 0).unwrap(), || Rule::Row), Rule::Row);
        assert_eq!(cache.lookups_and_misses(), (3, 2));
        assert_eq!((RuleCache::key(0, 1 << 40, 0), RuleCache::key(1 << 22, 0, 0)), (None, None));
        assert!(RuleCache::key((1 << 22) - 2, (1 << 40) - 1, 3).unwrap() != EMPTY.key);
    }
}
