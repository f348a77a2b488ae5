//! Reading is total: any bytes, any damage to good bytes, and any good value keep the properties of
//! `protocol::check`.

mod samples;

use proptest::prelude::*;
use protocol::check;
use protocol::remoting::CommandView;

/// Bytes that are mostly a good sample: cut, or with a few bytes changed.
fn damaged(sample: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (Just(sample), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(mut bytes, changes, cut, whole)| {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        },
    )
}

/// Text out of the alphabet that JSON is made of, so that random bytes get somewhere.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "'",
        "\\",
        "\\u0001",
        "\\ud83d\\ude00",
        "\\x41",
        "null",
        "true",
        "1",
        "-2.5e3",
        "a",
        "code",
        "\"extFields\":{",
        "\"offsetTable\":{",
        "{\"queueId\":1}",
        " ",
        "\n",
        "é",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40)
        .prop_map(|words| words.concat().into_bytes())
}

fn frame_of_json(header: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(header.len()).expect("short").to_be_bytes().to_vec();
    frame.extend_from_slice(header);
    frame
}

/// Found by `damaged_frames`: a JSON header's letters are walked before its other keys, wherever
/// those stand, so the order of fields was not kept. Nor does Java keep it.
#[test]
fn a_key_between_letters_is_still_the_same_field() {
    let fields = [(&b"a"[..], &b"group"[..]), (b" ", b"1700000000000"), (b"b", b"topic")];
    let mut entries = Vec::new();
    for (key, value) in fields {
        entries.extend_from_slice(&u16::try_from(key.len()).expect("short").to_be_bytes());
        entries.extend_from_slice(key);
        entries.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
        entries.extend_from_slice(value);
    }
    // Code, language, version, opaque, flag, no remark; the highest byte of the length says binary.
    let mut header = vec![0, 10, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend_from_slice(&u32::try_from(entries.len()).expect("short").to_be_bytes());
    header.extend_from_slice(&entries);
    let mut frame = (u32::try_from(header.len()).expect("short") | 1 << 24).to_be_bytes().to_vec();
    frame.extend_from_slice(&header);
    assert_eq!(CommandView::parse(&frame).expect("a whole frame").ext.iter().count(), 3);
    check::check_command(&frame);
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check::check_command(&bytes);
        check::check_records(&bytes);
        check::check_batch(&bytes);
        check::check_json(&bytes);
        check::check_properties(&bytes);
        check::check_native(&bytes);
    }

    #[test]
    fn any_json_like_text(text in json_like()) {
        check::check_json(&text);
        check::check_command(&frame_of_json(&text));
        let mut object = b"{\"code\":1,\"extFields\":{".to_vec();
        object.extend_from_slice(&text);
        object.extend_from_slice(b"}}");
        check::check_command(&frame_of_json(&object));
    }

    #[test]
    fn damaged_frames(bytes in prop::sample::select(samples::frames()).prop_flat_map(damaged)) {
        check::check_command(&bytes);
    }

    #[test]
    fn damaged_native_frames(
        bytes in prop::sample::select(samples::native_frames()).prop_flat_map(damaged),
    ) {
        check::check_native(&bytes);
    }

    /// Lengths are put right again, so that the damage gets as far as the archive.
    #[test]
    fn damaged_native_headers(
        bytes in prop::sample::select(samples::native_frames()).prop_flat_map(damaged),
    ) {
        let mut bytes = bytes;
        if let (Ok(length), Some(place)) = (u32::try_from(bytes.len()), bytes.get_mut(4..8)) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        check::check_native(&bytes);
    }

    #[test]
    fn damaged_records(bytes in prop::sample::select(samples::records()).prop_flat_map(damaged)) {
        check::check_records(&bytes);
    }

    #[test]
    fn damaged_batches(bytes in prop::sample::select(samples::batches()).prop_flat_map(damaged)) {
        check::check_batch(&bytes);
    }

    #[test]
    fn damaged_bodies(bytes in prop::sample::select(samples::bodies()).prop_flat_map(damaged)) {
        check::check_json(&bytes);
    }

    #[test]
    fn properties_of_separators(
        bytes in prop::collection::vec(
            prop::sample::select(vec![1u8, 2, b'a', b'b', 0xFF]), 0..60,
        ),
    ) {
        check::check_properties(&bytes);
    }

    #[test]
    fn any_text_survives_as_a_field_and_as_a_remark(
        value in ".{0,200}",
        remark in ".{0,200}",
        number in any::<i64>(),
    ) {
        use protocol::remoting::{CommandHead, CommandView, SerializeType, write_command};
        for serialize in [SerializeType::Json, SerializeType::RocketMq] {
            let said = Some(remark.as_str());
            let head = CommandHead { serialize, code: 7, opaque: -3, flag: 1, remark: said };
            let mut frame = Vec::new();
            let fields = |ext: &mut protocol::remoting::ExtWriter<'_>| {
                ext.str("v", &value);
                ext.int("n", number);
            };
            write_command(&mut frame, &head, fields, b"body");
            let view = CommandView::parse(&frame[4..]).expect("frame");
            prop_assert_eq!(view.ext.get("v").unwrap_or_default(), value.as_str());
            prop_assert_eq!(view.ext.get_i64("n"), Ok(Some(number)));
            prop_assert_eq!(view.remark().unwrap_or_default(), remark.as_str());
            let found = (view.code, view.opaque, view.flag, view.body);
            prop_assert_eq!(found, (7, -3, 1, &b"body"[..]));
        }
    }
}
