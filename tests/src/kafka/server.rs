//! The broker process: start, stop, kill, freeze, and the same data again after a restart.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::install::Installation;
use super::metadata::MetadataProxy;
use super::secured::{Listeners, Secured};
use crate::maven::tail;
use crate::ports::free_port;
use crate::process::{Proc, Signal};
use crate::proxy::Proxy;

/// For a machine that is busy with something else.
const START_DEADLINE: Duration = Duration::from_mins(3);
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// A small heap and only the quick compiler, for a broker that lives for minutes beside the rest of a test run.
const SMALL: [&str; 4] = ["-Xms128m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// What Kafka's own start scripts set for heap and collector, for a broker that runs for weeks.
const USUAL: [&str; 6] = [
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];
const LOGGING: [&str; 3] = [
    "-Dlog4j2.disable.jmx=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
];
const PROPERTIES: &str = include_str!("server.properties");

/// One broker with its own data. Dropped, it is gone.
#[derive(Debug)]
pub struct Kafka {
    installation: Installation,
    dir: PathBuf,
    brokers: String,
    proxied: SocketAddr,
    advertised_to_proxied: SocketAddr,
    secured: Option<Listeners>,
    lasting: bool,
    process: Mutex<Option<Proc>>,
}

impl Kafka {
    /// Formats `dir` and starts a broker on it; returns once it answers.
    ///
    /// # Panics
    /// When it does not come up; the message says why, as far as Maven, Java or the broker tell.
    pub fn start(dir: &Path) -> Self {
        Self::start_with(dir, None, false)
    }

    /// The same, with the compiler and the garbage collector of a broker that runs for weeks: it takes minutes of
    /// load to be at its best. The small collector stops everything for 40 ms, every few seconds.
    ///
    /// # Panics
    /// As `start`.
    pub fn start_lasting(dir: &Path) -> Self {
        Self::start_with(dir, None, true)
    }

    /// The same, with further listeners that want TLS, and those with a password too.
    ///
    /// # Panics
    /// As `start`.
    pub fn start_secured(dir: &Path, secured: &Secured) -> Self {
        Self::start_with(dir, Some(secured), false)
    }

    fn start_with(dir: &Path, secured: Option<&Secured>, lasting: bool) -> Self {
        let installation = Installation::broker();
        let [port, controller, proxied, advertised] = std::array::from_fn(|_| free_port());
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let listeners = secured.map(|_| Listeners::choose());
        let more = listeners.map(Listeners::as_list).unwrap_or_default();
        let properties = format!(
            "{PROPERTIES}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}{more}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{advertised}{more}\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             log.dirs={}\n{}\n",
            dir.join("data").display(),
            secured.map(|secured| secured.properties(dir)).unwrap_or_default(),
        );
        fs::create_dir_all(dir).unwrap_or_else(|error| panic!("cannot create {}: {error}", dir.display()));
        fs::write(dir.join("server.properties"), properties).expect("the broker's folder is writable");
        let kafka = Kafka {
            installation,
            dir: dir.to_owned(),
            brokers: local(port).to_string(),
            proxied: local(proxied),
            advertised_to_proxied: local(advertised),
            secured: listeners,
            lasting,
            process: Mutex::new(None),
        };
        kafka.format(secured);
        kafka.restart();
        kafka
    }

    /// The value for `KAFKA_BROKERS`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Where it speaks TLS, with a password and without.
    ///
    /// # Panics
    /// When it was not started for that.
    pub fn secured(&self) -> &Listeners {
        self.secured.as_ref().expect("the broker was started with secured listeners")
    }

    /// A proxy before the broker, to cut connections: clients that are given [`Proxy::addr`] as `KAFKA_BROKERS` are
    /// sent back to the proxy for every further connection. One per broker.
    pub async fn proxy(&self) -> Proxy {
        Proxy::start_at(self.advertised_to_proxied, self.proxied).await
    }

    /// The same with a proxy that meddles with metadata.
    pub async fn metadata_proxy(&self) -> MetadataProxy {
        MetadataProxy::start_at(self.advertised_to_proxied, self.proxied).await
    }

    /// Clean shutdown; the data stay for [`Kafka::restart`].
    pub fn stop(&self) {
        if let Some(mut process) = self.take() {
            process.stop(Signal::Term, STOP_DEADLINE);
            let archive = self.installation.class_archive();
            if self.new_archive().exists() && !archive.exists() {
                let _ = fs::rename(self.new_archive(), archive);
            }
        }
    }

    /// `kill -9`.
    pub fn kill(&self) {
        drop(self.take());
    }

    /// Starts the broker, after shutting it down if it runs, on the same ports and data.
    pub fn restart(&self) {
        self.stop();
        let log = File::options().create(true).append(true).open(self.log()).expect("the broker's folder is writable");
        let mut command = self.java();
        if !self.installation.class_archive().exists() {
            command.arg(format!("-XX:ArchiveClassesAtExit={}", self.new_archive().display()));
        }
        command.args(["-cp", &self.installation.class_path(), "kafka.Kafka"]).arg(self.dir.join("server.properties"));
        command.stdout(log.try_clone().expect("a file handle can be cloned")).stderr(log);
        let mut process = Proc::spawn(&mut command, Signal::Kill).unwrap_or_else(|error| panic!("{}", no_java(&error)));
        self.wait_until_ready(&mut process);
        *self.lock() = Some(process);
    }

    /// The broker's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.lock().as_ref().map(Proc::pid)
    }

    /// Stops the broker in its tracks: connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::Stop);
    }

    /// Ends [`Kafka::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::Cont);
    }

    fn format(&self, secured: Option<&Secured>) {
        let cluster = uuid::Uuid::new_v4().simple().to_string();
        let output = self
            .java()
            .args(["-cp", &self.installation.class_path(), "kafka.tools.StorageTool"])
            .args(["format", "--standalone", "--cluster-id", &cluster[..22], "--config"])
            .arg(self.dir.join("server.properties"))
            .args(secured.map(Secured::users).unwrap_or_default())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{}", no_java(&error)));
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Kafka's storage could not be formatted:\n{}", tail(&log));
    }

    fn java(&self) -> Command {
        let mut command = Command::new("java");
        command.args(if self.lasting { USUAL.as_slice() } else { &SMALL }).args(LOGGING);
        let archive = self.installation.class_archive();
        if archive.exists() {
            command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        command
    }

    fn wait_until_ready(&self, process: &mut Proc) {
        let until = Instant::now() + START_DEADLINE;
        while !self.answers() {
            let exited = process.try_wait();
            if exited.is_some() || Instant::now() > until {
                let reason = exited.map_or(format!("did not answer within {START_DEADLINE:?}"), |s| s.to_string());
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                panic!("Apache Kafka did not start ({reason}); end of {}:\n{}", self.log().display(), tail(&log));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A new client each time: one that was told of zero brokers once may never ask again.
    fn answers(&self) -> bool {
        let addr: SocketAddr = self.brokers.parse().expect("our own address");
        if TcpStream::connect(addr).is_err() {
            return false;
        }
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("a plain client can be built");
        client.fetch_metadata(None, Duration::from_secs(2)).is_ok_and(|metadata| !metadata.brokers().is_empty())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("kafka.log")
    }

    fn new_archive(&self) -> PathBuf {
        self.dir.join("classes.jsa")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Proc>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take(&self) -> Option<Proc> {
        self.lock().take()
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.lock() {
            process.signal(signal);
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.stop();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn no_java(error: &std::io::Error) -> String {
    format!("cannot run Java (java): {error}; scripts/setup.sh installs it")
}
