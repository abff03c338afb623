//! What the events of a recording are called, and what their samples count.

use crate::model::Unit;
use crate::perf::data::features::Features;
use crate::perf::names::{self, CPU_CLOCK, TASK_CLOCK, kind};
use crate::perf::{EventAttr, Sampling};
use crate::recorder::{RecordedEvent, Weight};

/// An event, as far as it is known yet.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub attr: EventAttr,
    pub ids: Vec<u64>,
    /// The name that a record gave it.
    pub name: Option<String>,
}

impl Event {
    /// What a recorder is told of event number `row`. `types` are names by `config` of old recordings.
    pub fn recorded(&self, row: usize, features: &Features, types: &[(u64, String)]) -> RecordedEvent {
        let name = self.name(row, features, types);
        let attr = &self.attr;
        let is_clock = attr.kind == kind::SOFTWARE && matches!(attr.config, CPU_CLOCK | TASK_CLOCK);
        let period = match attr.sampling {
            Sampling::Period(period) => Some(period),
            Sampling::Frequency(rate) => Some((1e9 / rate as f64).round() as u64),
            Sampling::Count => None,
        };
        let unit = if is_clock { Unit::Nanoseconds } else { Unit::Count };
        let mut event = RecordedEvent::new(&name, unit, period.filter(|_| is_clock));
        if attr.kind == kind::TRACEPOINT {
            if let Sampling::Period(period) = attr.sampling {
                event.weight = Weight::Fixed(period);
            }
            let plain = name.rsplit(':').find(|word| word.len() > 3).unwrap_or(&name);
            event.is_switch = plain == "sched_switch";
            event.next_pid = features.tracing.next_pid;
        }
        event
    }

    fn name(&self, row: usize, features: &Features, types: &[(u64, String)]) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let described = match self.ids.first() {
            Some(id) => features.events.iter().find(|event| event.ids.contains(id)),
            None => None,
        };
        let described = described.or_else(|| {
            let event = features.events.get(row)?;
            (event.attr.kind == self.attr.kind && event.attr.config == self.attr.config).then_some(event)
        });
        if let Some(event) = described.filter(|event| !event.name.is_empty()) {
            return event.name.clone();
        }
        let (kind, config) = (self.attr.kind, self.attr.config);
        if let Some(name) = features.simpleperf.event_name(kind, config) {
            return name.to_owned();
        }
        if kind == self::kind::TRACEPOINT
            && let Some(name) = features.tracing.name(config)
        {
            return name.to_owned();
        }
        let typed = types.iter().find(|(known, _)| *known == config && kind == self::kind::TRACEPOINT);
        typed.map_or_else(|| names::of(&self.attr), |(_, name)| name.clone())
    }
}
