//! What instructions tell against what call frame information says, for all code of real libraries that has it.

use super::*;
use gimli::{CfaRule, RegisterRule, UnwindContext};
use std::path::Path;

/// Where the return address is by call frame information, if by stack or frame pointer.
fn by_tables(image: &ElfImage, svma: u64, context: &mut UnwindContext<usize>) -> Option<(u64, Base, i32)> {
    let entry = image.frame_tables().find(image, svma)?;
    let row = entry.row(svma, context)?;
    let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
    let Some(RegisterRule::Offset(-8)) = row.register(gimli::Register(16)) else { return None };
    let base = match register.0 {
        7 => Base::Sp,
        6 => Base::Fp,
        _ => return None,
    };
    Some((entry.start(), base, i32::try_from(offset).ok()? - 8))
}

#[derive(Debug, Default)]
struct Account {
    addresses: u32,
    /// The first place is right.
    first: u32,
    /// Another one is.
    other: u32,
    /// There is none, or none that is right.
    wrong: u32,
    nothing: u32,
    /// The same by what precedes.
    start_right: u32,
    start_wrong: u32,
}

/// All instructions of every `stride`th function, so that it ends.
fn compare(path: &Path, stride: usize) -> Option<Account> {
    let image = ElfImage::open(path).ok().filter(|image| image.machine() == 62)?;
    let mut context = UnwindContext::new();
    let mut account = Account::default();
    let text = image.section(".text")?;
    let (mut svma, mut functions, mut last) = (text.svma, 0, 0);
    let mut is_dead = false;
    while svma < text.svma + text.size {
        let Some(bytes) = code(&image, svma) else { break };
        let Some((length, effect)) = decode(bytes) else {
            svma += 1;
            continue;
        };
        let here = svma;
        svma += length as u64;
        // What fills the place up to the next function, or to a jump's target, is never run.
        let is_nop = is_padding(&bytes[..length], 16 - length as u64);
        let was_dead = std::mem::replace(&mut is_dead, false);
        if was_dead && is_nop
            || matches!(effect, Effect::Return | Effect::Jump(_) | Effect::Anywhere | Effect::Away | Effect::Leap)
        {
            is_dead = true;
        }
        if was_dead && is_nop {
            continue;
        }
        let Some((start, base, ra)) = by_tables(&image, here, &mut context) else { continue };
        functions += usize::from(start != last);
        last = start;
        if functions % stride != 0 {
            continue;
        }
        account.addresses += 1;
        // By another register it may be the same place.
        let is_right = |place: Place| place.base != base || place.ra == ra;
        match to_return(&image, here) {
            Return::At(places) => {
                let mut places = places.into_iter().flatten();
                if places.next().is_some_and(is_right) {
                    account.first += 1;
                } else if places.any(is_right) {
                    account.other += 1;
                } else {
                    account.wrong += 1;
                }
            }
            _ => account.nothing += 1,
        }
        match from_start(&image, start, here) {
            Some(place) if is_right(place) => account.start_right += 1,
            Some(_) => account.start_wrong += 1,
            None => {}
        }
    }
    Some(account)
}

#[test]
fn instructions_say_what_tables_say() {
    for (file, stride) in
        [("/lib/x86_64-linux-gnu/libc.so.6", 160), ("/lib/x86_64-linux-gnu/libm.so.6", 40), ("/bin/bash", 80)]
    {
        let Some(account) = compare(Path::new(file), stride) else {
            crate::skip::here(&format!("no {file} here"));
            continue;
        };
        println!("{file}: {account:?}");
        let share = |part: u32| f64::from(part) / f64::from(account.addresses);
        assert!(account.addresses > 100, "{file}: {account:?}");
        assert!(share(account.first) > 0.93 && share(account.wrong) < 0.02, "{file}: {account:?}");
        assert!(share(account.start_wrong) < 0.01 && share(account.start_right) > 0.5, "{file}: {account:?}");
    }
}

/// A program of these bytes, which begin at this address.
fn program(svma: u64, code: &[u8]) -> ElfImage {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16..20].copy_from_slice(&[2, 0, 62, 0]);
    bytes[24..32].copy_from_slice(&svma.to_le_bytes());
    for (at, value) in [(32, 64), (52, 64), (54, 56), (56, 1)] {
        bytes[at] = value;
    }
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [120, svma, svma, code.len() as u64, code.len() as u64, 16] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(code);
    ElfImage::from_bytes(bytes).unwrap()
}

const HERE: u64 = 0x1000;

#[test]
fn code_that_ends_its_thread_never_returns() {
    // What stands behind the call of the thread's function in musl's `__clone`.
    let ends = program(HERE, b"\x89\xc7\x31\xc0\xb0\x3c\x0f\x05\xf4\xc3");
    assert_eq!(to_return(&ends, HERE), Return::Never);
    let returns = program(HERE, b"\x89\xc7\x31\xc0\xb0\x3c\x0f\x05\xc3");
    assert!(matches!(to_return(&returns, HERE), Return::At([Some(Place { base: Base::Sp, ra: 0, fp: None }), ..])));
    let spins = program(HERE, b"\xeb\xfe");
    assert_eq!(to_return(&spins, HERE), Return::Unknown);
}

#[test]
fn both_ways_lead_to_the_return_address() {
    // push %rbp; mov %rsp,%rbp; push %rbx; sub $24,%rsp; nop; add $24,%rsp; pop %rbx; pop %rbp; ret
    let code = b"\x55\x48\x89\xe5\x53\x48\x83\xec\x18\x90\x48\x83\xc4\x18\x5b\x5d\xc3";
    let image = program(HERE, code);
    for (at, ra, fp) in
        [(0, 0, None), (1, 8, Some(0)), (5, 16, Some(8)), (9, 40, Some(32)), (15, 8, Some(0)), (16, 0, None)]
    {
        let place = Place { base: Base::Sp, ra, fp };
        assert_eq!(from_start(&image, HERE, HERE + at), Some(place), "{at}");
        // From the begin on, the frame pointer is back in its register.
        if let Return::At([Some(found), None, ..]) = to_return(&image, HERE + at) {
            assert_eq!((found.ra, found.fp.or(fp)), (ra, fp), "{at}");
        } else {
            panic!("{at}");
        }
    }
    // push %rbp; mov %rsp,%rbp; and $-16,%rsp; nop; leave; ret
    let image = program(HERE, b"\x55\x48\x89\xe5\x48\x83\xe4\xf0\x90\xc9\xc3");
    let place = Place { base: Base::Fp, ra: 8, fp: Some(0) };
    assert_eq!(from_start(&image, HERE, HERE + 8), Some(place));
    assert!(matches!(to_return(&image, HERE + 8), Return::At([Some(found), ..]) if found == place));
}

#[test]
fn calls_are_known_from_behind() {
    let image =
        program(HERE, b"\x90\x90\x90\x90\x90\x90\x90\xe8\x10\x00\x00\x00\xff\xd0\x41\xff\x54\x24\x48\xff\xe0\x90");
    assert_eq!(calls(&image, HERE + 12), Some(Some(HERE + 12 + 0x10)));
    assert_eq!(calls(&image, HERE + 14), Some(None));
    assert_eq!(calls(&image, HERE + 19), Some(None));
    assert_eq!(calls(&image, HERE + 21), None, "a jump");
    assert_eq!((calls(&image, HERE + 6), calls(&image, 3), calls(&image, u64::MAX)), (None, None, None));
    assert!(!is_jump(&image, HERE + 19) && reaches(&image, HERE + 12, HERE + 0x500), "it may jump anywhere");
}

#[test]
fn any_bytes_are_survived() {
    let mut random = 1u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as u8
    };
    for round in 0..300 {
        let code: Vec<u8> = (0..2000).map(|_| next()).collect();
        // At the upper end addresses would overflow.
        let start = if round % 2 == 0 { HERE } else { u64::MAX - 2000 };
        let image = program(start, &code);
        let starts = Starts::of(&image);
        for at in (0..2000).step_by(37) {
            to_return(&image, start + at);
            from_start(&image, start, start + at);
            reaches(&image, start + at, start);
            calls(&image, start + at);
            assert!(starts.before(start + at).is_none_or(|before| before <= start + at));
            returns_from_signal(&image, start + at);
        }
    }
}
