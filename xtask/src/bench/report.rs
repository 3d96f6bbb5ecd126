//! The table.

use std::path::Path;
use std::process::Command;

use super::generator::Measured;
use crate::Failure;

#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<String>,
}

impl Report {
    pub(super) fn line(&mut self, name: &str, value: f64, unit: &str, aim: &str) {
        self.push(format!("| {name} | {} {unit} | {aim} | |", figure(value)));
    }

    pub(super) fn measured(&mut self, name: &str, measured: &Measured, aim: &str) {
        let errors = if measured.errors > 0 { format!(", {} ERRORS", measured.errors) } else { String::new() };
        let latency = format!("p50 {:.2} ms, p99 {:.2} ms{errors}", measured.p50_ms, measured.p99_ms);
        self.push(format!("| {name} | {} /s | {aim} | {latency} |", figure(measured.rate)));
    }

    fn push(&mut self, line: String) {
        eprintln!("{line}");
        self.lines.push(line);
    }

    pub(super) fn table(&self) -> String {
        format!("| what | figure | aim | latency |\n|---|---|---|---|\n{}\n", self.lines.join("\n"))
    }

    /// The table with when, of what and on what it was taken; the introduction begins with the title.
    pub(super) fn document(&self, root: &Path, introduction: &str) -> Result<String, Failure> {
        let commit = words(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(root))?;
        let date = words(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?;
        let cores = std::thread::available_parallelism()?;
        Ok(format!("# {introduction}\n\nTaken by `cargo xtask bench` on {date} at commit {commit}, {cores} cores.\n\n{}", self.table()))
    }
}

fn words(command: &mut Command) -> Result<String, Failure> {
    Ok(String::from_utf8(command.output()?.stdout)?.trim().to_owned())
}

fn figure(value: f64) -> String {
    if value >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The middle of the values; NaN where there is none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
