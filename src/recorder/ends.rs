//! Rows that are added when all records are taken in: what was not sampled, and the time between the switches of a recording.

use super::Recorder;
use crate::model::{EventId, FrameKind, Sample, StackEnd, StackId, ThreadId, Timestamp, Unit};

/// The name of the event that time off the CPU is added as.
pub const OFF_CPU: &str = crate::model::off_cpu::EVENT;

impl Recorder {
    /// Adds a row for what was not sampled, in the event's unit, so that the picture's width is what the targets used.
    ///
    /// It belongs to the process that was sampled, if it was one; else to a row of the name `target`, as nobody knows whose
    /// it is.
    pub fn add_estimate(&mut self, name: &str, value: u64, target: &str) {
        let thread = match self.builder.profile().processes.len() {
            1 => ThreadId(0),
            _ => {
                let process = self.builder.add_process(0, target);
                self.builder.add_thread(process, 0, target)
            }
        };
        let frame = self.builder.name_frame(name, FrameKind::Note);
        let stack = self.builder.stack(StackId(0), frame);
        let time = Timestamp::UNKNOWN;
        let end = StackEnd::Root;
        self.builder.add_sample(Sample {
            time,
            thread,
            cpu: Sample::NO_CPU,
            stack,
            end,
            event: EventId(0),
            value,
            count: 0,
        });
    }

    /// Adds the time off the CPU as an event of its own, if task switches were recorded.
    pub(super) fn add_waits(&mut self) {
        self.counters.waits_by_next_sample = self.off_cpu.by_next_sample();
        self.counters.open_waits = self.off_cpu.open() as u64;
        if self.off_cpu.waits().is_empty() {
            return;
        }
        let event = self.builder.add_event(OFF_CPU, Unit::Nanoseconds, None);
        for wait in self.off_cpu.waits() {
            let sample = self.builder.profile().samples.get(wait.sample);
            self.builder.add_sample(Sample { event, value: wait.time, count: 1, ..sample });
        }
    }
}
