//! Processes that outlive this program, and are found again by their id.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// A process asked to end is killed after this time.
const END_TIMEOUT: Duration = Duration::from_secs(10);
const LOG_TAIL_LINES: usize = 30;

/// A process that this program has started, now or in an earlier run. Its start time tells it from a later one that got the same id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) id: u32,
    identity: String,
}

impl Process {
    /// Starts the command in a group of its own, so that no signal meant for this program reaches it.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self, Failure> {
        let output = File::create(log)?;
        detach(command).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|cause| format!("{}: {cause}", command.get_program().display()))?;
        let id = child.id();
        // As a child of this program it stays in the process table after its end until it is waited for.
        std::thread::spawn(move || {
            let mut child = child;
            child.wait()
        });
        Ok(Self { id, identity: identity(id).unwrap_or_default() })
    }

    pub(super) fn is_running(&self) -> bool {
        !self.identity.is_empty() && identity(self.id).is_some_and(|found| found == self.identity)
    }

    /// Its resident memory.
    pub(super) fn memory_mib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
    }

    pub(super) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Returns once it has ended.
    pub(super) fn end(&self) -> Result<(), Failure> {
        self.ask_to_end();
        if !wait_until(END_TIMEOUT, || !self.is_running()) {
            self.signal(Signal::KILL);
            if !wait_until(END_TIMEOUT, || !self.is_running()) {
                return Err(format!("the process {} cannot be ended", self.id).into());
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if !self.is_running() {
            return;
        }
        if let Some(id) = i32::try_from(self.id).ok().and_then(Pid::from_raw) {
            // It may end between the check and the signal, and that is what is wanted.
            let _ = kill_process_group(id, signal);
        }
    }
}

/// Keeps signals of the terminal from the command.
pub(super) fn detach(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// Asks until it is so, or the time is over.
pub(super) fn wait_until(timeout: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    true
}

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

/// When it was started, and in which run of the machine; `None` for a process that is gone or has ended and waits to be collected.
/// The command line would not do: it is empty for a moment after the start.
fn identity(id: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything. Of the whole, the state is field 3 and the start time field 22 (proc(5)).
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    let (state, started) = (*fields.first()?, *fields.get(19)?);
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    (!matches!(state, "Z" | "X")).then(|| format!("{} {started}", machine.trim_end()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn start(program: &str, arguments: &[&str], name: &str) -> Process {
        let log = std::env::temp_dir().join(format!("fhirpool-{name}-{}.log", std::process::id()));
        let process = Process::start(Command::new(program).args(arguments), &log).unwrap();
        std::fs::remove_file(log).unwrap();
        process
    }

    #[test]
    fn a_process_is_ended_with_those_it_has_started() {
        let process = start("sh", &["-c", "sleep 600 & wait"], "group");
        assert!(process.is_running());
        assert!(process.memory_mib().is_some());
        process.end().unwrap();
        assert!(!process.is_running());
        // Without a member, the group is gone.
        let id = Pid::from_raw(i32::try_from(process.id).unwrap()).unwrap();
        assert!(wait_until(END_TIMEOUT, || rustix::process::test_kill_process_group(id).is_err()));
    }

    #[test]
    fn another_process_of_the_same_id_is_left_alone() {
        let process = start("sleep", &["600"], "other");
        let other = Process { identity: format!("{}0", process.identity), ..process.clone() };
        assert!(!other.is_running());
        other.end().unwrap();
        assert!(process.is_running());
        process.end().unwrap();
    }
}
