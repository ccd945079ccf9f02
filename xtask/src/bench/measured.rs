//! What was measured, from either of two sources: the files that criterion leaves, and lines that a benchmark with a
//! timer of its own prints.
//!
//! Such a line is `measured: group/case/form NANOSECONDS`, or with the bytes that one run moves after it, or with these and
//! the ratio to a peer that the benchmark has chosen and timed round by round. Blanks in the path are `+`.

use std::{fs, path::Path, time::SystemTime};

use anyhow::{Context, Result};
use ignore::WalkBuilder;
use serde_json::Value;

/// The median time of one form of one thing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measurement {
    /// What is done: a table.
    pub(super) group: String,
    /// To what: a row.
    pub(super) case: String,
    /// By whom: a column.
    pub(super) form: String,
    /// Median of one run.
    pub(super) time_ns: f64,
    /// What one run moves, where that means something.
    pub(super) bytes: Option<u64>,
    /// How many times as fast as the peer, if the benchmark itself says so.
    pub(super) ratio: Option<f64>,
}

impl Measurement {
    /// Reads a line that a benchmark printed; `None` if it is about something else.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("measured: ")?.split(' ');
        let path = words.next()?.replace('+', " ");
        let mut path = path.splitn(3, '/');
        let (group, case, form) = (path.next()?.into(), path.next()?.into(), path.next()?.into());
        let time_ns = words.next()?.parse().ok()?;
        let bytes = words.next().and_then(|bytes| bytes.parse().ok());
        let ratio = words.next().and_then(|ratio| ratio.parse().ok());
        Some(Self { group, case, form, time_ns, bytes, ratio })
    }

    /// Reads one folder of criterion's.
    fn from_criterion(about: &Value, estimates: &Value) -> Option<Self> {
        let function = about["function_id"].as_str().unwrap_or_default();
        let (case, form) = match about["value_str"].as_str() {
            Some(value) => (value, function),
            None => function.rsplit_once('/').unwrap_or(("", function)),
        };
        Some(Self {
            group: about["group_id"].as_str()?.to_owned(),
            case: case.to_owned(),
            form: form.to_owned(),
            time_ns: estimates["median"]["point_estimate"].as_f64()?,
            bytes: about["throughput"]["Bytes"].as_u64(),
            ratio: None,
        })
    }
}

/// All that criterion has measured since `start`, in the order of its folders.
///
/// # Errors
/// If a file of criterion's cannot be read, or does not hold what it held when this was written.
pub(super) fn of_criterion(folder: &Path, start: SystemTime) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    if !folder.exists() {
        return Ok(measurements);
    }
    let read = |path: &Path| -> Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    for entry in WalkBuilder::new(folder).standard_filters(false).sort_by_file_name(Ord::cmp).build() {
        let entry = entry?;
        let path = entry.path();
        if path.ends_with("new/estimates.json") && entry.metadata()?.modified()? >= start {
            let about = read(&path.with_file_name("benchmark.json"))?;
            let measurement = Measurement::from_criterion(&about, &read(path)?);
            measurements.push(measurement.with_context(|| format!("{} is not as expected", path.display()))?);
        }
    }
    Ok(measurements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_measurement_is_read_and_others_are_not() {
        let found = Measurement::from_line("measured: examine/1000-members/raid 1500.5 4096").unwrap();
        assert_eq!((found.case.as_str(), found.time_ns, found.bytes), ("1000-members", 1500.5, Some(4096)));
        assert_eq!(found.ratio, None);
        let found = Measurement::from_line("measured: pq+cached/8x4K/avx2 1500.5 4096 1.25").unwrap();
        assert_eq!((found.group.as_str(), found.ratio), ("pq cached", Some(1.25)));
        assert_eq!(Measurement::from_line("measured nothing"), None);
    }

    #[test]
    fn a_folder_of_criterions_is_read() {
        let about = r#"{"group_id":"pq","function_id":"8x4K/avx2","value_str":null,"throughput":{"Bytes":32768}}"#;
        let estimates = r#"{"median":{"point_estimate":12.5}}"#;
        let found = Measurement::from_criterion(
            &serde_json::from_str(about).unwrap(),
            &serde_json::from_str(estimates).unwrap(),
        );
        let (group, case, form) = ("pq".to_owned(), "8x4K".to_owned(), "avx2".to_owned());
        assert_eq!(found, Some(Measurement { group, case, form, time_ns: 12.5, bytes: Some(32768), ratio: None }));
    }
}
