//! Finding and reading what is to be loaded.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::LoadError;
use super::request::{self, Request};

/// A file to load.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub path: PathBuf,
    /// Size on disk.
    pub bytes: u64,
    /// Whether others refer to what it holds.
    pub goes_first: bool,
}

const NAMES_FIRST: [&str; 2] = ["hospitalInformation", "practitionerInformation"];
const FOLDER_DEPTH_MAX: usize = 16;
/// Largest file after decompression.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Longest NDJSON line.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Resources of an NDJSON file that go into one request.
const LINES_A_REQUEST: usize = 500;

/// Files in the paths, in the order of their names, those that go first ahead.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<File>, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, 0, &mut files).map_err(|cause| LoadError::Path { path: path.clone(), cause })?;
    }
    files.sort_by(|left, right| (rank(left), &left.path).cmp(&(rank(right), &right.path)));
    files.dedup_by(|left, right| left.path == right.path);
    if files.is_empty() { Err(LoadError::Nothing) } else { Ok(files) }
}

fn rank(file: &File) -> usize {
    let name = file.path.to_string_lossy();
    NAMES_FIRST.iter().position(|first| name.contains(first)).unwrap_or(NAMES_FIRST.len())
}

fn collect(path: &Path, depth: usize, files: &mut Vec<File>) -> std::io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        if depth >= FOLDER_DEPTH_MAX {
            return Err(std::io::Error::other("folders nested too deeply"));
        }
        for entry in std::fs::read_dir(path)? {
            let path = entry?.path();
            if path.is_dir() || is_loadable(&path) {
                collect(&path, depth + 1, files)?;
            }
        }
        return Ok(());
    }
    let name = path.to_string_lossy();
    let goes_first = NAMES_FIRST.iter().any(|first| name.contains(first));
    files.push(File { path: path.to_owned(), bytes: metadata.len(), goes_first });
    Ok(())
}

fn is_loadable(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.ends_with(".json") || name.ends_with(".ndjson")
}

/// Gives a file's requests one by one.
pub(super) struct Reader {
    source: Box<dyn BufRead + Send>,
    lines: bool,
    keep_ids: bool,
    part: u64,
    finished: bool,
}

impl Reader {
    pub(super) fn open(file: &File, keep_ids: bool) -> std::io::Result<Self> {
        let name = file.path.to_string_lossy().into_owned();
        let opened = std::fs::File::open(&file.path)?;
        let source: Box<dyn BufRead + Send> =
            if name.ends_with(".gz") { Box::new(BufReader::new(MultiGzDecoder::new(opened))) } else { Box::new(BufReader::new(opened)) };
        let lines = name.strip_suffix(".gz").unwrap_or(&name).ends_with(".ndjson");
        Ok(Self { source, lines, keep_ids, part: 0, finished: false })
    }

    pub(super) fn next(&mut self) -> Result<Option<Request>, String> {
        if self.finished {
            return Ok(None);
        }
        self.part += 1;
        if self.lines { self.next_lines() } else { self.whole() }
    }

    fn whole(&mut self) -> Result<Option<Request>, String> {
        self.finished = true;
        let mut body = Vec::new();
        (&mut self.source).take(FILE_BYTES_MAX + 1).read_to_end(&mut body).map_err(|cause| cause.to_string())?;
        if body.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
        }
        request::of_document(body, self.part, self.keep_ids).map(Some)
    }

    fn next_lines(&mut self) -> Result<Option<Request>, String> {
        let mut lines = Vec::with_capacity(LINES_A_REQUEST);
        while lines.len() < LINES_A_REQUEST {
            let mut line = Vec::new();
            let read = (&mut self.source).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(|cause| cause.to_string())?;
            if read == 0 {
                self.finished = true;
                break;
            }
            if !line.trim_ascii().is_empty() {
                lines.push(line);
            }
        }
        if lines.is_empty() { Ok(None) } else { request::of_lines(&lines, self.part).map(Some) }
    }
}
