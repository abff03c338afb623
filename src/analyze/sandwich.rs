//! One function, what called it and what it called.

use super::call_tree::CallTree;
use super::growth::Growth;
use super::names_like::names_like;
use super::top::Top;
use super::view::{View, aggregate};
use crate::model::{FrameKind, Profile};

/// All stacks that a function is in, divided at it.
///
/// ```text
/// main         main                      callers              callees
///   serve        batch                   work 5               work 5 (self 2)
///     work 2       work                    batch 3              log 3
///                    log 3                   main 3
///                                          serve 2
///                                            main 2
/// ```
///
/// Both roots are the function, with the value of all its stacks. Where it calls itself, its outermost frame is the one that divides,
/// so that a stack counts once and the inner frames are among the callees.
#[derive(Clone, Debug)]
pub struct Sandwich {
    /// Outwards: who called it, from whom, down to its process, which has the self value.
    pub callers: CallTree,
    /// Inwards: what it called; the root's self value is what it took itself.
    pub callees: CallTree,
}

impl Sandwich {
    /// Divides the samples that `view` selects at the function of this very name; nothing if no stack has it.
    ///
    /// Functions of that name are one, of whatever kind; the roots' kind is that of the first in the profile. Processes and threads
    /// are no functions. The view's direction does not matter.
    pub fn build(profile: &Profile, view: &View, function: &str) -> Option<Sandwich> {
        let event = view.event.unwrap_or(profile.main);
        let (mut callers, mut callees) = (Growth::new(profile, view), Growth::new(profile, view));
        let [of_callers, of_callees] = [&mut callers, &mut callees].map(|growth| growth.frames.names.intern(function));
        let mut rows = Vec::new();
        let mut is_found = false;
        for (key, weight) in aggregate(profile, event, view) {
            callees.rows_outwards(key.stack, &mut rows);
            let Some(at) = rows.iter().rposition(|row| row.name == of_callees && row.kind != FrameKind::Task) else {
                continue;
            };
            callees.be_root(rows[at], !is_found);
            let last = rows[..at].iter().rev().fold(0, |node, row| callees.child(node, *row));
            callees.put(last, weight);
            callers.rows_outwards(key.stack, &mut rows);
            debug_assert!(rows[at].name == of_callers);
            callers.be_root(rows[at], !is_found);
            let outermost = rows[at + 1..].iter().fold(0, |node, row| callers.child(node, *row));
            let last = callers.base_outwards(outermost, key);
            callers.put(last, weight);
            is_found = true;
        }
        let of = |growth: Growth<'_>| CallTree::of(growth, profile, event);
        if !is_found {
            return None;
        }
        Some(Sandwich { callers: of(callers)?, callees: of(callees)? })
    }
}

/// Names of functions in `tree` that may be meant by `text`: those that contain it whatever its case, else those of almost the same
/// letters. The one that takes most comes first, and there are at most five.
pub fn functions_like<'a>(tree: &'a CallTree, text: &str) -> Vec<&'a str> {
    let mut functions = Top::build(tree).functions;
    functions.sort_by_key(|function| std::cmp::Reverse((function.total_value, function.self_value)));
    let functions = functions.iter().filter(|function| function.kind != FrameKind::Task);
    names_like(functions.map(|function| tree.names.get(function.name)), text)
}

#[cfg(test)]
mod tests {
    use super::super::made::{profile, text};
    use super::*;

    fn stacks() -> Profile {
        profile(&[
            "srv;main;serve;work 2",
            "srv;main;batch;work;log 3",
            "srv;[truncated: too deep];work;log;work;log 4",
            "srv;main;serve 9",
            "other;work_[i] 1",
        ])
    }

    #[test]
    fn a_function_stands_between_its_callers_and_callees() {
        let sandwich = Sandwich::build(&stacks(), &View::default(), "work").unwrap();
        assert_eq!(
            text(&sandwich.callers),
            [
                "work 10",
                " [truncated: too deep] 4",
                "  srv 4 own 4",
                " batch 3",
                "  main 3",
                "   srv 3 own 3",
                " other 1 own 1",
                " serve 2",
                "  main 2",
                "   srv 2 own 2",
            ]
        );
        assert_eq!(text(&sandwich.callees), ["work 10 own 3", " log 7 own 3", "  work 4", "   log 4 own 4"]);
        assert_eq!(sandwich.callees.root().total_value, 100);
        assert_eq!(sandwich.callees.root().kind, FrameKind::User);
    }

    #[test]
    fn both_sides_of_every_function_have_its_total() {
        let profile = stacks();
        let tree = CallTree::build(&profile, &View::default());
        for function in Top::build(&tree).functions.iter().filter(|function| function.kind != FrameKind::Inlined) {
            let name = tree.names.get(function.name);
            let Some(sandwich) = Sandwich::build(&profile, &View::default(), name) else { panic!("{name}") };
            let all = function.total_value;
            assert_eq!(
                [&sandwich.callers, &sandwich.callees].map(|tree| tree.root().total_value),
                [all, all],
                "{name}"
            );
            let own = function.self_value;
            // What is under recursion is self value of an inner node.
            let found: u64 = sandwich
                .callees
                .nodes
                .iter()
                .filter(|node| sandwich.callees.names.get(node.name) == name)
                .map(|node| node.self_value)
                .sum();
            assert_eq!(found, own, "{name}");
        }
    }

    #[test]
    fn a_process_is_no_function() {
        for name in ["srv", "wor", "", "all", "[truncated: too deep]"] {
            assert!(Sandwich::build(&stacks(), &View::default(), name).is_none(), "{name}");
        }
    }

    #[test]
    fn names_are_proposed() {
        let profile = profile(&[
            "srv;a::Parser::parse;b::parse_header 2",
            "srv;a::Parser::parse 9",
            "srv;lex 1",
            "srv;c.lexer 1",
        ]);
        let tree = CallTree::build(&profile, &View::default());
        let check = |text: &str, expected: &[&str]| assert_eq!(functions_like(&tree, text), expected, "{text}");
        check("PARSE", &["a::Parser::parse", "b::parse_header"]);
        check("header", &["b::parse_header"]);
        check("parze", &["a::Parser::parse"]);
        check("x::lexxer", &["c.lexer"]);
        check("srv", &[]);
        check("nothing like it", &[]);
    }
}
