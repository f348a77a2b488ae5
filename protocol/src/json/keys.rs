//! Reading keys: a text, a number, an enum's name, or a whole object written where a key should be.

use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, Visitor};

use super::coerce;
use super::lenient::{from_text, map_from_text};
use super::scan::{JsonError, RawValue};
use super::text::RawText;

/// The deserializer of one key.
pub(super) struct Key<'de>(pub(super) RawText<'de>);

macro_rules! integers {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            let number = coerce::integer_of_text(self.0.to_cow().trim())?;
            let number = i64::try_from(number).map_err(|_| JsonError::Shape {
                message: format!("key {number} is out of range"),
            })?;
            visitor.visit_i64(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = JsonError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.0.as_plain() {
            Some(plain) => visitor.visit_borrowed_str(plain),
            None => visitor.visit_string(self.0.to_cow().into_owned()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_enum(StrDeserializer::new(coerce::variant(RawValue::Text(self.0), variants)?))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if let Some(plain) = self.0.as_plain() {
            return map_from_text(plain, visitor);
        }
        // An object escaped into a string does not live in the frame: it goes through a value of
        // its own.
        let object: serde_json::Value = from_text(&self.0.to_cow())?;
        object
            .deserialize_map(visitor)
            .map_err(|error| JsonError::Shape { message: error.to_string() })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        identifier ignored_any
    }
}
