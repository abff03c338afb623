//! The one error type of the library: what was tried, why it failed, and what the user can do about it.
//!
//! The library never prints and never exits; `main` prints the chain and the hint.

use std::fmt;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure an [`Error`] is, for callers that act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself makes no sense: an unknown event, a rate of zero.
    Usage,
    /// The thing named does not exist, or no longer does.
    NotFound,
    /// The kernel or the file system refused.
    Permission,
    /// This kernel or machine cannot do it.
    Unsupported,
    /// Bytes from outside are not what they should be.
    Malformed,
    /// Reading or writing failed.
    Io,
}

/// A failure, with its cause and a hint.
///
/// ```
/// use flameprofile::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Usage, "a rate of 0 Hz takes no samples").with_hint("use -F 99");
/// assert_eq!(error.to_string(), "a rate of 0 Hz takes no samples");
/// assert_eq!(error.hint(), Some("use -F 99"));
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    hint: Option<String>,
}

impl Error {
    /// Makes an error; the message is lower case, has no full stop, and says what was tried on which thing.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), source: None, hint: None }
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// Adds what the user can do now.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user can do now, if that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// An error of reading or writing `what`, with the kind taken from the operating system's error.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Error {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => ErrorKind::Io,
        };
        Error::new(kind, what).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
