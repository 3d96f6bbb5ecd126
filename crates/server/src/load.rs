//! `fhirpool load`: sends Bundles and NDJSON files to a FHIR server over HTTP, with several requests at once.
//!
//! Files whose names hold `hospitalInformation` or `practitionerInformation` go first, one after the other: the rest refers
//! to them. What was answered is written to a state file, so that an interrupted load goes on where it stopped.
//! A transaction whose answer was not seen is sent again; with `--keep-ids` that makes no second copy.

mod client;
mod files;
mod request;
mod state;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use self::client::Client;
use self::files::{File, Reader};
use self::state::State;

/// What to load, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadArguments {
    /// The tenant's base URL, such as http://127.0.0.1:8080/tenant/demo
    #[arg(long)]
    base: String,
    /// Bearer token
    #[arg(long, env = "FHIRPOOL_TOKEN", hide_env_values = true)]
    token: String,
    /// Requests at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=256))]
    workers: u64,
    /// Creates under the id that a resource brings along: POST entries become PUT, so that loading twice makes no copies
    #[arg(long)]
    keep_ids: bool,
    /// Where progress is kept until all is loaded
    #[arg(long, default_value = "fhirpool-load.state")]
    state: PathBuf,
    /// Files (.json, .ndjson, both also .gz) and folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Why a load could not run at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A path is not there or cannot be read.
    #[error("{path}: {cause}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// No file to load was found.
    #[error("paths: found no .json or .ndjson file (plain or .gz); allowed: files and folders that hold some")]
    Nothing,
    /// The base is no URL.
    #[error("base: found {0}; allowed: an http or https URL such as http://127.0.0.1:8080/tenant/demo")]
    Base(String),
    /// The token cannot stand in a header.
    #[error("token: found characters that no token has; allowed: a bearer token")]
    Token,
}

/// What a load did.
#[derive(Debug, Default)]
pub struct Summary {
    /// Resources the server accepted.
    pub resources: u64,
    /// Requests that were refused, and entries refused within a batch: where, and the server's words.
    pub failures: Vec<String>,
    /// Failures beyond those listed.
    pub failures_unlisted: u64,
}

/// Failures listed one by one; more are only counted.
const FAILURES_LISTED_MAX: usize = 100;

struct Loading<'a> {
    client: &'a Client,
    state: &'a State,
    keep_ids: bool,
    progress: &'a ProgressBar,
    started: Instant,
    resources: AtomicU64,
    failures: Mutex<(Vec<String>, u64)>,
}

/// Loads everything; failures of single files are in the summary.
pub async fn load(arguments: &LoadArguments) -> Result<Summary, LoadError> {
    let files = files::find(&arguments.paths)?;
    let client = Client::new(&arguments.base, &arguments.token)?;
    let state = State::open(&arguments.state, &arguments.base).map_err(|cause| LoadError::Path { path: arguments.state.clone(), cause })?;
    let progress = ProgressBar::new(files.iter().map(|file| file.bytes).sum());
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg} ETA {eta}");
    progress.set_style(style.expect("the template is valid"));
    let loading = Loading {
        client: &client,
        state: &state,
        keep_ids: arguments.keep_ids,
        progress: &progress,
        started: Instant::now(),
        resources: AtomicU64::new(0),
        failures: Mutex::default(),
    };
    let (first, rest): (VecDeque<File>, VecDeque<File>) = files.into_iter().partition(|file| file.goes_first);
    loading.run(first, 1).await;
    loading.run(rest, arguments.workers).await;
    progress.finish_and_clear();
    let resources = loading.resources.into_inner();
    let (failures, failures_unlisted) = loading.failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if failures.is_empty() {
        state.remove();
    }
    let seconds = loading.started.elapsed().as_secs_f64();
    println!(
        "{resources} resources in {seconds:.1} s: {:.0}/s, {} failures",
        resources as f64 / seconds.max(1e-3),
        failures.len() as u64 + failures_unlisted
    );
    Ok(Summary { resources, failures, failures_unlisted })
}

impl Loading<'_> {
    async fn run(&self, files: VecDeque<File>, workers: u64) {
        let queue = Mutex::new(files);
        let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
        let work = async || {
            while let Some(file) = next() {
                self.file(&file).await;
                self.progress.inc(file.bytes);
            }
        };
        futures_util::future::join_all((0..workers).map(|_| work())).await;
    }

    async fn file(&self, file: &File) {
        let mut reader = match Reader::open(file, self.keep_ids) {
            Ok(reader) => reader,
            Err(cause) => return self.failed(format!("{}: {cause}", file.path.display())),
        };
        loop {
            // Decompressing and rewriting is short beside the server's work on it.
            let request = match reader.next() {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(cause) => return self.failed(format!("{}: {cause}", file.path.display())),
            };
            let name = format!("{}#{}", file.path.display(), request.part);
            if self.state.is_done(&name, file.bytes) {
                continue;
            }
            match self.client.send(&request).await {
                Ok(answer) => {
                    self.count(answer.accepted);
                    if answer.refused.is_empty() {
                        self.state.done(&name, file.bytes);
                    }
                    for refusal in answer.refused {
                        self.failed(format!("{name}: {refusal}"));
                    }
                }
                Err(cause) => self.failed(format!("{name}: {cause}")),
            }
        }
    }

    fn count(&self, accepted: u64) {
        let resources = self.resources.fetch_add(accepted, Ordering::Relaxed) + accepted;
        let rate = resources as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        self.progress.set_message(format!("{resources} resources, {rate:.0}/s"));
    }

    fn failed(&self, failure: String) {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failures.0.len() < FAILURES_LISTED_MAX {
            failures.0.push(failure);
        } else {
            failures.1 += 1;
        }
    }
}
