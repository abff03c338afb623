//! What a perf.data says of the machine and the event it was recorded on.

use std::fs;
use std::time::SystemTime;

use crate::model::Timestamp;
use crate::perf::data::write::{ClockFacts, Features, RecordedEvent};
use crate::perf::{AttrFlags, Sampling};
use crate::sampler::{CpuList, Opened, Sources};

/// The machine as it is now, and what was typed.
pub(super) fn features(command_line: Vec<String>, has_clock: bool) -> Features {
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let cpus = |name: &str| -> Option<u32> {
        let listed = fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).ok()?;
        CpuList::parse(listed.trim()).map(|cpus| cpus.as_slice().len() as u32)
    };
    Features {
        hostname: text(system.nodename()),
        os_release: text(system.release()),
        version: format!("profile {}", env!("CARGO_PKG_VERSION")),
        arch: text(system.machine()),
        cpus: cpus("present").zip(cpus("online")),
        cpu_description: cpu_field(&cpu, "model name").unwrap_or_default().to_owned(),
        cpu_id: cpu_id(&cpu),
        total_memory_kib: kib,
        command_line,
        pmus: Sources::default().pmus().into_iter().map(|pmu| (pmu.kind, pmu.name)).collect(),
        clock: has_clock.then(clock),
        ..Features::default()
    }
}

/// The events as a perf.data describes them: `rate` is that of a clock whose timers have periods of their own.
pub(super) fn recorded_events(opened: &Opened, name: &str, rate: Option<f64>) -> std::io::Result<Vec<RecordedEvent>> {
    let events = opened.events()?.into_iter().map(|mut event| {
        if let Some(rate) = rate {
            event.attr.sampling = Sampling::Frequency(rate as u64);
        }
        RecordedEvent { name: name.to_owned(), attr: event.attr, ids: event.ids }
    });
    Ok(events.collect())
}

/// Whether times are of the monotonic clock: an old kernel has its own.
pub(super) fn has_clock(events: &[RecordedEvent]) -> bool {
    events.iter().all(|event| event.attr.flags.has(AttrFlags::USE_CLOCKID))
}

/// Now, on the clock of recordings (`CLOCK_MONOTONIC`).
pub(super) fn monotonic_now() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Timestamp(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

fn clock() -> ClockFacts {
    let resolution = rustix::time::clock_getres(rustix::time::ClockId::Monotonic);
    let time = monotonic_now().0;
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // CLOCK_MONOTONIC is number 1 (`include/uapi/linux/time.h`).
    ClockFacts { id: 1, resolution: resolution.tv_nsec as u64, wall: wall.as_nanos() as u64, time }
}

/// A field of the first CPU in `/proc/cpuinfo`.
fn cpu_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// As perf names CPUs: on x86 vendor, family, model and stepping; on ARM the main id register.
fn cpu_id(cpu: &str) -> String {
    let fields = ["vendor_id", "cpu family", "model", "stepping"].map(|name| cpu_field(cpu, name));
    if let [Some(vendor), Some(family), Some(model), Some(stepping)] = fields {
        return format!("{vendor},{family},{model},{stepping}");
    }
    let midr = fs::read_to_string("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1").unwrap_or_default();
    midr.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_named_as_perf_names_it() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Xeon: fast\n\
            stepping\t: 8\n\nprocessor\t: 1\nmodel\t: 9\n";
        assert_eq!(cpu_id(text), "GenuineIntel,6,167,8");
        assert_eq!(cpu_field(text, "model name"), Some("Xeon: fast"));
    }

    #[test]
    fn machine_is_described() {
        let features = features(vec!["profile".into()], true);
        assert!(!features.hostname.is_empty() && !features.arch.is_empty());
        assert!(features.cpus.is_some_and(|(present, online)| online > 0 && present >= online));
        assert!(features.clock.is_some_and(|clock| clock.time > 0 && clock.wall > clock.time));
    }
}
