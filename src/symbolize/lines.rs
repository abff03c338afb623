//! Lines of a text that may be anything and any length, in bounded memory.

use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;

/// Hands every whole line to `each`, without its end and cut to `longest` bytes, until that breaks off. What follows the
/// last end of a line may be in the middle of being written and is no line, unless it is longer than that already.
pub(super) fn each_line(mut text: impl Read, longest: usize, mut each: impl FnMut(&[u8]) -> ControlFlow<()>) {
    let mut buffer = vec![0; (256 << 10) + longest];
    // Bytes of the buffer that are the beginning of a line.
    let mut kept = 0;
    // Whether that beginning was used already, and the rest of its line is to be passed over.
    let mut cut = false;
    loop {
        let count = match text.read(&mut buffer[kept..]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        if count == 0 {
            return;
        }
        let filled = kept + count;
        let mut at = 0;
        while let Some(length) = buffer[at..filled].iter().position(|byte| *byte == b'\n') {
            if !std::mem::take(&mut cut) && each(&buffer[at..at + length.min(longest)]).is_break() {
                return;
            }
            at += length + 1;
        }
        kept = filled - at;
        if kept > longest {
            if !std::mem::replace(&mut cut, true) && each(&buffer[at..at + longest]).is_break() {
                return;
            }
            kept = 0;
        } else {
            buffer.copy_within(at..filled, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = b"one\n\nthree is long\nfour\nunfi";
        for step in 1..text.len() {
            let mut lines = Vec::new();
            each_line(Slow(text, step), 5, |line| {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
                ControlFlow::Continue(())
            });
            assert_eq!(lines, ["one", "", "three", "four"], "{step}");
        }
        let mut count = 0;
        each_line(&text[..], 5, |_| {
            count += 1;
            ControlFlow::Break(())
        });
        assert_eq!(count, 1);
    }
}
