//! The values in force. The command line overrides the file, the file overrides the defaults of the
//! table of keys, and every value is checked.

use super::error::{ConfigError, Note};
use super::key::{Key, Kind};
use super::properties::{Entry, Place, Properties};
use std::fmt::Write as _;

/// A key is suggested for an unknown one when they are at least this alike (Jaro-Winkler, 0 to 1).
const ALIKE_MIN: f64 = 0.85;

/// One checked value for each key of a table.
///
/// Invariant: `values` has one entry for each row of `table`, in order, in the one spelling its
/// kind has for it. So the typed getters panic only on a programmer's mistake: a key that the table
/// lacks, or the wrong type.
#[derive(Debug, Clone)]
pub struct Settings {
    table: &'static [Key],
    file: String,
    values: Vec<Entry>,
    notes: Vec<Note>,
}

impl Settings {
    /// Checks `properties` against `table`. Unknown keys become notes. Of several wrong values, the
    /// error names the first in the order of the table.
    pub fn resolve(table: &'static [Key], properties: &Properties) -> Result<Self, ConfigError> {
        let file = properties.file().to_owned();
        let mut notes = properties.notes().to_vec();
        let values =
            table.iter().map(|key| resolve_key(key, properties)).collect::<Result<Vec<_>, _>>()?;
        for (name, entry) in properties.iter() {
            notes.extend(note_for(table, &file, name, entry));
        }
        Ok(Self { table, file, values, notes })
    }

    /// Notes for the author of the file: unknown keys, keys without effect, keys set twice.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The value of a key as text, whatever its kind.
    pub fn text(&self, name: &str) -> &str {
        &self.entry(name).value
    }

    /// The value of a switch.
    pub fn bool(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// The value of a number.
    pub fn i64(&self, name: &str) -> i64 {
        let text = self.text(name);
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number in the table of keys: {text:?}"))
    }

    /// The value of a number as another integer type. The bounds in the table make it fit.
    pub fn int<T: TryFrom<i64>>(&self, name: &str) -> T {
        let number = self.i64(name);
        T::try_from(number).unwrap_or_else(|_| {
            panic!("the bounds of {name} in the table of keys let {number} through")
        })
    }

    /// Where the value of a key was set.
    pub fn place(&self, name: &str) -> &Place {
        &self.entry(name).place
    }

    /// The error for a value that its kind accepts but the program does not, such as a core list or
    /// an address.
    pub fn wrong(&self, name: &str, accepted: impl Into<String>) -> ConfigError {
        let entry = self.entry(name);
        ConfigError::WrongValue {
            file: self.file.clone(),
            place: entry.place.clone(),
            key: name.to_owned(),
            found: entry.value.clone(),
            accepted: accepted.into(),
        }
    }

    /// Changes a value of a running program, checked like one of the file.
    pub fn update(
        &mut self,
        name: &str,
        value: &str,
        option: &'static str,
    ) -> Result<(), ConfigError> {
        let mut properties = Properties::default();
        properties.set(name, value, option);
        let index = self.index(name);
        let key = self.table.get(index).expect("index() is within the table");
        let entry = resolve_key(key, &properties)?;
        *self.values.get_mut(index).expect("one value a key") = entry;
        Ok(())
    }

    /// Whether the table has this key.
    pub fn knows(&self, name: &str) -> bool {
        self.table.iter().any(|key| key.name == name)
    }

    /// `name=value` lines in table order, as RocketMQ's `-p` and its GET_*_CONFIG answers have
    /// them.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for (key, entry) in self.table.iter().zip(&self.values) {
            let _ = writeln!(text, "{}={}", key.name, entry.value);
        }
        text
    }

    /// Each key with its default, what it accepts and its doc: the long help.
    pub fn help(table: &[Key]) -> String {
        let mut text = String::new();
        for key in table.iter().filter(|key| key.no_effect.is_empty()) {
            let accepted = if key.kind == Kind::Text {
                String::new()
            } else {
                format!("; {}", key.kind.accepted())
            };
            let default = if key.default.is_empty() { "none" } else { key.default };
            let _ =
                writeln!(text, "  {} (default {default}{accepted})\n      {}", key.name, key.doc);
        }
        text
    }

    fn index(&self, name: &str) -> usize {
        let index = self.table.iter().position(|key| key.name == name);
        index.unwrap_or_else(|| panic!("{name} is not in the table of keys"))
    }

    fn entry(&self, name: &str) -> &Entry {
        self.values.get(self.index(name)).expect("one value a key")
    }
}

fn resolve_key(key: &Key, properties: &Properties) -> Result<Entry, ConfigError> {
    let default = Entry { value: key.default.to_owned(), place: Place::Default };
    let set = properties.get(key.name).unwrap_or(&default);
    match key.kind.normalise(&set.value) {
        Some(value) => Ok(Entry { value, place: set.place.clone() }),
        None => Err(ConfigError::WrongValue {
            file: properties.file().to_owned(),
            place: set.place.clone(),
            key: key.name.to_owned(),
            found: set.value.clone(),
            accepted: key.kind.accepted(),
        }),
    }
}

fn note_for(table: &[Key], file: &str, name: &str, entry: &Entry) -> Option<Note> {
    let (file, place, key) = (file.to_owned(), entry.place.clone(), name.to_owned());
    match table.iter().find(|key| key.name == name) {
        Some(known) if known.no_effect.is_empty() => None,
        Some(known) => {
            Some(Note::NoEffect { file, place, key, reason: known.no_effect.to_owned() })
        }
        None => Some(Note::UnknownKey { file, place, nearest: nearest(table, name), key }),
    }
}

fn nearest(table: &[Key], name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    table
        .iter()
        .map(|key| (strsim::jaro_winkler(&key.name.to_ascii_lowercase(), &name), key.name))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}
