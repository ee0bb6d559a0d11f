//! Kafka's own command-line tools.

use std::process::{Command, Output, Stdio};

use super::install::Installation;

/// Runs a tool, told by its class, to its end. Blocks.
///
/// # Panics
/// When Java or the tool are missing.
pub fn run_tool(class: &str, args: &[String]) -> Output {
    let mut command = Command::new("java");
    command
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error")
        .args(["-cp", &Installation::tools().class_path(), class])
        .args(args)
        .stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("cannot run Java (java): {error}; scripts/setup.sh installs it"))
}
