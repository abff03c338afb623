//! A recording with its attributes as an older perf writes them, for a perf that is older than the recording.
//!
//! perf refuses attributes that are larger than those it knows, though what is new in them changes nothing in the samples. Records stay
//! as they are, byte for byte.

/// Size of an attribute that perf 5.13 to 6.4 know: `PERF_ATTR_SIZE_VER7`.
const KNOWN: usize = 128;

/// The copy; nothing if the recording is of a kind that is not needed here: of the other byte order, or of version 1.
pub fn with_older_attributes(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"PERFILE2") {
        return None;
    }
    match word(bytes, 8)? {
        16 => stream(bytes),
        104 => file(bytes),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn older(attr: &[u8]) -> Vec<u8> {
    let mut attr = attr.to_vec();
    attr.resize(KNOWN, 0);
    attr[4..8].copy_from_slice(&(KNOWN as u32).to_le_bytes());
    attr
}

/// The attributes are put behind all else, and the header says that they are there.
fn file(bytes: &[u8]) -> Option<Vec<u8>> {
    let entry = word(bytes, 16)? as usize;
    let (start, size) = (word(bytes, 24)? as usize, word(bytes, 32)? as usize);
    let mut copy = bytes.to_vec();
    for entry in bytes.get(start..start + size)?.chunks_exact(entry) {
        let (attr, ids) = entry.split_at(entry.len().checked_sub(16)?);
        copy.extend(older(attr));
        copy.extend(ids);
    }
    let size = copy.len() - bytes.len();
    for (at, number) in [(16, KNOWN + 16), (24, bytes.len()), (32, size)] {
        copy[at..at + 8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    Some(copy)
}

/// ATTR records are made anew.
fn stream(bytes: &[u8]) -> Option<Vec<u8>> {
    const ATTR: u32 = 64;
    const TRACING_DATA: u32 = 66;
    const AUXTRACE: u32 = 71;
    let mut copy = bytes[..16].to_vec();
    let mut at = 16;
    while let Some(header) = bytes.get(at..at + 8) {
        let kind = u32::from_le_bytes(*header.first_chunk()?);
        let size = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let Some(record) = bytes.get(at..at + size).filter(|_| size >= 8) else { break };
        if matches!(kind, TRACING_DATA | AUXTRACE) {
            return None;
        }
        if kind == ATTR {
            let stated = u32::from_le_bytes(*record.get(12..)?.first_chunk()?) as usize;
            let (attr, ids) = record[8..].split_at_checked(stated)?;
            let size = 8 + KNOWN + ids.len();
            copy.extend(&header[..6]);
            copy.extend((size as u16).to_le_bytes());
            copy.extend(older(attr));
            copy.extend(ids);
        } else {
            copy.extend(record);
        }
        at += size;
    }
    Some(copy)
}
