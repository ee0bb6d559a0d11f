//! Fetches things from Maven Central: it verifies checksums, and its mirrors are everywhere.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Proc, Signal};

/// What is fetched takes seconds to minutes; a registry that hangs should not hang us.
const DEADLINE: Duration = Duration::from_mins(10);
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
/// Later versions insist on reading parents that some artifacts do not publish.
const GET: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get";

/// Copies all that a project needs at run time to `output`.
pub(crate) fn copy_dependencies(dir: &Path, pom: &Path, output: &Path) {
    let output = format!("-DoutputDirectory={}", output.display());
    let pom = pom.display().to_string();
    run(dir, &["--strict-checksums", "--file", &pom, COPY_DEPENDENCIES, "-DincludeScope=runtime", &output]);
}

/// Fetches one file, `group:artifact:version:type:classifier`.
pub(crate) fn get(dir: &Path, artifact: &str, output: &Path) {
    let (artifact, output) = (format!("-Dartifact={artifact}"), format!("-Ddest={}", output.display()));
    run(dir, &["--strict-checksums", GET, &artifact, "-Dtransitive=false", &output]);
}

/// In `dir`, which also gets the log.
fn run(dir: &Path, args: &[&str]) {
    let log = dir.join("maven.log");
    let output = File::create(&log).expect("the target folder is writable");
    let mut command = Command::new("mvn");
    command
        .args(["--batch-mode", "--quiet"])
        .args(args)
        .current_dir(dir)
        .stdout(output.try_clone().expect("a file handle can be cloned"))
        .stderr(output);
    let mut maven = Proc::spawn(&mut command, Signal::Kill)
        .unwrap_or_else(|error| panic!("cannot run Maven (mvn): {error}; scripts/setup.sh installs it"));
    let fetched = maven.wait(DEADLINE).is_some_and(|status| status.success());
    let log = fs::read_to_string(log).unwrap_or_default();
    assert!(fetched, "Maven could not fetch what was asked (deadline {DEADLINE:?}):\n{}", tail(&log));
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
