//! Where bytes come from: files, folders and streams, with their first bytes looked at.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::ImportProgress;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::{Error, ErrorKind, Result};

/// One thing to import.
pub enum Input {
    /// A file, or the folder that `perf record --threads` writes.
    Path(PathBuf),
    /// Bytes as they come.
    Stream {
        /// What errors call it.
        name: String,
        /// Where they come from.
        reader: Box<dyn Read + Send>,
    },
}

impl Input {
    /// Standard input.
    pub fn stdin() -> Input {
        Input::Stream { name: "standard input".into(), reader: Box::new(Waiting(io::stdin())) }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Input::Stream { name, .. } => f.debug_struct("Stream").field("name", name).finish_non_exhaustive(),
        }
    }
}

/// As many of the first bytes as formats are told by.
const HEAD: u64 = 64 << 10;

/// An input that was opened.
pub(super) struct Source {
    /// What errors call it.
    pub name: String,
    /// Its path, if it is a folder or a regular file, which can be mapped.
    pub path: Option<PathBuf>,
    /// Its first bytes; none of a folder.
    pub head: Vec<u8>,
    /// Whether these are all of them.
    pub is_whole: bool,
    /// All of its bytes, the first ones too; counted, and at their end once the import is stopped.
    pub bytes: Box<dyn Read + Send>,
    /// Becomes true once `bytes` are found to end before their gzip does.
    pub is_cut: Arc<AtomicBool>,
}

impl Source {
    /// Opens an input and reads its first bytes. gzip is taken off.
    pub fn open(input: Input, meter: &Meter) -> Result<Source> {
        let (name, path, reader): (String, Option<PathBuf>, Box<dyn Read + Send>) = match input {
            Input::Path(path) => {
                let (reader, mappable) = open(&path, meter)?;
                (path.display().to_string(), mappable.then_some(path), reader)
            }
            Input::Stream { name, reader } => {
                meter.total_is_unknown();
                (name, None, reader)
            }
        };
        let mut reader: Box<dyn Read + Send> = Box::new(Counted { reader, meter: meter.clone() });
        let mut head = first_bytes(&mut reader, &name)?;
        reader = Box::new(Cursor::new(head.clone()).chain(reader));
        let is_cut = Arc::<AtomicBool>::default();
        let is_zipped = head.starts_with(&GZIP);
        if is_zipped {
            let decoder = flate2::read::MultiGzDecoder::new(reader);
            reader = Box::new(Unzipped { decoder, given: false, is_cut: is_cut.clone(), meter: meter.clone() });
            head = first_bytes(&mut reader, &name)?;
            reader = Box::new(Cursor::new(head.clone()).chain(reader));
        }
        let is_whole = (head.len() as u64) < HEAD && !is_cut.load(Ordering::Relaxed);
        Ok(Source { name, path: path.filter(|_| !is_zipped), head, is_whole, bytes: reader, is_cut })
    }
}

/// The first bytes of a gzip member, with the only method there is (RFC 1952, section 2.3.1).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// Opens a path, and says whether it can be mapped.
fn open(path: &Path, meter: &Meter) -> Result<(Box<dyn Read + Send>, bool)> {
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "name a file that is there, or - for standard input",
            _ => "name a file that you may read, or - for standard input",
        };
        Error::io(format!("cannot read {}", path.display()), error).with_hint(hint)
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Ok((Box::new(io::empty()), true));
    }
    match metadata.is_file() {
        true => meter.add_total(metadata.len()),
        false => meter.total_is_unknown(),
    }
    Ok((Box::new(file), metadata.is_file()))
}

fn first_bytes(reader: &mut dyn Read, name: &str) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let read = reader.take(HEAD).read_to_end(&mut head);
    match read {
        // What could be read of a stream that is cut is worth a look.
        Err(error) if head.is_empty() => Err(Error::io(format!("cannot read {name}"), error)),
        _ => Ok(head),
    }
}

/// An error of reading, with the name of what was read.
pub(super) fn refused(name: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("cannot read {name}: {error}"))
}

/// Reads until the end, until it is told to stop, or until `most` bytes; the flag says whether there was more.
pub(super) fn read_whole(bytes: &mut dyn Read, name: &str, most: u64) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    bytes
        .take(most + 1)
        .read_to_end(&mut all)
        .map_err(|error| Error::io(format!("cannot read {name} beyond byte {}", all.len()), error))?;
    if all.len() as u64 > most {
        return Err(Error::new(ErrorKind::Malformed, format!("{name} holds more than {most} bytes"))
            .with_hint("no file of this format is that large"));
    }
    Ok(all)
}

/// Counts what is read, and says when to stop. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    /// `u64::MAX` if it is not known.
    total: Arc<AtomicU64>,
}

impl Meter {
    pub fn new(stop: Arc<AtomicBool>) -> Meter {
        Meter { stop, bytes: Arc::default(), total: Arc::default() }
    }

    /// Whether reading is to end, keeping what is read.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Notes that so many bytes were read.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_total(&self, bytes: u64) {
        let _ =
            self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |total| Some(total.saturating_add(bytes)));
    }

    fn total_is_unknown(&self) {
        self.total.store(u64::MAX, Ordering::Relaxed);
    }

    pub fn progress(&self) -> ImportProgress {
        let total = self.total.load(Ordering::Relaxed);
        ImportProgress { bytes: self.bytes.load(Ordering::Relaxed), of: (total < u64::MAX).then_some(total) }
    }
}

/// Standard input, which says now and then that there is nothing yet, so that whoever reads can be told to stop.
struct Waiting(io::Stdin);

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        // What is buffered already does not show in the descriptor; nothing is, as all is read by this.
        match rustix::event::poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&PATIENCE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(rustix::io::read(&self.0, buffer)?),
        }
    }
}

struct Counted<R> {
    reader: R,
    meter: Meter,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.meter.is_stopped() {
            return Ok(0);
        }
        let read = loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.meter.is_stopped() => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                result => break result?,
            }
        };
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// Takes gzip off. Where that is cut or broken, the bytes are at their end and `is_cut`; if there were none, it is an error.
struct Unzipped<R> {
    decoder: flate2::read::MultiGzDecoder<R>,
    /// Whether a byte was given.
    given: bool,
    is_cut: Arc<AtomicBool>,
    meter: Meter,
}

impl<R: Read> Read for Unzipped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Ok(0);
        }
        match self.decoder.read(buffer) {
            // The decoder takes the end that a stop makes for one that comes too early.
            Err(_) if self.meter.is_stopped() => Ok(0),
            Err(error) if self.given && is_of_gzip(&error) => {
                self.is_cut.store(true, Ordering::Relaxed);
                Ok(0)
            }
            result => {
                self.given |= matches!(result, Ok(1..));
                result
            }
        }
    }
}

/// Whether the decoder has made this error, and not what it reads from: it says `UnexpectedEof` of what is cut, and
/// `InvalidInput` of headers, blocks and sums that are wrong (flate2: `gz/mod.rs`, `gz/bufread.rs`, `mem.rs`).
fn is_of_gzip(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    error.raw_os_error().is_none() && matches!(error.kind(), UnexpectedEof | InvalidInput | InvalidData)
}
