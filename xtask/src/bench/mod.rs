//! `cargo xtask bench`: runs benchmarks and writes what they measured into `benches/RESULTS.md`.
//!
//! Nothing there is typed by hand between the marks of a section: the table is what the run gave, good or bad.

mod chart;
mod measured;
mod peers;
mod results;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    time::SystemTime,
};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, command, line, output, perform, root};
use measured::Measurement;
use peers::Peers;

/// The benchmarks that time the tool itself.
const TOOL: [&str; 3] = ["examine", "md", "serve"];

/// The benchmark that wants other people's code built first.
const PEERS: &str = "peers";

/// The benchmark that has a level's random writes, ours and Linux's.
const LEVELS: &str = "md";

/// What is drawn of these two.
const PARITY_CHART: &str = "docs/parity.svg";
const IOPS_CHART: &str = "docs/iops.svg";

/// Runs each benchmark whose name contains `filter`, then writes its section of the results.
///
/// # Errors
/// If none has such a name, one fails, or one measures nothing.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    let names = names()?;
    let chosen: Vec<&String> = names.iter().filter(|name| filter.is_none_or(|part| name.contains(part))).collect();
    if chosen.is_empty() {
        bail!("no such benchmark; there are: {}", names.join(", "));
    }
    let file = root().join("benches/RESULTS.md");
    for name in chosen {
        if TOOL.contains(&name.as_str()) {
            perform(cargo().args(["build", "--release", "--package", "raid-user"]))?;
        }
        let peers = if name.as_str() == PEERS { Some(peers::build()?) } else { None };
        let measurements = measure(name, peers.as_ref())?;
        if measurements.is_empty() {
            bail!("{name} measured nothing");
        }
        let old = fs::read_to_string(&file).unwrap_or_else(|_| results::EMPTY.to_owned());
        let mut circumstances = circumstances()?;
        if let Some(peers) = peers {
            circumstances = format!("{circumstances}.\nPeers: {}", peers.versions.join(",\n"));
            draw(PARITY_CHART, &chart::parity(&measurements))?;
        }
        if name == LEVELS {
            draw(IOPS_CHART, &chart::iops(&measurements))?;
        }
        let section = results::section(name, &circumstances, &measurements);
        fs::write(&file, results::with_section(&old, name, &section)).context("cannot write benches/RESULTS.md")?;
        println!("benches/RESULTS.md: {name} is new");
    }
    Ok(())
}

fn draw(path: &str, svg: &str) -> Result<()> {
    fs::write(root().join(path), svg).with_context(|| format!("cannot write {path}"))
}

/// The benchmarks, by their files.
fn names() -> Result<Vec<String>> {
    let folder = fs::read_dir(root().join("benches/benches")).context("there are no benchmarks")?;
    let files = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = files.filter_map(|file| Some(file.strip_suffix(".rs")?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Runs one and collects what it said, and what criterion wrote since.
fn measure(name: &str, peers: Option<&Peers>) -> Result<Vec<Measurement>> {
    let start = SystemTime::now();
    let mut bench = cargo();
    bench.args(["bench", "--package", "raid-benches", "--bench", name]).stdout(Stdio::piped());
    if let Some(peers) = peers {
        bench.env("RAID_PEERS", &peers.folder);
    }
    let mut child = bench.spawn().with_context(|| format!("cannot start {}", line(&bench)))?;
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
        let line = line?;
        println!("{line}");
        said.extend(Measurement::from_line(&line));
    }
    if !child.wait()?.success() {
        bail!("{} failed", line(&bench));
    }
    said.extend(measured::of_criterion(&root().join("target/criterion"), start)?);
    Ok(said)
}

/// Where and when: the CPU, the compiler, the day.
fn circumstances() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = model.map_or("a CPU that does not say its name", |(_, name)| name);
    let threads = std::thread::available_parallelism()?;
    let compiler = output(command("rustc").arg("--version"))?;
    let day = output(command("date").args(["-u", "+%F"]))?;
    Ok(format!("{cpu}, {threads} hardware threads; {}; {}", compiler.trim(), day.trim()))
}
