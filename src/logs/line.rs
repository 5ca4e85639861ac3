//! One line of a log, as the caller gets it.

use std::fmt;
use std::ops::Deref;

/// How a line of a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LineEnding {
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
    /// `\r` alone, as a progress bar writes it. Also a `\r\n` whose `\n` was not there yet when the
    /// line was handed out.
    Cr,
    /// None: a piece of a long line, or the last line of a log that does not end with a line ending.
    None,
}

impl LineEnding {
    /// The characters of the ending: `"\n"`, `"\r\n"`, `"\r"` or `""`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
            Self::None => "",
        }
    }
}

/// One line of a log, without its line ending. Bytes that are not UTF-8 became U+FFFD.
///
/// ```no_run
/// # let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
/// for line in client.follow_job_logs("raysubmit_1")? {
///     let line = line?;
///     if line.starts_with("ERROR") || line == "done" {
///         println!("{line}");
///     }
/// }
/// # Ok::<(), ray_client::ClientError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogLine {
    pub(super) text: String,
    pub(super) ending: LineEnding,
    pub(super) partial: bool,
}

impl LogLine {
    /// A whole line that ended with `\n`, for tests of a program that reads logs.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ending: LineEnding::Lf, partial: false }
    }

    /// Returns whether the next item goes on with the same line: true for the pieces of a line longer
    /// than [`StreamLimits::max_message_size`](crate::StreamLimits::max_message_size), except the
    /// last one, and for the beginning of a line before the `Err` that ends the iterator.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// How the line ended. Writing the text and [`LineEnding::as_str`] gives what the job wrote, with
    /// progress bars in place.
    pub fn ending(&self) -> LineEnding {
        self.ending
    }

    /// The text, without a copy.
    pub fn into_string(self) -> String {
        self.text
    }
}

impl Deref for LogLine {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for LogLine {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl From<LogLine> for String {
    fn from(line: LogLine) -> Self {
        line.text
    }
}

impl PartialEq<str> for LogLine {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for LogLine {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}

impl PartialEq<String> for LogLine {
    fn eq(&self, other: &String) -> bool {
        &self.text == other
    }
}
