//! What the processes noted.

use std::collections::BTreeMap;

use fhirpool_storage::StoredVersion;
use fhirpool_storage::conformance::text;

use super::*;

/// Version and label by name.
pub(super) type Seen = BTreeMap<String, (u64, String)>;

#[derive(Default)]
pub(super) struct Notes {
    /// The versions that each commit was told to have made, by its label.
    pub committed: BTreeMap<String, BTreeMap<String, u64>>,
    /// Identifier and name of the Patients that were told to be made.
    pub created: Vec<(String, String)>,
    /// Labels of commits that were refused, or given up for others.
    pub refused: Vec<String>,
    pub seen: Vec<Seen>,
    pub busy: usize,
    pub unknown: usize,
    pub stalls: usize,
    /// What must never happen.
    pub wrong: Vec<String>,
}

/// How many stalls there were up to now.
pub(super) fn stalls(folder: &Path) -> usize {
    let lines = notes_path(folder).into_iter().map(|path| std::fs::read_to_string(path).unwrap_or_default());
    lines.map(|text| text.lines().filter(|line| line.starts_with("stalled ")).count()).sum()
}

pub(super) fn read(folder: &Path) -> Notes {
    let mut notes = Notes::default();
    for path in notes_path(folder) {
        let text = std::fs::read_to_string(path).unwrap();
        // The last line may be torn.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().for_each(|line| notes.add(line));
    }
    notes
}

impl Notes {
    fn add(&mut self, line: &str) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "committed" => {
                let (label, made) = rest.split_once(' ').unwrap();
                let made = made.split(' ').map(|part| part.split_once('=').unwrap());
                let made = made.map(|(name, version)| (name.to_owned(), version.parse().unwrap())).collect();
                self.committed.insert(label.to_owned(), made);
            }
            "created" => {
                let mut parts = rest.split(' ').skip(1).map(str::to_owned);
                self.created.push((parts.next().unwrap(), parts.next().unwrap()));
            }
            "refused" => self.refused.push(rest.to_owned()),
            "busy" => {
                self.busy += 1;
                self.refused.push(rest.to_owned());
            }
            "unknown" => self.unknown += 1,
            "stalled" => self.stalls += 1,
            "killed" => {}
            "seen" | "read" => self.seen.push(rest.split(' ').filter(|part| !part.is_empty()).map(version).collect()),
            _ => self.wrong.push(line.to_owned()),
        }
    }
}

fn version(part: &str) -> (String, (u64, String)) {
    let mut parts = part.split('=');
    let (name, version, label) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    (name.to_owned(), (version.parse().unwrap(), label.to_owned()))
}

/// The label that a version was written under.
pub(super) fn label(version: &StoredVersion) -> String {
    member(version, "language")
}

pub(super) fn member(version: &StoredVersion, name: &str) -> String {
    let document = Document::parse(text(version)).unwrap();
    document.root().get_str(name).unwrap_or_default().into_owned()
}
