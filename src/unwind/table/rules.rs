//! Rules in 8 bytes, each once for all tables.

use rustc_hash::FxHashMap;

use super::format::{
    GO_LEADS_BACK, GO_LOST, GO_NEW_THREAD, GO_STAYS, RULE_FP, RULE_FP_DEREF, RULE_GO, RULE_NO_INFO, RULE_PLT,
    RULE_ROOT, RULE_ROW, RULE_SIGNAL, RULE_SP, RULE_SP_DEREF, RULES, SLOT_AT_FP, SLOT_IN_REGISTER,
};
use crate::unwind::rule::{Base, Rule, Saved, Slot, Switch};

/// A rule as the programs read it: kind, argument, and three offsets in words of 8 bytes.
///
/// [`Rule::Signal`] becomes `RULE_ROW`: whether what it leads to stands where the kernel puts it is for the caller to say.
pub fn encode(rule: Rule) -> u64 {
    let slot = |slot: Slot| match slot.saved() {
        Saved::InRegister => SLOT_IN_REGISTER,
        Saved::AtFp => SLOT_AT_FP,
        Saved::AtCfa(words) => words,
    };
    match rule {
        Rule::NoInfo => words(RULE_NO_INFO, 0, 0, 0, 0),
        Rule::Root => words(RULE_ROOT, 0, 0, 0, 0),
        Rule::Offset { base, ra, fp, cfa } => {
            words(if base == Base::Sp { RULE_SP } else { RULE_FP }, 0, cfa, slot(ra), slot(fp))
        }
        Rule::Far { base, fp, cfa } => {
            // What does not fit into the offset is in the argument.
            let low = cfa as i16;
            let high = (cfa - i32::from(low)) >> 16;
            words(if base == Base::Sp { RULE_SP } else { RULE_FP }, high as u8, low, -1, slot(fp))
        }
        Rule::Deref { base, add, ra, fp, at } => {
            let kind = if base == Base::Sp { RULE_SP_DEREF } else { RULE_FP_DEREF };
            words(kind, add as u8, at.into(), slot(ra), slot(fp))
        }
        Rule::Plt { from } => words(RULE_PLT, from, 0, 0, 0),
        Rule::Go { depth, switch } => {
            let switch = match switch {
                Switch::None => GO_STAYS,
                Switch::LeadsBack => GO_LEADS_BACK,
                Switch::Lost => GO_LOST,
                Switch::NewThread => GO_NEW_THREAD,
            };
            words(RULE_GO, switch as u8, depth, 0, 0)
        }
        Rule::Row | Rule::Signal => ROW,
        Rule::SignalCode => SIGNAL,
    }
}

/// No call frame information.
pub(super) const NO_INFO: u64 = RULE_NO_INFO as u64;
/// More than a rule can say.
pub(super) const ROW: u64 = RULE_ROW as u64;
/// Nobody has called it.
pub(super) const ROOT: u64 = RULE_ROOT as u64;
/// The trampoline of a signal's handler.
pub(super) const SIGNAL: u64 = RULE_SIGNAL as u64;
/// The same, of return addresses alone; whoever is interrupted there is in other code.
pub(super) const SIGNAL_IF_RETURNED_TO: u64 = SIGNAL | 1 << 8;

fn words(kind: u32, argument: u8, cfa: i16, ra: i16, fp: i16) -> u64 {
    let offset = |words: i16, at: u32| u64::from(words as u16) << at;
    u64::from(kind) | u64::from(argument) << 8 | offset(cfa, 16) | offset(ra, 32) | offset(fp, 48)
}

/// The rules of all tables, each once; a row of a table has the number of its rule.
///
/// Rules are never taken out: compilers of all languages together make some thousand.
#[derive(Clone, Debug)]
pub struct RulePool {
    rules: Vec<u64>,
    numbers: FxHashMap<u64, u32>,
    most: usize,
    refused: u64,
}

impl Default for RulePool {
    fn default() -> RulePool {
        RulePool::new(RULES)
    }
}

impl RulePool {
    /// The number of the rule that there is no information.
    pub const NO_INFO: u32 = 0;
    /// The number of the rule that says less than a row.
    pub const ROW: u32 = 1;

    /// A pool for at most so many rules, two of which are there already.
    pub fn new(most: u32) -> RulePool {
        let mut pool =
            RulePool { rules: Vec::new(), numbers: FxHashMap::default(), most: most.max(2) as usize, refused: 0 };
        let numbers = [NO_INFO, ROW].map(|rule| pool.number(rule));
        debug_assert_eq!(numbers, [RulePool::NO_INFO, RulePool::ROW]);
        pool
    }

    /// The number of a rule; that of `RULE_ROW` if there is no room for it.
    pub fn number(&mut self, rule: u64) -> u32 {
        let RulePool { rules, numbers, most, refused } = self;
        if let Some(number) = numbers.get(&rule) {
            return *number;
        }
        if rules.len() >= *most {
            *refused += 1;
            return RulePool::ROW;
        }
        let number = rules.len() as u32;
        numbers.insert(rule, number);
        rules.push(rule);
        number
    }

    /// All rules by their numbers. It only grows: those behind what a loader has written are new.
    pub fn rules(&self) -> &[u64] {
        &self.rules
    }

    /// For how many rows there was no room for their rule.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_what_the_programs_read() {
        let slot = |words: i16| Slot::new(Saved::AtCfa(words)).unwrap();
        let in_register = Slot::new(Saved::InRegister).unwrap();
        let at_fp = Slot::new(Saved::AtFp).unwrap();
        // As `step` in `sampler/bpf/c/unwind.h` takes it apart.
        let apart = |rule: Rule| {
            let rule = encode(rule);
            let part = |left: u32, right: u32| (rule << left) as i64 >> right;
            (rule as u8 as u32, part(48, 56), part(32, 48), part(16, 48), rule as i64 >> 48)
        };
        let offset = Rule::Offset { base: Base::Sp, ra: slot(-1), fp: slot(-2), cfa: 300 };
        assert_eq!(apart(offset), (RULE_SP, 0, 300, -1, -2));
        let offset = Rule::Offset { base: Base::Fp, ra: in_register, fp: at_fp, cfa: -3 };
        assert_eq!(apart(offset), (RULE_FP, 0, -3, -32768, 32767));
        // 0x83db0 bytes, and the farthest.
        let far = |base: Base, cfa: i32| apart(Rule::Far { base, fp: slot(-2), cfa });
        assert_eq!(far(Base::Sp, 0x83db0 / 8), (RULE_SP, 1, 0x7b6, -1, -2));
        for cfa in [32_768, -32_769, Rule::FARTHEST - 1, 1 - Rule::FARTHEST] {
            let (_, high, low, ..) = far(Base::Fp, cfa);
            assert_eq!(high * 65_536 + low, i64::from(cfa));
        }
        let deref = Rule::Deref { base: Base::Fp, add: -128, ra: slot(-1), fp: in_register, at: -7 };
        assert_eq!(apart(deref), (RULE_FP_DEREF, -128, -7, -1, -32768));
        assert_eq!(apart(Rule::Plt { from: 11 }), (RULE_PLT, 11, 0, 0, 0));
        assert_eq!(apart(Rule::Go { depth: 1000, switch: Switch::Lost }), (RULE_GO, 2, 1000, 0, 0));
        let kinds = [Rule::NoInfo, Rule::Root, Rule::Row, Rule::Signal, Rule::SignalCode].map(encode);
        assert_eq!(kinds, [RULE_NO_INFO, RULE_ROOT, RULE_ROW, RULE_ROW, RULE_SIGNAL].map(u64::from));
    }

    #[test]
    fn full_pool_says_row() {
        let mut pool = RulePool::new(4);
        assert_eq!(pool.rules(), [NO_INFO, ROW]);
        assert_eq!((pool.number(ROOT), pool.number(SIGNAL), pool.number(ROOT)), (2, 3, 2));
        assert_eq!((pool.number(77), pool.refused(), pool.number(SIGNAL)), (RulePool::ROW, 1, 3));
        assert_eq!(RulePool::default().rules().len(), 2);
    }
}
