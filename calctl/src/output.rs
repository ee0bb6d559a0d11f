//! Printing: tables for people, JSON for programs, errors on stderr.

use std::io::{IsTerminal as _, Write as _};

use runtime::env::{ConfigError, Env};
use serde::Serialize;

use crate::cli::Format;

/// Prints results in the chosen format.
pub(crate) struct Printer {
    format: Format,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints a value: as JSON, or as the text that `text` makes of it.
    pub(crate) fn print<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let out = match self.format {
            Format::Json => serde_json::to_string_pretty(value)?,
            Format::Table => text(value),
        };
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{}", out.trim_end()) {
            // The reader has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

/// Whether results may have colours: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn is_coloured(env: &Env) -> Result<bool, ConfigError> {
    Ok(std::io::stdout().is_terminal() && env.optional("NO_COLOR")?.is_none())
}

/// Says on stderr, in one line, why the command failed.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "calctl: {}", text.replace(char::is_control, " "));
}

/// Columns as wide as their widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    // Names come from a public form: what a terminal would obey is not printed.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| cell.replace(char::is_control, " ")).collect()).collect();
    let body: String = rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).collect();
    format!("{}{body}", line(head.to_vec()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["a".to_owned(), "bb".to_owned()], vec!["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(super::table(&["X", "Y"], &rows), "X    Y\na    bb\nccc  d\n");
    }
}
