//! The figures of [`CaptureStats`] that follow from a profile's tables.

use std::collections::BTreeMap;

use super::CaptureStats;
use super::id::{FrameId, StackId, StringId};
use super::profile::{FrameKey, Profile, Resolution, Stack};
use super::reason::{StackEnd, Truncation, Unnamed};
use super::unnamed::UnnamedWeights;

impl Profile {
    /// Fills in the shares of [`CaptureStats`] that follow from the tables: samples, complete, truncated, no_unwind_info,
    /// unnamed, unnamed_innermost, unnamed_images (of which help is kept); and of skipped what is too large to be summed.
    ///
    /// Only the main event counts. Of what was read back with the shares of its recording ([`CaptureStats::is_as_recorded`]) these stay.
    pub fn summarize(&mut self) {
        self.count_too_large();
        if self.stats.is_as_recorded {
            let samples = self.samples.iter().filter(|sample| sample.event == self.main);
            self.stats.samples = samples.map(|sample| u64::from(sample.count)).sum();
            return;
        }
        // Values from outside may be of any size: their sums do not fit.
        let (mut total, mut complete, mut unstated, mut samples) = (0u128, 0u128, 0u128, 0u64);
        let mut truncated = [0u128; Truncation::ALL.len()];
        let mut outermost = None;
        let mut no_unwind_info = BTreeMap::<StringId, u128>::new();
        // By frame: the row of the reason why it has no name.
        let nameless: Vec<Option<usize>> = self
            .frames
            .iter()
            .map(|frame| {
                let Resolution::Unknown { reason, .. } = frame.resolution else { return None };
                Unnamed::ALL.iter().position(|known| *known == reason)
            })
            .collect();
        // The weight of each stack, then also of those that it called; not needed where all have names.
        let stacks = if nameless.iter().all(Option::is_none) { &[] } else { &self.stacks[..] };
        let nameless = |frame: FrameId| nameless[frame.index()];
        let mut weights = vec![0.0; stacks.len()];
        for sample in self.samples.iter().filter(|sample| sample.event == self.main) {
            if sample.count == 0 {
                continue;
            }
            let value = u128::from(sample.value);
            total += value;
            samples += u64::from(sample.count);
            if let Some(weight) = weights.get_mut(sample.stack.index()) {
                *weight += sample.value as f64;
            }
            match sample.end {
                StackEnd::Root => complete += value,
                StackEnd::Unstated => unstated += value,
                StackEnd::Truncated(reason) => {
                    let row = Truncation::ALL.iter().position(|known| *known == reason).expect("ALL holds all");
                    truncated[row] += value;
                    if reason == Truncation::NoUnwindInfo
                        && sample.stack != StackId(0)
                        && let outermost =
                            outermost.get_or_insert_with(|| self.outermost_frames())[sample.stack.index()]
                        && let FrameKey::Code { image, .. } = self.frames[outermost.index()].key
                    {
                        *no_unwind_info.entry(self.images[image.index()].path).or_default() += value;
                    }
                }
            }
        }
        let innermost = stacks.iter().zip(&weights).skip(1).filter(|(stack, _)| nameless(stack.frame).is_some());
        // The sum of no numbers is -0.0.
        let innermost = innermost.map(|(_, weight)| weight).sum::<f64>() + 0.0;
        let (mut all_frames, mut unnamed) = (0.0, [0.0; Unnamed::ALL.len()]);
        let mut unnamed_images = UnnamedWeights::default();
        for (row, stack) in stacks.iter().enumerate().skip(1).rev() {
            let weight = weights[row];
            weights[stack.parent.index()] += weight;
            all_frames += weight;
            if let Some(reason) = nameless(stack.frame) {
                unnamed[reason] += weight;
                unnamed_images.add(self, stack.frame, weight);
            }
        }
        let share = |part: u128| if total == 0 { 0.0 } else { part as f64 / total as f64 };
        self.stats.samples = samples;
        self.stats.complete = share(complete);
        self.stats.unstated = share(unstated);
        let truncations = Truncation::ALL.iter().zip(truncated).filter(|(_, sum)| *sum > 0);
        self.stats.truncated = truncations.map(|(reason, sum)| (reason.as_str(), share(sum))).collect();
        let path = |id| self.strings.get(id).to_owned();
        self.stats.no_unwind_info = no_unwind_info.into_iter().map(|(id, sum)| (path(id), share(sum))).collect();
        let reasons = Unnamed::ALL.iter().zip(unnamed).filter(|(_, sum)| *sum > 0.0);
        self.stats.unnamed = reasons.map(|(reason, sum)| (reason.as_str(), sum / all_frames)).collect();
        self.stats.unnamed_innermost = if total == 0 { 0.0 } else { innermost / total as f64 };
        self.stats.unnamed_images = unnamed_images.rows(self, all_frames);
    }

    /// Counts what trees leave out, which sum in the same order (`analyze/view.rs`).
    fn count_too_large(&mut self) {
        let (mut sum, mut beyond, mut too_many) = (0u64, 0u64, 0u64);
        for sample in self.samples.iter().filter(|sample| sample.event == self.main) {
            let is_whole = sample.value <= u64::MAX - sum && sample.value < u64::MAX;
            sum = sum.saturating_add(sample.value);
            beyond += u64::from(!is_whole);
            too_many += u64::from(sample.count == u32::MAX);
        }
        for (what, count) in [(CaptureStats::BEYOND, beyond), (CaptureStats::TOO_MANY, too_many)] {
            match count {
                0 => self.stats.skipped.remove(what),
                _ => self.stats.skipped.insert(what.to_owned(), count),
            };
        }
    }

    /// Counts anew how callers were found ([`CaptureStats::frames`]), if it was counted before, as some samples are gone: each frame
    /// counts for the first of the ways in which it was found.
    pub(super) fn recount_frames(&mut self) {
        if self.stats.frames.is_empty() {
            return;
        }
        let mut counts = vec![0u64; self.stacks.len()];
        for sample in &self.samples {
            let count = &mut counts[sample.stack.index()];
            *count = count.saturating_add(u64::from(sample.count));
        }
        self.stats.frames.clear();
        for (row, stack) in self.stacks.iter().enumerate().skip(1).rev() {
            let count = counts[row];
            let parent = &mut counts[stack.parent.index()];
            *parent = parent.saturating_add(count);
            if let Some(by) = self.frames[stack.frame.index()].found_by.iter().find(|by| by.is_of_callers())
                && count > 0
            {
                let sum = self.stats.frames.entry(by.as_str()).or_default();
                *sum = sum.saturating_add(count);
            }
        }
    }

    /// By stack: the frame that nobody called. Row 0, the empty stack, has none and names any.
    fn outermost_frames(&self) -> Vec<FrameId> {
        let mut outermost: Vec<FrameId> = Vec::with_capacity(self.stacks.len());
        for Stack { parent, frame } in &self.stacks {
            outermost.push(if *parent == StackId(0) { *frame } else { outermost[parent.index()] });
        }
        outermost
    }
}
