//! SQL92 expressions as filters of records. The language is the crate `filter`; here a record's
//! properties become what it asks.

use crate::limits::CARRIED_EXPRESSIONS_MAX;
use engine::RecordFilter;
use filter::{Expression, SqlError};
use protocol::properties;
use protocol::record::RecordView;
use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

/// Compiles an expression.
pub(crate) fn compile(text: &str) -> Result<Rc<dyn RecordFilter>, SqlError> {
    Ok(Rc::new(Sql(Expression::compile(text)?)))
}

#[derive(Debug)]
struct Sql(Expression);

impl RecordFilter for Sql {
    fn takes(&self, record: &[u8]) -> bool {
        // A record that can't be read is its consumer's to judge, as without a filter.
        RecordView::parse(record)
            .map_or(true, |record| self.0.takes(&RecordProperties(record.properties())))
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
