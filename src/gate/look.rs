//! What all runs took where: by node and by function of their tree, means of base and new on the gate's scale.

use super::runs::Runs;
use super::settings::Settings;
use super::table::{Table, mean};
use crate::analyze::{RunNode, Sum};

/// What is asked of the tree of all runs.
pub(super) struct Look<'a> {
    pub runs: &'a Runs,
    pub table: &'a Table<'a>,
    pub settings: &'a Settings,
    pub nodes: &'a [RunNode],
    /// By node, mean on the gate's scale: what ended there, base and new; and with all below.
    pub own: Vec<[f64; 2]>,
    pub inclusive: Vec<[f64; 2]>,
    /// By function, what it took itself.
    pub by_function: Vec<[f64; 2]>,
}

impl<'a> Look<'a> {
    pub fn new(runs: &'a Runs, table: &'a Table<'a>, settings: &'a Settings) -> Look<'a> {
        let nodes = &runs.tree.nodes[..];
        let mut look = Look {
            runs,
            table,
            settings,
            nodes,
            own: vec![[0.0; 2]; nodes.len()],
            inclusive: Vec::new(),
            by_function: Vec::new(),
        };
        let sides = [table.base, table.runs.len() - table.base];
        for (at, run) in table.runs.iter().enumerate() {
            let side = usize::from(at >= table.base);
            // What one of the event's unit is worth on the scale.
            let one: Vec<Sum> = (0..table.runs.len()).map(|_| Sum { value: 1.0, samples: 0.0 }).collect();
            let worth = table.scaled(&one, settings.scale)[at] / sides[side] as f64;
            runs.tree.for_each(run.row, |node, sum| look.own[node as usize][side] += sum.value * worth);
        }
        look.by_function = vec![[0.0; 2]; runs.tree.functions.len()];
        for (node, own) in nodes.iter().zip(&look.own).skip(1) {
            let sum = &mut look.by_function[node.own as usize];
            *sum = [sum[0] + own[0], sum[1] + own[1]];
        }
        look.inclusive.clone_from(&look.own);
        for node in (1..nodes.len()).rev() {
            let [base, new] = look.inclusive[node];
            let parent = &mut look.inclusive[nodes[node].parent as usize];
            parent[0] += base;
            parent[1] += new;
        }
        look
    }

    /// What the nodes that `is_wanted` says took in each run.
    pub fn sums(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<Sum> {
        let of_run = |run: usize| {
            let mut sum = Sum::default();
            self.runs.tree.for_each(run, |node, of| {
                if is_wanted(node as usize) {
                    sum += of;
                }
            });
            sum
        };
        self.table.runs.iter().map(|run| of_run(run.row)).collect()
    }

    pub fn name(&self, function: u32) -> &str {
        self.runs.tree.names.get(self.runs.tree.functions[function as usize].name)
    }

    /// By how much something changed, per unit of work, in the event's unit.
    pub fn change(&self, sums: &[Sum]) -> f64 {
        let runs = self.table.per_work(sums);
        mean(runs[self.table.base..].iter().copied()) - mean(runs[..self.table.base].iter().copied())
    }
}
