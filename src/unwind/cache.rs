//! Rules that were made before, by image and offset: shared by all processes, and untouched by what any of them maps.

use super::rule::Rule;

/// One rule in 16 bytes.
#[derive(Clone, Copy, Debug)]
struct CacheSlot {
    key: u64,
    rule: Rule,
}

/// How many rules are kept: 512 KiB. Of a compiler's 11,000 addresses 97 % are found again, with 512 slots 88 %.
const SLOTS: usize = 1 << 15;
/// No place in a file has this key, see [`RuleCache::key`].
const EMPTY: u64 = u64::MAX;

/// A cache of rules. Each has one slot only, from which the next one of that slot drives it out.
#[derive(Debug)]
pub struct RuleCache {
    slots: Box<[CacheSlot]>,
    lookups: u64,
    misses: u64,
}

impl Default for RuleCache {
    fn default() -> Self {
        RuleCache { slots: vec![CacheSlot { key: EMPTY, rule: Rule::NoInfo }; SLOTS].into(), lookups: 0, misses: 0 }
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
        let slot = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize;
        let slot = &mut self.slots[slot];
        if slot.key != key {
            self.misses += 1;
            *slot = CacheSlot { key, rule: make() };
        }
        slot.rule
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
    fn rules_are_made_once() {
        let mut cache = RuleCache::default();
        let key = RuleCache::key(7, 0x1234, 0).unwrap();
        assert_eq!(cache.get(key, || Rule::Root), Rule::Root);
        assert_eq!(cache.get(key, || panic!("it is there")), Rule::Root);
        assert_eq!(cache.get(RuleCache::key(8, 0x1234, 0).unwrap(), || Rule::Row), Rule::Row);
        assert_eq!(cache.lookups_and_misses(), (3, 2));
        assert_eq!((RuleCache::key(0, 1 << 40, 0), RuleCache::key(1 << 22, 0, 0)), (None, None));
        assert!(RuleCache::key((1 << 22) - 2, (1 << 40) - 1, 3).unwrap() != EMPTY);
    }
}
