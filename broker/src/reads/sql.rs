//! SQL92 expressions as filters of records. The language is the crate `filter`; here a record's
//! properties become what it asks.

use crate::checked;
use crate::limits::CARRIED_EXPRESSIONS_MAX;
use engine::RecordFilter;
use filter::{Expression, SqlError};
use protocol::properties;
use protocol::record::{BODY_CRC_AT, PHYSICAL_OFFSET_AT, RecordView};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// Compiles an expression.
pub(crate) fn compile(text: &str) -> Result<Rc<dyn RecordFilter>, SqlError> {
    let verdicts = std::array::from_fn(|_| Cell::default());
    Ok(Rc::new(Sql { expression: Expression::compile(text)?, verdicts }))
}

/// Records whose verdicts an expression remembers. All consumers that wait with one expression are
/// woken by the same few records, and look at them one consumer after the other.
const REMEMBERED: usize = 64;

#[derive(Debug)]
struct Sql {
    expression: Expression,
    verdicts: [Cell<Option<(Identity, bool)>>; REMEMBERED],
}

/// A record of one log: its place and what its body's checksum is.
type Identity = (u64, u32);

fn identity(record: &[u8]) -> Option<Identity> {
    let at = record.get(PHYSICAL_OFFSET_AT..)?.first_chunk()?;
    let crc = record.get(BODY_CRC_AT..)?.first_chunk()?;
    Some((u64::from_be_bytes(*at), u32::from_be_bytes(*crc)))
}

impl RecordFilter for Sql {
    fn takes(&self, record: &[u8]) -> bool {
        let judged = || {
            // A record that can't be read is its consumer's to judge, as without a filter.
            RecordView::parse(record).map_or(true, |record| {
                self.expression.takes(&RecordProperties(record.properties()))
            })
        };
        let Some(identity) = identity(record) else { return judged() };
        // Places are far apart and multiples of nothing: a product spreads them.
        let nth = identity.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - 6);
        let place = &self.verdicts[checked::to::<usize, _>(nth)];
        match place.get() {
            Some((known, takes)) if known == identity => takes,
            _ => {
                let takes = judged();
                place.set(Some((identity, takes)));
                takes
            }
        }
    }
}

/// The properties of a record, as they lie in it.
struct RecordProperties<'a>(&'a [u8]);

impl filter::Properties for RecordProperties<'_> {
    /// What is no UTF-8 is read with replacement characters, as Java reads it.
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        properties::get_bytes(self.0, name).map(String::from_utf8_lossy)
    }
}

/// Filters a retry topic by the expressions that its group has for the topics that messages first
/// came from (`filterSupportRetry`, Apache's `ExpressionForRetryMessageFilter`). A message of a
/// topic without an expression passes.
#[derive(Debug)]
pub(crate) struct ByFirstTopic {
    /// The group's expressions when the pull came: topic and filter.
    pub(crate) filters: Vec<(Box<str>, Rc<dyn RecordFilter>)>,
}

impl RecordFilter for ByFirstTopic {
    fn takes(&self, record: &[u8]) -> bool {
        let Ok(view) = RecordView::parse(record) else { return true };
        let topic = properties::get(view.properties(), properties::names::RETRY_TOPIC);
        let filter = self.filters.iter().find(|(first, _)| Some(&**first) == topic);
        filter.is_none_or(|(_, filter)| filter.takes(record))
    }
}

/// Expressions that pulls carried, compiled once while they are in use (Apache's `PARSE_CACHE`).
#[derive(Debug, Default)]
pub(crate) struct Carried(HashMap<Box<str>, Rc<dyn RecordFilter>>);

impl Carried {
    /// The filter of an expression.
    pub(crate) fn filter(&mut self, text: &str) -> Result<Rc<dyn RecordFilter>, SqlError> {
        if let Some(filter) = self.0.get(text) {
            return Ok(filter.clone());
        }
        let filter = compile(text)?;
        if self.0.len() >= CARRIED_EXPRESSIONS_MAX {
            self.0.clear();
        }
        self.0.insert(text.into(), filter.clone());
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filter::Properties as _;

    #[test]
    fn a_property_that_is_no_utf8_is_there() {
        let properties = RecordProperties(b"a\x01\xFF\x02b\x011\x02");
        assert_eq!(properties.get("a").as_deref(), Some("\u{FFFD}"));
        assert_eq!(properties.get("b").as_deref(), Some("1"));
        assert_eq!(properties.get("c"), None);
    }

    #[test]
    fn a_record_is_judged_once_while_it_is_remembered() {
        let record = |at: i64, size: &str| {
            let properties = format!("size\u{1}{size}\u{2}");
            let mut record = testkit::message::record("T", 0, &properties, "body");
            record[PHYSICAL_OFFSET_AT..][..8].copy_from_slice(&at.to_be_bytes());
            record
        };
        let filter = compile("size > 5").unwrap();
        assert!(filter.takes(&record(0, "7")) && !filter.takes(&record(1_000, "3")));
        // No two records of a log have one place: that the first is remembered shows here.
        assert!(filter.takes(&record(0, "3")) && !filter.takes(&record(1_000, "7")));
        for at in 0..10 * i64::try_from(REMEMBERED).unwrap() {
            assert!(filter.takes(&record(2_000 + 117 * at, "7")));
        }
        assert!(!filter.takes(&record(0, "3")), "it was forgotten for others");
        assert!(filter.takes(b"no record"));
    }

    #[test]
    fn carried_expressions_are_compiled_once_and_bounded() {
        let mut carried = Carried::default();
        let first = carried.filter("a = 1").unwrap();
        assert!(Rc::ptr_eq(&first, &carried.filter("a = 1").unwrap()));
        assert!(carried.filter("a =").is_err());
        for nth in 0..3 * CARRIED_EXPRESSIONS_MAX {
            carried.filter(&format!("a = {nth}")).unwrap();
            assert!(carried.0.len() <= CARRIED_EXPRESSIONS_MAX);
        }
    }
}
