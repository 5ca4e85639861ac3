//! A zip archive that is made as it is read: entries stored as they are, so that its size is known
//! before. The same content gives the same bytes.

use std::io::{self, Read};
use std::path::Path;

use super::hash::{Hashed, VerifiedReader, hashed_name};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const LOCAL_SIZE: u64 = 30;
const CENTRAL_SIZE: u64 = 46;
const END_SIZE: u64 = 22;
const END_64_SIZE: u64 = 56 + 20;

/// As the format counts: 2.0 knows folders, 4.5 more than 65,535 entries.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// So many entries need the longer form of the end.
const MANY: usize = u16::MAX as usize;
/// The mode in the attributes is Unix's.
const MADE_ON_UNIX: u16 = 3 << 8;
const NAME_IS_UTF8: u16 = 1 << 11;
const IS_FOLDER: u32 = 0x10;
/// 1980-01-01, the format's first day: when a file was written is not part of a package.
const FIRST_DAY: u16 = (1 << 5) | 1;

/// A file or an empty directory.
#[derive(Debug)]
pub(super) struct ZipEntry {
    /// Relative to the root, with `/` between its parts; `.` for the root.
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) file: Option<Hashed>,
}

impl ZipEntry {
    fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.size)
    }

    /// A directory's ends with a slash.
    fn name_in_zip(&self, prefix: &str) -> String {
        match (&self.file, &*self.name) {
            (Some(_), name) => format!("{prefix}{name}"),
            (None, ".") if !prefix.is_empty() => prefix.to_owned(),
            (None, name) => format!("{prefix}{name}/"),
        }
    }

    /// The fields that both headers of an entry share.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a package is below 100 MiB, and no system takes a path of 64 KiB"
    )]
    fn push_shared(&self, name: &str, header: &mut Vec<u8>) {
        let utf8 = if name.is_ascii() { 0 } else { NAME_IS_UTF8 };
        let stored = 0;
        for field in [VERSION, utf8, stored, 0, FIRST_DAY] {
            header.extend(field.to_le_bytes());
        }
        let size = self.size() as u32;
        let crc = self.file.as_ref().map_or(0, |file| file.crc);
        for field in [crc, size, size] {
            header.extend(field.to_le_bytes());
        }
        let extra: u16 = 0;
        header.extend((name.len() as u16).to_le_bytes());
        header.extend(extra.to_le_bytes());
    }

    fn local_header(&self, prefix: &str) -> Vec<u8> {
        let name = self.name_in_zip(prefix);
        let mut header = LOCAL.to_le_bytes().to_vec();
        self.push_shared(&name, &mut header);
        header.extend(name.as_bytes());
        header
    }

    #[allow(clippy::cast_possible_truncation, reason = "a package is below 100 MiB")]
    fn central_header(&self, prefix: &str, offset: u64) -> Vec<u8> {
        let name = self.name_in_zip(prefix);
        let mut header = CENTRAL.to_le_bytes().to_vec();
        header.extend((MADE_ON_UNIX | VERSION).to_le_bytes());
        self.push_shared(&name, &mut header);
        // No comment, the first disk, no internal attributes.
        header.extend([0; 6]);
        let folder = if self.file.is_none() { IS_FOLDER } else { 0 };
        header.extend((((self.mode & 0xFFFF) << 16) | folder).to_le_bytes());
        header.extend((offset as u32).to_le_bytes());
        header.extend(name.as_bytes());
        header
    }
}

/// The bytes of an archive of files of these sizes, with names of these lengths.
pub(super) fn size_of(entries: impl Iterator<Item = (usize, u64)>) -> u64 {
    let (mut size, mut count) = (END_SIZE, 0);
    for (name, bytes) in entries {
        size += LOCAL_SIZE + CENTRAL_SIZE + 2 * name as u64 + bytes;
        count += 1;
    }
    if count < MANY { size } else { size + END_64_SIZE }
}

/// What comes next of the archive.
enum Stage {
    ZipEntry(usize),
    /// The header of this entry in the central directory, which is the list at the end.
    Central(usize),
    Over,
}

/// An archive that is being read.
pub(super) struct Zip<'a> {
    root: &'a Path,
    prefix: &'a str,
    entries: &'a [ZipEntry],
    stage: Stage,
    /// Where the entry begins whose header in the central directory is next.
    offset: u64,
    central_start: u64,
    central_end: u64,
    /// The header that is being read, and how much of it was.
    header: Vec<u8>,
    read: usize,
    file: Option<VerifiedReader>,
}

impl<'a> Zip<'a> {
    /// Of files below `root`, whose names get this prefix.
    pub(super) fn new(root: &'a Path, prefix: &'a str, entries: &'a [ZipEntry]) -> Self {
        Self {
            root,
            prefix,
            entries,
            stage: Stage::ZipEntry(0),
            offset: 0,
            central_start: 0,
            central_end: 0,
            header: Vec::new(),
            read: 0,
            file: None,
        }
    }

    pub(super) fn size(&self) -> u64 {
        let sizes = self.entries.iter().map(|e| (e.name_in_zip(self.prefix).len(), e.size()));
        size_of(sizes)
    }
}

impl Read for Zip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = (&self.header[self.read..]).read(buf)?;
            self.read += length;
            if length > 0 || buf.is_empty() {
                return Ok(length);
            }
            if let Some(file) = &mut self.file {
                let length = file.read(buf)?;
                if length > 0 {
                    return Ok(length);
                }
                self.file = None;
            }
            if !self.go_on()? {
                return Ok(0);
            }
        }
    }
}

impl Zip<'_> {
    /// Makes the next header; false if the archive is complete.
    fn go_on(&mut self) -> io::Result<bool> {
        self.read = 0;
        self.header.clear();
        match self.stage {
            Stage::ZipEntry(i) if i < self.entries.len() => {
                let entry = &self.entries[i];
                self.stage = Stage::ZipEntry(i + 1);
                self.header = entry.local_header(self.prefix);
                self.central_start += self.header.len() as u64 + entry.size();
                if let Some(hashed) = entry.file {
                    let path = self.root.join(&entry.name);
                    self.file =
                        Some(VerifiedReader::open(&path, &hashed_name(&entry.name), hashed)?);
                }
            }
            Stage::ZipEntry(_) => {
                self.stage = Stage::Central(0);
                self.central_end = self.central_start;
            }
            Stage::Central(i) if i < self.entries.len() => {
                let entry = &self.entries[i];
                self.stage = Stage::Central(i + 1);
                self.header = entry.central_header(self.prefix, self.offset);
                let local_header = self.header.len() as u64 - CENTRAL_SIZE + LOCAL_SIZE;
                self.offset += local_header + entry.size();
                self.central_end += self.header.len() as u64;
            }
            Stage::Central(_) => {
                self.stage = Stage::Over;
                self.header = self.end();
            }
            Stage::Over => return Ok(false),
        }
        Ok(true)
    }

    #[allow(clippy::cast_possible_truncation, reason = "a package is below 100 MiB")]
    fn end(&self) -> Vec<u8> {
        let size = self.central_end - self.central_start;
        let mut end = Vec::new();
        if self.entries.len() >= MANY {
            self.push_end_64(&mut end);
        }
        let count = self.entries.len().min(MANY) as u16;
        end.extend(END.to_le_bytes());
        // This disk, and that of the directory.
        end.extend([0; 4]);
        end.extend(count.to_le_bytes());
        end.extend(count.to_le_bytes());
        end.extend((size as u32).to_le_bytes());
        end.extend((self.central_start as u32).to_le_bytes());
        let comment: u16 = 0;
        end.extend(comment.to_le_bytes());
        end
    }

    /// What tells the number of entries if 16 bits do not hold it.
    fn push_end_64(&self, end: &mut Vec<u8>) {
        let (count, size) = (self.entries.len() as u64, self.central_end - self.central_start);
        let size_of_the_rest: u64 = 44;
        end.extend(END_64.to_le_bytes());
        end.extend(size_of_the_rest.to_le_bytes());
        end.extend((MADE_ON_UNIX | VERSION_64).to_le_bytes());
        end.extend(VERSION_64.to_le_bytes());
        end.extend([0; 8]);
        for field in [count, count, size, self.central_start] {
            end.extend(field.to_le_bytes());
        }
        let (disk, disks): (u32, u32) = (0, 1);
        end.extend(END_64_LOCATOR.to_le_bytes());
        end.extend(disk.to_le_bytes());
        end.extend(self.central_end.to_le_bytes());
        end.extend(disks.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(count: usize) -> Vec<ZipEntry> {
        let folder = |i| ZipEntry { name: format!("{i}"), mode: 0o40755, file: None };
        (0..count).map(folder).collect()
    }

    #[test]
    fn the_size_is_known_before() {
        for count in [0, 1, 2, MANY - 1, MANY, MANY + 1] {
            let entries = folders(count);
            let mut zip = Zip::new(Path::new("."), "module/", &entries);
            let size = zip.size();
            let mut bytes = Vec::new();
            zip.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, size, "{count} entries");
        }
    }
}
