//! `cargo xtask bench`: figures of a release build over HTTP, the client on the same machine.
//!
//! The embedded profile is measured in rounds and shown as the median. Needs `wrk` (Debian package `wrk`) and the test data.

mod access;
mod aws;
mod fairness;
mod generator;
mod report;
mod scrape;
mod server;
mod workload;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use self::generator::{Measured, measure};
use self::report::{Report, median};
use self::server::Server;
use crate::Failure;
use crate::cache::{cargo_program, folder, run};
use crate::stack::Starting;

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 16;
const SECONDS: u64 = 6;

/// Measures a profile; `--record` writes the table to `docs/evidence/` too.
pub(crate) fn run_all(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => embedded(root, false, None),
        ["--record"] => embedded(root, true, None),
        ["--only", name] => embedded(root, false, Some(name)),
        ["--profile", "aws"] => of_aws(root, None, false),
        ["--profile", "aws", "--record"] => of_aws(root, None, true),
        ["--profile", "aws", "--program", program] => of_aws(root, Some(program), false),
        ["--profile", "aws", "--program", program, "--record"] => of_aws(root, Some(program), true),
        ["--access", ref rest @ ..] => alone(root, rest, &ACCESS),
        ["--fairness", ref rest @ ..] => alone(root, rest, &FAIRNESS),
        _ => Err("usage: cargo xtask bench [--record | --only NAME | --profile aws [--program PATH] [--record] | \
                  --access [--programs FOLDER] [--record] | --fairness [--programs FOLDER] [--record]]"
            .into()),
    }
}

/// A question that is measured by itself.
struct Question {
    measure: fn(&Path, &Path) -> Result<Report, Failure>,
    /// Where `--record` writes the answer, below `docs/evidence`.
    file: &'static str,
    introduction: &'static str,
}

const ACCESS: Question = Question {
    measure: access::measure_all,
    file: "bench-access.md",
    introduction: "What access costs a read\n\nThe same server with and without token check, policy, quotas and the log of accesses, asked in turns by \
                   wrk (16 connections, one thread) on the same machine; medians of five rounds. Of a release build.",
};

const FAIRNESS: Question = Question {
    measure: fairness::measure_all,
    file: "bench-fairness.md",
    introduction: "What a tenant waits beside a busy one\n\nThe quiet tenant puts, searches and reads at 60 requests a second over two connections, beside \
                   neighbours of several kinds, all on one machine with the server. Of a release build.",
};

/// One question: of a release build, or of programs that were built before (a cargo profile's folder, such as `target/debug`).
fn alone(root: &Path, arguments: &[&str], question: &Question) -> Result<(), Failure> {
    let (programs, record) = match arguments {
        [rest @ .., "--record"] => (rest, true),
        rest => (rest, false),
    };
    let programs = match programs {
        [] => {
            run(Command::new(cargo_program()).args(["build", "--release", "--bin", "fhirpool"]).current_dir(root))?;
            run(Command::new(cargo_program())
                .args(["build", "--release", "-p", "fhirpool-testkit", "--example", "access"])
                .current_dir(root))?;
            release_folder()?
        }
        ["--programs", folder] => PathBuf::from(folder),
        other => return Err(format!("bench: found {}; allowed: --programs FOLDER, --record", other.join(" ")).into()),
    };
    let scratch = folder()?.join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let result = (question.measure)(&programs, &scratch);
    std::fs::remove_dir_all(&scratch)?;
    let report = result?;
    println!("{}", report.table());
    match record {
        true => crate::record_evidence(root, question.file, &report.document(root, question.introduction)?),
        false => Ok(()),
    }
}

/// On a stack of its own, which goes down with it; of a release build, or of a program that was built before.
fn of_aws(root: &Path, program: Option<&str>, record: bool) -> Result<(), Failure> {
    let data = crate::data_folder(root)?;
    let stack = Starting::new(&format!("bench-{}", std::process::id()))?;
    let built = match program {
        Some(program) => Ok(PathBuf::from(program)),
        None => run(Command::new(cargo_program()).args(["build", "--release", "--bin", "fhirpool"]).current_dir(root))
            .and_then(|()| Ok(release_folder()?.join("fhirpool"))),
    };
    stack.run(|settings| {
        let built = built?;
        let scratch = folder()?.join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&scratch)?;
        let result = aws::measure_all(&built, &data, &scratch, settings);
        std::fs::remove_dir_all(&scratch)?;
        let report = result?;
        println!("{}", report.table());
        if record {
            let introduction = "Figures of the profile aws\n\nDynamoDB Local, one OpenSearch of 1 GB, MiniStack's KMS and SQS, the server and the load \
                                generator (wrk, 8 connections, one thread) on the same machine: rates say little of AWS, units and lags more. Units \
                                are computed from what was really sent.";
            let build = if program.is_some() { " Not of a release build." } else { "" };
            let introduction = &format!("{introduction}{build}");
            crate::record_evidence(root, "bench-aws.md", &report.document(root, introduction)?)?;
        }
        Ok(())
    })
}

fn embedded(root: &Path, record: bool, only: Option<&str>) -> Result<(), Failure> {
    let data = crate::data_folder(root)?;
    run(Command::new(cargo_program()).args(["build", "--release", "--bin", "fhirpool"]).current_dir(root))?;
    run(Command::new(cargo_program()).args(["build", "--release", "-p", "fhirpool-testkit", "--example", "echo"]).current_dir(root))?;
    let programs = release_folder()?;
    let scratch = folder()?.join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let result = measure_all(&programs, &data, &scratch, only);
    std::fs::remove_dir_all(&scratch)?;
    let report = result?;
    println!("{}", report.table());
    if record {
        let introduction = "Figures of the embedded profile\n\nThe load generator (wrk, 16 connections, one thread) on the same machine, token check \
                            and sealing on. Medians of three rounds.";
        crate::record_evidence(root, "bench-embedded.md", &report.document(root, introduction)?)?;
    }
    Ok(())
}

/// Where `cargo build --release` puts programs, seen from this one.
fn release_folder() -> Result<std::path::PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("this program lies in no target folder")?;
    Ok(target.join("release"))
}

fn measure_all(programs: &Path, data: &Path, scratch: &Path, only: Option<&str>) -> Result<Report, Failure> {
    let mut report = Report::default();
    let mut loads = Vec::new();
    let mut starts = Vec::new();
    let mut loaded = None;
    for round in 0..ROUNDS {
        // The server of the round before is ended first, and its folder is removed.
        drop(loaded.take());
        let folder = scratch.join(format!("data-{round}"));
        let started = Instant::now();
        let server = Server::start(&programs.join("fhirpool"), &folder)?;
        starts.push(started.elapsed().as_secs_f64() * 1000.0);
        if round > 0 {
            std::fs::remove_dir_all(scratch.join(format!("data-{}", round - 1)))?;
        }
        loads.push(server.load(&data.join("synthea"), scratch)?);
        loaded = Some(server);
        if only.is_some() {
            break;
        }
    }
    let server = loaded.ok_or("no round was run")?;
    report.line("start on an empty folder", median(&starts), "ms", "<= 200");
    report.line("load of Synthea, 4 workers", median(&loads.iter().map(|load| load.rate).collect::<Vec<_>>()), "resources/s", ">= 8000");
    report.line("failures of the load", loads.iter().map(|load| load.failures).sum::<u64>() as f64, "", "0");
    let resources = loads[0].resources as f64;
    report.line("memory after the load, peak", server.memory_peak_bytes()? / 1e6, "MB", "<= 600");
    report.line("disk a resource", server.disk_bytes()? / resources, "B", "<= 2048");

    let workload = workload::Workload::collect(&server)?;
    let echo = server::Example::start(&programs.join("examples/echo"), 1500)?;
    let echoed = rounds(&echo.address, &server.token, scratch, &workload::echo())?;
    report.measured("bare axum echo", &echoed, "");
    drop(echo);
    for case in workload.cases() {
        if only.is_some_and(|only| only != case.name) {
            continue;
        }
        let measured = rounds(&server.address, &server.token, scratch, &case)?;
        report.measured(case.name, &measured, case.aim);
        if case.name == "read" {
            report.line("read beside the echo", measured.rate / echoed.rate * 100.0, "%", ">= 50");
        }
    }
    if only.is_none() {
        big_transaction(&server, data, scratch, &workload, &mut report)?;
        report.line("memory at the end, peak", server.memory_peak_bytes()? / 1e6, "MB", "");
    }
    Ok(report)
}

fn rounds(address: &str, token: &str, scratch: &Path, case: &workload::Case) -> Result<Measured, Failure> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        all.push(measure(address, token, scratch, &case.requests, CONNECTIONS, SECONDS)?);
    }
    all.sort_by(|left, right| left.rate.total_cmp(&right.rate));
    Ok(all.swap_remove(ROUNDS / 2))
}

/// One transaction of 25,000 entries, and what readers and writers see meanwhile.
fn big_transaction(
    server: &Server,
    data: &Path,
    scratch: &Path,
    workload: &workload::Workload,
    report: &mut Report,
) -> Result<(), Failure> {
    let alone = server.post_big_transaction(data)?;
    report.line("transaction of 25,000 entries, alone", alone, "s", "< 10");
    let requests = workload.mixed();
    let measured = std::thread::scope(|scope| {
        let others = scope.spawn(|| measure(&server.address, &server.token, scratch, &requests, 4, 12).map_err(|cause| cause.to_string()));
        let seconds = server.post_big_transaction(data)?;
        let others = others.join().map_err(|_| "the load generator's thread ended early")??;
        Ok::<_, Failure>((seconds, others))
    })?;
    report.line("the same under reads and creates", measured.0, "s", "");
    report.line("what others wait meanwhile, p99", measured.1.p99_ms, "ms", "");
    report.line("what others wait meanwhile, longest", measured.1.longest_ms, "ms", "");
    Ok(())
}
