//! LVM's text: a tree of sections and fields, read in place.
//!
//! ```text
//! item    = name "=" value | name "{" item* "}"
//! value   = scalar | "[" [ scalar { "," scalar } ] "]"
//! scalar  = number | string | word
//! ```
//!
//! Blanks separate, `#` starts a comment up to the line's end. [`Section::parse`] walks the whole text once, with a limit of depth, so that
//! the views behind it cannot fail: source lvm2 `libdm/libdm-config.c`.

use super::Refusal;

/// Deepest nesting of sections. LVM's own has five.
pub const DEPTH_MAX: usize = 16;

/// What stands between a section's braces. Its grammar was checked.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    body: &'a [u8],
}

/// A named value, or a named section.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// What it is.
    pub value: Value<'a>,
}

/// A value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A whole number.
    Number(i64),
    /// A string, without its quotes and with its escapes; a word; a number that is not whole.
    Text(&'a [u8]),
    /// Several values.
    List(List<'a>),
    /// A section.
    Section(Section<'a>),
}

/// The values between brackets.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    body: &'a [u8],
}

/// The items of a section, in their order.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    cursor: Cursor<'a>,
}

/// What a text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Mark(u8),
    Number(i64),
    Text(&'a [u8]),
    Word(&'a [u8]),
}

/// A place in a text.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn fail(&self, what: &'static str) -> Refusal {
        Refusal::Grammar { at: self.at, what }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or(&[])
    }

    /// Steps over `len` bytes and gives them.
    fn take(&mut self, len: usize) -> &'a [u8] {
        let taken = self.rest().get(..len).unwrap_or(&[]);
        self.at = self.at.saturating_add(len);
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            let blanks = self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.take(blanks);
            if self.rest().first() != Some(&b'#') {
                return;
            }
            let comment = self.rest().iter().take_while(|byte| **byte != b'\n').count();
            self.take(comment);
        }
    }

    /// The next token; `None` at the end.
    fn next(&mut self) -> Result<Option<Token<'a>>, Refusal> {
        self.skip_blanks();
        let Some(first) = self.rest().first().copied() else { return Ok(None) };
        let token = match first {
            b'{' | b'}' | b'[' | b']' | b'=' | b',' => {
                self.take(1);
                Token::Mark(first)
            }
            b'"' | b'\'' => Token::Text(self.string(first)?),
            _ => self.word()?,
        };
        Ok(Some(token))
    }

    /// A string up to its quote. In double quotes a backslash keeps the next byte from ending it.
    fn string(&mut self, quote: u8) -> Result<&'a [u8], Refusal> {
        let body = self.rest().get(1..).unwrap_or(&[]);
        let mut escaped = false;
        let len = body.iter().position(|byte| {
            let ends = *byte == quote && !escaped;
            escaped = *byte == b'\\' && !escaped && quote == b'"';
            ends
        });
        let len = len.ok_or_else(|| self.fail("a string without an end"))?;
        self.take(len.saturating_add(2));
        Ok(body.get(..len).unwrap_or(&[]))
    }

    fn word(&mut self) -> Result<Token<'a>, Refusal> {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"{}[]=,#\"'".contains(byte);
        let len = self.rest().iter().take_while(|byte| !ends(byte)).count();
        let start = self.clone();
        let word = self.take(len);
        if !word.iter().all(u8::is_ascii_graphic) {
            return Err(start.fail("a byte that is no text"));
        }
        let digits = word.strip_prefix(b"-").unwrap_or(word);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Ok(Token::Word(word));
        }
        let number = core::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        number.map(Token::Number).ok_or_else(|| start.fail("a number that is too large"))
    }

    /// The name of the next item; `None` at the end of the section.
    fn name(&mut self) -> Result<Option<&'a [u8]>, Refusal> {
        self.skip_blanks();
        let before = self.clone();
        match self.next()? {
            None => Ok(None),
            Some(Token::Word(name) | Token::Text(name)) => Ok(Some(name)),
            // A name of digits is a name.
            Some(Token::Number(_)) => {
                let len = self.at.saturating_sub(before.at);
                Ok(before.rest().get(..len))
            }
            Some(Token::Mark(_)) => Err(before.fail("a name was expected")),
        }
    }

    /// The text up to the brace or bracket that closes what is open; steps behind it. Strings and comments may hold such marks.
    fn body(&mut self, open: u8, close: u8) -> Result<&'a [u8], Refusal> {
        let start = self.at;
        let mut depth: usize = 1;
        loop {
            self.skip_blanks();
            let at = self.at;
            match self.next()? {
                None => return Err(self.fail("the end of a section or list is missing")),
                Some(Token::Mark(mark)) if mark == open => depth = depth.saturating_add(1),
                Some(Token::Mark(mark)) if mark == close => depth = depth.saturating_sub(1),
                Some(_) => {}
            }
            if depth == 0 {
                return Ok(self.text.get(start..at).unwrap_or(&[]));
            }
        }
    }

    /// What stands behind a name.
    fn value(&mut self) -> Result<Value<'a>, Refusal> {
        match self.next()? {
            Some(Token::Mark(b'{')) => Ok(Value::Section(Section { body: self.body(b'{', b'}')? })),
            Some(Token::Mark(b'=')) => match self.next()? {
                Some(Token::Mark(b'[')) => Ok(Value::List(List { body: self.body(b'[', b']')? })),
                Some(Token::Mark(_)) | None => Err(self.fail("a value was expected")),
                Some(token) => Ok(scalar(token)),
            },
            Some(_) | None => Err(self.fail("= or { was expected")),
        }
    }

    /// Walks the items up to the end of the text, or to the brace that closes this section.
    fn check(&mut self) -> Result<(), Refusal> {
        let mut depth: usize = 0;
        loop {
            self.skip_blanks();
            let before = self.clone();
            if let Some(Token::Mark(b'}')) = self.next()? {
                depth = depth.checked_sub(1).ok_or_else(|| before.fail("a } too many"))?;
                continue;
            }
            self.at = before.at;
            if self.name()?.is_none() {
                return if depth == 0 { Ok(()) } else { Err(self.fail("a } is missing")) };
            }
            match self.next()? {
                Some(Token::Mark(b'{')) => depth = depth.saturating_add(1),
                Some(Token::Mark(b'=')) => self.check_value()?,
                Some(_) | None => return Err(self.fail("= or { was expected")),
            }
            if depth > DEPTH_MAX {
                return Err(self.fail("sections are nested too deeply"));
            }
        }
    }

    fn check_value(&mut self) -> Result<(), Refusal> {
        match self.next()? {
            Some(Token::Mark(b'[')) => {}
            Some(Token::Mark(_)) | None => return Err(self.fail("a value was expected")),
            Some(_) => return Ok(()),
        }
        let mut wants_value = true;
        let mut empty = true;
        loop {
            match self.next()? {
                Some(Token::Mark(b']')) if !wants_value || empty => return Ok(()),
                Some(Token::Mark(b',')) if !wants_value => wants_value = true,
                Some(Token::Mark(_)) | None => return Err(self.fail("a list was expected to go on, or to end")),
                Some(_) if wants_value => (wants_value, empty) = (false, false),
                Some(_) => return Err(self.fail("a , was expected")),
            }
        }
    }
}

fn scalar(token: Token<'_>) -> Value<'_> {
    match token {
        Token::Number(number) => Value::Number(number),
        Token::Text(text) | Token::Word(text) => Value::Text(text),
        Token::Mark(_) => Value::Text(&[]),
    }
}

impl<'a> Section<'a> {
    /// Checks a whole text.
    ///
    /// # Errors
    /// [`Refusal::Grammar`] with the first byte that does not fit.
    pub fn parse(text: &'a [u8]) -> Result<Self, Refusal> {
        Cursor::new(text).check()?;
        Ok(Self { body: text })
    }

    /// What it holds, in its order.
    #[must_use]
    pub const fn items(&self) -> Items<'a> {
        Items { cursor: Cursor::new(self.body) }
    }

    /// The first item of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.items().find(|item| item.name == name.as_bytes()).map(|item| item.value)
    }

    /// The sections in it, by name.
    pub fn sections(&self) -> impl Iterator<Item = (&'a [u8], Section<'a>)> + use<'a> {
        self.items().filter_map(|item| match item.value {
            Value::Section(section) => Some((item.name, section)),
            _ => None,
        })
    }

    /// The section of that name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Self> {
        match self.get(name)? {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    /// A number that is not negative.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Number(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// A string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a [u8]> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list; empty if there is none of that name.
    #[must_use]
    pub fn list(&self, name: &str) -> List<'a> {
        match self.get(name) {
            Some(Value::List(list)) => list,
            _ => List { body: &[] },
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let name = self.cursor.name().ok().flatten()?;
        let value = self.cursor.value().ok()?;
        Some(Item { name, value })
    }
}

impl<'a> List<'a> {
    /// Its values, in their order.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.body);
        core::iter::from_fn(move || {
            loop {
                match cursor.next().ok().flatten()? {
                    Token::Mark(_) => {}
                    token => return Some(scalar(token)),
                }
            }
        })
    }

    /// Its strings; numbers are left out.
    pub fn texts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.values().filter_map(|value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    /// True if that word is in it.
    #[must_use]
    pub fn holds(&self, word: &str) -> bool {
        self.texts().any(|text| text == word.as_bytes())
    }
}
