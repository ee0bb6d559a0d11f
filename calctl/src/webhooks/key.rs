//! Where the signing key of a new subscription comes from. Calendly never tells it again, so it has to be safe before
//! the subscription is made.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use runtime::env::Env;
use secrecy::{ExposeSecret as _, SecretString};

/// As long as the digest that it keys.
const BYTES: usize = 32;

/// What was said about the key.
pub(super) enum KeySource {
    /// It is in `CALENDLY_SIGNING_KEYS`.
    Given(SecretString),
    /// It is in this file, or shall be.
    File(PathBuf),
    /// Nothing.
    Nowhere,
}

/// A key to sign with.
pub(super) struct Key {
    secret: SecretString,
    /// Whether nobody else has it.
    is_new: bool,
    file: Option<PathBuf>,
}

impl KeySource {
    /// A file that is named on the command line comes before the environment.
    pub(super) fn new(env: &Env, file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(file) = file {
            return Ok(Self::File(file.to_owned()));
        }
        let given = env.secrets("CALENDLY_SIGNING_KEYS")?.into_iter().next();
        Ok(given.map_or(Self::Nowhere, Self::Given))
    }

    /// The key, made and written if need be.
    pub(super) fn take(self) -> anyhow::Result<Key> {
        Ok(match self {
            Self::Given(secret) => Key { secret, is_new: false, file: None },
            Self::Nowhere => Key { secret: random()?, is_new: true, file: None },
            Self::File(path) => match read(&path)? {
                Some(secret) => Key { secret, is_new: false, file: Some(path) },
                None => Key { secret: write(&path)?, is_new: true, file: Some(path) },
            },
        })
    }
}

impl Key {
    pub(super) fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// What to print, once: a key that is written nowhere else.
    pub(super) fn to_print(&self) -> Option<String> {
        (self.is_new && self.file.is_none()).then(|| self.secret.expose_secret().to_owned())
    }

    pub(super) fn file(&self) -> Option<String> {
        self.file.as_ref().map(|path| path.display().to_string())
    }
}

fn random() -> anyhow::Result<SecretString> {
    let mut bytes = [0; BYTES];
    OsRng.try_fill_bytes(&mut bytes).context("the system has no random bytes")?;
    Ok(hex::encode(bytes).into())
}

fn read(path: &Path) -> anyhow::Result<Option<SecretString>> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => bail!("{} is empty; delete it, or write the key into it", path.display()),
        // As ingest reads `CALENDLY_SIGNING_KEYS_FILE`: the first of the keys signs.
        Ok(text) => Ok(Some(text.split(',').next().unwrap_or_default().trim().into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(path: &Path) -> anyhow::Result<SecretString> {
    let secret = random()?;
    let written = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", secret.expose_secret())?;
        file.sync_all()
    };
    written().with_context(|| format!("cannot write the signing key to {}", path.display()))?;
    Ok(secret)
}
