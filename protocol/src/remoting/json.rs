//! The JSON header.
//!
//! ```text
//! {"code":310,"extFields":{"a":"group","b":"topic"},"flag":0,"language":"JAVA","opaque":7,"remark":"…","version":513}
//! ```
//!
//! Keys come in any order, in fastjson's dialect; C++ clients write numbers into `extFields` and
//! end the header in a newline.

use super::command::{CommandView, SerializeType};
use super::error::{DecodeError, excerpt};
use super::ext::Ext;
use crate::codes::language;
use crate::json::JsonError;
use crate::json::scan::{RawValue, Scanner};

pub(super) fn parse<'a>(header: &'a [u8], body: &'a [u8]) -> Result<CommandView<'a>, DecodeError> {
    let text = simdutf8::basic::from_utf8(header).map_err(|_| not_utf8(header))?;
    let mut view = CommandView {
        serialize: SerializeType::Json,
        code: 0,
        language: language::OTHER,
        version: 0,
        opaque: 0,
        flag: 0,
        ext: Ext::EMPTY,
        body,
        remark: None,
    };
    let mut scanner = Scanner::new(text);
    scanner.expect(b'{', "'{'")?;
    let mut first = true;
    'members: while scanner.more(&mut first, b'}')? {
        while as_clients_write(&mut view, text, &mut scanner)? {
            if !scanner.take_comma_before_quote() {
                continue 'members;
            }
        }
        let key = scanner.key_and_colon()?;
        if key.as_plain() == Some("extFields") {
            ext_fields(&mut view.ext, text, &mut scanner)?;
            continue;
        }
        let value = scanner.value()?;
        match key.as_plain() {
            Some("code") => view.code = int("code", value)?,
            Some("flag") => view.flag = int("flag", value)?,
            Some("opaque") => view.opaque = int("opaque", value)?,
            Some("version") => view.version = int("version", value)?,
            Some("language") => view.language = language_code(value),
            Some("remark") => view.remark = value.to_text(),
            _ => {}
        }
    }
    scanner.end()?;
    Ok(view)
}

/// The error with the place, which only the slow check tells.
#[cold]
fn not_utf8(header: &[u8]) -> DecodeError {
    let offset = std::str::from_utf8(header).map_or_else(|error| error.valid_up_to(), str::len);
    DecodeError::Utf8 { what: "the JSON header", offset }
}

/// Takes one of the known members if it stands there without white space and in its usual form:
/// what nearly every header consists of. False, and nothing taken, for all else.
#[inline]
fn as_clients_write<'a>(
    view: &mut CommandView<'a>,
    text: &'a str,
    scanner: &mut Scanner<'a>,
) -> Result<bool, JsonError> {
    let place = match scanner.second_byte() {
        Some(b'e') if scanner.take_text(b"\"extFields\":{") => {
            view.ext.read_json(text, scanner)?;
            return Ok(true);
        }
        Some(b's') => return Ok(scanner.take_text(b"\"serializeTypeCurrentRPC\":\"JSON\"")),
        Some(b'l') if scanner.take_text(b"\"language\":\"JAVA\"") => {
            view.language = language::JAVA;
            return Ok(true);
        }
        Some(b'c') => scanner.plain_int(b"\"code\":").map(|number| (&mut view.code, number)),
        Some(b'f') => scanner.plain_int(b"\"flag\":").map(|number| (&mut view.flag, number)),
        Some(b'o') => scanner.plain_int(b"\"opaque\":").map(|number| (&mut view.opaque, number)),
        Some(b'v') => scanner.plain_int(b"\"version\":").map(|number| (&mut view.version, number)),
        _ => None,
    };
    let Some((place, number)) = place else { return Ok(false) };
    *place = number;
    Ok(true)
}

fn ext_fields<'a>(
    ext: &mut Ext<'a>,
    text: &'a str,
    scanner: &mut Scanner<'a>,
) -> Result<(), JsonError> {
    if scanner.take(b'{') {
        return ext.read_json(text, scanner);
    }
    match scanner.value()? {
        RawValue::Null => {
            *ext = Ext::EMPTY;
            Ok(())
        }
        _ => Err(JsonError::Shape { message: "extFields is not an object".to_owned() }),
    }
}

fn int(field: &'static str, value: RawValue<'_>) -> Result<i32, DecodeError> {
    let Some(text) = value.to_text() else { return Ok(0) };
    if let Some(number) = text.as_plain().and_then(|plain| plain.parse().ok()) {
        return Ok(number);
    }
    let text = text.to_cow();
    text.parse().map_err(|_| DecodeError::Field {
        field,
        expected: "a 32-bit number",
        found: excerpt(&text),
    })
}

fn language_code(value: RawValue<'_>) -> u8 {
    match value {
        RawValue::Number(text) => text.parse().unwrap_or(language::OTHER),
        RawValue::Text(text) => language::from_name(&text.to_cow()),
        _ => language::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(header: &str) -> Result<CommandView<'_>, DecodeError> {
        parse(header.as_bytes(), b"body")
    }

    #[test]
    fn reads_what_a_java_client_writes() {
        let view = view(concat!(
            r#"{"code":310,"extFields":{"a":"g","i":"K\u0001v\u0002"},"flag":2,"#,
            r#""language":"JAVA","opaque":-7,"serializeTypeCurrentRPC":"JSON","version":513}"#
        ))
        .expect("java header");
        assert_eq!(
            (view.code, view.flag, view.opaque, view.version, view.language),
            (310, 2, -7, 513, language::JAVA)
        );
        assert!(view.is_oneway() && !view.is_response());
        assert_eq!(view.ext.get("i").as_deref(), Some("K\u{1}v\u{2}"));
        assert_eq!(view.ext.get("missing"), None);
        let twice = super::parse(br#"{"extFields":{"a":"1","x":"2"},"extFields":{"b":"3"}}"#, b"");
        let fields = twice.expect("the last object counts").ext;
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("b".into(), "3".into())]);
        assert_eq!(view.remark(), None);
        assert_eq!(view.body, b"body");
    }

    #[test]
    fn reads_what_cpp_and_node_clients_write() {
        let view = view(
            "{\"code\" : 11, \
                extFields:{'queueId':3,\"order\":true,\"x\":null,\"empty\":\"\",\
                deep:{a:[1]}},\"language\":\"CPP\",\"remark\":\"\",\"opaque\":1}\n",
        )
        .expect("cpp header");
        assert_eq!(view.ext.get_i32("queueId"), Ok(Some(3)));
        assert_eq!(view.ext.get_bool("order"), Some(true));
        assert_eq!(view.ext.get("x"), None);
        assert_eq!(view.ext.get("empty").as_deref(), Some(""));
        assert_eq!(view.ext.get_i32("empty"), Ok(None));
        assert_eq!(view.ext.get("deep").as_deref(), Some("{a:[1]}"));
        assert_eq!(view.remark().as_deref(), Some(""));
        assert_eq!(view.language, language::CPP);
    }

    #[test]
    fn the_usual_form_and_any_other_are_read_alike() {
        let code = |header: &str| {
            view(header).map(|view| (view.code, view.opaque, view.language)).map_err(drop)
        };
        let numbers = [
            "0",
            "-1",
            "-0",
            "007",
            "2147483647",
            "-2147483648",
            "2147483648",
            "99999999999",
            "-",
            "--1",
            "+1",
            "1.0",
            "1e3",
            "\"5\"",
            "null",
            "12x",
            "",
        ];
        for number in numbers {
            let usual = format!("{{\"code\":{number},\"language\":\"JAVA\",\"opaque\":3}}");
            let other =
                format!("{{ \"code\" : {number} , \"language\" : \"JAVA\" , \"opaque\" : 3 }}");
            assert_eq!(code(&usual), code(&other), "{usual}");
        }
        let field = |header: &str| {
            view(header)
                .map(|view| view.ext.get("i").map(std::borrow::Cow::into_owned))
                .map_err(drop)
        };
        let values = [
            "",
            "plain",
            r"\u0001",
            r"K\u0001v\u0002L\u0001w\u0002",
            r"\u0009\u0010",
            r"\u00e9",
            r"a\nb",
            r"\u0001\",
            r"\u000",
            r"\u0001\q",
            "é\u{1}",
        ];
        for value in values {
            for key in ["i", "longer"] {
                let usual = format!(
                    "{{\"extFields\":{{\"{key}\":\"x\",\"i\":\"{value}\",\"z\":\"\"}},\
                        \"version\":1}}"
                );
                let other = format!(
                    "{{ \"extFields\" : {{ \"{key}\" : \"x\" , \"i\" : \"{value}\" , \"z\" : \
                        \"\" }} , \"version\" : 1 }}"
                );
                assert_eq!(field(&usual), field(&other), "{usual}");
            }
        }
    }

    /// Keys of one letter have places of their own, others an index, and what fits in neither is
    /// scanned: of each key the last value counts, wherever both lie.
    #[test]
    fn fields_of_any_mixture_of_forms_are_those_that_a_plain_walk_finds() {
        const KEYS: [&str; 8] =
            ["\"a\"", "\"i\"", "\"p\"", "\"q\"", "\"topic\"", "\"\\u0061\"", "'a'", "b"];
        const VALUES: [&str; 8] = [
            "\"\"",
            "\"7\"",
            "\"x\\u0001y\"",
            "\"a\\nb\"",
            "null",
            "12",
            " \"é\"",
            "\"plain one\"",
        ];
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut pick = move |of: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % of).expect("small")
        };
        for round in 0..20_000 {
            let members: Vec<(usize, usize)> = (0..pick(26)).map(|_| (pick(8), pick(8))).collect();
            let written = members.iter().map(|(key, value)| {
                let space = if (key + value) % 5 == 4 { " " } else { "" };
                format!("{}{space}:{}", KEYS[*key], VALUES[*value])
            });
            let header = format!("{{\"extFields\":{{{}}}}}", written.collect::<Vec<_>>().join(","));
            let mut expected = std::collections::BTreeMap::new();
            for (key, value) in &members {
                let key = ["a", "i", "p", "q", "topic", "a", "a", "b"][*key];
                let value = ["", "7", "x\u{1}y", "a\nb", "-", "12", "é", "plain one"][*value];
                if value != "-" {
                    expected.insert(key.to_owned(), value.to_owned());
                }
            }
            let view = view(&header).expect("a header");
            let all: Vec<(String, String)> = view
                .ext
                .iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect();
            for (key, value) in &expected {
                let found = view.ext.get(key);
                assert_eq!(
                    found.as_deref(),
                    Some(value.as_str()),
                    "round {round}: {key} of {header}"
                );
                let last = all.iter().rfind(|(found, _)| found == key);
                assert_eq!(last.map(|(_, value)| value), Some(value), "round {round}: {header}");
            }
            assert!(
                all.iter().all(|(key, _)| expected.contains_key(key)),
                "round {round}: {header}"
            );
            assert_eq!(view.ext.is_empty(), expected.is_empty(), "round {round}: {header}");
            assert_eq!(view.ext.get("z"), None);
        }
    }

    #[test]
    fn fields_beyond_the_reach_of_the_index_are_found_too() {
        for long in [32_767, 32_768, 70_000] {
            let header = format!(
                "{{\"extFields\":{{\"a\":\"first\",\"i\":\"{}\",\"z\":\"last\"}}}}",
                "x".repeat(long)
            );
            let view = view(&header).expect("long header");
            assert_eq!(view.ext.get("a").as_deref(), Some("first"));
            assert_eq!(view.ext.get("i").map(|text| text.len()), Some(long));
            assert_eq!(view.ext.get("z").as_deref(), Some("last"));
            assert_eq!(view.ext.iter().count(), 3);
        }
    }

    #[test]
    fn refuses_what_is_no_header() {
        for header in [
            "",
            "[]",
            "{\"code\":\"x\"}",
            "{\"code\":99999999999}",
            "{\"extFields\":[]}",
            "{\"code\":1}x",
            "{\"extFields\":{\"a\":}}",
        ] {
            assert!(view(header).is_err(), "{header}");
        }
        assert!(matches!(
            parse(b"{\"code\":1,\"r\":\"\xff\"}", b""),
            Err(DecodeError::Utf8 { offset: 15, .. })
        ));
    }
}
