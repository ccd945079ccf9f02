//! What `mdadm --examine` printed, as words to compare with.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

/// The answer for one member: `Name : value` lines, and the lines of 0.90's device table.
#[derive(Debug, Default)]
pub struct Examined {
    fields: BTreeMap<String, String>,
    /// Lines of the 0.90 table, `this` first, each split into words.
    pub table: Vec<Vec<String>>,
}

impl Examined {
    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.table.is_empty()
    }

    /// The value of a field; empty if it was not printed.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The first word of a field as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name).split_whitespace().next()?.parse().ok()
    }

    /// The first word of a field as a hexadecimal number, with or without `0x`.
    #[must_use]
    pub fn hex(&self, name: &str) -> Option<u64> {
        let word = self.field(name).split_whitespace().next()?;
        u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
    }
}

/// Takes the answer for several members apart, in their order.
#[must_use]
pub fn examined(text: &str) -> Vec<Examined> {
    let mut all: Vec<Examined> = Vec::new();
    for line in text.lines() {
        let heading = line.ends_with(':') && !line.starts_with(' ') && !line.contains(": ");
        // Asked for one image, `mdadm` repeats its name below our own heading.
        let repeated = all.len() == 1 && all.iter().all(Examined::is_empty);
        if heading && !repeated {
            all.push(Examined::default());
            continue;
        }
        let Some(last) = all.last_mut() else { continue };
        if let Some((name, value)) = line.split_once(" : ") {
            // What `--examine-bitmap` may have printed after it does not overwrite.
            last.fields.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        } else if line.starts_with("this") || line.trim_start().starts_with(|first: char| first.is_ascii_digit()) {
            last.table.push(line.split_whitespace().map(str::to_owned).collect());
        }
    }
    all
}

/// What a real `mdadm` says of this image when run with `option` (`--examine` or `--examine-bitmap`); `None` where there is no `mdadm`.
///
/// # Panics
/// If the image cannot be put into a temporary file.
#[must_use]
pub fn ask(option: &str, image: &[u8]) -> Option<Examined> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("raid-testkit-{}-{}.img", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = env::temp_dir().join(name);
    write_sparse(&path, image).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let places = ["mdadm", "/sbin/mdadm", "/usr/sbin/mdadm"];
    let answer = places.iter().find_map(|program| Command::new(program).arg(option).arg(&path).output().ok());
    // A file left behind in the temporary folder harms nobody.
    drop(fs::remove_file(&path));
    let answer = answer?;
    let text =
        format!("image:\n{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    examined(&text).pop()
}

fn write_sparse(path: &Path, image: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.set_len(image.len() as u64)?;
    for (index, piece) in image.chunks(4096).enumerate().filter(|(_, piece)| piece.iter().any(|byte| *byte != 0)) {
        file.seek(SeekFrom::Start(index as u64 * 4096))?;
        file.write_all(piece)?;
    }
    Ok(())
}
