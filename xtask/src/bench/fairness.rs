//! `cargo xtask bench --fairness`: what a quiet tenant waits while a neighbour sends ten times its quota, or has none.
//!
//! The quiet tenant reads, searches and creates at a steady pace over a few connections; so does the neighbour, ten times as much as it
//! may. Requests are sent when they are due, or as soon as the one before on their connection is answered.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::report::Report;
use super::server::Server;
use super::workload::observation;
use crate::Failure;

const SECONDS: u64 = 10;
/// Requests a second of the quiet tenant.
const QUIET_RATE: f64 = 60.0;
const QUIET_CONNECTIONS: usize = 2;
/// Points a second that the neighbour may spend: by its mix of requests 40 a second.
const QUOTA_POINTS_PER_S: f64 = 40.0 * (100.0 + 20.0 + 1.0) / 3.0;
const BUSY_RATE: f64 = 10.0 * 40.0;
const BUSY_CONNECTIONS: usize = 8;
/// Entries of the large transactions.
const ENTRIES: usize = 5000;

/// What came of a load: how long answers took, in milliseconds and in order, and how many were refused for a quota.
struct Driven {
    times_ms: Vec<f64>,
    refused: usize,
}

impl Driven {
    fn quantile(&self, part: f64) -> f64 {
        let last = self.times_ms.len().saturating_sub(1);
        self.times_ms.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

/// A tenant's base URL and token.
#[derive(Clone)]
struct Tenant {
    base: String,
    token: String,
}

pub(super) fn measure_all(programs: &Path, scratch: &Path) -> Result<Report, Failure> {
    let access = scratch.join("access.toml");
    std::fs::write(&access, format!("[tenant.busy.quota]\npoints_per_second = {QUOTA_POINTS_PER_S:.0}\n"))?;
    let settings = [("FHIRPOOL_ACCESS_FILE".to_owned(), access.display().to_string())];
    let server = Server::start_for(&programs.join("fhirpool"), &scratch.join("data"), &["quiet", "busy", "free"], &settings)?;
    let tenant = |name: &str| Ok::<_, Failure>(Tenant { base: format!("{}/tenant/{name}", server.address), token: server.token_of(name)? });
    let (quiet, busy, free) = (tenant("quiet")?, tenant("busy")?, tenant("free")?);
    for tenant in [&quiet, &busy, &free] {
        drive(tenant, 1, f64::INFINITY, 200, &AtomicBool::new(false))?;
    }
    let mut report = Report::default();
    let alone = quiet_beside(&quiet, |_| Ok(0))?;
    told(&mut report, "alone", &alone.0, "");
    let quota = quiet_beside(&quiet, |end| Ok(drive(&busy, BUSY_CONNECTIONS, BUSY_RATE, usize::MAX, end)?.refused))?;
    told(&mut report, "beside one that sends ten times its quota", &quota.0, "");
    report.line("requests of the neighbour that were refused", quota.1 as f64, "", "");
    report.line("p99 beside it, of p99 alone", quota.0.quantile(0.99) / alone.0.quantile(0.99), "times", "<= 2");
    let unlimited = quiet_beside(&quiet, |end| Ok(drive(&free, BUSY_CONNECTIONS, f64::INFINITY, usize::MAX, end)?.refused))?;
    told(&mut report, "beside one without a quota, at full blast", &unlimited.0, "");
    let bundles = quiet_beside(&quiet, |end| bundles(&free, end))?;
    told(&mut report, &format!("beside transactions of {ENTRIES} entries"), &bundles.0, "");
    report.line("transactions meanwhile", bundles.1 as f64, "", "");
    Ok(report)
}

fn told(report: &mut Report, beside: &str, driven: &Driven, aim: &str) {
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        report.line(&format!("quiet tenant {beside}, {name}"), driven.quantile(part), "ms", aim);
    }
}

/// Measures the quiet tenant while something else goes on until it is told to end.
fn quiet_beside<T: Send>(quiet: &Tenant, other: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send) -> Result<(Driven, T), Failure> {
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| other(&end).map_err(|cause| cause.to_string()));
        let requests = (QUIET_RATE * SECONDS as f64) as usize;
        let driven = drive(quiet, QUIET_CONNECTIONS, QUIET_RATE, requests, &AtomicBool::new(false));
        end.store(true, Ordering::Relaxed);
        let other = other.join().map_err(|_| "the neighbour's thread ended early")??;
        Ok((driven?, other))
    })
}

/// Sends so many requests at a rate over some connections, or until it is told to end.
fn drive(tenant: &Tenant, connections: usize, rate: f64, requests: usize, end: &AtomicBool) -> Result<Driven, Failure> {
    let started = Instant::now();
    let each = |connection: usize| -> Result<Driven, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut driven = Driven { times_ms: Vec::new(), refused: 0 };
        for number in (connection..requests).step_by(connections) {
            let due = started + Duration::from_secs_f64(number as f64 / rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if end.load(Ordering::Relaxed) {
                break;
            }
            let sent = Instant::now();
            let status = send(&agent, tenant, number).map_err(|cause| cause.to_string())?;
            match status {
                429 => driven.refused += 1,
                200..300 => driven.times_ms.push(sent.elapsed().as_secs_f64() * 1000.0),
                status => return Err(format!("request {number}: status {status}")),
            }
        }
        Ok(driven)
    };
    let all: Vec<Result<Driven, String>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..connections).map(|connection| scope.spawn(move || each(connection))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("a connection's thread ended early".to_owned()))).collect()
    });
    let mut sum = Driven { times_ms: Vec::new(), refused: 0 };
    for driven in all {
        let driven = driven?;
        sum.times_ms.extend(driven.times_ms);
        sum.refused += driven.refused;
    }
    sum.times_ms.sort_by(f64::total_cmp);
    Ok(sum)
}

/// A put, a search or a read, in turns; gives the status.
fn send(agent: &ureq::Agent, tenant: &Tenant, number: usize) -> Result<u16, Failure> {
    let bearer = format!("Bearer {}", tenant.token);
    let id = format!("o{}", number / 3 % 50);
    let mut response = match number % 3 {
        0 => agent
            .put(format!("{}/Observation/{id}", tenant.base))
            .header("authorization", bearer)
            .header("content-type", "application/fhir+json")
            .send(observation(Some(&id)))?,
        1 => agent
            .get(format!("{}/Observation?code=http://loinc.org|85354-9&_sort=-date&_count=20", tenant.base))
            .header("authorization", bearer)
            .call()?,
        // What is put first is there.
        _ => agent.get(format!("{}/Observation/o0", tenant.base)).header("authorization", bearer).call()?,
    };
    response.body_mut().read_to_vec()?;
    Ok(response.status().as_u16())
}

/// Large transactions one after another; gives how many.
fn bundles(tenant: &Tenant, end: &AtomicBool) -> Result<usize, Failure> {
    let resource = observation(None);
    let entry = format!("{{\"resource\":{resource},\"request\":{{\"method\":\"POST\",\"url\":\"Observation\"}}}}");
    let bundle = format!("{{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[{}]}}", vec![entry; ENTRIES].join(","));
    let mut sent = 0;
    while !end.load(Ordering::Relaxed) {
        let request = ureq::post(&tenant.base).header("authorization", format!("Bearer {}", tenant.token));
        let mut response = request.header("content-type", "application/fhir+json").send(&bundle)?;
        response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        sent += 1;
    }
    Ok(sent)
}
