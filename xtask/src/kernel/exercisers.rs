//! Programs of others that exercise file systems and devices in the guest, which skips the tests of those that cannot be had.

use std::path::PathBuf;

use super::cache::Cache;
use crate::{
    command::{cargo, find, output},
    tools,
};

/// fsx, which no package of Debian holds. Its configuration's words may change with the second number.
const FSX: &str = "fsx@^0.3";

/// Where those are that are here, or could be had; of the others it is said why not.
pub(super) fn get(cache: &Cache) -> Vec<PathBuf> {
    match tools::ensure(&tools::TO_EXERCISE) {
        Ok(missing) => missing.iter().for_each(|missing| println!("{missing}")),
        Err(error) => println!("not all programs that exercise the target: {error:#}"),
    }
    let fsx = cache.path("tools/bin/fsx");
    if !fsx.exists() {
        println!("building fsx, once");
        let install = ["install", "--quiet", "--locked", FSX, "--root"];
        if let Err(error) = output(cargo().args(install).arg(cache.path("tools"))) {
            println!("no fsx: {error:#}");
        }
    }
    ["fio", "stress-ng"].into_iter().filter_map(find).chain(fsx.exists().then_some(fsx)).collect()
}
