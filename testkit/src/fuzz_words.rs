//! What fuzz bodies do with words: they have them made and keep none. A string for each took most of a run's time.

use raid_formats::dump::{Field, Value};
use std::fmt::{self, Display, Write};

/// Fields of a dump that are all put into words.
const HEAD: u32 = 64;
/// Of those behind, one in so many. No table has rows of that many fields, so each of its fields has its turn.
const STRIDE: u32 = 17;
/// A byte is told like any other byte: these many show whether it can be done.
const BYTES: usize = 64;

/// Takes words and counts their bytes.
struct Count(usize);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Whether there is anything that it says.
pub fn speaks(what: &impl Display) -> bool {
    let mut count = Count(0);
    write!(count, "{what}").is_ok() && count.0 > 0
}

/// Hears the fields of one dump. Tables are long and their rows alike, so it hears the first rows and then one here and there.
#[derive(Debug, Default)]
pub struct Listener {
    fields: u32,
}

impl Listener {
    /// The next field, which must say something.
    pub fn hear(&mut self, field: &Field<'_>) {
        self.fields += 1;
        if self.fields <= HEAD || self.fields.is_multiple_of(STRIDE) {
            assert!(speaks(&short(field.value)), "{} says nothing", field.name);
        }
    }
}

fn short(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Bytes(bytes) => Value::Bytes(&bytes[..bytes.len().min(BYTES)]),
        Value::Text(text) => Value::Text(&text[..text.len().min(BYTES)]),
        other => other,
    }
}
