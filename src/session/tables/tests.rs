use std::sync::mpsc::Receiver;

use super::*;
use crate::recorder::{Change, Code};
use crate::sampler::bpf::{Bpf, Programs, Request};

#[test]
fn executable_pages_are_counted_as_the_kernel_does() {
    let (lines, pages) = read(std::process::id()).expect("it can be read");
    assert_eq!(executable_pages(std::process::id()), Some(pages), "{lines:?}");
}

/// A keeper without threads, whose heap is as small as one may be: 511 blocks; and where its jobs go.
fn keeper(is_lazy: bool) -> Option<(Bpf, Keeper, Receiver<Job>)> {
    let programs = Programs { on_cpu: true, off_cpu: false };
    let mut bpf = match Bpf::load(&Request { programs, heap_bytes: 0, ..Request::default() }) {
        Ok(bpf) => bpf,
        Err(error) => {
            crate::skip::here(&format!("BPF cannot be used: {error}"));
            return None;
        }
    };
    let (jobs, to_compile) = channel();
    let tables = bpf.take_tables().expect("nobody took them");
    let keeper = Keeper::new(tables, Images::default(), Default::default(), jobs, (is_lazy, false));
    Some((bpf, keeper, to_compile))
}

/// A table of so many blocks.
fn table(blocks: usize) -> Table {
    Table { base: 0, blocks: vec![0; blocks * BLOCK_WORDS as usize], rows: 0, pages_left_out: 0 }
}

#[test]
fn tables_are_taken_out_by_use_and_come_back() {
    let Some((_bpf, mut keeper, jobs)) = keeper(false) else { return };
    let pid = std::process::id();
    keeper.look(pid);
    let asked: Vec<u32> = jobs.try_iter().map(|job| job.number).collect();
    assert!(asked.len() >= 3, "the program, libc and the dynamic linker at least: {asked:?}");
    let is_there = |keeper: &Keeper, number: u32| matches!(keeper.rows[number as usize - 1].state, State::At { .. });
    // Two of these have room.
    let [first, second, third] = [asked[0], asked[1], asked[2]];
    for number in [first, second] {
        assert_eq!(keeper.compiled(number, Ok(table(200))), Some(number));
    }
    keeper.tell_again(&[first, second]);
    keeper.rows[first as usize - 1].image.used.store(true, Ordering::Relaxed);
    assert_eq!(keeper.compiled(third, Ok(table(200))), Some(third));
    assert!(is_there(&keeper, first) && !is_there(&keeper, second) && is_there(&keeper, third));
    // It is not made again at once, only when there was time to see that others are used more.
    keeper.missed(pid);
    assert_eq!(jobs.try_iter().count(), 0);
    let mut numbers = asked.iter().copied().cycle();
    for round in 0..100 {
        for row in &mut keeper.rows {
            if let State::Evicted { since } = &mut row.state {
                *since = since.checked_sub(EVICTED_FOR).expect("the machine has run for so long");
            }
        }
        keeper.missed(pid);
        jobs.try_iter().for_each(drop);
        let number = numbers.next().expect("it goes round");
        if keeper.rows[number as usize - 1].state == State::Asked {
            keeper.compiled(number, Ok(table(100 + round % 150)));
            keeper.tell_again(&[number]);
        }
        // What a list names is there, and nothing is in the heap that nobody has.
        let known = &keeper.processes[&pid];
        for (line, number) in &known.lines {
            let named = keeper.mapped(line, *number).block;
            let state = number.checked_sub(1).map(|row| keeper.rows[row as usize].state);
            assert!(named == 0 || state == Some(State::At { block: named }), "{line:?}: {named} {state:?}");
        }
    }
    assert!(keeper.kept.evicted > 20, "{:?}", keeper.kept);
    let there: Vec<u32> = asked.iter().copied().filter(|number| is_there(&keeper, *number)).collect();
    for number in there {
        let State::At { block } = keeper.rows[number as usize - 1].state else { continue };
        keeper.tables.remove(block);
    }
    keeper.forget(pid);
    keeper.tables.tidy().expect("the kernel lets it rest");
    assert!(keeper.tables.used_bytes() < keeper.tables.heap_bytes() / 2, "what is left is only not yet tidied up");
    // All of it is one run again.
    keeper.look(pid);
    assert_eq!(keeper.compiled(first, Ok(table(500))), Some(first));
}

#[test]
fn a_table_too_large_is_without_room() {
    let Some((_bpf, mut keeper, jobs)) = keeper(false) else { return };
    keeper.look(std::process::id());
    let number = jobs.try_iter().next().expect("something is mapped").number;
    assert_eq!(keeper.compiled(number, Ok(table(600))), None);
    assert_eq!((keeper.kept.no_room, keeper.kept.tables), (1, 0));
    assert_eq!(keeper.compiled(number, Err(Refused::Damaged)), None);
    assert_eq!((keeper.kept.refused, keeper.rows[number as usize - 1].state), (1, State::Refused));
}

#[test]
fn who_is_lazy_waits_until_it_pays() {
    let Some((_bpf, mut keeper, jobs)) = keeper(true) else { return };
    let pid = std::process::id();
    for _ in 1..CALLS_BEFORE_LOOK {
        keeper.look(pid);
    }
    assert_eq!((keeper.kept.looks, keeper.processes.len()), (0, 0));
    keeper.look(pid);
    assert_eq!((keeper.kept.looks, keeper.processes.len()), (1, 1));
    let dearest = keeper.rows.iter().map(|row| row.price).max().expect("something is mapped");
    assert!(dearest > 0, "the test program has call frame information");
    for missed in 1..=dearest {
        let waiting = keeper.rows.iter().filter(|row| row.image.file.is_some() && row.state == State::Idle).count();
        assert!(waiting > 0, "after {missed} of {dearest}");
        keeper.missed(pid);
    }
    assert!(keeper.rows.iter().all(|row| row.state != State::Idle));
    assert_eq!(jobs.try_iter().count(), keeper.rows.iter().filter(|row| row.state == State::Asked).count());
}

#[test]
fn what_is_asked_at_once_counts_as_often_as_it_was_asked() {
    let Some((_bpf, mut keeper, _jobs)) = keeper(true) else { return };
    let pid = std::process::id();
    let asked = |looks| Asked { looks, ..Asked::default() };
    keeper.serve(pid, &asked(u32::from(CALLS_BEFORE_LOOK) - 1));
    assert_eq!(keeper.kept.looks, 0);
    keeper.serve(pid, &asked(1));
    assert_eq!(keeper.kept.looks, 1);
    let dearest = keeper.rows.iter().map(|row| row.price).max().expect("something is mapped");
    keeper.serve(pid, &asked(dearest + 1));
    assert!(keeper.rows.iter().all(|row| row.state != State::Idle));
    // More was mapped than could be told: the list is read anew.
    let epoch = keeper.processes[&pid].epoch;
    let change = Change { time: 1, start: 1, end: 2, code: Code::Other, name: 0 };
    keeper.strangers.insert(pid, CALLS_BEFORE_LOOK - 1);
    keeper.serve(pid, &Asked { looks: 0, changes: vec![change], has_more: true });
    assert_ne!(keeper.processes[&pid].epoch, epoch);
}
