//! `Token`: the bearer token, which may come from a file that changes.

use std::path::PathBuf;
use std::sync::Mutex;

use super::HeaderValue;
use crate::lock::lock;

/// A bearer token and its file, if any. In a pod, the file changes from time to time.
pub(crate) struct Token {
    value: Mutex<HeaderValue>,
    file: Option<PathBuf>,
}

impl Token {
    /// Creates a token. `None` if it is not 1 to 16,384 visible ASCII characters.
    pub(crate) fn new(token: &str, file: Option<PathBuf>) -> Option<Self> {
        Some(Self { value: Mutex::new(bearer(token)?), file })
    }

    pub(super) fn value(&self) -> HeaderValue {
        lock(&self.value).clone()
    }

    /// Reads the file again, if any. Returns whether the token now differs from the sent one.
    pub(super) fn read_again(&self, sent: &HeaderValue) -> bool {
        let text = self.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        if let Some(new) = text.and_then(|text| bearer(text.trim())) {
            *lock(&self.value) = new;
        }
        self.value() != *sent
    }
}

/// Returns the value of `Authorization`.
fn bearer(token: &str) -> Option<HeaderValue> {
    const MAX: usize = 16 * 1024;
    let is_token =
        (1..=MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| is_token)?;
    value.set_sensitive(true);
    Some(value)
}
