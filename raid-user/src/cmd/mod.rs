//! The `raid` tool: one file a verb. Text for people fits 80 columns, `--json` gives one document with a versioned schema.

mod check;
mod copy;
mod create;
mod demo;
mod examine;
mod exit;
mod explain;
mod identify;
mod map;
mod member;
mod open;
mod output;
mod pages;
mod pass;
mod run;
mod scan;
mod serve;
mod sim;
mod status;
mod target;
mod text;
mod tree;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use exit::{EXIT_CODES, Exit, Failure};
use output::Output;

use crate::sim::cli::SimArgs;

/// Opens RAID arrays from disks and image files, read-only, and says why if it does not.
#[derive(Parser, Debug)]
#[command(name = "raid", version, after_help = EXIT_CODES, max_term_width = 80)]
struct Cli {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Print no warnings and no progress
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Tell also what is passed over
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Find members and group them into arrays
    Scan(scan::ScanArgs),
    /// Say in one line each what files and devices are
    Identify(identify::IdentifyArgs),
    /// Tell every field of a member's metadata
    Examine(examine::ExamineArgs),
    /// Say why members do or do not make an array, and what to do next
    Explain(open::OpenArgs),
    /// Draw the stripe map; say where a sector lives
    Map(map::MapArgs),
    /// Make a new Linux MD array
    Create(create::CreateArgs),
    /// Serve the array over NBD, to be read or written
    Serve(serve::ServeArgs),
    /// Tell how a running array is, live
    Status(status::StatusArgs),
    /// Give an empty slot to a new member, and fill it
    Add(member::AddArgs),
    /// Copy a member that serves to a new one, which takes over
    Replace(member::ReplaceArgs),
    /// Throw a member out
    Fail(member::FailArgs),
    /// Let go of a failed member's medium
    Remove(member::RemoveArgs),
    /// Put an array in order: resync, fill members in the making
    Rebuild(member::RebuildArgs),
    /// Compare redundancy with the data, and name what is wrong
    Check(check::CheckArgs),
    /// Rewrite what a check proves wrong
    Repair(check::RepairArgs),
    /// Let the work in the background of a running array rest
    Pause(pass::PassArgs),
    /// Let it go on
    Resume(pass::PassArgs),
    /// Say how fast it may go
    Limit(pass::LimitArgs),
    /// Copy the whole array into a file or device
    Copy(copy::CopyArgs),
    /// Write the whole array to stdout
    Cat(copy::CatArgs),
    /// Compare the array with a file or device
    Compare(copy::CompareArgs),
    /// Make a RAID 6, lose two members, serve it and prove every byte
    Demo(demo::DemoArgs),
    /// Crash simulated arrays by dice, and hold the engine to its promises
    Sim(SimArgs),
    /// Print completions for a shell
    Completions(pages::CompletionsArgs),
    /// Write the man pages
    Man(pages::ManArgs),
}

impl Cli {
    fn output(&self) -> Output {
        let color = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
            }
        };
        // These verbs' stdout is not for documents.
        let raw = matches!(self.verb, Verb::Cat(_) | Verb::Completions(_) | Verb::Man(_));
        Output { json: self.json && !raw, quiet: self.quiet, verbose: self.verbose, color }
    }
}

/// Runs the tool on the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(misused(&error) as u8),
    };
    let output = cli.output();
    let done = run(&cli.verb, &output);
    let exit = done.unwrap_or_else(|failure| {
        output.fail(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}

/// Says what is wrong with the command line, or gives the help that was asked for.
fn misused(error: &clap::Error) -> Exit {
    // A terminal that is gone needs no help.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Ok;
    }
    let json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    let message = error.render().to_string();
    let message = message.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
    Output { json, quiet: false, verbose: false, color: false }.document(&Failure::new(Exit::Usage, message));
    Exit::Usage
}

fn run(verb: &Verb, output: &Output) -> Result<Exit, Failure> {
    match verb {
        Verb::Scan(args) => scan::run(args, output),
        Verb::Identify(args) => identify::run(args, output),
        Verb::Examine(args) => examine::run(args, output),
        Verb::Explain(args) => explain::run(args, output),
        Verb::Map(args) => map::run(args, output),
        Verb::Create(args) => create::run(args, output),
        Verb::Serve(args) => serve::run(args, output),
        Verb::Status(args) => status::run(args, output),
        Verb::Add(args) => member::add(args, output),
        Verb::Replace(args) => member::replace(args, output),
        Verb::Fail(args) => member::fail(args, output),
        Verb::Remove(args) => member::remove(args, output),
        Verb::Rebuild(args) => member::rebuild(args, output),
        Verb::Check(args) => check::check(args, output),
        Verb::Repair(args) => check::repair(args, output),
        Verb::Pause(args) => pass::pause(args, output),
        Verb::Resume(args) => pass::resume(args, output),
        Verb::Limit(args) => pass::limit(args, output),
        Verb::Copy(args) => copy::copy(args, output),
        Verb::Cat(args) => copy::cat(args, output),
        Verb::Compare(args) => copy::compare(args, output),
        Verb::Demo(args) => demo::run(args, output),
        Verb::Sim(args) => sim::run(args, output),
        Verb::Completions(args) => pages::completions(args),
        Verb::Man(args) => pages::man(args),
    }
}
