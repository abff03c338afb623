//! Colours, only where a terminal shows them.

/// Paints text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Paints if `terminal` is true and `NO_COLOR` is not set (<https://no-color.org>).
    pub fn new(terminal: bool) -> Paint {
        Paint { on: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Whether it paints.
    pub fn is_on(self) -> bool {
        self.on
    }

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.escape("1", text)
    }

    /// Bold and red.
    pub fn bold_red(self, text: &str) -> String {
        self.escape("1;31", text)
    }

    /// Yellow, for warnings.
    pub fn yellow(self, text: &str) -> String {
        self.escape("33", text)
    }

    fn escape(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether the user's locale says that texts are UTF-8: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set decides (`locale(7)`).
pub fn is_utf8() -> bool {
    let mut names = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let locale = names.find(|value| !value.is_empty()).unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The width of the terminal that standard output is.
pub fn terminal_width() -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}
