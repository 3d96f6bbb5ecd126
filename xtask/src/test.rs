//! `cargo xtask test`: installs and starts what the tests need, runs everything, stops it.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::cache::{cargo_program, cargo_tool, folder, npm_tool, run};
use crate::{Failure, definitions, stack, tidy};

const CARGO_DENY_VERSION: &str = "0.20.2";
const NEWMAN_VERSION: &str = "6.2.1";

/// Tests of whole servers of the profile aws, by parts of their names: each starts tables, an index and several nodes.
const OF_WHOLE_AWS: &[&str] =
    &["aws::", "tests::conformance::", "composed::", "coordinators::", "differential::", "indexing::", "nodes::", "services::"];

pub(crate) fn run_all(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => {
            lint(root)?;
            with_stack(root, |settings| {
                configurations(root, settings)?;
                postman(root)?;
                tests(root, settings, &[])
            })
        }
        [only] if only == "--aws" => with_stack(root, |settings| tests(root, settings, OF_WHOLE_AWS)),
        [only] if only == "--lint" => lint(root),
        [only] if only == "--postman" => cargo(root, &["build", "--bin", "fhirpool"]).and_then(|()| postman(root)),
        _ => Err("usage: cargo xtask test [--aws | --lint | --postman]".into()),
    }
}

/// Builds all tests while a stack starts, and does something with its settings.
fn with_stack(root: &Path, work: impl FnOnce(&[(String, String)]) -> Result<(), Failure>) -> Result<(), Failure> {
    let stack = stack::Starting::new(&format!("test-{}", std::process::id()))?;
    // The program is built with them, for the tests that start it.
    let built = cargo(root, &["test", "--workspace", "--no-run"]);
    stack.run(|settings| {
        built?;
        work(settings)
    })
}

fn tests(root: &Path, settings: &[(String, String)], filters: &[&str]) -> Result<(), Failure> {
    let mut tests = Command::new(cargo_program());
    run(tests.args(["test", "--workspace", "--no-fail-fast", "--"]).args(filters).envs(settings.iter().cloned()).current_dir(root))
}

fn lint(root: &Path) -> Result<(), Failure> {
    cargo(root, &["fmt", "--all", "--check"])?;
    tidy::run(root)?;
    definitions::run(root, &["--check".to_owned()])?;
    cargo(root, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    infrastructure(root)?;
    let deny = cargo_tool("cargo-deny", CARGO_DENY_VERSION)?;
    run(Command::new(deny).args(["--log-level", "error", "check", "licenses", "bans", "sources"]).current_dir(root))
}

/// What describes other machines, as far as it can be checked on this one.
fn infrastructure(root: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(root.join("infra/iam"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path)?).map_err(|cause| format!("{}: {cause}", path.display()))?;
        }
    }
    let mut compose = Command::new("docker-compose");
    match compose.args(["config", "--quiet"]).current_dir(root).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{compose:?}: {status}").into()),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            println!("docker-compose.yml is not checked: docker-compose is not installed");
            Ok(())
        }
        Err(cause) => Err(format!("{compose:?}: {cause}").into()),
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<(), Failure> {
    run(Command::new(cargo_program()).args(arguments).current_dir(root))
}

/// Lets the server read each of `infra/config/`; the local one is complete with the settings of the stack.
fn configurations(root: &Path, settings: &[(String, String)]) -> Result<(), Failure> {
    for name in ["local", "compose", "production"] {
        let file = root.join(format!("infra/config/{name}.toml"));
        let settings = settings.iter().filter(|_| name == "local").cloned();
        run(Command::new(program()?).args(["config", "--config"]).arg(file).envs(settings).stdout(Stdio::null()))?;
    }
    Ok(())
}

/// Runs the Postman collection against a server of its own.
fn postman(root: &Path) -> Result<(), Failure> {
    let newman = npm_tool("newman", NEWMAN_VERSION)?;
    let data = folder()?.join(format!("postman-{}", std::process::id()));
    let server = Server::start(&data, &["demo"])?;
    let token = server.token(&data, "demo")?;
    let result = run(Command::new(newman)
        .arg("run")
        .arg(root.join("postman/fhirpool.postman_collection.json"))
        .arg("--environment")
        .arg(root.join("postman/local.postman_environment.json"))
        .args(["--env-var", &format!("baseUrl={}", server.address), "--env-var", &format!("token={token}")])
        .args(["--reporters", "cli", "--reporter-cli-no-success-assertions", "--color", "off"]));
    drop(server);
    std::fs::remove_dir_all(&data)?;
    result
}

/// A server process on a free port; ended when dropped.
pub(crate) struct Server {
    child: Child,
    /// `http://127.0.0.1:port`
    pub(crate) address: String,
}

/// The program `fhirpool` beside this one.
fn program() -> Result<std::path::PathBuf, Failure> {
    Ok(std::env::current_exe()?.with_file_name("fhirpool"))
}

impl Server {
    pub(crate) fn start(data: &Path, tenants: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(program()?)
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--listen", "127.0.0.1:0", "--log-filter", "warn", "--tenant", &tenants.join(",")])
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let found = lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let Some(address) = found else {
            child.wait()?;
            return Err("the server ended before it listened".into());
        };
        // The rest is read on, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.count());
        Ok(Self { child, address })
    }

    pub(crate) fn token(&self, data: &Path, tenant: &str) -> Result<String, Failure> {
        let output = Command::new(program()?).arg("token").arg("--data").arg(data).args(["--tenant", tenant]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
