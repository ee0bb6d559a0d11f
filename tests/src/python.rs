//! Runs the examples for data teams, with the packages that they ask for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::maven::tail;
use crate::rundir;
use crate::sandbox::Env;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Runs a script of `examples/`. Blocks.
///
/// # Panics
/// When it fails; the message has what it said.
pub fn run_example(script: &str, args: &[&str], env: &Env) -> String {
    let mut command = Command::new(python());
    command.arg("-B").arg(examples().join(script)).args(args).envs(env);
    let output = command.output().unwrap_or_else(|error| panic!("cannot run Python: {error}"));
    assert!(output.status.success(), "{script}: {}", said(&output));
    String::from_utf8(output.stdout).expect("examples print UTF-8")
}

/// An interpreter that has the packages, which are fetched if they are not there yet.
fn python() -> PathBuf {
    let parent = rundir::target_dir().join("tools/examples");
    let (venv, had) = (parent.join("venv"), parent.join("requirements.txt"));
    let python = venv.join("bin/python");
    let wanted = fs::read_to_string(examples().join("requirements.txt")).expect("the examples say what they need");
    fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("cannot create {}: {error}", parent.display()));
    let _fetching = rundir::lock(&parent.join("lock"));
    let is_there = || run(Command::new(&python).args(["-c", "import confluent_kafka, duckdb, fastavro"])).is_ok();
    // The second question is for a target folder that is older than the system's Python.
    if fs::read_to_string(&had).is_ok_and(|had| had == wanted) && is_there() {
        return python;
    }
    eprintln!("Fetching the Python packages of the examples (about 50 MB, once) …");
    let make = |command: &mut Command| run(command).unwrap_or_else(|problem| panic!("{problem}"));
    make(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    make(Command::new(&python).args(install).arg(examples().join("requirements.txt")));
    fs::write(&had, wanted).expect("the target folder is writable");
    python
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}; scripts/setup.sh installs Python"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said(&output))) }
}

fn said(output: &Output) -> String {
    tail(&format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}
