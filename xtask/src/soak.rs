//! `cargo xtask soak`: the long campaigns whose short forms run with every test.

use std::path::Path;
use std::process::Command;

use crate::cache::{cargo_program, run};
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
const CAMPAIGNS_AWS: &[Campaign] = &[Campaign {
    package: "fhirpool-tests",
    test: "indexing::",
    environment: &[("FHIRPOOL_INDEXING_ROUNDS", "1000"), ("FHIRPOOL_INDEXING_SECONDS", "120")],
    runs: 1,
}];

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
    run(Command::new(cargo_program()).args(["build", "--bin", "fhirpool"]).current_dir(root))?;
    if is_aws {
        let stack = stack::Starting::new(&format!("soak-{}", std::process::id()))?;
        return stack.run(|settings| run_campaigns(root, CAMPAIGNS_AWS, settings, record.then_some("soak-aws.md")));
    }
    run_campaigns(root, CAMPAIGNS, &[], record.then_some("soak-embedded.md"))
}

fn run_campaigns(root: &Path, campaigns: &[Campaign], settings_of_stack: &[(String, String)], file: Option<&str>) -> Result<(), Failure> {
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
            document.push_str(&run_campaign(root, campaign, settings_of_stack)?);
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
fn run_campaign(root: &Path, campaign: &Campaign, settings_of_stack: &[(String, String)]) -> Result<String, Failure> {
    let mut command = Command::new(cargo_program());
    command.args(["test", "--package", campaign.package, "--tests", campaign.test, "--", "--nocapture"]).current_dir(root);
    let output = command.envs(settings_of_stack.iter().cloned()).envs(campaign.environment.iter().copied()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    if !output.status.success() {
        return Err(format!("{} in {}: {}", campaign.test, campaign.package, output.status).into());
    }
    let said = |line: &&str| {
        let ran = line.starts_with("test result:") && !line.contains(" 0 passed");
        ran || line.starts_with("crash:") || line.starts_with("fuzz:") || line.starts_with("indexing:") || line.contains("FHIRPOOL_SEED=")
    };
    Ok(text.lines().filter(said).map(|line| format!("{line}\n")).collect())
}

fn words(root: &Path, program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).current_dir(root).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
