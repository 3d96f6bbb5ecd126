//! `cargo xtask bench --access`: what token check, policy, quotas and the log of accesses cost a read.
//!
//! The same server twice, once without them (the test kit's example `access`), asked in turns so that what else the machine does
//! meets both alike.

use std::path::Path;

use super::generator::{Measured, measure};
use super::report::{Report, median};
use super::server::Example;
use super::workload::observation;
use crate::Failure;

const RESOURCES: usize = 1000;
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 16;
const SECONDS: u64 = 5;

struct Side {
    name: &'static str,
    server: Example,
    token: String,
    rounds: Vec<Measured>,
}

pub(super) fn measure_all(programs: &Path, scratch: &Path) -> Result<Report, Failure> {
    let mut sides = [side("off", programs, scratch)?, side("on", programs, scratch)?];
    let requests: Vec<String> = (0..RESOURCES).map(|number| format!("GET\t/tenant/demo/Observation/o{number}")).collect();
    for _ in 0..ROUNDS {
        for side in &mut sides {
            let measured = measure(&side.server.address, &side.token, scratch, &requests, CONNECTIONS, SECONDS)?;
            if measured.errors > 0 {
                return Err(format!("{} reads failed with access {}", measured.errors, side.name).into());
            }
            side.rounds.push(measured);
        }
    }
    let mut report = Report::default();
    let rates = sides.each_ref().map(|side| median(&side.rounds.iter().map(|round| round.rate).collect::<Vec<_>>()));
    report.line("read without token check, policy, quotas and log", rates[0], "/s", "");
    report.line("read with them", rates[1], "/s", "");
    report.line("what is kept of the rate", rates[1] / rates[0] * 100.0, "%", ">= 85");
    Ok(report)
}

fn side(name: &'static str, programs: &Path, scratch: &Path) -> Result<Side, Failure> {
    let folder = scratch.join(format!("access-{name}"));
    let server = Example::start_with(&programs.join("examples/access"), &[name.to_owned(), folder.display().to_string()])?;
    let token = std::fs::read_to_string(folder.join("token"))?;
    for number in 0..RESOURCES {
        let id = format!("o{number}");
        ureq::put(format!("{}/tenant/demo/Observation/{id}", server.address))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/fhir+json")
            .send(observation(Some(&id)))?;
    }
    Ok(Side { name, server, token, rounds: Vec::new() })
}
