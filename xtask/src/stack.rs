//! `cargo xtask stack up|down|status`: the AWS side on one machine, without containers.
//!
//! DynamoDB Local, OpenSearch, MiniStack (KMS, SQS, Cognito, STS, versioned S3) and an S3 server that checks signatures run as
//! processes of their own on free loopback ports and outlive this program. Several stacks exist side by side, each under the name
//! of an instance; what they store is lost when they go down. `run` starts one for the time of a command.

mod http;
mod install;
mod instance;
mod part;
mod process;
pub(crate) mod s3_server;

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use crate::{Failure, cache};
use install::Programs;
use instance::{Instance, State};
use part::Part;

const USAGE: &str = "usage: cargo xtask stack up | down | status [--instance NAME]
       cargo xtask stack run COMMAND…";
const DEFAULT_INSTANCE: &str = "default";

/// What every part accepts as credentials; the S3 server refuses all others.
pub(crate) const ACCESS_KEY: &str = "test";
/// The secret to [`ACCESS_KEY`].
pub(crate) const SECRET_KEY: &str = "fhirpoollocalsecret";
/// The region that every part answers for.
pub(crate) const REGION: &str = "us-east-1";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (command, name) = match arguments[..] {
        ["run", program, ref rest @ ..] => return run_with(program, rest),
        [command] => (command, DEFAULT_INSTANCE),
        [command, "--instance", name] => (command, name),
        _ => return Err(USAGE.into()),
    };
    match command {
        "up" => {
            for (variable, value) in Stack::up(name)?.env() {
                println!("export {variable}={value}");
            }
            Ok(())
        }
        "down" => down(name),
        "status" => status(name),
        "guard" => guard(name),
        _ => Err(USAGE.into()),
    }
}

/// Runs a program with the settings of a stack of its own.
fn run_with(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let stack = Starting::new(&format!("run-{}", std::process::id()))?;
    stack.run(|settings| cache::run(Command::new(program).args(arguments).envs(settings.iter().cloned())))
}

/// A stack whose parts all answered.
#[derive(Debug)]
pub(crate) struct Stack {
    name: String,
    state: State,
}

impl Stack {
    /// Installs what is not there, starts what does not run, and waits until every part answers.
    pub(crate) fn up(name: &str) -> Result<Self, Failure> {
        let instance = Instance::lock(name)?;
        let mut state = instance.state()?;
        if !Part::ALL.iter().all(|part| state.get(*part).is_some_and(|entry| part.answers(entry))) {
            let programs = Programs::install()?;
            for part in Part::ALL {
                part.ensure_started(&instance, &programs, &mut state)?;
            }
            for part in Part::ALL {
                part.wait_until_ready(&instance, &programs, &mut state)?;
            }
        }
        state.ensure_key()?;
        instance.save(&state)?;
        Ok(Self { name: name.to_owned(), state })
    }

    /// The settings with which the server and the tests use this stack.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let address = |part| self.state.get(part).map(instance::Entry::address).unwrap_or_default();
        let ministack = address(Part::MiniStack);
        [
            ("FHIRPOOL_DYNAMODB_ENDPOINT", address(Part::DynamoDb)),
            ("FHIRPOOL_OPENSEARCH_URL", address(Part::OpenSearch)),
            ("FHIRPOOL_S3_ENDPOINT", address(Part::S3)),
            ("FHIRPOOL_MINISTACK_S3_ENDPOINT", ministack.clone()),
            ("FHIRPOOL_KMS_ENDPOINT", ministack.clone()),
            ("FHIRPOOL_SQS_ENDPOINT", ministack.clone()),
            ("FHIRPOOL_COGNITO_ENDPOINT", ministack),
            ("FHIRPOOL_KMS_KEY", self.state.kms_key.clone().unwrap_or_default()),
            ("FHIRPOOL_LOCAL_ISSUER", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Ends every part and deletes what the stack stored. Tells of a part that had ended before, with the tail of its log.
    pub(crate) fn down(self) -> Result<(), Failure> {
        for part in Part::ALL {
            if let Some(entry) = self.state.get(part).filter(|entry| !entry.process.is_running()) {
                eprintln!("stack {}: {} had ended\n{}", self.name, part.name(), process::tail(&entry.log));
            }
        }
        down(&self.name)
    }
}

/// A stack for this program alone, being started while it does something else. It goes down when this program ends, however it
/// ends: a process of its own waits for that.
#[derive(Debug)]
pub(crate) struct Starting {
    name: String,
    guard: Child,
    starting: JoinHandle<Result<Stack, String>>,
}

impl Starting {
    pub(crate) fn new(name: &str) -> Result<Self, Failure> {
        let mut guard = Command::new(std::env::current_exe()?);
        guard.args(["stack", "guard", "--instance", name]).stdin(Stdio::piped());
        let guard = process::detach(&mut guard).spawn()?;
        let owned = name.to_owned();
        let starting = std::thread::spawn(move || Stack::up(&owned).map_err(|failure| failure.to_string()));
        Ok(Self { name: name.to_owned(), guard, starting })
    }

    /// Runs `work` once the stack is ready, with its settings, and ends the stack whatever came of it.
    pub(crate) fn run(mut self, work: impl FnOnce(&[(String, String)]) -> Result<(), Failure>) -> Result<(), Failure> {
        let started = self.starting.join().unwrap_or_else(|_| Err("the start of the stack panicked".to_owned()));
        let result = match started {
            Ok(stack) => {
                let result = work(&stack.env());
                stack.down().and(result)
            }
            Err(failure) => down(&self.name).and(Err(failure.into())),
        };
        // Its input closes, it finds nothing left to end, and ends itself.
        drop(self.guard.stdin.take());
        self.guard.wait()?;
        result
    }
}

/// Waits until the program that holds the other end of the standard input is gone, then ends the stack that it had started.
fn guard(name: &str) -> Result<(), Failure> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    down(name)
}

fn down(name: &str) -> Result<(), Failure> {
    let Some(instance) = Instance::lock_existing(name)? else { return Ok(()) };
    let state = instance.state()?;
    for entry in state.parts.values() {
        entry.process.ask_to_end();
    }
    for entry in state.parts.values() {
        entry.process.end()?;
    }
    instance.remove()
}

fn status(name: &str) -> Result<(), Failure> {
    let state = Instance::peek(name)?;
    for part in Part::ALL {
        let Some(entry) = state.get(part) else {
            println!("{:<10} down", part.name());
            continue;
        };
        let condition = match (entry.process.is_running(), part.answers(entry)) {
            (false, _) => "ended",
            (true, false) => "does not answer",
            (true, true) => "up",
        };
        let (address, process, log) = (entry.address(), entry.process.id, entry.log.display());
        let memory = entry.process.memory_mib().unwrap_or_default();
        println!("{:<10} {condition:<15} {address:<23} pid {process:<8} {memory:>5} MiB  {log}", part.name());
    }
    Ok(())
}
