use super::*;
use crate::recorder::code::{Code, Listed, name_of};

const PID: u32 = 7;
const NONE: [u32; 0] = [];
/// Later than any moment of this machine.
const LATER: u64 = u64::MAX / 2;

fn mmap(time: u64, start: u64, inode: u64) -> record::Mmap<'static> {
    record::Mmap {
        identity: record::Identity { time, ..record::Identity::default() },
        pid: PID,
        start,
        length: 0x1000,
        executable: true,
        device_inode: Some(((8, 1), inode)),
        path: if inode == 0 { b"//anon" } else { b"/lib/x.so" },
        ..record::Mmap::default()
    }
}

fn listed(start: u64, inode: u64, read: u64) -> Listed {
    let path: &[u8] = if inode == 0 { b"" } else { b"/lib/x.so" };
    let code = Code::of(path, (8, 1), inode, (start, 0));
    Listed { range: start..start + 0x1000, code, image: inode as u32, name: name_of(path), read, seen: read }
}

/// What of a sample is suspect now, by images.
fn images(changes: &mut Changes, pid: u32, epoch: u32) -> Vec<u32> {
    let suspects = changes.of_sample(pid, epoch, LATER);
    suspects.map_or(Vec::new(), |found| found.ranges.iter().map(|listed| listed.image).collect())
}

#[test]
fn other_code_in_the_same_place_is_suspect_until_it_is_gone() {
    let epochs = Arc::new(Epochs::new(false));
    let mut changes = Changes::new(epochs.clone());
    let first = epochs.of_list(PID, None, &[listed(0x1000, 1, 10), listed(0x3000, 2, 10)]);
    assert_eq!(images(&mut changes, PID, first), NONE);
    // Before it was read, elsewhere, and the same once more.
    for mmap in [mmap(5, 0x1000, 3), mmap(11, 0x5000, 3), mmap(12, 0x1000, 1)] {
        changes.mapped(&mmap);
        assert_eq!(images(&mut changes, PID, first), NONE, "{mmap:?}");
    }
    changes.mapped(&mmap(13, 0x1000, 3));
    assert_eq!(images(&mut changes, PID, first), [1]);
    assert_eq!(images(&mut changes, 8, first), NONE);
    changes.mapped(&mmap(14, 0x1000, 1));
    assert_eq!(images(&mut changes, PID, first), NONE);
    // A range that the epoch gets later is judged too.
    changes.mapped(&mmap(15, 0x7000, 3));
    assert_eq!(images(&mut changes, PID, first), NONE);
    assert_eq!(epochs.of_list(PID, Some(first), &[listed(0x7000, 4, 14)]), first);
    assert_eq!(images(&mut changes, PID, first), [4]);
    // Memory of no file, and a file's code in it.
    let second = epochs.of_list(PID, None, &[listed(0x9000, 0, 20)]);
    changes.mapped(&mmap(21, 0x9000, 0));
    assert_eq!(changes.of_sample(PID, second, LATER), None);
    changes.mapped(&mmap(22, 0x9000, 5));
    assert!(changes.of_sample(PID, second, LATER).is_some());
    // Nothing is known of that.
    assert!(changes.of_sample(PID, 99, LATER).is_some_and(|suspects| suspects.all));
}

#[test]
fn forked_process_has_the_changes_of_its_parent() {
    let epochs = Arc::new(Epochs::new(false));
    let mut changes = Changes::new(epochs.clone());
    let epoch = epochs.of_list(PID, None, &[listed(0x1000, 1, 10)]);
    changes.mapped(&mmap(11, 0x1000, 2));
    changes.forked(PID, 8, 12);
    changes.mapped(&mmap(13, 0x1000, 1));
    assert_eq!((images(&mut changes, PID, epoch), images(&mut changes, 8, epoch)), (NONE.to_vec(), vec![1]));
    changes.ended(8, 14);
    assert_eq!(images(&mut changes, 8, epoch), NONE);
}

#[test]
fn changes_that_were_forgotten_are_suspect() {
    let epochs = Arc::new(Epochs::new(false));
    let mut changes = Changes::new(epochs.clone());
    let epoch = epochs.of_list(PID, None, &[listed(0x1000, 1, 10), listed(0x3000, 2, 3000)]);
    for time in 0..MOST_CHANGES as u64 - 1 {
        changes.mapped(&mmap(100 + time, 0x8000, 3));
    }
    assert_eq!((changes.of_sample(PID, epoch, LATER), changes.forgotten), (None, 0));
    changes.mapped(&mmap(2000, 0x8000, 3));
    assert_eq!(changes.forgotten, 1);
    assert!(changes.of_sample(PID, epoch, LATER).is_some_and(|suspects| suspects.all && suspects.ranges.is_empty()));
    // What came since is known to be there.
    changes.mapped(&mmap(2001, 0x1000, 1));
    assert_eq!(changes.of_sample(PID, epoch, LATER), None);
}

#[test]
fn wait_is_suspect_if_other_code_came_while_its_epoch_lasted() {
    let epochs = Arc::new(Epochs::new(true));
    let mut changes = Changes::new(epochs.clone());
    let first = epochs.of_list(PID, None, &[listed(0x1000, 1, 10), listed(0x3000, 2, 10)]);
    changes.mapped(&mmap(20, 0x1000, 3));
    // A process that was forked, before and after it had a list of its own.
    changes.forked(PID, 8, 21);
    changes.mapped(&record::Mmap { pid: 8, ..mmap(22, 0x3000, 4) });
    let second = epochs.of_list(PID, Some(first), &[listed(0x1000, 3, 30)]);
    epochs.retire(first, 31);
    changes.mapped(&mmap(40, 0x3000, 5));
    changes.mapped(&mmap(41, 0x1000, 3));
    let found = |changes: &Changes, epoch: u32| {
        let images = |suspects: &Suspects| suspects.ranges.iter().map(|listed| listed.image).collect::<Vec<_>>();
        changes.of_waits.get(epoch).as_deref().map(images)
    };
    changes.ended(PID, 50);
    assert_eq!((found(&changes, first), found(&changes, second)), (Some(vec![1]), None));
    changes.settle_all();
    assert_eq!(found(&changes, first), Some(vec![1, 2]));
    assert!(changes.processes.is_empty());
}

#[test]
fn many_changes_are_judged_for_waits_before_they_are_forgotten() {
    let epochs = Arc::new(Epochs::new(true));
    let mut changes = Changes::new(epochs.clone());
    let (mut before, mut seen) = (None, Vec::new());
    for time in 0..3000 {
        let (inode, now) = (1 + time % 2, 100 * time);
        changes.mapped(&mmap(now + 1, 0x1000, inode));
        let epoch = epochs.of_list(PID, before, &[listed(0x1000, inode, now + 5), listed(0x3000, 9, now + 5)]);
        if let Some(before) = before.replace(epoch) {
            epochs.retire(before, now + 10);
        }
        seen.push(epoch);
    }
    changes.settle_all();
    assert!(changes.forgotten > 3);
    for epoch in &seen[..seen.len() - 1] {
        let suspects = changes.of_waits.get(*epoch).unwrap_or_else(|| panic!("{epoch} is not found"));
        assert!(!suspects.all && suspects.ranges.len() == 1 && suspects.ranges[0].image != 9, "{suspects:?}");
    }
    assert!(changes.of_waits.get(seen[seen.len() - 1]).is_none());
}

#[test]
fn child_of_a_parent_without_changes_is_judged_by_its_parents_epochs() {
    let epochs = Arc::new(Epochs::new(true));
    let mut changes = Changes::new(epochs.clone());
    let epoch = epochs.of_list(PID, None, &[listed(0x1000, 1, 10), listed(0x3000, 2, 10)]);
    // Nothing was mapped since the recording began; the child maps before it has a list of its own.
    changes.forked(PID, 8, 20);
    changes.mapped(&record::Mmap { pid: 8, ..mmap(30, 0x1000, 3) });
    changes.settle_all();
    let suspects = changes.of_waits.get(epoch).expect("a wait of the child may have had it");
    assert_eq!(suspects.ranges.iter().map(|listed| listed.image).collect::<Vec<_>>(), [1]);
}

#[test]
fn child_is_judged_by_the_epochs_of_when_it_was_forked() {
    let epochs = Arc::new(Epochs::new(true));
    let mut changes = Changes::new(epochs.clone());
    let mut before = None;
    // Each begins where other code has come, and is told to programs a moment later. All this is known when the fork's record comes.
    let all: Vec<u32> = (1..=6)
        .map(|round| {
            let epoch = epochs.of_list(PID, before, &[listed(0x1000, round, 100 * round)]);
            if let Some(before) = before.replace(epoch) {
                epochs.retire(before, 100 * round + 10);
            }
            epoch
        })
        .collect();
    changes.forked(PID, 8, 305);
    changes.mapped(&record::Mmap { pid: 8, ..mmap(900, 0x1000, 9) });
    changes.ended(8, 1000);
    let suspect: Vec<bool> = all.iter().map(|epoch| changes.of_waits.get(*epoch).is_some()).collect();
    // The third was being told, and the record comes before programs know of the child.
    assert_eq!(suspect, [false, true, true, true, true, true]);
    // One that has a list of its own for certain has none of its parent's.
    let own = |read| epochs.of_list(8, None, &[listed(0x5000, 1, read)]);
    changes.forked(PID, 8, 1100);
    let first = own(1200);
    changes.forked(8, 9, 1250);
    let second = own(1300);
    changes.forked(8, 10, 1350);
    assert_eq!(changes.processes[&9].from_parent, [first, all[5]]);
    assert_eq!(changes.processes[&10].from_parent, [first, second]);
}

#[test]
fn process_without_its_first_thread_is_remembered_while_others_run() {
    let epochs = Arc::new(Epochs::new(true));
    let mut changes = Changes { runs: Runs(|pid| pid == PID), ..Changes::new(epochs.clone()) };
    let epoch = epochs.of_list(PID, None, &[listed(0x1000, 1, 10), listed(0x3000, 2, 10)]);
    changes.mapped(&mmap(20, 0x1000, 3));
    changes.leader_ended(PID, 30);
    let many = 10 * KEPT_ENDED as u32;
    for pid in 100..many {
        changes.forked(PID, pid, LATER);
        changes.leader_ended(pid, LATER);
    }
    assert!(changes.processes.len() <= 2 * KEPT_ENDED && changes.ended.len() <= 2 * KEPT_ENDED);
    assert_eq!(images(&mut changes, PID, epoch), [1]);
    changes.mapped(&mmap(40, 0x3000, 4));
    changes.settle_all();
    assert_eq!(changes.of_waits.get(epoch).map_or(0, |suspects| suspects.ranges.len()), 2);
}

#[test]
fn process_that_is_gone_is_forgotten_when_its_last_records_have_come() {
    let epochs = Arc::new(Epochs::new(true));
    let mut changes = Changes { runs: Runs(|_| false), ..Changes::new(epochs.clone()) };
    let epoch = epochs.of_list(PID, None, &[listed(0x1000, 1, 10)]);
    changes.leader_ended(PID, 20);
    // It is gone now; records are taken in up to an earlier time, still.
    for pid in 100..3 * KEPT_ENDED as u32 {
        changes.leader_ended(pid, 30);
    }
    changes.mapped(&mmap(30, 0x1000, 3));
    for pid in 10_000..10_000 + 3 * KEPT_ENDED as u32 {
        changes.leader_ended(pid, LATER);
    }
    assert!(changes.processes.is_empty() && changes.gone.len() <= 2 * KEPT_ENDED, "{}", changes.gone.len());
    assert!(changes.of_waits.get(epoch).is_some());
}

#[test]
fn file_that_records_know_by_another_device_is_no_other_code() {
    /// Of the merged file system, as lists say.
    const MERGED: (u32, u32) = (0, 40);
    let of_merged = |inode, read| {
        let code = Code::of(b"/merged/x.so", MERGED, inode, (0x1000, 0));
        Listed { code, name: name_of(b"/merged/x.so"), ..listed(0x1000, inode, read) }
    };
    for with_waits in [false, true] {
        let epochs = Arc::new(Epochs::new(with_waits));
        let mut changes = Changes::new(epochs.clone());
        // It was mapped before it was recorded, and is mapped there again: nothing is known of it yet.
        let first = epochs.of_list(PID, None, &[of_merged(1, 10)]);
        changes.mapped(&mmap(20, 0x1000, 1));
        assert_eq!(images(&mut changes, PID, first), [1]);
        // The next list is read when nothing else has been mapped since.
        let second = epochs.of_list(PID, None, &[of_merged(1, 30)]);
        assert_eq!(images(&mut changes, PID, second), NONE);
        changes.mapped(&mmap(40, 0x1000, 1));
        assert_eq!(
            (images(&mut changes, PID, first), images(&mut changes, PID, second)),
            (NONE.to_vec(), NONE.to_vec())
        );
        assert!(epochs.is_same(&Change::of(&mmap(40, 0x1000, 1)).unwrap().code, &of_merged(1, 30).code));
        // Another file takes its place, of the same name.
        changes.mapped(&mmap(50, 0x1000, 2));
        assert_eq!(images(&mut changes, PID, second), [1]);
        let third = epochs.of_list(PID, None, &[of_merged(2, 60)]);
        assert_eq!(images(&mut changes, PID, third), NONE);
        changes.mapped(&mmap(70, 0x1000, 1));
        assert_eq!(images(&mut changes, PID, third), [2]);
    }
}

#[test]
fn list_that_is_read_anew_tells_when_the_records_up_to_then_have_come() {
    let epochs = Arc::new(Epochs::new(false));
    let mut changes = Changes::new(epochs.clone());
    let epoch = epochs.of_list(PID, None, &[listed(0x1000, 1, 10)]);
    changes.mapped(&mmap(20, 0x3000, 2));
    assert_eq!(changes.of_sample(PID, epoch, 21), None);
    // A library comes, of which a record and, of its epoch, the list of later speak.
    let code = Code::of(b"/merged/x.so", (0, 40), 2, (0x3000, 0));
    let more = Listed { code, name: name_of(b"/merged/x.so"), seen: 45, ..listed(0x3000, 2, 40) };
    assert_eq!(epochs.of_list(PID, Some(epoch), std::slice::from_ref(&more)), epoch);
    let recorded = Change::of(&mmap(20, 0x3000, 2)).expect("it is code").code;
    for (time, is_same) in [(22, false), (44, false), (45, true), (46, true)] {
        assert_eq!(changes.of_sample(PID, epoch, time), None);
        assert_eq!(epochs.is_same(&recorded, &more.code), is_same, "{time}");
    }
}

#[test]
fn waits_are_judged_when_it_is_known_what_records_and_lists_call_by_other_numbers() {
    let epochs = Arc::new(Epochs::new(true));
    let mut changes = Changes::new(epochs.clone());
    let of_merged = |pid, inode, read| {
        let code = Code::of(b"/merged/x.so", (0, 40), inode, (0x1000, 0));
        let listed = Listed { code, name: name_of(b"/merged/x.so"), ..listed(0x1000, inode, read) };
        epochs.of_list(pid, None, &[listed])
    };
    // What is learned of one process is good for another, in which the file was mapped before it was recorded.
    let (old, replaced) = (of_merged(8, 1, 10), of_merged(9, 3, 10));
    changes.mapped(&record::Mmap { pid: 8, ..mmap(20, 0x1000, 1) });
    changes.mapped(&record::Mmap { pid: 9, ..mmap(20, 0x1000, 1) });
    changes.mapped(&mmap(25, 0x1000, 1));
    let new = of_merged(PID, 1, 30);
    changes.settle_all();
    let is_suspect = |epoch| changes.of_waits.get(epoch).is_some();
    assert_eq!((is_suspect(old), is_suspect(new), is_suspect(replaced)), (false, false, true));
}
