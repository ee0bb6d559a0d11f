//! A real schema registry: Apicurio, with Confluent's API, which keeps everything in memory.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::maven;
use crate::ports::free_port;
use crate::process::{Proc, Signal};
use crate::rundir;

/// The last one that runs on Java 17, which is what Kafka needs as well.
const VERSION: &str = "3.0.9";
const START_DEADLINE: Duration = Duration::from_mins(4);
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// One registry. Stopped, it forgets everything.
#[derive(Debug)]
pub struct Registry {
    dir: PathBuf,
    port: u16,
    process: Mutex<Option<Proc>>,
}

impl Registry {
    /// Starts one; returns once it answers. Blocks.
    ///
    /// # Panics
    /// When it does not come up; the message says why.
    pub fn start() -> Self {
        let registry = Self { dir: rundir::fresh("registry"), port: free_port(), process: Mutex::new(None) };
        registry.restart();
        registry
    }

    /// The value for `SCHEMA_REGISTRY_URL`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Starts it, empty, on the same port.
    pub fn restart(&self) {
        self.stop();
        let log = File::options().create(true).append(true).open(self.log()).expect("the run folder is writable");
        let mut command = Command::new("java");
        command
            .args(["-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager")
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={}", self.port))
            .arg(format!("-Dquarkus.management.port={}", free_port()))
            .arg("-jar")
            .arg(installation().join(format!("apicurio-registry-app-{VERSION}-runner.jar")))
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log);
        let mut process = Proc::spawn(&mut command, Signal::Kill)
            .unwrap_or_else(|error| panic!("cannot run Java (java): {error}; scripts/setup.sh installs it"));
        self.wait_until_ready(&mut process);
        *self.lock() = Some(process);
    }

    /// Stops it.
    pub fn stop(&self) {
        if let Some(mut process) = self.lock().take() {
            process.stop(Signal::Term, STOP_DEADLINE);
        }
    }

    fn wait_until_ready(&self, process: &mut Proc) {
        let until = Instant::now() + START_DEADLINE;
        while TcpStream::connect(self.addr()).is_err() {
            if process.try_wait().is_some() || Instant::now() > until {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                panic!("the schema registry did not start; end of its log:\n{}", maven::tail(&log));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.join("registry.log")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Proc>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One for all tests of a process; it ends with that. Blocks.
pub fn shared() -> &'static Registry {
    static SHARED: OnceLock<Registry> = OnceLock::new();
    SHARED.get_or_init(Registry::start)
}

/// The unpacked archive, fetched from Maven Central if it is not there yet.
fn installation() -> PathBuf {
    let parent = rundir::target_dir().join("registry");
    let dir = parent.join(VERSION);
    fs::create_dir_all(&parent).unwrap_or_else(|error| panic!("cannot create {}: {error}", parent.display()));
    let _fetching = rundir::lock(&parent.join("lock"));
    if !dir.exists() {
        eprintln!("Fetching Apicurio Registry {VERSION} from Maven Central (about 110 MB, once) …");
        let archive = parent.join("registry.tar.gz");
        maven::get(&parent, &format!("io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"), &archive);
        unpack(&archive, &parent.join("partial"));
        fs::rename(parent.join("partial"), &dir).expect("the target folder is writable");
        let _ = fs::remove_file(archive);
    }
    dir
}

fn unpack(archive: &Path, dir: &Path) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).expect("the target folder is writable");
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(dir).status();
    assert!(unpacked.is_ok_and(|status| status.success()), "{} cannot be unpacked", archive.display());
}
