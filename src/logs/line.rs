//! One line of a log.

use std::fmt;
use std::ops::Deref;

/// The line ending of a [`LogLine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LineEnding {
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
    /// `\r`, which progress bars write. Also `\r\n` if the `\n` had not arrived when the line was
    /// yielded.
    Cr,
    /// No ending: a piece of a long line, or the last line of a log that does not end with a line
    /// ending.
    None,
}

impl LineEnding {
    /// Returns the ending as a string: `"\n"`, `"\r\n"`, `"\r"` or `""`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
            Self::None => "",
        }
    }
}

/// One line of a log, without its line ending.
///
/// It dereferences to `str`. Bytes that are not UTF-8 are replaced with U+FFFD.
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
    /// Creates a complete line that ended with `\n`, for tests of programs that read logs.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ending: LineEnding::Lf, partial: false }
    }

    /// Returns whether the next item continues the same line.
    ///
    /// True for each piece except the last of a line longer than
    /// [`StreamLimits::max_message_size`](crate::StreamLimits::max_message_size). Also true for an
    /// unfinished line before the `Err` that ends the iterator.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Returns the line ending. Printing the line and its ending shows progress bars in place. For the
    /// exact bytes, use [`LogTail::into_reader`](crate::LogTail::into_reader).
    ///
    /// ```no_run
    /// let client = ray_client::RayClient::new("http://127.0.0.1:8265")?;
    /// for line in client.follow_job_logs("raysubmit_1")? {
    ///     let line = line?;
    ///     print!("{line}{}", line.ending().as_str());
    /// }
    /// # Ok::<(), ray_client::ClientError>(())
    /// ```
    pub fn ending(&self) -> LineEnding {
        self.ending
    }

    /// Returns the text without copying it.
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
