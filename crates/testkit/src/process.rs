//! A server in a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::{Client, Deployment};

/// A running `fhirpool serve`; killed when it is dropped.
pub struct ServerProcess {
    child: Child,
    /// `http://127.0.0.1:port`
    pub root: String,
}

/// The program under test, built beside the tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.ancestors().find(|folder| folder.join("fhirpool").is_file());
    folder.expect("the program fhirpool is not built: run `cargo build --bin fhirpool` with the same profile first").join("fhirpool")
}

impl ServerProcess {
    /// Starts the program on a folder and waits until it says where it listens.
    pub fn start(data: &Path, tenants: &[&str]) -> Self {
        Self::start_with(data, tenants, &[])
    }

    /// The same, with further arguments.
    pub fn start_with(data: &Path, tenants: &[&str], arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.arg("serve").arg("--data").arg(data).args(arguments);
        Self::spawn(command, tenants)
    }

    /// A node of the profile aws on a deployment that others may share, with further arguments.
    pub fn start_node(deployment: &Deployment, tenants: &[&str], arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.arg("serve").arg("--config").arg(deployment.file()).args(arguments);
        Self::spawn(command, tenants)
    }

    /// Of a command that pipes its error output, which is given too; without a filter of its own.
    pub fn logged(command: Command, tenants: &[&str]) -> (Self, ChildStderr) {
        let mut process = Self::run(command, tenants);
        let log = process.child.stderr.take().expect("the error output is piped");
        (process, log)
    }

    fn spawn(mut command: Command, tenants: &[&str]) -> Self {
        command.args(["--log-filter", "warn"]);
        Self::run(command, tenants)
    }

    fn run(mut command: Command, tenants: &[&str]) -> Self {
        command.args(["--listen", "127.0.0.1:0"]);
        for tenant in tenants {
            command.args(["--tenant", tenant]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let root = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned))
            .expect("the server ended before it listened");
        // The rest is read on, so that the server never waits for a full pipe.
        std::thread::spawn(move || lines.count());
        Self { child, root }
    }

    /// Ends it with SIGKILL, at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it SIGTERM, which asks it to end.
    pub fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success(), "the process could not be told to end");
    }

    /// Waits until it has ended by itself; gives whether it says that all went well.
    pub fn wait(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// A client of a tenant, its token made from the folder's own key.
    pub fn client(&self, data: &Path, tenant: &str) -> Client {
        Client::new(format!("{}/tenant/{tenant}", self.root), Some(token(data, tenant)))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `fhirpool token`.
pub fn token(data: &Path, tenant: &str) -> String {
    let output = Command::new(program()).arg("token").arg("--data").arg(data).args(["--tenant", tenant]).output().unwrap();
    assert!(output.status.success(), "fhirpool token: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
