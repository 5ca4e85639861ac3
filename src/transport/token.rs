//! The bearer token, which is read again if its file changes.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::HeaderValue;

/// A token, and the file it was read from if there is one. In a pod, the file is replaced from time to
/// time.
pub(crate) struct Token {
    value: Mutex<HeaderValue>,
    file: Option<PathBuf>,
}

impl Token {
    /// `None` if this cannot be a token: visible ASCII characters, and not too many.
    pub(crate) fn new(token: &str, file: Option<PathBuf>) -> Option<Self> {
        Some(Self { value: Mutex::new(bearer(token)?), file })
    }

    pub(super) fn value(&self) -> HeaderValue {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the token now is another one than the one that was sent.
    pub(super) fn read_again(&self, sent: &HeaderValue) -> bool {
        let text = self.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        if let Some(new) = text.and_then(|text| bearer(text.trim())) {
            *self.value.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
        self.value() != *sent
    }
}

/// The value of `Authorization`.
fn bearer(token: &str) -> Option<HeaderValue> {
    const MAX: usize = 16 * 1024;
    let is_token =
        (1..=MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_token)?;
    value.set_sensitive(true);
    Some(value)
}
