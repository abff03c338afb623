//! The files of a recording, mapped.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::image::MappedFile;

/// The files of a recording: the one with the header first, then those of the threads that recorded (`perf record --threads`),
/// which hold nothing but records.
#[derive(Debug)]
pub(super) struct Files {
    maps: Vec<Option<MappedFile>>,
}

impl Files {
    /// Maps a file, or the files `data`, `data.0`, `data.1`, ... of a folder.
    pub fn open(path: &Path, name: &str) -> Result<Files> {
        let failed = |path: &Path, error| Error::io(format!("cannot read {}", path.display()), error);
        if !path.is_dir() {
            return Ok(Files { maps: vec![map(path).map_err(|error| failed(path, error))?] });
        }
        let main = path.join("data");
        if !main.is_file() {
            return Err(Error::new(ErrorKind::NotFound, format!("{name} is a folder without a file `data` in it"))
                .with_hint("name a perf.data, or the folder that perf record --threads has written"));
        }
        let mut numbered: Vec<(u32, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| failed(path, error))? {
            let entry = entry.map_err(|error| failed(path, error))?;
            let number = entry.file_name().to_str().and_then(|name| name.strip_prefix("data.")?.parse().ok());
            if let Some(number) = number
                && entry.path().is_file()
            {
                numbered.push((number, entry.path()));
            }
        }
        numbered.sort();
        let paths = std::iter::once(main).chain(numbered.into_iter().map(|(_, path)| path));
        let maps = paths.map(|path| map(&path).map_err(|error| failed(&path, error))).collect::<Result<_>>()?;
        Ok(Files { maps })
    }

    /// Copies a stream into a file without a name, and maps that.
    pub fn spool(bytes: &mut dyn Read, name: &str) -> Result<Files> {
        let folder = std::env::temp_dir();
        let failed = |error: io::Error| {
            Error::io(format!("cannot copy {name} to a file in {}", folder.display()), error)
                .with_hint("save it to a file and name that, or set TMPDIR to a folder with more room")
        };
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::open(&folder, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .map_err(|errno| failed(errno.into()))?;
        let mut file = File::from(file);
        io::copy(bytes, &mut file).and_then(|_| file.flush()).map_err(failed)?;
        Ok(Files { maps: vec![map_file(&file).map_err(failed)?] })
    }

    /// The bytes of the file with the header.
    pub fn main(&self) -> &[u8] {
        self.maps[0].as_deref().unwrap_or_default()
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.maps.len()
    }

    /// The bytes of file number `number`.
    pub fn bytes(&self, number: usize) -> &[u8] {
        self.maps[number].as_deref().unwrap_or_default()
    }

    /// The bytes of all files.
    pub fn all(&self) -> Vec<&[u8]> {
        self.maps.iter().map(|map| map.as_deref().unwrap_or_default()).collect()
    }

    /// Gives back the memory that reading has filled.
    pub fn forget(&self) {
        self.maps.iter().flatten().for_each(MappedFile::forget);
    }
}

fn map(path: &Path) -> io::Result<Option<MappedFile>> {
    map_file(&File::open(path)?)
}

/// Nothing for an empty file, which cannot be mapped.
fn map_file(file: &File) -> io::Result<Option<MappedFile>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if length == 0 { Ok(None) } else { MappedFile::new(file, length).map(Some) }
}
