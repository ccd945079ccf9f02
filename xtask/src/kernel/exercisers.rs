//! Programs of others that exercise file systems and devices in the guest, which skips the tests of those that cannot be had.

use anyhow::Result;

use super::cache::Cache;
use crate::{
    command::{cargo, find, output},
    tools,
};

/// Those that Debian has, of [`tools::TO_EXERCISE`].
const PACKAGED: [&str; 2] = ["fio", "stress-ng"];

/// fsx, which no package of Debian holds. Its configuration's words may change with the second number.
const FSX: &str = "fsx@^0.3";

/// Those that are here, or could be had; of the others it is said why not.
///
/// # Errors
/// If there is no place to keep them.
pub(super) fn get() -> Result<Vec<String>> {
    let cache = Cache::open()?;
    match tools::ensure(&tools::TO_EXERCISE) {
        Ok(missing) => missing.iter().for_each(|missing| println!("{missing}")),
        Err(error) => println!("not all programs that exercise the target: {error:#}"),
    }
    let fsx = cache.path("tools/bin/fsx");
    if !fsx.exists() {
        let _alone = cache.alone("fsx")?;
        println!("building fsx, once");
        let install = ["install", "--quiet", "--locked", FSX, "--root"];
        if let Err(error) = output(cargo().args(install).arg(cache.path("tools"))) {
            println!("no fsx: {error:#}");
        }
    }
    let mut there: Vec<String> =
        PACKAGED.into_iter().filter(|program| find(program).is_some()).map(str::to_owned).collect();
    there.extend(fsx.exists().then(|| fsx.display().to_string()));
    Ok(there)
}
