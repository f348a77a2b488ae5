//! Writing bodies: a serde serializer whose output is fastjson's. It writes no white space, leaves
//! out absent values (`None`), and keeps the order of a struct's fields. The body types list theirs
//! alphabetically, as fastjson sorts them.
//!
//! The two styles differ in keys and escapes:
//!
//! | | numeric key | object key | beyond ASCII |
//! |---|---|---|---|
//! | fastjson | `{0:"a"}` | `{{"queueId":0}:1}` | as it is |
//! | standard | `{"0":"a"}` | `{"{\"queueId\":0}":1}` | `\uXXXX` |

use serde::ser::{self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::write_text::{write_ascii_string, write_int, write_string};

/// `value` as fastjson writes it: numeric and object keys unquoted.
///
/// # Panics
/// If `value`'s own `Serialize` fails, which no body of this crate does.
#[must_use]
pub fn to_fastjson<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write_fastjson(&mut out, value);
    out
}

/// `value` as JSON that every parser reads: all keys quoted, ASCII only.
///
/// # Panics
/// If `value`'s own `Serialize` fails, which no body of this crate does.
#[must_use]
pub fn to_standard<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write_standard(&mut out, value);
    out
}

/// [`to_fastjson`], appended to `out`.
///
/// # Panics
/// If `value`'s own `Serialize` fails, which no body of this crate does.
pub fn write_fastjson<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    value.serialize(&mut Writer { out, style: Style::Fastjson }).expect("bodies serialize");
}

/// [`to_standard`], appended to `out`.
///
/// # Panics
/// If `value`'s own `Serialize` fails, which no body of this crate does.
pub fn write_standard<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    value.serialize(&mut Writer { out, style: Style::Standard }).expect("bodies serialize");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Fastjson,
    Standard,
}

/// Whether a value was written. The key of an absent one must be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Value,
    Nothing,
}

/// A type that this writer cannot write: a programmer's error, found by that type's first test.
#[derive(Debug, thiserror::Error)]
#[error("JSON: {0}")]
struct WriteError(String);

impl ser::Error for WriteError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    style: Style,
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        match self.style {
            Style::Fastjson => write_string(self.out, text),
            Style::Standard => write_ascii_string(self.out, text),
        }
    }

    fn raw(&mut self, text: &str) -> Result<Wrote, WriteError> {
        self.out.extend_from_slice(text.as_bytes());
        Ok(Wrote::Value)
    }

    fn key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), WriteError> {
        let start = self.out.len();
        key.serialize(&mut Writer { out: self.out, style: self.style })?;
        match (self.style, self.out.get(start)) {
            (Style::Fastjson, _) | (Style::Standard, Some(b'"')) => {}
            (Style::Standard, Some(b'-' | b'0'..=b'9')) => {
                self.out.insert(start, b'"');
                self.out.push(b'"');
            }
            (Style::Standard, _) => {
                let text = self.out.split_off(start);
                self.text(&String::from_utf8_lossy(&text));
            }
        }
        self.out.push(b':');
        Ok(())
    }
}

macro_rules! integers {
    ($($name:ident: $number:ty),*) => {$(
        fn $name(self, number: $number) -> Result<Wrote, WriteError> {
            write_int(self.out, i64::from(number));
            Ok(Wrote::Value)
        }
    )*};
}

impl<'w, 'o> Serializer for &'w mut Writer<'o> {
    type Ok = Wrote;
    type Error = WriteError;
    type SerializeSeq = Container<'w, 'o>;
    type SerializeTuple = ser::Impossible<Wrote, WriteError>;
    type SerializeTupleStruct = ser::Impossible<Wrote, WriteError>;
    type SerializeTupleVariant = ser::Impossible<Wrote, WriteError>;
    type SerializeMap = Container<'w, 'o>;
    type SerializeStruct = Container<'w, 'o>;
    type SerializeStructVariant = ser::Impossible<Wrote, WriteError>;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32
    }

    fn serialize_u64(self, number: u64) -> Result<Wrote, WriteError> {
        self.raw(&number.to_string())
    }

    fn serialize_f32(self, number: f32) -> Result<Wrote, WriteError> {
        self.serialize_f64(f64::from(number))
    }

    /// As Java prints a double: `0.0`, not `0`. Infinity and NaN become null.
    fn serialize_f64(self, number: f64) -> Result<Wrote, WriteError> {
        if number.is_finite() { self.raw(&format!("{number:?}")) } else { Ok(Wrote::Nothing) }
    }

    fn serialize_bool(self, flag: bool) -> Result<Wrote, WriteError> {
        self.raw(if flag { "true" } else { "false" })
    }

    fn serialize_char(self, character: char) -> Result<Wrote, WriteError> {
        self.serialize_str(character.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<Wrote, WriteError> {
        self.text(text);
        Ok(Wrote::Value)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Wrote, WriteError> {
        Err(WriteError("bytes have no JSON form here: encode them as text".to_owned()))
    }

    fn serialize_none(self) -> Result<Wrote, WriteError> {
        Ok(Wrote::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Wrote, WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Wrote, WriteError> {
        Ok(Wrote::Nothing)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Wrote, WriteError> {
        Ok(Wrote::Nothing)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Wrote, WriteError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Wrote, WriteError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Wrote, WriteError> {
        Err(unsupported(name))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Container<'w, 'o>, WriteError> {
        Ok(Container::open(self, b'[', b']'))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, WriteError> {
        Err(unsupported("a tuple"))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, WriteError> {
        Err(unsupported(name))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, WriteError> {
        Err(unsupported(name))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Container<'w, 'o>, WriteError> {
        Ok(Container::open(self, b'{', b'}'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Container<'w, 'o>, WriteError> {
        Ok(Container::open(self, b'{', b'}'))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, WriteError> {
        Err(unsupported(name))
    }
}

fn unsupported(what: &str) -> WriteError {
    WriteError(format!("{what} has no form in RocketMQ's bodies"))
}

/// An object or array being written.
struct Container<'w, 'o> {
    writer: &'w mut Writer<'o>,
    close: u8,
    empty: bool,
    /// Where the entry being written began: it is taken back if its value is absent.
    entry_start: usize,
}

impl<'w, 'o> Container<'w, 'o> {
    fn open(writer: &'w mut Writer<'o>, open: u8, close: u8) -> Self {
        writer.out.push(open);
        Self { writer, close, empty: true, entry_start: 0 }
    }

    fn begin_entry(&mut self) {
        self.entry_start = self.writer.out.len();
        if !self.empty {
            self.writer.out.push(b',');
        }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        match value.serialize(&mut *self.writer)? {
            Wrote::Value => self.empty = false,
            Wrote::Nothing => self.writer.out.truncate(self.entry_start),
        }
        Ok(())
    }

    fn close(self) -> Result<Wrote, WriteError> {
        self.writer.out.push(self.close);
        Ok(Wrote::Value)
    }
}

impl SerializeSeq for Container<'_, '_> {
    type Ok = Wrote;
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.begin_entry();
        self.value(value)
    }

    fn end(self) -> Result<Wrote, WriteError> {
        self.close()
    }
}

impl SerializeMap for Container<'_, '_> {
    type Ok = Wrote;
    type Error = WriteError;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), WriteError> {
        self.begin_entry();
        self.writer.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WriteError> {
        self.value(value)
    }

    fn end(self) -> Result<Wrote, WriteError> {
        self.close()
    }
}

impl SerializeStruct for Container<'_, '_> {
    type Ok = Wrote;
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), WriteError> {
        self.begin_entry();
        self.writer.text(key);
        self.writer.out.push(b':');
        self.value(value)
    }

    fn end(self) -> Result<Wrote, WriteError> {
        self.close()
    }
}
