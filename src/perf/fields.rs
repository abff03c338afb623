//! Reads the fields of a record one after the other; every read is bounded by the record.

/// What is left of a record's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Fields(body)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(|bytes| u32::from_ne_bytes(bytes.try_into().expect("four bytes")))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.bytes(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
    }

    pub(super) fn u64_or(&mut self, missing: u64) -> u64 {
        self.u64().unwrap_or(missing)
    }

    pub(super) fn words(&mut self, count: u64) -> Option<Words<'a>> {
        let size = usize::try_from(count).ok()?.checked_mul(8)?;
        self.bytes(size).map(Words)
    }

    /// A string that ends with a zero byte, or with the record.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = &self.0[..end];
        self.0 = &[];
        Some(text)
    }
}

/// A run of u64 in the recording machine's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a>(pub &'a [u8]);

impl Words<'_> {
    /// How many words.
    pub fn count(&self) -> usize {
        self.0.len() / 8
    }

    /// Word `index`.
    pub fn get(&self, index: usize) -> Option<u64> {
        let bytes = self.0.get(index * 8..index * 8 + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
    }

    /// All words.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.chunks_exact(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().expect("eight bytes")))
    }
}
