//! A file that is put aside when it is full: `path` is the newest, `path.1` the one before it, and so on.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A file of lines, and how many of its predecessors are kept.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    /// Of whole lines.
    bytes: u64,
    /// Whether something of a line may stand behind them.
    is_torn: bool,
    bytes_max: u64,
    files_max: u64,
}

impl RotatingFile {
    /// Goes on with the file, or makes it. It is put aside before it grows beyond `bytes_max`, and at most `files_max` are kept,
    /// itself among them.
    pub fn open(path: PathBuf, bytes_max: u64, files_max: u64) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 {
            // A process that ended within a line has left a part of it, which the next one must not go on.
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self { path, file, bytes, is_torn: false, bytes_max, files_max: files_max.max(1) })
    }

    /// Appends lines and syncs them. After a failure the file ends with a whole line: some of the lines may be there, and all of
    /// them are to be written again.
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
            self.append(&rest[..end])?;
            rest = &rest[end..];
        }
        self.file.sync_data()
    }

    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        // Where that fails, too, it is tried again ahead of the next lines.
        if self.is_torn {
            self.file.set_len(self.bytes)?;
            self.is_torn = false;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Begins a new file. What may fail for long, for want of descriptors or of room, comes first: nothing is moved, and nothing
    /// is removed, before the new file is there.
    fn put_aside(&mut self) -> std::io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.bytes)?;
            self.is_torn = false;
        }
        self.file.sync_data()?;
        let with = |suffix: String| {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let new = with(".new".to_owned());
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&new)?;
        let bytes = file.metadata()?.len();
        let aside = |number: u64| if number == 0 { self.path.clone() } else { with(format!(".{number}")) };
        // Up to the first gap: what an attempt that failed half way has moved is not moved again.
        let there = (0..self.files_max).take_while(|number| aside(*number).exists()).count() as u64;
        for number in (0..there).rev() {
            if number + 1 == self.files_max {
                std::fs::remove_file(aside(number))?;
            } else {
                std::fs::rename(aside(number), aside(number + 1))?;
            }
        }
        std::fs::rename(&new, &self.path)?;
        (self.file, self.bytes) = (file, bytes);
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
    #[test]
    fn a_new_file_that_cannot_be_made_moves_and_removes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(folder.path().join("audit.jsonl"), 4, 3).unwrap();
        file.write(b"one\ntwo\nsix\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let all = || ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"].map(read);
        // Nothing can be opened at its name.
        std::fs::create_dir(folder.path().join("audit.jsonl.new")).unwrap();
        for _ in 0..4 {
            file.write(b"ten\n").unwrap_err();
            assert_eq!(all(), ["six\n", "two\n", "one\n"]);
        }
        std::fs::remove_dir(folder.path().join("audit.jsonl.new")).unwrap();
        file.write(b"ten\n").unwrap();
        assert_eq!(all(), ["ten\n", "six\n", "two\n"]);
    }

    #[test]
    fn what_is_left_of_a_line_goes_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = RotatingFile::open(path.clone(), 100, 2).unwrap();
        file.write(b"one\n").unwrap();
        // As a write that fails half way leaves it.
        file.file.write_all(b"tw").unwrap();
        file.is_torn = true;
        file.write(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        file.file.write_all(b"thr").unwrap();
        file.is_torn = true;
        file.put_aside().unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("audit.jsonl.1")).unwrap(), "one\ntwo\n");
        // A process that ended within a line.
        drop(file);
        std::fs::write(&path, "four\nfi").unwrap();
        let mut file = RotatingFile::open(path.clone(), 100, 2).unwrap();
        file.write(b"six\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\nfi\nsix\n");
    }
}
