//! `raid completions` and `raid man`: what a package of the tool ships beside it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::exit::{EXIT_CODES, Exit, Failure};

/// Prints completions for a shell.
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Writes the man pages, one for each verb.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// Where to
    directory: PathBuf,
}

/// Prints completions.
///
/// # Errors
/// Stdout's.
pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "raid", &mut script);
    match io::stdout().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Ok),
    }
}

/// Writes man pages.
///
/// # Errors
/// The directory's.
pub(super) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    fs::create_dir_all(&args.directory)?;
    let mut command = Cli::command();
    command.build();
    write_page(command.clone().after_help(EXIT_CODES), "raid", &args.directory)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = format!("raid-{}", verb.get_name());
        write_page(verb.clone(), &name, &args.directory)?;
    }
    Ok(Exit::Ok)
}

fn write_page(command: clap::Command, name: &str, directory: &Path) -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).title(name).render(&mut page)?;
    fs::write(directory.join(format!("{name}.1")), page)?;
    Ok(())
}
