//! `cargo xtask clients`: real clients, unmodified, against a server of its own. See `tests/clients/README.md`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::cache::{cargo_program, folder, run};
use crate::test::Server;

/// A client: its name, the folder of its language and its script.
struct Client {
    name: &'static str,
    language: Language,
    script: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    JavaScript,
    Python,
    Java,
}

const CLIENTS: &[Client] = &[
    Client { name: "fhir-kit-client", language: Language::JavaScript, script: "fhir-kit-client.mjs" },
    Client { name: "@medplum/core", language: Language::JavaScript, script: "medplum.mjs" },
    Client { name: "fhirclient (js)", language: Language::JavaScript, script: "fhirclient.mjs" },
    Client { name: "fhirpy", language: Language::Python, script: "fhirpy_client.py" },
    Client { name: "fhirclient (py)", language: Language::Python, script: "smart_client.py" },
    Client { name: "fhir.resources", language: Language::Python, script: "fhir_resources.py" },
    Client { name: "smart-fetch", language: Language::Python, script: "smart_fetch.py" },
    Client { name: "HAPI", language: Language::Java, script: "HapiClient.java" },
];

impl Client {
    /// A tenant id of its own: what one client leaves behind is not in another's way.
    fn tenant(&self) -> String {
        self.script.chars().filter(char::is_ascii_alphanumeric).collect()
    }
}

/// What a script printed.
struct Score {
    passed: usize,
    failures: Vec<String>,
}

pub(crate) fn run_all(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let chosen: Vec<&Client> = match arguments {
        [] => CLIENTS.iter().collect(),
        names => CLIENTS.iter().filter(|client| names.iter().any(|name| client.script.starts_with(name.as_str()))).collect(),
    };
    if chosen.is_empty() {
        let scripts: Vec<&str> = CLIENTS.iter().map(|client| client.script).collect();
        return Err(format!("clients: found {}; allowed: the beginning of {}", arguments.join(" "), scripts.join(", ")).into());
    }
    run(Command::new(cargo_program()).args(["build", "--bin", "fhirpool"]).current_dir(root))?;
    let cache = folder()?.join("clients");
    for language in [Language::JavaScript, Language::Python, Language::Java] {
        if chosen.iter().any(|client| client.language == language) {
            install(language, &root.join("tests/clients"), &cache)?;
        }
    }
    let data = folder()?.join(format!("clients-{}", std::process::id()));
    let tenants: Vec<String> = chosen.iter().map(|client| client.tenant()).collect();
    let server = Server::start(&data, &tenants.iter().map(String::as_str).collect::<Vec<_>>())?;
    let scores = chosen.iter().map(|client| try_client(client, &cache, &server, &data)).collect::<Result<Vec<Score>, Failure>>();
    drop(server);
    std::fs::remove_dir_all(&data)?;
    report(&chosen, &scores?)
}

/// Installs the clients of a language into the cache, if they are not there at these versions, and puts the scripts beside
/// them: modules are looked up from where a script lies.
fn install(language: Language, sources: &Path, cache: &Path) -> Result<(), Failure> {
    let name = match language {
        Language::JavaScript => "javascript",
        Language::Python => "python",
        Language::Java => "java",
    };
    let (source, target) = (sources.join(name), cache.join(name));
    std::fs::create_dir_all(&target)?;
    let (manifest, installed) = match language {
        Language::JavaScript => ("package.json", "node_modules"),
        Language::Python => ("requirements.txt", "environment"),
        Language::Java => ("pom.xml", "jars"),
    };
    let is_installed = target.join(installed).is_dir() && std::fs::read(source.join(manifest))? == read_or_nothing(&target.join(manifest));
    if !is_installed {
        eprintln!("installing the clients in {name} into {}", target.display());
        std::fs::remove_dir_all(target.join(installed)).or_else(ignore_absent)?;
        // The manifest is copied last: what was interrupted counts as not installed.
        std::fs::remove_file(target.join(manifest)).or_else(ignore_absent)?;
        download(language, &source.join(manifest), &target)?;
        std::fs::copy(source.join(manifest), target.join(manifest))?;
    }
    for entry in std::fs::read_dir(&source)? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::copy(&path, target.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn download(language: Language, manifest: &Path, target: &Path) -> Result<(), Failure> {
    match language {
        Language::JavaScript => {
            std::fs::copy(manifest, target.join("package.json"))?;
            let arguments = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--legacy-peer-deps", "--omit=optional"];
            let result = run(Command::new("npm").args(arguments).current_dir(target));
            if result.is_err() {
                std::fs::remove_file(target.join("package.json"))?;
            }
            result
        }
        Language::Python => {
            let environment = target.join("environment");
            run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
            run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(manifest))
        }
        Language::Java => {
            let output = format!("-DoutputDirectory={}", target.join("jars").display());
            run(Command::new("mvn").args(["-q", "-B", "-f"]).arg(manifest).args(["dependency:copy-dependencies", &output]))
        }
    }
}

fn read_or_nothing(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

fn ignore_absent(cause: std::io::Error) -> std::io::Result<()> {
    if cause.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(cause) }
}

fn try_client(client: &Client, cache: &Path, server: &Server, data: &Path) -> Result<Score, Failure> {
    let tenant = client.tenant();
    eprintln!("trying {}", client.name);
    let (mut command, folder) = command(client.language, cache);
    let output = command
        .arg(client.script)
        .current_dir(folder)
        .env("FHIR_BASE", format!("{}/tenant/{tenant}", server.address))
        .env("FHIR_TOKEN", server.token(data, &tenant)?)
        .output()
        .map_err(|cause| format!("{command:?}: {cause}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = text.lines().filter(|line| line.starts_with("ok ")).count();
    let mut failures: Vec<String> = text.lines().filter_map(|line| line.strip_prefix("failed ")).map(str::to_owned).collect();
    if failures.is_empty() && (!output.status.success() || passed == 0) {
        let errors = String::from_utf8_lossy(&output.stderr);
        failures.push(format!("the script ended early ({}): {}", output.status, errors.lines().last().unwrap_or_default()));
    }
    Ok(Score { passed, failures })
}

/// What runs a script of this language, and where.
fn command(language: Language, cache: &Path) -> (Command, PathBuf) {
    match language {
        Language::JavaScript => (Command::new("node"), cache.join("javascript")),
        Language::Python => (Command::new(cache.join("python/environment/bin/python")), cache.join("python")),
        Language::Java => {
            let mut command = Command::new("java");
            command.args(["-cp", "jars/*"]);
            (command, cache.join("java"))
        }
    }
}

fn report(clients: &[&Client], scores: &[Score]) -> Result<(), Failure> {
    println!("{:<20} {:>6} {:>6}", "client", "passed", "failed");
    for (client, score) in clients.iter().zip(scores) {
        println!("{:<20} {:>6} {:>6}", client.name, score.passed, score.failures.len());
        for failure in &score.failures {
            println!("    {failure}");
        }
    }
    let failed: usize = scores.iter().map(|score| score.failures.len()).sum();
    if failed == 0 { Ok(()) } else { Err(format!("clients: {failed} failed").into()) }
}
