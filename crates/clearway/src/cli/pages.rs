//! What is made of the command line and its tables: manual pages, completions for shells, a page of docs/reference.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use clearway_core::exit::ExitCode;
use clearway_core::settings::{Setting, TABLE};

use super::command;

/// The completions for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "clearway", &mut script);
    script
}

/// One manual page in roff: of Clearway, or of a subcommand.
pub fn manual(subcommand: Option<&str>) -> io::Result<Vec<u8>> {
    let mut whole = command().disable_help_subcommand(true);
    // Gives the subcommands their whole names.
    whole.build();
    match subcommand.and_then(|name| whole.find_subcommand(name)) {
        Some(sub) => page(sub, false),
        None => page(&whole, true),
    }
}

/// All of them, each with its file name.
pub fn manuals() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut pages = vec![("clearway.1".to_owned(), manual(None)?)];
    for sub in command().get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages.push((format!("clearway-{}.1", sub.get_name()), manual(Some(sub.get_name()))?));
        // What `man` follows to the page of the other name.
        let reference =
            |alias| (format!("clearway-{alias}.1"), format!(".so man1/clearway-{}.1\n", sub.get_name()));
        pages.extend(sub.get_visible_aliases().map(reference).map(|(name, text)| (name, text.into_bytes())));
    }
    Ok(pages)
}

/// Writes all of them into a directory.
pub fn write_manuals(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    manuals()?.into_iter().try_for_each(|(name, page)| std::fs::write(directory.join(name), page))
}

fn page(command: &Command, is_whole: bool) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man =
        Man::new(command.clone()).source(concat!("clearway ", env!("CLEARWAY_VERSION"))).manual("Clearway");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if is_whole {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::new();
    notes(&mut rest, command);
    exit_status(&mut rest);
    see_also(&mut rest, is_whole);
    rest.to_writer(&mut page)?;
    Ok(page)
}

/// What stands below the help of a command, line by line.
fn notes(roff: &mut Roff, command: &Command) {
    let Some(notes) = command.get_after_help() else { return };
    roff.control("SH", ["NOTES"]).control("nf", []);
    for line in notes.to_string().lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for code in ExitCode::ALL {
        roff.control("TP", []).text([bold(code.number().to_string())]).text([roman(code.meaning())]);
    }
}

fn see_also(roff: &mut Roff, is_whole: bool) {
    let clearway = if is_whole { "" } else { "clearway(1), " };
    roff.control("SH", ["SEE ALSO"]).text([roman(format!("{clearway}haproxy(1)"))]);
    roff.text([roman(concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/README.md"))]);
}

/// The settings and the exit codes as Markdown: docs/reference is made from it.
pub fn reference() -> String {
    let mut text = String::from(
        "# Settings and exit codes\n\nMade by `clearway settings`; a test compares. A flag of `clearway run` wins \
         over the variable of the same meaning, and an empty variable counts as unset. A DURATION is \
         `295s`, `5m`, `1m30s`, `500ms` or a bare number of seconds, at most a year.\n\n\
         | flag | variable | default | meaning |\n|---|---|---|---|\n",
    );
    // Writing to a String cannot fail.
    for row in TABLE {
        let Setting { flag, value, variable, default, help, .. } = row;
        let _ = writeln!(text, "| `--{flag} {value}` | `{variable}` | {default} | {help} |");
    }
    text += "\n| exit code | meaning |\n|---|---|\n";
    for code in ExitCode::ALL {
        let _ = writeln!(text, "| {} | {} |", code.number(), code.meaning());
    }
    text +=
        "\nHAProxy's own exit code is never passed on; a program that is executed in place has its own.\n";
    text
}
