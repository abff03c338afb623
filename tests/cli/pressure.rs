//! When records come faster than they are taken: stacks are cut first, samples are lost last, and all of it is counted.

use std::sync::atomic::{AtomicBool, Ordering};

use flameprofile::perf::Record;
use flameprofile::perf::record::{header, parse};
use flameprofile::perf::{ByteOrder, Sampling};
use flameprofile::sampler::sys::Linux;
use flameprofile::sampler::{Drain, EventSpec, OpenRequest, RingBuffer, Stacks, Tasks, open, sampled_cpus};
use flameprofile::unwind::REGISTERS_MASK;

use crate::common::run::wait_until;
use crate::need;

/// Works with 64 KiB of stack in use until it is told to end.
#[inline(never)]
fn work(end: &AtomicBool) -> u8 {
    let mut bytes = std::hint::black_box([1u8; 64 << 10]);
    while !end.load(Ordering::Relaxed) {
        for byte in &mut bytes[..4096] {
            *byte = std::hint::black_box(*byte).wrapping_mul(3);
        }
    }
    std::hint::black_box(bytes)[7]
}

#[test]
fn stacks_are_trimmed_before_samples_are_lost() {
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (say, said) = std::sync::mpsc::channel();
        let end = &end;
        scope.spawn(move || {
            say.send(rustix::thread::gettid().as_raw_nonzero().get() as u32).unwrap();
            work(end)
        });
        let tid = said.recv().unwrap();
        let attr = EventSpec::cpu_clock().attrs[0].0.clone();
        let mut opened = open(
            &Linux,
            &OpenRequest {
                switches: Default::default(),
                tasks: Tasks::Threads(vec![tid]),
                cpus: sampled_cpus(None).unwrap(),
                attrs: vec![(flameprofile::perf::EventAttr { sampling: Sampling::Period(250_000), ..attr }, None)],
                clock_rate: None,
                expected_rate: 1000.0,
                stacks: Stacks { user_copy: true, ..Stacks::default() },
                stack_size: None,
                registers: REGISTERS_MASK,
                data_mappings: false,
            },
        )
        .unwrap();
        need!(
            opened.lost_samples().is_some(),
            "stacks_are_trimmed_before_samples_are_lost",
            "needs Linux 6.0, which counts what is lost"
        );
        let layout = opened.layout;
        let rings = std::mem::take(&mut opened.rings);
        let ring_bytes: usize = rings.iter().map(RingBuffer::size).sum();
        let (drain, chunks) = Drain::start(rings, layout).unwrap();
        opened.start_sampling(false).unwrap();
        // Nobody takes anything: the queue fills, then the rings do, then the kernel loses samples.
        wait_until("the kernel has lost samples", || opened.lost_samples().unwrap_or(1) > 0);
        opened.stop();
        end.store(true, Ordering::Relaxed);
        let taken = std::thread::spawn(move || std::iter::from_fn(|| chunks.next()).collect::<Vec<_>>());
        let rings = drain.stop();
        let trimmed: u64 = rings.iter().map(RingBuffer::trimmed).sum();
        let chunks = taken.join().unwrap();

        // By size of the stack: in full, in part, hardly.
        let (mut counts, mut first_lost) = ([0u64; 3], None);
        let (mut samples, mut bytes) = (0, 0);
        for chunk in &chunks {
            let mut rest = chunk.bytes.as_slice();
            while let Some((_, _, size)) = header(rest, ByteOrder::Native) {
                match parse(&rest[..size], &layout) {
                    Record::Sample(sample) => {
                        let length = sample.user_stack.len();
                        let kind = match length {
                            1024 => 2,
                            8192 => 1,
                            _ => 0,
                        };
                        assert!(kind == 0 || sample.user_stack_full, "one that is cut says that the stack goes on");
                        assert!(sample.user_registers.is_some() && sample.ip != 0, "the rest of it is as it was");
                        counts[kind] += 1;
                        samples += 1;
                        bytes += size;
                    }
                    Record::Lost(_) | Record::LostSamples(_) => first_lost = first_lost.or(Some(samples)),
                    _ => {}
                }
                rest = &rest[size..];
            }
        }
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert_eq!(trimmed, counts[1] + counts[2]);
        // 24 MiB in the queue, and what was in the rings when it was emptied.
        assert!(bytes < (28 << 20) + ring_bytes, "{bytes}");
        if let Some(at) = first_lost {
            assert!(at > counts[0], "lost after {at} of {counts:?}");
        }
    });
}
