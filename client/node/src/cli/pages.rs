//! Completions for shells, and manual pages.

use std::fs;
use std::path::Path;

use clap::{Command as ClapCommand, CommandFactory as _};
use clap_mangen::Man;
use serde_json::json;

use super::answer::Answer;
use super::args::Cli;
use super::failure::Failure;

/// What a shell reads to complete commands.
pub fn completions(shell: clap_complete::Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "perun", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Answer::new(
        json!({ "shell": shell.to_string(), "script": script }),
        script,
    )
}

/// The manual page of `perun`; or, into a folder, one of each command.
pub fn man(folder: Option<&Path>) -> Result<Answer, Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = folder else {
        let page = page(&command, "perun")?;
        return Ok(Answer::new(json!({ "page": page }), page));
    };
    fs::create_dir_all(folder).map_err(|error| Failure::own(folder.display(), error))?;
    let mut written = Vec::new();
    write_pages(&command, "perun", folder, &mut written)?;
    let text = format!("{} has {} pages.", folder.display(), written.len());
    Ok(Answer::new(json!({ "pages": written }), text))
}

fn write_pages(
    command: &ClapCommand,
    name: &str,
    folder: &Path,
    written: &mut Vec<String>,
) -> Result<(), Failure> {
    let file = folder.join(format!("{name}.1"));
    fs::write(&file, page(command, name)?).map_err(|error| Failure::own(file.display(), error))?;
    written.push(file.display().to_string());
    for subcommand in command.get_subcommands() {
        if !subcommand.is_hide_set() && subcommand.get_name() != "help" {
            let name = format!("{name}-{}", subcommand.get_name());
            write_pages(subcommand, &name, folder, written)?;
        }
    }
    Ok(())
}

fn page(command: &ClapCommand, name: &str) -> Result<String, Failure> {
    let mut page = Vec::new();
    // The same at any time, so that packages are reproducible.
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date("");
    man.render(&mut page)
        .map_err(|error| Failure::own("the page", error))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
