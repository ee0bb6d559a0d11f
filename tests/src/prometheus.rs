//! Prometheus and its tools, for tests of what lies in `ops/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::ports::free_port;
use crate::process::{Proc, Signal};
use crate::rundir;
use crate::service::http_client;
use crate::wait::eventually;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A file or folder in `ops/`.
pub fn ops(path: &str) -> PathBuf {
    Path::new(ROOT).join("ops").join(path)
}

/// A program of Prometheus (`promtool`, `amtool` …), fetched if need be.
///
/// # Panics
/// When `scripts/prometheus.sh` cannot get it, with what it says.
pub fn tool(name: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let script = Path::new(ROOT).join("scripts/prometheus.sh");
        let output = Command::new(&script).env("CARGO_TARGET_DIR", rundir::target_dir()).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
        assert!(output.status.success(), "no Prometheus:\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a path is text").trim_end().into()
    });
    Command::new(folder.join(name))
}

/// A running Prometheus. Dropped, it is gone.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    client: reqwest::Client,
    _process: Proc,
}

impl Prometheus {
    /// Prometheus with this configuration; returns once it answers.
    ///
    /// # Panics
    /// When it does not; the message says where its log is.
    pub async fn start(config: &str) -> Self {
        let dir = rundir::fresh("prometheus");
        let (file, log) = (dir.join("prometheus.yml"), dir.join("prometheus.log"));
        fs::write(&file, config).expect("the run folder is writable");
        let url = format!("http://127.0.0.1:{}", free_port());
        let mut command = tool("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={}", url.trim_start_matches("http://")))
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the run folder is writable"));
        let process = Proc::spawn(&mut command, Signal::Kill).expect("the found binary can be run");
        let prometheus = Self { url, client: http_client(), _process: process };
        eventually(START_DEADLINE, format!("Prometheus; see {}", log.display()), async || {
            let answer = prometheus.client.get(format!("{}/-/ready", prometheus.url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        prometheus
    }

    /// `data` of a page of Prometheus' API, such as `rules`; the error is Prometheus' own.
    pub async fn api(&self, page: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.client.get(format!("{}/api/v1/{page}", self.url)).query(query);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(answer["error"].to_string()) }
    }

    /// The samples that an expression has now.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut data = self.api("query", &[("query", expression)]).await?;
        match data["result"].take() {
            Value::Array(samples) => Ok(samples),
            other => Err(format!("no vector: {other}")),
        }
    }
}
