//! The wire format of protocol buffers, as far as messages of numbers, bytes and messages need it.
//!
//! <https://protobuf.dev/programming-guides/encoding/>. Nothing is allocated: a message's fields are read in place.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number; of another type than asked for, or a fixed one.
    Number(u64),
    /// Bytes, text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The number; 0 if it is none.
    pub fn number(self) -> u64 {
        match self {
            Value::Number(number) => number,
            Value::Bytes(_) => 0,
        }
    }

    /// The bytes; none if it is a number.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Number(_) => &[],
            Value::Bytes(bytes) => bytes,
        }
    }

    /// Calls `each` with every number of a repeated field, packed or not; false if the last is cut.
    pub fn numbers(self, mut each: impl FnMut(u64)) -> bool {
        match self {
            Value::Number(number) => each(number),
            Value::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    let Some(number) = varint(&mut bytes) else { return false };
                    each(number);
                }
            }
        }
        true
    }
}

/// The fields of a message, in the order in which they stand.
///
/// Yields `Err` with the offset of what is no field, and then nothing more.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Fields<'a> {
    /// The fields of these bytes.
    pub fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message, length: message.len() }
    }

    /// How far in the message the next field is.
    pub fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = varint(&mut self.rest)?;
        let fixed = |rest: &mut &'a [u8], length: usize| {
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            let mut number = [0; 8];
            number[..length].copy_from_slice(bytes);
            Some(Value::Number(u64::from_le_bytes(number)))
        };
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.rest)?),
            1 => fixed(&mut self.rest, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut self.rest)?).ok()?;
                let (bytes, after) = self.rest.split_at_checked(length)?;
                self.rest = after;
                Value::Bytes(bytes)
            }
            5 => fixed(&mut self.rest, 4)?,
            _ => return None,
        };
        (tag >> 3 > 0).then_some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset();
        Some(self.field().ok_or_else(|| {
            self.rest = &[];
            offset
        }))
    }
}

/// A number in groups of seven bits.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at as u32);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// The message as it is so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins anew, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Adds a number; 0, which is what a missing one means, is left out.
    pub fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.varint(u64::from(field) << 3);
            self.varint(number);
        }
    }

    /// Adds bytes, text or a message.
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds packed numbers.
    pub fn numbers(&mut self, field: u32, numbers: impl IntoIterator<Item = u64>) {
        let mut packed = Message::default();
        numbers.into_iter().for_each(|number| packed.varint(number));
        self.bytes(field, &packed.bytes);
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.number(1, 300);
        message.number(2, 0);
        message.bytes(3, b"text");
        message.numbers(15, [1, u64::MAX, 0]);
        let fields: Vec<_> = Fields::new(message.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(fields[..2], [(1, Value::Number(300)), (3, Value::Bytes(b"text"))]);
        let mut numbers = Vec::new();
        assert!(fields[2].1.numbers(|number| numbers.push(number)));
        assert_eq!(numbers, [1, u64::MAX, 0]);
        for end in 0..message.as_bytes().len() {
            assert!(Fields::new(&message.as_bytes()[..end]).count() <= 3);
        }
    }

    #[test]
    fn what_is_no_field_has_its_offset() {
        let broken: &[&[u8]] = &[&[0x08, 1, 0x12, 5, 1], &[0x08, 1, 0x80], &[0x08, 1, 0x0b], &[0x08, 1, 0x00, 0x00]];
        for bytes in broken {
            let fields: Vec<_> = Fields::new(bytes).collect();
            assert_eq!(fields, [Ok((1, Value::Number(1))), Err(2)], "{bytes:?}");
        }
    }
}
