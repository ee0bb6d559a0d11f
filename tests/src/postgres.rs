//! A private PostgreSQL cluster.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::ports::free_port;
use crate::process::{Proc, Signal};
use crate::rundir::is_root;
use crate::tls::Identity;

const START_DEADLINE: Duration = Duration::from_mins(1);
const STOP_DEADLINE: Duration = Duration::from_secs(20);
const SUPERUSER: &str = "postgres";

/// What survives a crash of the machine. A crash of PostgreSQL alone loses nothing either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every commit reaches the disk.
    Fsync,
    /// For tests: the kernel writes when it likes.
    Fast,
}

/// One cluster on a free port of 127.0.0.1, with a random password. Dropped, it is gone.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
    password: String,
    durability: Durability,
    speaks_tls: bool,
    process: Mutex<Option<Proc>>,
}

impl Postgres {
    /// Creates a cluster in `dir` and starts it; returns once it takes connections.
    ///
    /// # Panics
    /// When that fails; the message says why.
    pub fn start(dir: &Path, durability: Durability) -> Self {
        Self::start_with(dir, durability, None)
    }

    /// The same, with TLS for clients that ask for it.
    pub fn start_with(dir: &Path, durability: Durability, identity: Option<&Identity>) -> Self {
        let postgres = Postgres {
            bin: find_binaries(),
            dir: dir.to_owned(),
            port: free_port(),
            password: uuid::Uuid::new_v4().simple().to_string(),
            durability,
            speaks_tls: identity.is_some(),
            process: Mutex::new(None),
        };
        postgres.create_cluster();
        if let Some(identity) = identity {
            postgres.write_private("server.crt", &identity.certificate);
            postgres.write_private("server.key", &identity.key);
        }
        postgres.restart();
        postgres
    }

    /// Connection string of the superuser for the database `name`.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{name}", self.password, self.port)
    }

    /// Replaces what `pg_hba.conf` says about who may connect, from now on.
    pub fn admit(&self, rules: &str) {
        self.write_private("pg_hba.conf", rules);
        if let Some(process) = &*self.lock() {
            process.signal(Signal::Hup);
        }
    }

    /// Creates the database `name` and returns its connection string.
    pub async fn create_database(&self, name: &str) -> String {
        create_database(&self.url("postgres"), name).await
    }

    /// Fast shutdown: open transactions are rolled back, connections closed; the data stay for [`Postgres::restart`].
    pub fn stop(&self) {
        if let Some(mut process) = self.lock().take() {
            process.stop(Signal::Int, STOP_DEADLINE);
        }
    }

    /// Immediate shutdown, as by a crash; the next start recovers.
    pub fn kill(&self) {
        if let Some(mut process) = self.lock().take() {
            process.stop(Signal::Quit, STOP_DEADLINE);
        }
    }

    /// Starts the cluster, after shutting it down if it runs, on the same port and data.
    pub fn restart(&self) {
        self.stop();
        let log = File::options().create(true).append(true).open(self.log()).expect("the cluster's folder is writable");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"];
        let fast = ["fsync=off", "full_page_writes=off"];
        let fast = if self.durability == Durability::Fast { &fast[..] } else { &[] };
        // Certificate and key are where it looks by itself.
        let tls: &[&str] = if self.speaks_tls { &["ssl=on"] } else { &[] };
        for setting in settings.iter().chain(fast).chain(tls) {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().expect("a file handle can be cloned")).stderr(log);
        let mut process = Proc::spawn(&mut command, Signal::Quit).expect("the found binary can be run");
        self.wait_until_ready(&mut process);
        *self.lock() = Some(process);
    }

    /// The port; with 127.0.0.1 the address to put a proxy before.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The pgbench that came with this server.
    pub fn pgbench(&self) -> Command {
        Command::new(self.bin.join("pgbench"))
    }

    fn create_cluster(&self) {
        fs::create_dir_all(&self.dir).unwrap_or_else(|error| panic!("cannot create {}: {error}", self.dir.display()));
        let password_file = self.dir.join("password");
        fs::write(&password_file, &self.password).expect("the cluster's folder is writable");
        if let Some((uid, gid)) = unprivileged() {
            for path in [&self.dir, &password_file] {
                chown(path, Some(uid), Some(gid)).expect("root may give its files away");
            }
        }
        let output = self
            .command("initdb")
            .args(["--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--pwfile={}", password_file.display()))
            .arg("-D")
            .arg(self.data())
            .stdin(Stdio::null())
            .output()
            .expect("the found binary can be run");
        assert!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A file in the cluster's folder that is for the server alone: it refuses a key that others may read.
    fn write_private(&self, name: &str, content: &str) {
        let path = self.data().join(name);
        fs::write(&path, content).expect("the cluster's folder is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions of our own file can be set");
        if let Some((uid, gid)) = unprivileged() {
            chown(&path, Some(uid), Some(gid)).expect("root may give its files away");
        }
    }

    /// A program of PostgreSQL, as a user that it accepts, in a folder which that user may enter.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(&self.dir).env("LC_ALL", "C");
        if let Some((uid, gid)) = unprivileged() {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn wait_until_ready(&self, process: &mut Proc) {
        let until = Instant::now() + START_DEADLINE;
        while !self.is_ready(process.pid()) {
            if process.try_wait().is_some() || Instant::now() > until {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                panic!("PostgreSQL did not start; its log:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The server writes its state into the last line of this file; `pg_ctl --wait` reads the same. The first line
    /// tells whether it is about this server or one that was killed.
    fn is_ready(&self, pid: u32) -> bool {
        let state = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut lines = state.lines();
        lines.next() == Some(pid.to_string().as_str()) && lines.next_back().is_some_and(|line| line.trim() == "ready")
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Proc>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Creates the database `name` on the server of `superuser_url`, and returns the connection string of the new one.
pub async fn create_database(superuser_url: &str, name: &str) -> String {
    let client = connect(superuser_url).await;
    client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await.expect("the superuser may create databases");
    let (server, _) = superuser_url.rsplit_once('/').expect("a connection string ends in /database");
    format!("{server}/{name}")
}

/// A connection for looking into a database.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap_or_else(|error| panic!("no connection to the database: {error}"));
    tokio::spawn(connection);
    client
}

/// The newest server binaries: in Debian's folders, else where `pg_config` points.
fn find_binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    let from_pg_config = || {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    let found = versions.pop().map(|(_, bin)| bin).or_else(from_pg_config).filter(|bin| bin.join("initdb").exists());
    found.expect("no PostgreSQL server found; scripts/setup.sh installs it")
}

/// The user that runs PostgreSQL when we are root, which PostgreSQL refuses to be.
fn unprivileged() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users can be listed");
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let fields: Vec<_> =
            users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|user| user[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    })
}
