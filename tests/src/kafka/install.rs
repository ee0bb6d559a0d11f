//! Fetches Apache Kafka from Maven Central, once per clone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Proc, Signal};
use crate::rundir;

const POM: &str = include_str!("../../kafka/pom.xml");
/// Its 45 MB take seconds; a registry that hangs should not hang us.
const FETCH_DEADLINE: Duration = Duration::from_mins(10);
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

fn version() -> &'static str {
    let rest = POM.split_once("<kafka.version>").expect("the pom names the version").1;
    rest.split_once('<').expect("the version ends").0
}

/// The installation: a folder of jars.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    dir: PathBuf,
}

impl Installation {
    /// Finds the jars in the target folder, or has Maven fetch them; parallel processes wait for the first one.
    pub(super) fn get() -> Self {
        let parent = rundir::target_dir().join("kafka");
        let dir = parent.join(version());
        fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("cannot create {}: {error}", parent.display()));
        let _fetching = rundir::lock(&parent.join("lock"));
        if !dir.join("libs").exists() {
            fetch(&dir);
        }
        Installation { dir }
    }

    /// All jars, in a fixed order: the class archive is valid for one exact class path only.
    pub(super) fn class_path(&self) -> String {
        let entries = fs::read_dir(self.dir.join("libs")).expect("the jars can be listed");
        let mut jars: Vec<_> = entries.flatten().map(|entry| entry.path().display().to_string()).collect();
        jars.sort();
        jars.join(":")
    }

    /// A memory image of the classes that a broker loads, left by a former broker; halves the time to start.
    pub(super) fn class_archive(&self) -> PathBuf {
        self.dir.join("classes.jsa")
    }
}

fn fetch(dir: &Path) {
    eprintln!("Fetching Apache Kafka {} from Maven Central (about 45 MB, once) …", version());
    fs::create_dir_all(dir).expect("the target folder is writable");
    let pom = dir.join("pom.xml");
    fs::write(&pom, POM).expect("the target folder is writable");
    let partial = dir.join("libs.partial");
    let _ = fs::remove_dir_all(&partial);
    let log = dir.join("maven.log");
    let output = File::create(&log).expect("the target folder is writable");
    let mut command = Command::new("mvn");
    command
        .args(["--batch-mode", "--quiet", "--strict-checksums", "--file"])
        .arg(&pom)
        .args([COPY_DEPENDENCIES, "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .stdout(output.try_clone().expect("a file handle can be cloned"))
        .stderr(output);
    let mut maven = Proc::spawn(&mut command, Signal::Kill)
        .unwrap_or_else(|error| panic!("cannot run Maven (mvn): {error}; scripts/setup.sh installs it"));
    let fetched = maven.wait(FETCH_DEADLINE).is_some_and(|status| status.success());
    let log = fs::read_to_string(log).unwrap_or_default();
    assert!(fetched, "Maven could not fetch Apache Kafka (deadline {FETCH_DEADLINE:?}):\n{}", tail(&log));
    fs::rename(&partial, dir.join("libs")).expect("the target folder is writable");
}

/// The last lines of a log, for an error message.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
