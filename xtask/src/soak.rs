//! `cargo xtask soak`: the long campaigns whose short forms run with every test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cache::cargo_program;
use crate::{Failure, stack};

/// A test, how its long form is asked for, and how often it is run.
struct Campaign {
    package: &'static str,
    test: &'static str,
    environment: &'static [(&'static str, &'static str)],
    runs: u32,
}

const CAMPAIGNS: &[Campaign] = &[
    Campaign { package: "fhirpool-tests", test: "crash::", environment: &[("FHIRPOOL_CRASH_ROUNDS", "60")], runs: 1 },
    Campaign { package: "fhirpool-tests", test: "fuzz::", environment: &[("FHIRPOOL_FUZZ_REQUESTS", "100000")], runs: 1 },
    Campaign { package: "fhirpool-embedded", test: "model::", environment: &[], runs: 40 },
    Campaign { package: "fhirpool-embedded", test: "concurrency::", environment: &[], runs: 20 },
];

/// Those of the profile aws, which need the local stack.
const CAMPAIGNS_AWS: &[Campaign] = &[
    Campaign { package: "fhirpool-dynamodb", test: "coordinators::", environment: &[("FHIRPOOL_FAULTS", "1000")], runs: 1 },
    Campaign {
        package: "fhirpool-tests",
        test: "indexing::",
        environment: &[("FHIRPOOL_INDEXING_ROUNDS", "1000"), ("FHIRPOOL_INDEXING_SECONDS", "120")],
        runs: 1,
    },
    Campaign { package: "fhirpool-tests", test: "nodes::", environment: &[("FHIRPOOL_QUOTA_SECONDS", "60")], runs: 1 },
    Campaign { package: "fhirpool-tests", test: "services::turmoil::", environment: &[("FHIRPOOL_TURMOIL_SECONDS", "120")], runs: 1 },
    Campaign { package: "fhirpool-tests", test: "services::faults::", environment: &[("FHIRPOOL_FAULT_ROUNDS", "300")], runs: 1 },
    Campaign {
        package: "fhirpool-tests",
        test: "differential::",
        environment: &[("FHIRPOOL_DIFFERENTIAL_FILES", "1000"), ("FHIRPOOL_DIFFERENTIAL_QUERIES", "700")],
        runs: 1,
    },
    Campaign { package: "fhirpool-tests", test: "services::costs::", environment: &[("FHIRPOOL_COSTS_FILES", "1000")], runs: 1 },
];

/// Runs them; `--record` writes what they printed to `docs/evidence/`.
pub(crate) fn run_all(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (is_aws, record) = match arguments[..] {
        [] => (false, false),
        ["--record"] => (false, true),
        ["--profile", "aws"] => (true, false),
        ["--profile", "aws", "--record"] => (true, true),
        _ => return Err("usage: cargo xtask soak [--profile aws] [--record]".into()),
    };
    let programs = TestPrograms::build(root)?;
    if is_aws {
        let stack = stack::Starting::new(&format!("soak-{}", std::process::id()))?;
        return stack.run(|settings| run_campaigns(root, &programs, CAMPAIGNS_AWS, settings, record.then_some("soak-aws.md")));
    }
    run_campaigns(root, &programs, CAMPAIGNS, &[], record.then_some("soak-embedded.md"))
}

/// The test programs of the workspace.
struct TestPrograms(Vec<TestProgram>);

struct TestProgram {
    package: String,
    /// Where tests of the package are run.
    folder: PathBuf,
    program: PathBuf,
}

impl TestPrograms {
    /// Builds all of the workspace, as `cargo xtask test` does; the program `fhirpool` is built with them.
    fn build(root: &Path) -> Result<Self, Failure> {
        let mut cargo = Command::new(cargo_program());
        cargo.args(["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]).current_dir(root);
        let output = cargo.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{cargo:?}: {}", output.status).into());
        }
        let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>().collect::<Result<Vec<_>, _>>()?;
        Ok(Self(messages.iter().filter_map(TestProgram::of).collect()))
    }
}

impl TestProgram {
    /// Of one of cargo's messages, where it tells of a test program.
    fn of(message: &Value) -> Option<Self> {
        let program = PathBuf::from(message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?);
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
        let package =
            message["package_id"].as_str()?.rsplit(['/', '#']).find(|part| !part.starts_with(|first: char| first.is_ascii_digit()))?;
        Some(Self { package: package.split('@').next()?.to_owned(), folder, program })
    }
}

fn run_campaigns(
    root: &Path,
    programs: &TestPrograms,
    campaigns: &[Campaign],
    settings_of_stack: &[(String, String)],
    file: Option<&str>,
) -> Result<(), Failure> {
    let mut document = String::from("# Long campaigns\n\nWhat `cargo xtask soak --record` printed");
    document.push_str(&format!(
        " on {} at commit {}.\n",
        words(root, "date", &["-u", "+%Y-%m-%d %H:%M UTC"])?,
        words(root, "git", &["rev-parse", "--short", "HEAD"])?
    ));
    for campaign in campaigns {
        document.push_str(&format!(
            "\n## {} in {}\n\n{}\n\n```\n",
            campaign.test.trim_end_matches(':'),
            campaign.package,
            settings(campaign)
        ));
        for _ in 0..campaign.runs {
            document.push_str(&run_campaign(programs, campaign, settings_of_stack)?);
        }
        document.push_str("```\n");
    }
    match file {
        Some(file) => crate::record_evidence(root, file, &document),
        None => Ok(()),
    }
}

fn settings(campaign: &Campaign) -> String {
    let settings = campaign.environment.iter().map(|(name, value)| format!("`{name}={value}` "));
    format!("{}run {} times", settings.collect::<String>(), campaign.runs)
}

/// Runs one and gives the lines in which it says what it did.
fn run_campaign(programs: &TestPrograms, campaign: &Campaign, settings_of_stack: &[(String, String)]) -> Result<String, Failure> {
    let mut told = String::new();
    for TestProgram { folder, program, .. } in programs.0.iter().filter(|program| program.package == campaign.package) {
        let mut command = Command::new(program);
        command.args(["--nocapture", campaign.test]).current_dir(folder).env("CARGO_MANIFEST_DIR", folder);
        let output = command.envs(settings_of_stack.iter().cloned()).envs(campaign.environment.iter().copied()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        println!("{text}");
        if !output.status.success() {
            return Err(format!("{} in {}: {}", campaign.test, campaign.package, output.status).into());
        }
        told.extend(text.lines().filter(|line| tells(line)).map(|line| format!("{line}\n")));
    }
    if !told.contains("test result:") {
        return Err(format!("{} in {}: there is no such test", campaign.test, campaign.package).into());
    }
    Ok(told)
}

/// Whether a line says what a campaign did.
fn tells(line: &str) -> bool {
    let ran = line.starts_with("test result:") && !line.contains(" 0 passed");
    ran || line.starts_with('|')
        || TELLING.iter().any(|beginning| line.starts_with(beginning))
        || line.contains("FHIRPOOL_SEED=")
        || line.contains(" faults in ")
        || line.contains(" in all; ")
}

/// How such lines begin.
const TELLING: &[&str] = &["crash:", "fuzz:", "indexing:", "faults:", "turmoil:", "differential:", "quota:"];

fn words(root: &Path, program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).current_dir(root).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
