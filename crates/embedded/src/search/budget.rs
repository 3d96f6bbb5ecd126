//! How much one search may cost.

use std::cell::Cell;
use std::time::{Duration, Instant};

use fhirpool_storage::{Result, StorageError};

/// What searches may take in memory and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchSettings {
    /// Kept lists and columns of all tenants, in bytes.
    pub cache_bytes: u64,
    /// Ids that one search may hold in one list.
    pub list_length_max: usize,
    /// Stored entries that one search may look at.
    pub scanned_max: u64,
    /// How long one search may take.
    pub time_max: Duration,
    /// Searches that take long and run at once; more wait for their turn.
    pub long_searches_max: usize,
    /// A parameter's values are kept as a column only up to so many resources of its type.
    pub column_length_max: u64,
    /// Postings that are scanned to find out whether a list is short.
    pub probe_length: u64,
    /// Shorter lists are not kept: they are as quickly scanned.
    pub kept_length_min: usize,
    /// Fewer results are sorted as they are, without walking the postings of the sort parameter.
    pub walk_length_min: u64,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            list_length_max: 2_000_000,
            scanned_max: 20_000_000,
            time_max: Duration::from_secs(20),
            long_searches_max: std::thread::available_parallelism().map_or(2, usize::from),
            column_length_max: 1_000_000,
            probe_length: 4_096,
            kept_length_min: 32,
            walk_length_min: 1_000,
        }
    }
}

/// What is left to one search. A unit is one posting scanned.
pub(crate) struct Budget {
    left: Cell<u64>,
    until_look: Cell<u64>,
    deadline: Instant,
    list_length_max: usize,
    is_brief: bool,
    is_outgrown: Cell<bool>,
}

/// What reading the entries of one resource costs, in postings scanned.
pub(crate) const ENTRIES_COST: u64 = 5;

/// What starting a scan costs, in postings scanned.
pub(crate) const SEEK_COST: u64 = 8;

/// What a brief search may cost.
const BRIEF_UNITS: u64 = 1_000;

/// Units between two looks at the clock.
const LOOK_INTERVAL: u64 = 4_096;

impl Budget {
    /// A whole one, from now.
    pub(crate) fn new(settings: &SearchSettings) -> Self {
        Self {
            left: Cell::new(settings.scanned_max),
            until_look: Cell::new(LOOK_INTERVAL),
            deadline: Instant::now() + settings.time_max,
            list_length_max: settings.list_length_max,
            is_brief: false,
            is_outgrown: Cell::new(false),
        }
    }

    /// As much as a search may cost where others wait for it: well below a millisecond.
    pub(crate) fn brief(settings: &SearchSettings) -> Self {
        Self { left: Cell::new(BRIEF_UNITS.min(settings.scanned_max)), is_brief: true, ..Self::new(settings) }
    }

    /// Whether a brief budget was not enough, so that the search must be done anew with a whole one.
    pub(crate) fn is_outgrown(&self) -> bool {
        self.is_outgrown.get()
    }

    /// Takes units.
    pub(crate) fn spend(&self, units: u64) -> Result<()> {
        let Some(left) = self.left.get().checked_sub(units) else {
            self.is_outgrown.set(self.is_brief);
            return Err(StorageError::TooCostly("the search looks at too many index entries"));
        };
        self.left.set(left);
        match self.until_look.get().checked_sub(units) {
            Some(until_look) => self.until_look.set(until_look),
            None => {
                self.until_look.set(LOOK_INTERVAL);
                if Instant::now() > self.deadline {
                    return Err(StorageError::TooCostly("the search takes too long"));
                }
            }
        }
        Ok(())
    }

    /// Refuses a list that is too long.
    pub(crate) fn check_length(&self, length: usize) -> Result<()> {
        if length > self.list_length_max {
            return Err(StorageError::TooCostly("the search has too many intermediate results"));
        }
        Ok(())
    }
}
