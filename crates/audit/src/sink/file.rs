//! A file that is put aside when it is full: `path` is the newest, `path.1` the one before it, and so on.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A file of lines, and how many of its predecessors are kept.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    files_max: u64,
}

impl RotatingFile {
    /// Goes on with the file, or makes it. It is put aside before it grows beyond `bytes_max`, and at most `files_max` are kept,
    /// itself among them.
    pub fn open(path: PathBuf, bytes_max: u64, files_max: u64) -> std::io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, bytes_max, files_max: files_max.max(1) })
    }

    /// Appends lines and syncs them.
    pub(super) fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            if self.bytes >= self.bytes_max {
                self.put_aside()?;
            }
            // Whole lines, at least one.
            let room = usize::try_from(self.bytes_max - self.bytes).unwrap_or(usize::MAX).min(rest.len());
            let end = match rest[..room].iter().rposition(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None if self.bytes > 0 => {
                    self.put_aside()?;
                    continue;
                }
                None => rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1),
            };
            self.file.write_all(&rest[..end])?;
            self.bytes += end as u64;
            rest = &rest[end..];
        }
        self.file.sync_data()
    }

    fn put_aside(&mut self) -> std::io::Result<()> {
        self.file.sync_data()?;
        let aside = |number: u64| match number {
            0 => self.path.clone(),
            number => {
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            }
        };
        for number in (0..self.files_max).rev() {
            let moved = if number + 1 == self.files_max {
                std::fs::remove_file(aside(number))
            } else {
                std::fs::rename(aside(number), aside(number + 1))
            };
            match moved {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        *self = Self::open(self.path.clone(), self.bytes_max, self.files_max)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn full_files_are_put_aside_by_whole_lines_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = RotatingFile::open(path.clone(), 10, 3).unwrap();
        file.write(b"one\ntwo\nthree\n").unwrap();
        file.write(b"a line longer than all\n").unwrap();
        drop(file);
        let mut file = RotatingFile::open(path.clone(), 10, 3).unwrap();
        file.write(b"four\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("audit.jsonl"), "four\n");
        assert_eq!(read("audit.jsonl.1"), "a line longer than all\n");
        assert_eq!(read("audit.jsonl.2"), "three\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
