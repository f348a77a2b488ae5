//! The text of a `.properties` file as keys and values that remember where they were set.

use super::error::{ConfigError, Note};
use java_properties::{LineContent, PropertiesIter};
use std::collections::BTreeMap;

/// Longest file that is read. No configuration is as long; a log file given by mistake is.
const FILE_BYTES_MAX: usize = 1 << 20;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file, at this line (1-based).
    Line(usize),
    /// By an option of the command line, `-n` for example, or an environment variable.
    Option(&'static str),
    /// Nowhere: the table's default.
    Default,
}

impl Place {
    /// The beginning of a message about a value that was set here.
    pub(super) fn prefix(&self, file: &str) -> String {
        match self {
            Self::Line(line) => format!("{file}:{line}: "),
            Self::Option(option) => format!("{option}: "),
            Self::Default => "by default: ".to_owned(),
        }
    }
}

/// A value and where it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without trailing `//` comment and blanks.
    pub value: String,
    /// Where it was set.
    pub place: Place,
}

/// The content of one file, with the values of the command line over it.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    file: String,
    entries: BTreeMap<String, Entry>,
    notes: Vec<Note>,
}

impl Properties {
    /// Reads a file's content. `file` is only named in messages.
    ///
    /// Bytes that are UTF-8 are read as UTF-8, others as ISO-8859-1, Java's default (as its
    /// superset windows-1252). A trailing `// comment` after a blank is cut off: examples of
    /// RocketMQ are full of them, and Java's reader would make them part of the value.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                file: file.to_owned(),
                found_bytes: bytes.len(),
                max_bytes: FILE_BYTES_MAX,
            });
        }
        let mut properties = Self { file: file.to_owned(), ..Self::default() };
        // The reader loses a last line that ends in a backslash, so the text always gets a line end
        // of ours.
        let text = std::io::Read::chain(bytes, &b"\n"[..]);
        let encoding = if std::str::from_utf8(bytes).is_ok() {
            encoding_rs::UTF_8
        } else {
            encoding_rs::WINDOWS_1252
        };
        for line in PropertiesIter::new_with_encoding(text, encoding) {
            let line = line.map_err(|error| ConfigError::Syntax {
                file: file.to_owned(),
                line: error.line_number(),
                reason: error.to_string(),
            })?;
            let number = line.line_number();
            if let LineContent::KVPair(key, value) = line.consume_content() {
                properties.insert_line(key, &value, number);
            }
        }
        Ok(properties)
    }

    fn insert_line(&mut self, key: String, value: &str, line: usize) {
        // The reader gives a line of blanks as an empty key.
        if key.is_empty() && value.is_empty() {
            return;
        }
        let entry = Entry { value: without_comment(value).to_owned(), place: Place::Line(line) };
        let replaced = self.entries.insert(key.clone(), entry);
        if let Some(Entry { place: Place::Line(replaced_line), .. }) = replaced {
            self.notes.push(Note::SetTwice { file: self.file.clone(), line, replaced_line, key });
        }
    }

    /// Puts a value of the command line over whatever the file says.
    pub fn set(&mut self, key: &str, value: &str, option: &'static str) {
        self.entries.insert(
            key.to_owned(),
            Entry { value: value.to_owned(), place: Place::Option(option) },
        );
    }

    /// Sets a value that counts only when the file and the command line are silent (the host's
    /// name, an environment variable).
    pub fn set_if_absent(&mut self, key: &str, value: &str, option: &'static str) {
        self.entries
            .entry(key.to_owned())
            .or_insert_with(|| Entry { value: value.to_owned(), place: Place::Option(option) });
    }

    /// The value of a key and where it was set.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// All keys with their values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// The file's name as given to [`Properties::parse`].
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Notes about the text itself: keys set twice.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// Cuts ` // …` off, and blanks at both ends (full-width ones too). `//` counts only after a blank,
/// so that `http://` stays whole; at the very beginning it must also be followed by one, so that
/// `//server/share` is a value.
fn without_comment(value: &str) -> &str {
    let comment = value.match_indices("//").map(|(at, _)| at).find(|&at| {
        let before = value.get(..at).and_then(|text| text.chars().next_back());
        let after = value.get(at + 2..).and_then(|text| text.chars().next());
        match before {
            Some(c) => c.is_whitespace(),
            None => after.is_none_or(char::is_whitespace),
        }
    });
    comment.and_then(|at| value.get(..at)).unwrap_or(value).trim()
}
