//! Properties that must hold for any bytes. Each function panics when its property does not hold.
//!
//! The fuzz targets (`fuzz/`), the tests that replay their corpora and the proptests all call
//! these: one statement of each property, three ways to look for a counterexample. Not called by
//! any server.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bodies;
use crate::headers::{
    PullHeader, PullResponseHeader, Scratch, SendBackHeader, SendHeader, SendResponseHeader,
};
use crate::json::{from_lenient, parse_lenient, to_fastjson, to_standard};
use crate::limits::REMARK_BYTES_MAX;
use crate::native::{self, FrameView, Kind, append_frame};
use crate::record::{RecordDraft, RecordView, records};
use crate::remoting::{CommandHead, CommandView, Ext, ExtWriter, SerializeType, write_command};
use crate::{batch, properties};

/// A frame is refused, or what it says survives being written and read again; its header decodes
/// without panicking.
pub fn check_command(frame: &[u8]) {
    let Ok(view) = CommandView::parse(frame) else { return };
    let fields: Vec<(Cow<'_, str>, Cow<'_, str>)> = view.ext.iter().collect();
    let remark = view.remark();
    let head = CommandHead {
        serialize: SerializeType::Json,
        code: view.code,
        opaque: view.opaque,
        flag: view.flag,
        remark: remark.as_deref(),
    };
    let write_fields =
        |ext: &mut ExtWriter<'_>| fields.iter().for_each(|(key, value)| ext.str(key, value));
    let mut json = Vec::new();
    write_command(&mut json, &head, write_fields, view.body);
    let again = reparse(&json);
    assert_eq!(
        (again.code, again.opaque, again.flag, again.body),
        (view.code, view.opaque, view.flag, view.body)
    );
    assert_same_fields(&again.ext, fields.iter(), "JSON");
    if remark.as_ref().is_none_or(|text| text.len() <= REMARK_BYTES_MAX) {
        assert_eq!(again.remark(), remark);
    }
    let mut binary = Vec::new();
    write_command(
        &mut binary,
        &CommandHead { serialize: SerializeType::RocketMq, ..head },
        write_fields,
        view.body,
    );
    let again = reparse(&binary);
    assert_eq!((again.opaque, again.flag, again.body), (view.opaque, view.flag, view.body));
    if fields.iter().all(|(key, _)| key.len() < 1000) {
        let kept = fields.iter().filter(|(key, value)| !key.is_empty() && !value.is_empty());
        assert_same_fields(&again.ext, kept, "binary");
    }
    check_headers(&view.ext);
}

/// Fields are a map, as in Java: they have no order, and of a repeated key the last value counts.
/// Both ways to a field, the walk and the look-up, find the same.
fn assert_same_fields<'f>(
    again: &Ext<'_>,
    written: impl Iterator<Item = &'f (Cow<'f, str>, Cow<'f, str>)>,
    form: &str,
) {
    let written: BTreeMap<_, _> = written.cloned().collect();
    let walked: BTreeMap<_, _> = again.iter().collect();
    assert_eq!(walked, written, "fields change in {form}");
    for (key, value) in &written {
        assert_eq!(again.get(key).as_ref(), Some(value), "field {key:?} changes in {form}");
    }
}

fn reparse(frame: &[u8]) -> CommandView<'_> {
    let (length, rest) = frame.split_first_chunk::<4>().expect("a frame has a length");
    assert_eq!(usize::try_from(u32::from_be_bytes(*length)), Ok(rest.len()));
    CommandView::parse(rest).expect("what we write, we read")
}

/// Typed headers agree with the untyped fields and survive being written again.
fn check_headers(ext: &Ext<'_>) {
    let (mut scratch, mut other) = (Scratch::new(), Scratch::new());
    if let Ok(header) = SendHeader::decode(ext, &mut scratch) {
        let mut frame = Vec::new();
        write_command(&mut frame, &CommandHead::default(), |out| header.write_v2(out), b"");
        assert_eq!(SendHeader::decode(&reparse(&frame).ext, &mut other), Ok(header));
        frame.clear();
        write_command(&mut frame, &CommandHead::default(), |out| header.write_v1(out), b"");
        assert_eq!(SendHeader::decode(&reparse(&frame).ext, &mut other), Ok(header));
    }
    if let Ok(header) = PullHeader::decode(ext, &mut scratch) {
        let mut frame = Vec::new();
        write_command(&mut frame, &CommandHead::default(), |out| header.write(out), b"");
        assert_eq!(PullHeader::decode(&reparse(&frame).ext, &mut other), Ok(header));
    }
    if let Ok(header) = SendBackHeader::decode(ext, &mut scratch) {
        let mut frame = Vec::new();
        write_command(&mut frame, &CommandHead::default(), |out| header.write(out), b"");
        assert_eq!(SendBackHeader::decode(&reparse(&frame).ext, &mut other), Ok(header));
    }
    let _ = (
        SendResponseHeader::decode(ext, &mut scratch).is_ok(),
        PullResponseHeader::decode(ext).is_ok(),
    );
}

/// Bytes are records that can be rebuilt from their parts, up to a first error; iteration ends.
pub fn check_records(bytes: &[u8]) {
    let mut read_bytes = 0;
    for record in records(bytes) {
        let Ok(view) = record else { return };
        read_bytes += view.total_size();
        assert!(read_bytes <= bytes.len());
        let _ = view.verify_crc();
        check_rebuilt(&view);
    }
    assert_eq!(read_bytes, bytes.len());
}

fn check_rebuilt(view: &RecordView<'_>) {
    let draft = RecordDraft {
        topic: view.topic(),
        queue_id: view.queue_id(),
        flag: view.flag(),
        queue_offset: view.queue_offset(),
        physical_offset: view.physical_offset(),
        sys_flag: view.sys_flag(),
        born_timestamp_ms: view.born_timestamp_ms(),
        born_host: view.born_host(),
        store_timestamp_ms: view.store_timestamp_ms(),
        store_host: view.store_host(),
        reconsume_times: view.reconsume_times(),
        prepared_transaction_offset: view.prepared_transaction_offset(),
        body: view.body(),
        properties: &[view.properties()],
    };
    let Ok(length) = draft.encoded_len() else { return };
    let mut encoded = vec![0; length];
    draft.encode_into(&mut encoded).expect("a draft fits its own length");
    let again = RecordView::parse(&encoded).expect("what we encode, we read");
    again.verify_crc().expect("what we encode has its checksum");
    assert_eq!(
        (again.topic(), again.body(), again.properties()),
        (view.topic(), view.body(), view.properties())
    );
    assert_eq!(again.sys_flag(), view.sys_flag());
    assert_eq!((again.born_host(), again.store_host()), (view.born_host(), view.store_host()));
    assert_eq!(
        (again.queue_offset(), again.physical_offset()),
        (view.queue_offset(), view.physical_offset())
    );
    assert_eq!(
        (again.born_timestamp_ms(), again.store_timestamp_ms()),
        (view.born_timestamp_ms(), view.store_timestamp_ms())
    );
    assert_eq!(
        (again.queue_id(), again.flag(), again.reconsume_times()),
        (view.queue_id(), view.flag(), view.reconsume_times())
    );
    assert_eq!(again.prepared_transaction_offset(), view.prepared_transaction_offset());
}

/// A batch is refused, or its entries survive being written and read again.
pub fn check_batch(body: &[u8]) {
    let entries: Vec<_> = batch::entries(body).collect();
    assert!(entries.len() <= body.len() / batch::ENTRY_BYTES_MIN + 1);
    let good: Vec<_> = entries.iter().filter_map(|entry| entry.as_ref().ok().copied()).collect();
    assert_eq!(batch::check(body).is_ok(), good.len() == entries.len());
    let mut written = Vec::new();
    for entry in &good {
        batch::write(&mut written, entry).expect("an entry that was read can be written");
    }
    assert_eq!(batch::entries(&written).collect::<Result<Vec<_>, _>>().as_deref(), Ok(&good[..]));
}

/// A body is refused, or survives being written in both styles and read again: untyped, and as
/// every type it fits.
pub fn check_json(body: &[u8]) {
    if let Ok(value) = parse_lenient(body)
        && !value.is_null()
    {
        assert_eq!(parse_lenient(&to_fastjson(&value)).as_ref(), Ok(&value));
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&to_standard(&value))
                .expect("standard JSON"),
            value
        );
    }
    check_body::<bodies::HeartbeatData>(body);
    check_body::<bodies::TopicRouteData>(body);
    check_body::<bodies::ClusterInfo>(body);
    check_body::<bodies::TopicConfigSerializeWrapper>(body);
    check_body::<bodies::RegisterBrokerBody>(body);
    check_body::<bodies::SubscriptionGroupWrapper>(body);
    check_body::<bodies::ConsumerOffsets>(body);
    check_body::<bodies::DelayOffsets>(body);
    check_body::<bodies::ResetOffsetBody>(body);
    check_body::<bodies::ConsumeStats>(body);
    check_body::<bodies::LockBatchRequestBody>(body);
    check_body::<bodies::ConsumerConnection>(body);
    check_body::<bodies::KvTable>(body);
}

fn check_body<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) {
    if let Ok(value) = from_lenient::<T>(body) {
        for written in [to_fastjson(&value), to_standard(&value)] {
            assert_eq!(from_lenient::<T>(&written).as_ref(), Ok(&value));
        }
    }
}

/// Properties survive being written again; looking one up finds the last of its name.
pub fn check_properties(bytes: &[u8]) {
    let all: Vec<_> = properties::iter(bytes).collect();
    let mut written = Vec::new();
    properties::write_without(&mut written, bytes, &[]);
    assert!(properties::iter(&written).eq(all.iter().copied()));
    for (name, _) in &all {
        let last = all.iter().rfind(|(other, _)| other == name).map(|(_, value)| *value);
        if let Ok(name) = std::str::from_utf8(name) {
            assert_eq!(properties::get_bytes(bytes, name), last);
        }
    }
}

/// A native frame is refused, or its header is refused, or what it says survives being written and
/// read again. Its payload as records: each is refused or is a record, and cutting them ends.
pub fn check_native(bytes: &[u8]) {
    let mut payload = bytes;
    while let Some(Ok(record)) = native::records::next(&mut payload) {
        if let Ok(checked) = native::records::check(record, false) {
            assert_eq!(checked.view.bytes(), record);
            checked.view.verify_crc().expect("a checked record's body is intact");
        }
    }
    let Ok(view) = FrameView::parse(bytes) else { return };
    match view.kind {
        Kind::Hello => check_header::<native::Hello>(&view),
        Kind::Produce => check_header::<native::Produce>(&view),
        Kind::Fetch => check_header::<native::Fetch>(&view),
        Kind::FetchSql => check_header::<native::FetchSql>(&view),
        Kind::QueryOffset => check_header::<native::QueryOffset>(&view),
        Kind::CommitOffset => check_header::<native::CommitOffset>(&view),
        Kind::Route => check_header::<native::Route>(&view),
        Kind::Welcome => check_header::<native::Welcome>(&view),
        Kind::Produced => check_header::<native::Produced>(&view),
        Kind::Fetched => check_header::<native::Fetched>(&view),
        Kind::OffsetIs => check_header::<native::OffsetIs>(&view),
        Kind::RouteIs => check_header::<native::RouteIs>(&view),
        Kind::Error => check_header::<native::ErrorAnswer>(&view),
        Kind::Ping | Kind::Pong | Kind::Committed => {}
    }
    assert!(native::Placed::iter(view.payload).len() <= view.payload.len() / native::PLACED_BYTES);
}

fn check_header<H>(view: &FrameView<'_>)
where
    H: rkyv::Archive + PartialEq + Debug + native::Header,
    H::Archived: rkyv::Deserialize<H, rkyv::api::low::LowDeserializer<rkyv::rancor::Error>>,
{
    let Ok(header) = view.header::<H::Archived>() else { return };
    let value: H = rkyv::api::low::deserialize::<H, rkyv::rancor::Error>(header)
        .expect("a valid archive becomes a value");
    let mut again = Vec::new();
    append_frame(&mut again, view.kind, view.correlation, &value, 0)
        .expect("what was read fits a frame");
    let read = FrameView::parse(&again).expect("what we write, we read");
    let header = read.header::<H::Archived>().expect("what we write, we read");
    assert_eq!(
        rkyv::api::low::deserialize::<H, rkyv::rancor::Error>(header).ok().as_ref(),
        Some(&value)
    );
}
