//! Faults that tests put in.

#![cfg_attr(not(any(test, feature = "faults")), expect(dead_code, reason = "only tests put faults in"))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next write fails before a byte of it is written.
    BeforeWrite,
    /// The next write fails after it is on stable storage, so that its outcome is not known.
    AfterWrite,
}

/// Where tests say what goes wrong.
#[derive(Debug, Default)]
pub struct Faults {
    next: Mutex<Option<Fault>>,
    disk_full: AtomicBool,
    held: Mutex<Option<Receiver<()>>>,
}

impl Faults {
    /// Lets the next write fail.
    pub fn inject(&self, fault: Fault) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// Whether there is no room on the disk, until told otherwise.
    pub fn set_disk_full(&self, full: bool) {
        self.disk_full.store(full, Ordering::SeqCst);
    }

    /// Lets the next write wait until what is given is dropped.
    pub fn hold(&self) -> Sender<()> {
        let (sender, receiver) = channel();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
        sender
    }

    pub(crate) fn take(&self) -> Option<Fault> {
        if let Some(held) = self.held.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nothing is ever sent.
            let _ = held.recv();
        }
        if self.is_disk_full() {
            return Some(Fault::BeforeWrite);
        }
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk_full.load(Ordering::SeqCst)
    }
}
