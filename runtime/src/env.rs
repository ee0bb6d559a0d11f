//! Reads the configuration from the environment. Every error names its variable and fits one line.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemas::duration::parse_duration;
use secrecy::SecretString;

/// A variable is missing or its value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    variable: String,
    problem: String,
}

impl ConfigError {
    /// `problem` says what is wrong and what to do; it must not repeat a secret.
    pub fn new(variable: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: problem.into() }
    }

    /// The variable that is wrong.
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A problem may quote what a parser said, and what is printed must stay one line.
        let problem = self.problem.replace(char::is_control, " ");
        write!(f, "{}: {problem}", self.variable)
    }
}

impl std::error::Error for ConfigError {}

/// The environment as it was when the process started.
#[derive(Clone)]
pub struct Env {
    variables: HashMap<String, OsString>,
    /// Shared by clones.
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Env {
    /// Shows no value: many of them are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

impl Env {
    /// Takes the variables of this process.
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub fn from_process() -> Self {
        // A name that is no UTF-8 is none of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self { variables: variables.collect(), asked: Arc::default() }
    }

    /// Takes the given variables, for tests.
    pub fn from_pairs<K: Into<String>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { variables: variables.collect(), asked: Arc::default() }
    }

    /// The same with another value for `name`, or none; what is in a file does not count either.
    #[must_use]
    pub fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut changed = self.clone();
        changed.variables.remove(&format!("{name}_FILE"));
        match value {
            Some(value) => changed.variables.insert(name.to_owned(), value.into()),
            None => changed.variables.remove(name),
        };
        changed
    }

    /// The names of all variables that there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// The names that were asked for so far, of this one and of what was made of it.
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The value of `name`, or what is in the file that `{name}_FILE` names. Blank counts as missing.
    pub fn optional(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let file_variable = format!("{name}_FILE");
        match (self.direct(name)?, self.direct(&file_variable)?) {
            (Some(_), Some(_)) => {
                Err(ConfigError::new(name, format!("is set, and so is {file_variable}; set one of them")))
            }
            (Some(value), None) => Ok(Some(value)),
            (None, Some(path)) => read_file(&file_variable, &path),
            (None, None) => Ok(None),
        }
    }

    /// Like [`Env::optional`], and missing is an error.
    pub fn required(&self, name: &str) -> Result<String, ConfigError> {
        let missing = || ConfigError::new(name, format!("is missing or empty; set {name} or {name}_FILE"));
        self.optional(name)?.ok_or_else(missing)
    }

    /// The parsed value of `name`, or `default` when it is missing.
    pub fn parse<T>(&self, name: &str, default: T) -> Result<T, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        Ok(self.parse_optional(name)?.unwrap_or(default))
    }

    /// The parsed value of `name`, if there is one.
    pub fn parse_optional<T>(&self, name: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(text) = self.optional(name)? else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|error: T::Err| ConfigError::new(name, error.to_string()))
    }

    /// A duration with its unit, such as `500ms`; zero is wrong.
    pub fn duration(&self, name: &str, default: Duration) -> Result<Duration, ConfigError> {
        let Some(text) = self.optional(name)? else { return Ok(default) };
        let duration = parse_duration(text.trim()).map_err(|error| ConfigError::new(name, error.to_string()))?;
        if duration.is_zero() {
            return Err(ConfigError::new(name, "must be longer than zero"));
        }
        Ok(duration)
    }

    /// A value that `Debug` redacts.
    pub fn secret(&self, name: &str) -> Result<Option<SecretString>, ConfigError> {
        Ok(self.optional(name)?.map(SecretString::from))
    }

    /// The trimmed parts of a comma-separated value; none when it is missing. A part that is empty is wrong.
    pub fn list(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let Some(text) = self.optional(name)? else { return Ok(Vec::new()) };
        let parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        if parts.iter().any(String::is_empty) {
            return Err(ConfigError::new(name, "has an empty part; remove the comma too many"));
        }
        Ok(parts)
    }

    /// Like [`Env::list`], with parts that `Debug` redacts.
    pub fn secrets(&self, name: &str) -> Result<Vec<SecretString>, ConfigError> {
        Ok(self.list(name)?.into_iter().map(SecretString::from).collect())
    }

    fn direct(&self, name: &str) -> Result<Option<String>, ConfigError> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        let Some(value) = self.variables.get(name) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| ConfigError::new(name, "is not valid UTF-8"))?;
        Ok(not_blank(text.to_owned()))
    }
}

fn read_file(variable: &str, path: &str) -> Result<Option<String>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::new(variable, format!("cannot read {path}: {}", error.kind())))?;
    Ok(not_blank(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn not_blank(text: String) -> Option<String> {
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
#[path = "env_tests.rs"]
mod tests;
