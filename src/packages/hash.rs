//! Hashes files as Ray's own client does, and reads them again to send them: the same bytes, or an error.
//! `prepare.rs` makes the URI of the hashes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{MAIN_SEPARATOR_STR, Path};

use sha1::{Digest, Sha1};

use super::crc::Crc;
use crate::ClientError;

/// How much of a file is in memory at a time.
const BUFFER_SIZE: usize = 256 * 1024;

pub(super) type Sha1Sum = [u8; 20];

/// Names a directory's package: XOR of the first 8 bytes of the hash of every path, which does not
/// depend on their order.
pub(super) struct DirectoryHash([u8; 8]);

impl DirectoryHash {
    /// Ray starts with the digit 0, not with a zero byte.
    pub(super) fn new() -> Self {
        Self([b'0'; 8])
    }

    pub(super) fn add(&mut self, hash: &Sha1Sum) {
        for (sum, byte) in self.0.iter_mut().zip(hash) {
            *sum ^= byte;
        }
    }
}

impl fmt::Display for DirectoryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Returns a name as Ray hashes it: with the path separator of this system.
pub(super) fn hashed_name(name: &str) -> String {
    name.replace('/', MAIN_SEPARATOR_STR)
}

/// Returns the hash of a path whose content does not count.
pub(super) fn hash_of_name(name: &str) -> Sha1Sum {
    Sha1::digest(name).into()
}

/// The size and checksums of a file when it was hashed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) sha1: Sha1Sum,
}

impl Hashed {
    /// Hashes `name`, and then the content.
    pub(super) fn read(mut file: File, name: &str) -> io::Result<Self> {
        let mut sha1 = Sha1::new_with_prefix(name);
        let (mut crc, mut size) = (Crc::new(), 0);
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                return Ok(Self { size, crc: crc.value(), sha1: sha1.finalize().into() });
            }
            sha1.update(&buffer[..length]);
            crc.update(&buffer[..length]);
            size += length as u64;
        }
    }
}

/// Reads a file again. Returns its last bytes only if the whole content has the same hash, so a
/// changed file never completes an upload.
pub(super) struct VerifiedReader {
    file: File,
    /// For messages.
    label: String,
    hashed: Hashed,
    remaining: u64,
    sha1: Sha1,
}

impl VerifiedReader {
    /// `name` must be the one that was hashed.
    pub(super) fn open(path: &Path, name: &str, hashed: Hashed) -> io::Result<Self> {
        let label = match name {
            "" => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name => name.to_owned(),
        };
        let file = File::open(path).map_err(|error| changed(&label, &error))?;
        let sha1 = Sha1::new_with_prefix(name);
        let mut reader = Self { file, label, hashed, remaining: hashed.size, sha1 };
        if hashed.size == 0 {
            reader.check()?;
        }
        Ok(reader)
    }

    fn check(&mut self) -> io::Result<()> {
        let more = self.file.read(&mut [0]).map_err(|error| changed(&self.label, &error))?;
        if more > 0 {
            return Err(changed(&self.label, &"it grew"));
        }
        if Sha1Sum::from(self.sha1.clone().finalize()) != self.hashed.sha1 {
            return Err(changed(&self.label, &"its content differs"));
        }
        Ok(())
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most =
            usize::try_from(self.remaining).map_or(buf.len(), |remaining| remaining.min(buf.len()));
        if most == 0 {
            return Ok(0);
        }
        let length =
            self.file.read(&mut buf[..most]).map_err(|error| changed(&self.label, &error))?;
        if length == 0 {
            return Err(changed(&self.label, &"it shrank"));
        }
        self.sha1.update(&buf[..length]);
        self.remaining -= length as u64;
        if self.remaining == 0 {
            self.check()?;
        }
        Ok(length)
    }
}

fn changed(name: &str, why: &dyn fmt::Display) -> io::Error {
    io::Error::other(ClientError::invalid(format_args!(
        "`{name}` changed while it was packed: {why}; the package was not uploaded"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_has_the_same_hash_as_in_ray() {
        let mut hash = DirectoryHash::new();
        assert_eq!(hash.to_string(), "3030303030303030");
        hash.add(&hash_of_name("."));
        assert_eq!(hash.to_string(), "0a62fe483960e4e9");
    }
}
