//! Where processes started by tests keep their files: one folder per owner, swept once the owner is gone.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// `target/debug`, `target/release` or `target/dist`: the folder that holds our own binaries.
pub fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this program is known");
    let dir = exe.parent().expect("a program lies in a folder");
    // Test executables lie one level deeper.
    if dir.ends_with("deps") { dir.parent().expect("deps has a parent").to_owned() } else { dir.to_owned() }
}

/// Cargo's target folder.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("the profile folder has a parent").to_owned()
}

/// Are we root? PostgreSQL refuses to be, so its files must then be within reach of another user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn base() -> PathBuf {
    let target = target_dir();
    let open_to_all = |dir: &Path| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    if is_root() && !target.ancestors().all(open_to_all) {
        return std::env::temp_dir().join("calendly-pipeline-run");
    }
    target.join("run")
}

fn create(dir: &Path) {
    fs::create_dir_all(dir).unwrap_or_else(|error| panic!("cannot create {}: {error}", dir.display()));
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("permissions of our own folder can be set");
}

/// An exclusive lock on the file `path`, held until the returned file is dropped.
pub fn lock(path: &Path) -> File {
    let file = File::create(path).unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
    file.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", path.display()));
    file
}

struct RunDir {
    path: PathBuf,
    _lock: File,
}

static RUN_DIR: LazyLock<RunDir> = LazyLock::new(|| {
    let base = base();
    create(&base);
    let _creating = lock(&base.join("lock"));
    sweep(&base);
    let path = base.join(format!("{}-{:08x}", std::process::id(), rand::random::<u32>()));
    create(&path);
    let lock = lock(&path.join("lock"));
    RunDir { path, _lock: lock }
});

/// Removes the folders of owners that are no more: a dead process holds no lock.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let lock = entry.path().join("lock");
        if File::open(&lock).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The folder of this process. It stays when the process ends (logs of a failed test), and the next run removes it.
pub fn run_dir() -> &'static Path {
    &RUN_DIR.path
}

/// Removes the folder of this process, for programs that end well.
pub fn remove() {
    let _ = fs::remove_dir_all(run_dir());
}

/// Folder for everything that parallel runs share, such as the port counter.
pub fn shared_dir() -> &'static Path {
    run_dir().parent().expect("the run folder has a parent")
}

/// A new, empty folder in [`run_dir`].
pub fn fresh(name: &str) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let path = run_dir().join(format!("{name}-{}", COUNTER.fetch_add(1, Ordering::Relaxed)));
    create(&path);
    path
}
