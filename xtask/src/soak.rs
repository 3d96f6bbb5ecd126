//! `cargo xtask soak`: the long campaigns whose short forms run with every test.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::cache::{cargo_program, run};

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

/// Runs them; `--record` writes what they printed to `docs/evidence/`.
pub(crate) fn run_all(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let record = match arguments {
        [] => false,
        [flag] if flag == "--record" => true,
        _ => return Err("usage: cargo xtask soak [--record]".into()),
    };
    run(Command::new(cargo_program()).args(["build", "--bin", "fhirpool"]).current_dir(root))?;
    let mut document = String::from("# Long campaigns\n\nWhat `cargo xtask soak --record` printed");
    document.push_str(&format!(
        " on {} at commit {}.\n",
        words(root, "date", &["-u", "+%Y-%m-%d %H:%M UTC"])?,
        words(root, "git", &["rev-parse", "--short", "HEAD"])?
    ));
    for campaign in CAMPAIGNS {
        document.push_str(&format!(
            "\n## {} in {}\n\n{}\n\n```\n",
            campaign.test.trim_end_matches(':'),
            campaign.package,
            settings(campaign)
        ));
        for _ in 0..campaign.runs {
            document.push_str(&run_campaign(root, campaign)?);
        }
        document.push_str("```\n");
    }
    if record {
        crate::record_evidence(root, "soak-embedded.md", &document)?;
    }
    Ok(())
}

fn settings(campaign: &Campaign) -> String {
    let settings = campaign.environment.iter().map(|(name, value)| format!("`{name}={value}` "));
    format!("{}run {} times", settings.collect::<String>(), campaign.runs)
}

/// Runs one and gives the lines in which it says what it did.
fn run_campaign(root: &Path, campaign: &Campaign) -> Result<String, Failure> {
    let mut command = Command::new(cargo_program());
    command.args(["test", "--package", campaign.package, "--tests", campaign.test, "--", "--nocapture"]).current_dir(root);
    let output = command.envs(campaign.environment.iter().copied()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    if !output.status.success() {
        return Err(format!("{} in {}: {}", campaign.test, campaign.package, output.status).into());
    }
    let said = |line: &&str| {
        let ran = line.starts_with("test result:") && !line.contains(" 0 passed");
        ran || line.starts_with("crash:") || line.starts_with("fuzz:") || line.contains("FHIRPOOL_SEED=")
    };
    Ok(text.lines().filter(said).map(|line| format!("{line}\n")).collect())
}

fn words(root: &Path, program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).current_dir(root).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
