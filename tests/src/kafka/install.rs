//! Fetches Apache Kafka from Maven Central, once per clone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::maven;
use crate::rundir;

const BROKER: &str = include_str!("../../kafka/pom.xml");
const TOOLS: &str = include_str!("../../kafka/tools.xml");

fn version(pom: &str) -> &str {
    let rest = pom.split_once("<kafka.version>").expect("the pom names the version").1;
    rest.split_once('<').expect("the version ends").0
}

/// The installation: a folder of jars.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    dir: PathBuf,
}

impl Installation {
    /// The broker: finds the jars in the target folder, or has Maven fetch them; parallel processes wait for the first.
    pub(super) fn broker() -> Self {
        Self::get(BROKER, version(BROKER).to_owned(), "Apache Kafka", 45)
    }

    /// The command-line tools, and the foreign deserializer.
    pub(super) fn tools() -> Self {
        Self::get(TOOLS, format!("tools-{}", version(TOOLS)), "Apache Kafka's tools", 50)
    }

    fn get(pom: &str, name: String, what: &str, megabytes: u32) -> Self {
        let parent = rundir::target_dir().join("kafka");
        let dir = parent.join(name);
        fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("cannot create {}: {error}", parent.display()));
        let _fetching = rundir::lock(&parent.join("lock"));
        if !dir.join("libs").exists() {
            eprintln!("Fetching {what} {} from Maven Central (about {megabytes} MB, once) …", version(pom));
            fetch(&dir, pom);
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

fn fetch(dir: &Path, pom: &str) {
    fs::create_dir_all(dir).expect("the target folder is writable");
    let file = dir.join("pom.xml");
    fs::write(&file, pom).expect("the target folder is writable");
    let partial = dir.join("libs.partial");
    let _ = fs::remove_dir_all(&partial);
    maven::copy_dependencies(dir, &file, &partial);
    fs::rename(&partial, dir.join("libs")).expect("the target folder is writable");
}
