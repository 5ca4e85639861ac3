//! Reads files as they are hashed, and again as they are sent: the same bytes, or an error.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::crc::Crc;
use crate::ClientError;

/// How much of a file is in memory at a time.
const PIECE: usize = 256 * 1024;

pub(super) type Sha1Sum = [u8; 20];

/// The name of a directory's package: the first 8 bytes of the hash of every path, joined by XOR, so
/// that their order does not matter.
pub(super) struct DirectoryHash([u8; 8]);

impl DirectoryHash {
    /// Ray starts with the digit 0, not with the byte.
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

/// The hash of a path of which only the name counts.
pub(super) fn hash_of_name(name: &str) -> Sha1Sum {
    Sha1::digest(name).into()
}

/// A file as it was when it was hashed.
#[derive(Debug, Clone)]
pub(super) struct Hashed {
    path: PathBuf,
    /// What is hashed before its content: its name in the package, or nothing.
    name: String,
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) sha1: Sha1Sum,
}

impl Hashed {
    pub(super) fn read(mut file: File, path: &Path, name: &str) -> io::Result<Self> {
        let mut sha1 = Sha1::new_with_prefix(name);
        let (mut crc, mut size) = (Crc::new(), 0);
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            sha1.update(&piece[..length]);
            crc.update(&piece[..length]);
            size += length as u64;
        }
        let (crc, sha1) = (crc.value(), sha1.finalize().into());
        Ok(Self { path: path.to_owned(), name: name.to_owned(), size, crc, sha1 })
    }

    /// Reads it again.
    pub(super) fn open(&self) -> io::Result<Reread<'_>> {
        let file = File::open(&self.path).map_err(|error| self.differs(&error))?;
        let sha1 = Sha1::new_with_prefix(&self.name);
        let mut reread = Reread { file, hashed: self, left: self.size, sha1 };
        if self.size == 0 {
            reread.check()?;
        }
        Ok(reread)
    }

    fn differs(&self, why: &dyn fmt::Display) -> io::Error {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let name = if self.name.is_empty() { &*name } else { &*self.name };
        io::Error::other(ClientError::invalid(format_args!(
            "`{name}` changed while it was packed: {why}; the package was not uploaded"
        )))
    }
}

/// A file that is read once more. Its last bytes are only given if all of them are those that were
/// hashed, so that a body with other bytes never comes to its end.
pub(super) struct Reread<'a> {
    file: File,
    hashed: &'a Hashed,
    left: u64,
    sha1: Sha1,
}

impl Read for Reread<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        let length =
            self.file.read(&mut buf[..most]).map_err(|error| self.hashed.differs(&error))?;
        if length == 0 && most > 0 {
            return Err(self.hashed.differs(&"it became shorter"));
        }
        self.sha1.update(&buf[..length]);
        self.left -= length as u64;
        if self.left == 0 {
            self.check()?;
        }
        Ok(length)
    }
}

impl Reread<'_> {
    fn check(&mut self) -> io::Result<()> {
        let more = self.file.read(&mut [0]).map_err(|error| self.hashed.differs(&error))?;
        if more > 0 {
            return Err(self.hashed.differs(&"it became longer"));
        }
        if Sha1Sum::from(self.sha1.clone().finalize()) != self.hashed.sha1 {
            return Err(self.hashed.differs(&"its content is another"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_has_the_hash_that_ray_gives_it() {
        let mut hash = DirectoryHash::new();
        assert_eq!(hash.to_string(), "3030303030303030");
        hash.add(&hash_of_name("."));
        assert_eq!(hash.to_string(), "0a62fe483960e4e9");
    }
}
