//! Programs under measurement.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// A server process; ended when dropped.
pub(super) struct Server {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    pub address: String,
    pub token: String,
}

/// What `fhirpool load` said.
pub(super) struct Load {
    pub resources: u64,
    pub rate: f64,
    pub failures: u64,
}

impl Server {
    /// Starts the program on a new folder; returns when it answers that it is ready.
    pub(super) fn start(program: &Path, folder: &Path) -> Result<Self, Failure> {
        Self::start_with(program, folder, &[])
    }

    /// The same with these settings in its environment.
    pub(super) fn start_with(program: &Path, folder: &Path, settings: &[(String, String)]) -> Result<Self, Failure> {
        Self::start_for(program, folder, &["demo"], settings)
    }

    /// The same for these tenants; the token is of the first.
    pub(super) fn start_for(program: &Path, folder: &Path, tenants: &[&str], settings: &[(String, String)]) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.envs(settings.iter().cloned()).arg("serve").arg("--data").arg(folder);
        command.args(["--listen", "127.0.0.1:0", "--log-filter", "warn"]);
        command.args(tenants.iter().flat_map(|tenant| ["--tenant", tenant]));
        let (child, address) = spawn(&mut command)?;
        let until = Instant::now() + Duration::from_secs(30);
        while ureq::get(format!("{address}/health/ready")).call().is_err() {
            if Instant::now() > until {
                return Err("the server did not become ready".into());
            }
        }
        let mut server = Self { child, program: program.to_owned(), folder: folder.to_owned(), address, token: String::new() };
        server.token = server.token_of(tenants.first().copied().unwrap_or("demo"))?;
        Ok(server)
    }

    /// A token of a tenant.
    pub(super) fn token_of(&self, tenant: &str) -> Result<String, Failure> {
        let mut command = Command::new(&self.program);
        let output = command.arg("token").arg("--data").arg(&self.folder).args(["--tenant", tenant, "--ttl", "12h"]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The tenant's base URL.
    pub(super) fn base(&self) -> String {
        format!("{}/tenant/demo", self.address)
    }

    pub(super) fn load(&self, data: &Path, scratch: &Path) -> Result<Load, Failure> {
        let output = Command::new(&self.program)
            .args(["load", "--base", &self.base(), "--workers", "4", "--state"])
            .arg(scratch.join("load.state"))
            .arg(data)
            .env("FHIRPOOL_TOKEN", &self.token)
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let line = text.lines().find(|line| line.contains("resources in")).ok_or_else(|| format!("load said: {text}"))?;
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.trim_end_matches(['/', 's', ',']).parse::<f64>().ok());
        let (Some(resources), Some(rate), Some(failures)) = (number(0), number(5), number(6)) else {
            return Err(format!("load said: {line}").into());
        };
        Ok(Load { resources: resources as u64, rate, failures: failures as u64 })
    }

    pub(super) fn get(&self, path: &str) -> Result<serde_json::Value, Failure> {
        let mut response = ureq::get(format!("{}/{path}", self.base())).header("authorization", format!("Bearer {}", self.token)).call()?;
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string()?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Seconds from the first byte sent to the last one received.
    pub(super) fn post_big_transaction(&self, data: &Path) -> Result<f64, Failure> {
        let folder = data.join("big-transaction");
        let file = std::fs::read_dir(folder)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|end| end == "gz"));
        let mut body = Vec::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(file.ok_or("big-transaction holds no file")?)?).read_to_end(&mut body)?;
        self.make_referenced(std::str::from_utf8(&body)?)?;
        let started = Instant::now();
        let mut response = ureq::post(self.base())
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/fhir+json")
            .header("prefer", "return=minimal")
            .send(&body[..])?;
        response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Makes the resources that the conditional references of a Bundle mean, where they are not there: three of those in
    /// `big-transaction` stand in no file of `synthea`, and a reference that matches nothing fails a transaction (R4
    /// http.html#trules).
    fn make_referenced(&self, bundle: &str) -> Result<(), Failure> {
        let references = bundle.split("\"reference\": \"").skip(1).filter_map(|rest| rest.split('"').next());
        let sought: std::collections::BTreeSet<&str> = references.filter(|reference| reference.contains("?identifier=")).collect();
        for reference in sought {
            let (name, query) = reference.split_once('?').unwrap_or((reference, ""));
            let (system, value) = query.trim_start_matches("identifier=").split_once('|').ok_or("a reference by something else")?;
            let stub = serde_json::json!({ "resourceType": name, "identifier": [{ "system": system, "value": value }] });
            ureq::post(format!("{}/{name}", self.base()))
                .header("authorization", format!("Bearer {}", self.token))
                .header("content-type", "application/fhir+json")
                .header("if-none-exist", query)
                .send(stub.to_string())?;
        }
        Ok(())
    }

    pub(super) fn memory_peak_bytes(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
    }

    /// Bytes of all files of the folder, as the file system counts them.
    pub(super) fn disk_bytes(&self) -> Result<f64, Failure> {
        let output = Command::new("du").args(["--summarize", "--block-size=1"]).arg(&self.folder).output()?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.split_whitespace().next().ok_or("du said nothing")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program of the test kit; ended when dropped.
pub(super) struct Example {
    child: Child,
    pub address: String,
}

impl Example {
    pub(super) fn start(program: &Path, bytes: usize) -> Result<Self, Failure> {
        Self::start_with(program, &[bytes.to_string()])
    }

    pub(super) fn start_with(program: &Path, arguments: &[String]) -> Result<Self, Failure> {
        let (child, address) = spawn(Command::new(program).args(arguments))?;
        Ok(Self { child, address })
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a program and waits for the line that says where it listens.
fn spawn(command: &mut Command) -> Result<(Child, String), Failure> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("the program has no output")?;
    let mut lines = BufReader::new(output).lines();
    let found = lines.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
    let Some(address) = found else {
        child.wait()?;
        return Err("the program ended before it listened".into());
    };
    // The rest is read on, so that the program never waits for a full pipe.
    std::thread::spawn(move || lines.count());
    Ok((child, address))
}
