//! Reads files as they are hashed, and again as they are sent: the same bytes, or an error.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{MAIN_SEPARATOR_STR, Path};

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

/// A name as Ray hashes it: with the separator of this system.
pub(super) fn hashed_name(name: &str) -> String {
    name.replace('/', MAIN_SEPARATOR_STR)
}

/// The hash of a path of which only the name counts.
pub(super) fn hash_of_name(name: &str) -> Sha1Sum {
    Sha1::digest(name).into()
}

/// A file as it was when it was hashed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed {
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) sha1: Sha1Sum,
}

impl Hashed {
    /// `name` is hashed before the content.
    pub(super) fn read(mut file: File, name: &str) -> io::Result<Self> {
        let mut sha1 = Sha1::new_with_prefix(name);
        let (mut crc, mut size) = (Crc::new(), 0);
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece)?;
            if length == 0 {
                return Ok(Self { size, crc: crc.value(), sha1: sha1.finalize().into() });
            }
            sha1.update(&piece[..length]);
            crc.update(&piece[..length]);
            size += length as u64;
        }
    }
}

/// A file that is read once more. Its last bytes are only given if all of them are those that were
/// hashed, so that a body with other bytes never comes to its end.
pub(super) struct VerifiedReader {
    file: File,
    /// For messages.
    shown: String,
    hashed: Hashed,
    left: u64,
    sha1: Sha1,
}

impl VerifiedReader {
    /// `name` is what was hashed before the content.
    pub(super) fn open(path: &Path, name: &str, hashed: Hashed) -> io::Result<Self> {
        let shown = match name {
            "" => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name => name.to_owned(),
        };
        let file = File::open(path).map_err(|error| changed(&shown, &error))?;
        let sha1 = Sha1::new_with_prefix(name);
        let mut reread = Self { file, shown, hashed, left: hashed.size, sha1 };
        if hashed.size == 0 {
            reread.check()?;
        }
        Ok(reread)
    }

    fn check(&mut self) -> io::Result<()> {
        let more = self.file.read(&mut [0]).map_err(|error| changed(&self.shown, &error))?;
        if more > 0 {
            return Err(changed(&self.shown, &"it became longer"));
        }
        if Sha1Sum::from(self.sha1.clone().finalize()) != self.hashed.sha1 {
            return Err(changed(&self.shown, &"its content is another"));
        }
        Ok(())
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        if most == 0 {
            return Ok(0);
        }
        let length =
            self.file.read(&mut buf[..most]).map_err(|error| changed(&self.shown, &error))?;
        if length == 0 {
            return Err(changed(&self.shown, &"it became shorter"));
        }
        self.sha1.update(&buf[..length]);
        self.left -= length as u64;
        if self.left == 0 {
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
    fn an_empty_directory_has_the_hash_that_ray_gives_it() {
        let mut hash = DirectoryHash::new();
        assert_eq!(hash.to_string(), "3030303030303030");
        hash.add(&hash_of_name("."));
        assert_eq!(hash.to_string(), "0a62fe483960e4e9");
    }
}
