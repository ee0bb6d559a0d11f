//! Runs our binaries as a user would, and watches them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::metrics::Metrics;
use crate::ports::free_port;
use crate::process::{self, Proc, Signal};
use crate::rundir;
use crate::sandbox::Env;
use crate::wait::eventually;

/// Connections are given up before ingest does so with those that were opened in vain (10 s): what is sent into a
/// connection that is just being closed has no answer.
const IDLE: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CALCTL_DEADLINE: Duration = Duration::from_mins(1);

/// Our programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The webhook server.
    Ingest,
    /// The booking engine.
    Processor,
    /// The retry tiers.
    Retrier,
    /// The operator's command.
    Calctl,
}

impl Binary {
    /// Name of the file.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Ingest => "ingest",
            Binary::Processor => "processor",
            Binary::Retrier => "retrier",
            Binary::Calctl => "calctl",
        }
    }

    /// Where cargo puts it.
    pub fn path(self) -> PathBuf {
        rundir::profile_dir().join(self.name())
    }

    /// The program with exactly the environment `env`: nothing of the developer's shell decides a test.
    fn command(self, prelude: &str, env: &Env) -> Command {
        let path = self.path();
        assert!(path.exists(), "{} is missing; run: cargo build --workspace --bins", path.display());
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{prelude}; exec \"$0\" \"$@\"")).arg(path);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(env);
        command
    }
}

/// A running service. Dropped, it is killed; if the test is failing, the end of its log is printed.
#[derive(Debug)]
pub struct Service {
    binary: Binary,
    admin: String,
    log: PathBuf,
    process: Mutex<Proc>,
    client: reqwest::Client,
}

impl Service {
    /// Starts `binary`; `ADMIN_ADDR` is a free port unless `env` has one.
    pub fn spawn(binary: Binary, env: &Env) -> Self {
        Self::spawn_after("true", binary, env)
    }

    /// The same, after shell commands that change what the process may do, such as `ulimit`.
    pub fn spawn_after(prelude: &str, binary: Binary, env: &Env) -> Self {
        let mut env = env.clone();
        let admin = env.entry("ADMIN_ADDR".to_owned()).or_insert_with(|| format!("127.0.0.1:{}", free_port())).clone();
        let log = rundir::fresh(binary.name()).join("stderr.log");
        let stderr = File::create(&log).expect("the run folder is writable");
        let mut command = binary.command(prelude, &env);
        command.stdout(Stdio::null()).stderr(stderr);
        let process = Proc::spawn(&mut command, Signal::Kill).expect("our own binary can be run");
        Service { binary, admin, log, process: Mutex::new(process), client: http_client() }
    }

    /// Waits until `/readyz` says so.
    ///
    /// # Panics
    /// When `deadline` passes or the service exits first, with the end of its log.
    pub async fn wait_ready(&self, deadline: Duration) {
        let what = format!("{} to be ready", self.binary.name());
        eventually(deadline, what, async || {
            let exited = self.exited();
            assert!(exited.is_none(), "{} exited instead of becoming ready: {}", self.binary.name(), self.stderr());
            (self.ready().await?.0 == 200).then_some(())
        })
        .await;
    }

    /// Status and body of `/readyz`; `None` when nobody answers.
    pub async fn ready(&self) -> Option<(u16, serde_json::Value)> {
        let (status, body) = self.admin("/readyz").await?;
        Some((status, serde_json::from_str(&body).expect("readiness is JSON")))
    }

    /// Status and body of a page of the admin server; `None` when nobody answers.
    pub async fn admin(&self, path: &str) -> Option<(u16, String)> {
        let response = self.client.get(format!("http://{}{path}", self.admin)).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// The exit code of the program's own `--healthcheck`.
    pub async fn healthcheck(&self) -> Option<i32> {
        let env = Env::from([("ADMIN_ADDR".to_owned(), self.admin.clone())]);
        let mut command = self.binary.command("true", &env);
        command.arg("--healthcheck").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let checked = tokio::task::spawn_blocking(move || command.status()).await;
        checked.expect("the check ends").expect("our own binary can be run").code()
    }

    /// The metrics now.
    pub async fn metrics(&self) -> Metrics {
        let page = self.admin("/metrics").await;
        let (_, text) = page.unwrap_or_else(|| panic!("{} serves no metrics", self.binary.name()));
        Metrics::parse(&text)
    }

    /// Where `/readyz` and `/metrics` are.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The file that the service logs to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.lock().pid()
    }

    /// Asks the service to drain and exit.
    pub fn sigterm(&self) {
        self.lock().signal(Signal::Term);
    }

    /// Kills the service and waits until it is gone.
    pub fn sigkill(&self) {
        self.lock().stop(Signal::Kill, REQUEST_TIMEOUT);
    }

    /// Freezes the service: it holds its connections and does nothing.
    pub fn freeze(&self) {
        self.lock().signal(Signal::Stop);
    }

    /// Ends [`Service::freeze`].
    pub fn thaw(&self) {
        self.lock().signal(Signal::Cont);
    }

    /// Waits for the service to exit of its own accord.
    ///
    /// # Panics
    /// When it has not within `deadline`.
    pub async fn wait_exit(&self, deadline: Duration) -> ExitStatus {
        eventually(deadline, format!("{} to exit", self.binary.name()), async || self.exited()).await
    }

    /// The exit status, once there is one.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.lock().try_wait()
    }

    /// Everything that the service has logged.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Proc> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.stderr();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- end of the log of {} ({}):\n{}", self.binary.name(), self.log.display(), tail.join("\n"));
        }
    }
}

/// Runs calctl to its end.
///
/// # Panics
/// When it takes longer than a minute.
pub async fn run_calctl(args: &[&str], env: &Env) -> Output {
    let mut command = Binary::Calctl.command("true", env);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("our own binary can be run");
    let pid = child.id();
    let mut finished = tokio::task::spawn_blocking(move || child.wait_with_output());
    let Ok(output) = tokio::time::timeout(CALCTL_DEADLINE, &mut finished).await else {
        process::send(pid, Signal::Kill);
        let output = finished.await.expect("the reader of calctl's output lives").expect("output can be read");
        panic!("calctl {args:?} did not end: {}", String::from_utf8_lossy(&output.stderr));
    };
    output.expect("the reader of calctl's output lives").expect("output can be read")
}

/// A client of this test alone: connections of a shared one would die with the runtime of the test that opened them.
pub fn http_client() -> reqwest::Client {
    // Fails when the provider is installed already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).pool_idle_timeout(IDLE);
    client.build().expect("a plain client can be built")
}
