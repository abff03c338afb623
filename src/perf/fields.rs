//! Reads the fields of a record one after the other; every read is bounded by the record.

/// The byte order of a recording, compared with this machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The same.
    #[default]
    Native,
    /// The other one.
    Swapped,
}

impl ByteOrder {
    /// A number of the recording.
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        let number = u16::from_ne_bytes(bytes);
        if self == ByteOrder::Swapped { number.swap_bytes() } else { number }
    }

    /// A number of the recording.
    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        let number = u32::from_ne_bytes(bytes);
        if self == ByteOrder::Swapped { number.swap_bytes() } else { number }
    }

    /// A number of the recording.
    pub fn u64(self, bytes: [u8; 8]) -> u64 {
        let number = u64::from_ne_bytes(bytes);
        if self == ByteOrder::Swapped { number.swap_bytes() } else { number }
    }

    /// Whether the recording's machine puts the low byte first.
    pub fn is_little_endian(self) -> bool {
        (self == ByteOrder::Native) == cfg!(target_endian = "little")
    }
}

/// What is left of a record's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    order: ByteOrder,
}

impl<'a> Fields<'a> {
    pub fn new(body: &'a [u8], order: ByteOrder) -> Self {
        Fields { rest: body, order }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|bytes| self.order.u16(bytes.try_into().expect("two bytes")))
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(|bytes| self.order.u32(bytes.try_into().expect("four bytes")))
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.bytes(8).map(|bytes| self.order.u64(bytes.try_into().expect("eight bytes")))
    }

    pub fn words(&mut self, count: u64) -> Option<Words<'a>> {
        let size = usize::try_from(count).ok()?.checked_mul(8)?;
        self.bytes(size).map(|bytes| Words { bytes, order: self.order })
    }

    /// A string that ends with a zero byte, or with the record.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == 0).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        self.rest = &[];
        Some(text)
    }
}

/// A run of u64 of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl<'a> Words<'a> {
    /// The words that stand in `bytes`.
    pub fn new(bytes: &'a [u8], order: ByteOrder) -> Words<'a> {
        Words { bytes, order }
    }

    /// How many words.
    pub fn count(&self) -> usize {
        self.bytes.len() / 8
    }

    /// Word `index`.
    pub fn get(&self, index: usize) -> Option<u64> {
        let start = index.checked_mul(8)?;
        let bytes = self.bytes.get(start..start.checked_add(8)?)?;
        Some(self.order.u64(bytes.try_into().expect("eight bytes")))
    }

    /// All words.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        let order = self.order;
        self.bytes.chunks_exact(8).map(move |bytes| order.u64(bytes.try_into().expect("eight bytes")))
    }
}
