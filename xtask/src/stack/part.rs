//! The parts of a stack: how each is started, and what it answers once it is ready.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::install::Programs;
use super::instance::{Entry, Instance, State};
use super::process::{Process, tail, wait_until};
use super::{ACCESS_KEY, REGION, SECRET_KEY, http};
use crate::Failure;

const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A free port may be taken by another process before the part listens on it.
const START_ATTEMPTS_MAX: usize = 3;

/// The services of MiniStack that are switched on.
const MINISTACK_SERVICES: &str = "cognito-identity,cognito-idp,iam,kms,s3,sqs,sts";

/// Tests make an index each, delete by pattern, and run on disks that are nearly full.
const OPENSEARCH_SETTINGS: &[&str] = &[
    "network.host=127.0.0.1",
    "action.destructive_requires_name=false",
    "cluster.routing.allocation.disk.threshold_enabled=false",
    "cluster.max_shards_per_node=10000",
    "search.max_buckets=100000",
];

/// One process of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    DynamoDb,
    OpenSearch,
    MiniStack,
    S3,
}

impl Part {
    /// The slowest first.
    pub(super) const ALL: [Self; 4] = [Self::OpenSearch, Self::DynamoDb, Self::MiniStack, Self::S3];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::OpenSearch => "opensearch",
            Self::MiniStack => "ministack",
            Self::S3 => "s3",
        }
    }

    /// Starts the part if it does not run, on the port it had before if that is still free.
    pub(super) fn ensure_started(self, instance: &Instance, programs: &Programs, state: &mut State) -> Result<(), Failure> {
        match state.get(self) {
            Some(entry) if entry.process.is_running() => Ok(()),
            _ => self.start(instance, programs, state),
        }
    }

    /// Waits until the part answers. One that ended before it did is started again, one that runs and never answers is ended.
    pub(super) fn wait_until_ready(self, instance: &Instance, programs: &Programs, state: &mut State) -> Result<(), Failure> {
        let mut failure = String::new();
        for attempt in 1..=START_ATTEMPTS_MAX {
            let entry = state.get(self).ok_or("the part was not started")?.clone();
            if wait_until(READY_TIMEOUT, || self.answers(&entry) || !entry.process.is_running()) && self.answers(&entry) {
                return Ok(());
            }
            let what = if entry.process.is_running() { "does not answer" } else { "ended before it was ready" };
            failure = format!("{} {what}; the end of {}:\n{}", self.name(), entry.log.display(), tail(&entry.log));
            entry.process.end()?;
            if attempt < START_ATTEMPTS_MAX {
                self.start(instance, programs, state)?;
            }
        }
        Err(failure.into())
    }

    /// Whether it runs and does its work.
    pub(super) fn answers(self, entry: &Entry) -> bool {
        let address = entry.address();
        entry.process.is_running()
            && match self {
                Self::DynamoDb => http::call(&address, "dynamodb", "DynamoDB_20120810.ListTables", &json!({})).is_ok(),
                Self::OpenSearch => http::get(&format!("{address}/_cluster/health?wait_for_status=yellow&timeout=1s"))
                    .is_some_and(|(status, body)| status == 200 && !body.contains(r#""timed_out":true"#)),
                Self::MiniStack => http::get(&format!("{address}/_ministack/ready")).is_some_and(|(status, _)| status == 200),
                // What is not signed is refused, and that is the answer.
                Self::S3 => http::get(&address).is_some_and(|(status, _)| status == 403),
            }
    }

    fn start(self, instance: &Instance, programs: &Programs, state: &mut State) -> Result<(), Failure> {
        let data = instance.path(self.name());
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        std::fs::create_dir_all(&data)?;
        let port = match state.get(self).map(|entry| entry.port) {
            Some(port) if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() => port,
            _ => free_port()?,
        };
        let mut command = match self {
            Self::DynamoDb => dynamodb(programs, port),
            Self::OpenSearch => opensearch(programs, &data, port)?,
            Self::MiniStack => ministack(programs, port),
            Self::S3 => s3(&data, port)?,
        };
        let log = instance.path(&format!("{}.log", self.name()));
        command.current_dir(&data).env("TMPDIR", &data);
        let process = Process::start(&mut command, &log)?;
        state.parts.insert(self, Entry { process, port, log });
        // Written at once: whatever happens to this program now, `down` finds the process.
        instance.save(state)
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn dynamodb(programs: &Programs, port: u16) -> Command {
    let program = &programs.dynamodb;
    let mut command = Command::new(programs.jdk.join("bin/java"));
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED"]);
    command.arg(format!("-Djava.library.path={}", program.libraries().display())).arg("-cp").arg(program.class_path());
    command.args(["LoopbackDynamoDb", "-inMemory", "-sharedDb", "-disableTelemetry", "-port", &port.to_string()]);
    command
}

fn opensearch(programs: &Programs, data: &Path, port: u16) -> Result<Command, Failure> {
    let mut command = Command::new(programs.jdk.join("bin/java"));
    command.args(["-Xms1g", "-Xmx1g", "--enable-native-access=ALL-UNNAMED"]);
    command.arg("-cp").arg(programs.opensearch.class_path()).arg("LoopbackOpenSearch").arg(data).args(OPENSEARCH_SETTINGS);
    command.arg(format!("http.port={port}")).arg(format!("transport.port={}", free_port()?)).arg(format!("cluster.name=fhirpool-{port}"));
    Ok(command)
}

fn ministack(programs: &Programs, port: u16) -> Command {
    let mut command = Command::new(programs.ministack.join("bin/python"));
    command.args(["-m", "ministack"]).env("BIND_HOST", "127.0.0.1").env("MINISTACK_HOST", "127.0.0.1");
    command.env("GATEWAY_PORT", port.to_string()).env("MINISTACK_REGION", REGION).env("SERVICES", MINISTACK_SERVICES);
    // It checks what presigned URLs are signed with.
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command
}

fn s3(data: &Path, port: u16) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("s3-server").arg("--folder").arg(data).args(["--listen", &format!("127.0.0.1:{port}")]);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    Ok(command)
}
