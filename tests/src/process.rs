//! Child processes that never outlive the process that started them, not even after its `kill -9`.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(10);

/// The signals that tests send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ask to drain and exit.
    Term,
    /// The same, as by Ctrl-C (PostgreSQL: fast shutdown).
    Int,
    /// PostgreSQL: immediate shutdown.
    Quit,
    /// Read the configuration again.
    Hup,
    /// Die at once.
    Kill,
    /// Freeze.
    Stop,
    /// Thaw.
    Cont,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Term => "TERM",
            Signal::Int => "INT",
            Signal::Quit => "QUIT",
            Signal::Hup => "HUP",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Cont => "CONT",
        }
    }
}

/// For programs such as the demo: a panic prints its message alone, which the harness words for people.
pub fn plain_panics() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("{}", info.payload_as_str().unwrap_or("failed"));
    }));
}

/// Sends `signal` to a process that we started. True when the process was there to receive it.
pub fn send(pid: u32, signal: Signal) -> bool {
    // The shell's own `kill`: slim images lack the program, and calling libc would need unsafe code.
    let script = format!("kill -{} {pid}", signal.name());
    let status = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Reads process ids from its standard input; when that closes, because the owner died, it signals them all.
const REAPER_SCRIPT: &str = r#"
trap '' INT HUP TERM
list=
while read -r op entry; do
    case $op in
        add) list="$list $entry" ;;
        del) kept=; for e in $list; do [ "$e" = "$entry" ] || kept="$kept $e"; done; list=$kept ;;
    esac
done
for e in $list; do kill "-${e%%:*}" "${e##*:}"; kill -CONT "${e##*:}"; done
"#;

static REAPER: LazyLock<Mutex<Child>> = LazyLock::new(|| {
    let reaper = Command::new("sh")
        .args(["-c", REAPER_SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Out of the terminal's group: Ctrl-C is for the owner, the reaper has to survive it.
        .process_group(0)
        .spawn()
        .expect("sh starts");
    Mutex::new(reaper)
});

fn tell_reaper(op: &str, signal: Signal, pid: u32) {
    let line = format!("{op} {}:{pid}\n", signal.name());
    let mut reaper = REAPER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    reaper.stdin.as_mut().expect("stdin is piped").write_all(line.as_bytes()).expect("the reaper listens");
}

/// Has `signal` sent to `pid` when this process dies, however it dies.
pub fn guard(pid: u32, signal: Signal) {
    tell_reaper("add", signal, pid);
}

/// A child in a process group of its own, guarded by [`guard`], killed on drop.
#[derive(Debug)]
pub struct Proc {
    child: Child,
    on_owner_death: Signal,
    status: Option<ExitStatus>,
}

impl Proc {
    /// Starts `command`.
    pub fn spawn(command: &mut Command, on_owner_death: Signal) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        guard(child.id(), on_owner_death);
        Ok(Proc { child, on_owner_death, status: None })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`, unless the process has been reaped (its id may belong to another by then).
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            send(self.pid(), signal);
        }
    }

    /// The exit status, once there is one.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("our own child can be waited for");
            if self.status.is_some() {
                tell_reaper("del", self.on_owner_death, self.pid());
            }
        }
        self.status
    }

    /// Blocks until the process has exited; `None` when it still runs after `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + deadline;
        loop {
            match self.try_wait() {
                None if Instant::now() < until => std::thread::sleep(POLL),
                status => return status,
            }
        }
    }

    /// Sends `signal`, and `KILL` when that has not ended the process within `deadline`.
    pub fn stop(&mut self, signal: Signal, deadline: Duration) -> ExitStatus {
        self.signal(signal);
        self.signal(Signal::Cont);
        if let Some(status) = self.wait(deadline) {
            return status;
        }
        self.signal(Signal::Kill);
        self.wait(Duration::from_secs(10)).expect("a killed process ends")
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            self.stop(Signal::Kill, Duration::from_secs(10));
        }
    }
}
