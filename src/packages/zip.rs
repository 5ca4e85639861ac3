//! Writes a zip archive while it is read. Entries are stored uncompressed, so the size is known in
//! advance. The same content always gives the same bytes.

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

/// The format version an entry needs: 2.0 for directories, 4.5 for more than 65,535 entries.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// From this number of entries on, the archive needs the zip64 end record.
const ZIP64_COUNT: usize = u16::MAX as usize;
/// The attributes contain a Unix mode.
const MADE_ON_UNIX: u16 = 3 << 8;
const NAME_IS_UTF8: u16 = 1 << 11;
const IS_DIRECTORY: u32 = 0x10;
/// 1980-01-01, the earliest date of the format. Modification times are not part of a package.
const FIRST_DAY: u16 = (1 << 5) | 1;

/// A file or an empty directory.
#[derive(Debug)]
pub(super) struct ZipEntry {
    /// Relative to the root, with `/` as separator; `.` for the root.
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) file: Option<Hashed>,
}

impl ZipEntry {
    fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.size)
    }

    /// Returns the name in the archive. A directory's ends with a slash.
    fn name_in_zip(&self, prefix: &str) -> String {
        match (&self.file, &*self.name) {
            (Some(_), name) => format!("{prefix}{name}"),
            (None, ".") if !prefix.is_empty() => prefix.to_owned(),
            (None, name) => format!("{prefix}{name}/"),
        }
    }

    /// Writes the fields that both headers of an entry share.
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
        // No comment, first disk, no internal attributes.
        header.extend([0; 6]);
        let directory = if self.file.is_none() { IS_DIRECTORY } else { 0 };
        header.extend((((self.mode & 0xFFFF) << 16) | directory).to_le_bytes());
        header.extend((offset as u32).to_le_bytes());
        header.extend(name.as_bytes());
        header
    }
}

/// Returns the size of an archive, given the length of each name and the size of each file.
pub(super) fn size_of(entries: impl Iterator<Item = (usize, u64)>) -> u64 {
    let (mut size, mut count) = (END_SIZE, 0);
    for (name, bytes) in entries {
        size += LOCAL_SIZE + CENTRAL_SIZE + 2 * name as u64 + bytes;
        count += 1;
    }
    if count < ZIP64_COUNT { size } else { size + END_64_SIZE }
}

/// What to write next.
enum Stage {
    /// This entry's header and content.
    Entry(usize),
    /// This entry's header in the central directory at the end.
    Central(usize),
    Done,
}

/// A zip archive, read from its start.
pub(super) struct Zip<'a> {
    root: &'a Path,
    prefix: &'a str,
    entries: &'a [ZipEntry],
    stage: Stage,
    /// The offset of the entry whose central header is next.
    offset: u64,
    central_start: u64,
    central_end: u64,
    /// The current header; `read` bytes of it were returned.
    header: Vec<u8>,
    read: usize,
    file: Option<VerifiedReader>,
}

impl<'a> Zip<'a> {
    /// Creates an archive of files below `root`, whose names get this prefix.
    pub(super) fn new(root: &'a Path, prefix: &'a str, entries: &'a [ZipEntry]) -> Self {
        Self {
            root,
            prefix,
            entries,
            stage: Stage::Entry(0),
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
            if !self.advance()? {
                return Ok(0);
            }
        }
    }
}

impl Zip<'_> {
    /// Prepares the next header. Returns `false` if the archive is complete.
    fn advance(&mut self) -> io::Result<bool> {
        self.read = 0;
        self.header.clear();
        match self.stage {
            Stage::Entry(i) if i < self.entries.len() => {
                let entry = &self.entries[i];
                self.stage = Stage::Entry(i + 1);
                self.header = entry.local_header(self.prefix);
                self.central_start += self.header.len() as u64 + entry.size();
                if let Some(hashed) = entry.file {
                    let path = self.root.join(&entry.name);
                    self.file =
                        Some(VerifiedReader::open(&path, &hashed_name(&entry.name), hashed)?);
                }
            }
            Stage::Entry(_) => {
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
                self.stage = Stage::Done;
                self.header = self.end();
            }
            Stage::Done => return Ok(false),
        }
        Ok(true)
    }

    #[allow(clippy::cast_possible_truncation, reason = "a package is below 100 MiB")]
    fn end(&self) -> Vec<u8> {
        let size = self.central_end - self.central_start;
        let mut end = Vec::new();
        if self.entries.len() >= ZIP64_COUNT {
            self.push_end_64(&mut end);
        }
        let count = self.entries.len().min(ZIP64_COUNT) as u16;
        end.extend(END.to_le_bytes());
        // The number of this disk, and of the central directory's.
        end.extend([0; 4]);
        end.extend(count.to_le_bytes());
        end.extend(count.to_le_bytes());
        end.extend((size as u32).to_le_bytes());
        end.extend((self.central_start as u32).to_le_bytes());
        let comment: u16 = 0;
        end.extend(comment.to_le_bytes());
        end
    }

    /// Writes the zip64 end record, which holds an entry count of more than 16 bits.
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

    fn directories(count: usize) -> Vec<ZipEntry> {
        let directory = |i| ZipEntry { name: format!("{i}"), mode: 0o40755, file: None };
        (0..count).map(directory).collect()
    }

    #[test]
    fn the_size_is_known_in_advance() {
        for count in [0, 1, 2, ZIP64_COUNT - 1, ZIP64_COUNT, ZIP64_COUNT + 1] {
            let entries = directories(count);
            let mut zip = Zip::new(Path::new("."), "module/", &entries);
            let size = zip.size();
            let mut bytes = Vec::new();
            zip.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, size, "{count} entries");
        }
    }
}
