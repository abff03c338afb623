//! What a perf.data says of a tracepoint: perf opens no recording of one without it.
//!
//! ```text
//! magic, version, byte order, size of long, page size | headers of ring pages | ftrace's own events: none
//! systems: count, for each its name and its events' formats | symbols, formats of messages, names: none
//! ```
//! See `tools/perf/util/trace-event-info.c`.

use std::fs::File;
use std::io;
use std::path::Path;

use super::pmu::Sources;

/// Describes the tracepoint `SYSTEM:EVENT` (what follows a second colon is passed over), in this machine's byte order.
///
/// # Errors
/// If tracefs cannot be read.
pub fn tracing_data(name: &str, sources: &Sources) -> io::Result<Vec<u8>> {
    let mut words = name.split(':');
    let (system, event) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut failure = io::ErrorKind::NotFound.into();
    for root in &sources.tracefs {
        match describe(&root.join("events"), system, event) {
            Err(error) => failure = error,
            described => return described,
        }
    }
    Err(failure)
}

fn describe(events: &Path, system: &str, event: &str) -> io::Result<Vec<u8>> {
    let sized = |path: &Path| -> io::Result<Vec<u8>> {
        // The kernel gives the headers of ring pages to the first read only, however little that asks for.
        let (mut text, file) = (Vec::with_capacity(64 << 10), File::open(path)?);
        while rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text))? > 0 {
            text.reserve(64 << 10);
        }
        Ok([(text.len() as u64).to_ne_bytes().as_slice(), &text].concat())
    };
    let mut bytes = b"\x17\x08\x44tracing0.6\0".to_vec();
    bytes.push(u8::from(cfg!(target_endian = "big")));
    bytes.push(size_of::<std::ffi::c_long>() as u8);
    bytes.extend((rustix::param::page_size() as u32).to_ne_bytes());
    for header in ["header_page", "header_event"] {
        bytes.extend(header.as_bytes());
        bytes.push(0);
        bytes.extend(sized(&events.join(header))?);
    }
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(1u32.to_ne_bytes());
    bytes.extend(system.as_bytes());
    bytes.push(0);
    bytes.extend(1u32.to_ne_bytes());
    bytes.extend(sized(&events.join(system).join(event).join("format"))?);
    bytes.extend([0; 4 + 4 + 8]);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracepoint_is_described() {
        let root = tempfile::tempdir().unwrap();
        let events = root.path().join("events");
        std::fs::create_dir_all(events.join("sched/sched_switch")).unwrap();
        for (name, text) in
            [("header_page", "page"), ("header_event", "event"), ("sched/sched_switch/format", "name: x")]
        {
            std::fs::write(events.join(name), text).unwrap();
        }
        let sources = Sources { tracefs: vec!["/nowhere".into(), root.path().into()], ..Sources::default() };
        let bytes = tracing_data("sched:sched_switch:k", &sources).unwrap();
        let tail = b"sched\0\x01\0\0\0\x07\0\0\0\0\0\0\0name: x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert!(bytes.starts_with(b"\x17\x08\x44tracing0.6\0"));
        assert!(!cfg!(target_endian = "little") || bytes.ends_with(tail));
        assert!(tracing_data("sched:other", &sources).is_err());
    }
}
