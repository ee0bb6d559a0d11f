//! A section for each command.

use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::{Arg, Command};

const HEAD: &str =
    "# calctl\n\nMade by `make cli-docs` from the command line's own description; change that instead.\n";

pub(super) fn of(mut command: Command) -> String {
    command.build();
    let mut text = HEAD.to_owned();
    section(&mut text, &command, true);
    text
}

fn section(text: &mut String, command: &Command, is_root: bool) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let commands: Vec<&Command> = command.get_subcommands().filter(|one| is_shown(one)).collect();
    // A group has nothing of its own to say but in the list above it.
    if commands.is_empty() || is_root {
        if !is_root {
            let _ = writeln!(text, "\n## {name}");
        }
        let about = command.get_long_about().or_else(|| command.get_about());
        let _ = writeln!(text, "\n{}\n", about.map(paragraph).unwrap_or_default());
        let usage = command.clone().render_usage().to_string();
        let _ = writeln!(text, "```\n{}\n```", usage.trim_start_matches("Usage: "));
        arguments(text, command, is_root);
        if let Some(examples) = command.get_after_help() {
            let examples = examples.to_string();
            let (head, lines) = examples.split_once('\n').unwrap_or(("", &examples));
            let lines: Vec<&str> = lines.lines().map(str::trim).collect();
            let _ = writeln!(text, "\n{head}\n\n```sh\n{}\n```", lines.join("\n"));
        }
    }
    for command in commands {
        section(text, command, false);
    }
}

/// Those that every command has are told of once.
fn arguments(text: &mut String, command: &Command, is_root: bool) {
    let is_own = |arg: &&Arg| {
        !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version") && (is_root || !arg.is_global_set())
    };
    let lines: Vec<String> = command.get_arguments().filter(is_own).map(line).collect();
    if !lines.is_empty() {
        let _ = writeln!(text, "\n{}", lines.join("\n"));
    }
}

fn line(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(paragraph).unwrap_or_default();
    let mut line = format!("- `{arg}`: {help}");
    let code = |values: Vec<String>| values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values() {
        let possible: Vec<String> = arg.get_possible_values().iter().map(|one| one.get_name().to_owned()).collect();
        if !possible.is_empty() {
            let _ = write!(line, " One of {}.", code(possible));
        }
        let default: Vec<String> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        if !default.is_empty() {
            let _ = write!(line, " Default: {}.", code(default));
        }
    }
    line
}

fn paragraph(words: &StyledStr) -> String {
    let text = words.to_string();
    let text = text.trim();
    let ends = text.ends_with(['.', '?', ':']);
    format!("{text}{}", if ends { "" } else { "." })
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}
