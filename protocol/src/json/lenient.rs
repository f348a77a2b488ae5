//! Reading bodies: a serde deserializer on top of the scanner. It builds the target type and no
//! tree of values.
//!
//! `null` counts as absent everywhere (fields keep their defaults, list elements and map entries
//! vanish), as RocketMQ's Java classes treat it.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
};

use super::coerce;
use super::keys::Key;
use super::scan::{JsonError, RawValue, Scanner};
use crate::limits::{JSON_DEPTH_MAX, JSON_VALUES_MAX};

/// Reads a body as `T`, in fastjson's dialect.
pub fn from_lenient<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError::Utf8 { offset: error.valid_up_to() })?;
    from_text(text)
}

/// Reads a body without knowing its type. Null elements and entries are left out.
pub fn parse_lenient(bytes: &[u8]) -> Result<serde_json::Value, JsonError> {
    from_lenient(bytes)
}

pub(super) fn from_text<'de, T: de::Deserialize<'de>>(text: &'de str) -> Result<T, JsonError> {
    whole(text, |lenient| T::deserialize(lenient))
}

/// A text that is one object, as a map: keys that are objects come through here.
pub(super) fn map_from_text<'de, V: Visitor<'de>>(
    text: &'de str,
    visitor: V,
) -> Result<V::Value, JsonError> {
    whole(text, |lenient| lenient.deserialize_map(visitor))
}

fn whole<'de, T>(
    text: &'de str,
    read: impl FnOnce(Lenient<'_, 'de>) -> Result<T, JsonError>,
) -> Result<T, JsonError> {
    let mut scanner = Scanner::new(text);
    let mut values_left = JSON_VALUES_MAX;
    let value = read(Lenient {
        scanner: &mut scanner,
        depth_left: JSON_DEPTH_MAX,
        values_left: &mut values_left,
    })?;
    scanner.end()?;
    Ok(value)
}

impl de::Error for JsonError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape { message: message.to_string() }
    }
}

/// The deserializer of the value that comes next.
struct Lenient<'s, 'de> {
    scanner: &'s mut Scanner<'de>,
    depth_left: usize,
    values_left: &'s mut usize,
}

impl<'s, 'de> Lenient<'s, 'de> {
    fn value(self) -> Result<RawValue<'de>, JsonError> {
        self.scanner.value()
    }

    /// Enters a container: takes its bracket, counts its depth.
    fn enter(
        self,
        open: u8,
        close: u8,
        expected: &'static str,
    ) -> Result<Container<'s, 'de>, JsonError> {
        let offset = self.scanner.offset();
        self.scanner.expect(open, expected)?;
        let depth_left = self.depth_left.checked_sub(1).ok_or(JsonError::TooDeep { offset })?;
        Ok(Container {
            scanner: self.scanner,
            depth_left,
            values_left: self.values_left,
            first: true,
            close,
        })
    }
}

/// Integers of every width go through one conversion; out of range is an error of the target type.
macro_rules! integers {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            let number = coerce::integer(self.value()?)?;
            match (i64::try_from(number), u64::try_from(number)) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(number)) => visitor.visit_u64(number),
                _ => visitor.visit_i128(number),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient<'_, 'de> {
    type Error = JsonError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.scanner.peek() {
            Some(b'{') => return self.deserialize_map(visitor),
            Some(b'[') => return self.deserialize_seq(visitor),
            _ => {}
        }
        match self.value()? {
            RawValue::Text(text) => match text.as_plain() {
                Some(plain) => visitor.visit_borrowed_str(plain),
                None => visitor.visit_string(text.to_cow().into_owned()),
            },
            RawValue::Number(text) => match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(number)) => visitor.visit_u64(number),
                _ => visitor.visit_f64(coerce::float(RawValue::Number(text))?),
            },
            RawValue::Bool(flag) => visitor.visit_bool(flag),
            RawValue::Null | RawValue::Nested(_) => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_bool(coerce::boolean(self.value()?)?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_f64(coerce::float(self.value()?)?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.value()?.to_text() {
            Some(text) => visitor.visit_str(&text.to_cow()),
            None => visitor.visit_str(""),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if self.scanner.peek() == Some(b'n') {
            self.scanner.value()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_seq(self.enter(b'[', b']', "'['")?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_map(self.enter(b'{', b'}', "'{'")?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        let name = coerce::variant(self.value()?, variants)?;
        visitor.visit_enum(StrDeserializer::new(name))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        self.scanner.value()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// An object or array whose opening bracket was taken.
struct Container<'s, 'de> {
    scanner: &'s mut Scanner<'de>,
    depth_left: usize,
    values_left: &'s mut usize,
    first: bool,
    close: u8,
}

impl<'de> Container<'_, 'de> {
    /// Skips a null that comes next.
    fn skip_null(&mut self) -> Result<bool, JsonError> {
        let is_null = self.scanner.peek() == Some(b'n');
        if is_null {
            self.scanner.value()?;
        }
        Ok(is_null)
    }

    fn next_value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, JsonError> {
        let offset = self.scanner.offset();
        *self.values_left = self.values_left.checked_sub(1).ok_or(JsonError::TooMany { offset })?;
        seed.deserialize(Lenient {
            scanner: &mut *self.scanner,
            depth_left: self.depth_left,
            values_left: &mut *self.values_left,
        })
    }
}

impl<'de> SeqAccess<'de> for Container<'_, 'de> {
    type Error = JsonError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, JsonError> {
        while self.scanner.more(&mut self.first, self.close)? {
            if !self.skip_null()? {
                return self.next_value(seed).map(Some);
            }
        }
        Ok(None)
    }
}

impl<'de> MapAccess<'de> for Container<'_, 'de> {
    type Error = JsonError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, JsonError> {
        while let Some(key) = self.scanner.next_key(&mut self.first)? {
            if !self.skip_null()? {
                return seed.deserialize(Key(key)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, JsonError> {
        self.next_value(seed)
    }
}
