//! The native lane: Produce and Fetch, as `client/` writes them.

use crate::lane::Lane;
use protocol::native::{
    Ack, ArchivedFetched, ArchivedProduced, Fetch, FrameView, Header, Hello, Kind, Prefix, Produce,
    Route, append_frame,
};
use protocol::record::RecordDraft;
use std::io::{Read, Write};
use std::net::TcpStream;

const TOPIC: &str = "CountedNative";
const BODY_BYTES: usize = 4000;
/// Messages asked for by one fetch.
const FETCH_MESSAGES: usize = 32;

pub(crate) struct Native {
    stream: TcpStream,
    sent_messages: usize,
}

impl Native {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut native = Self { stream, sent_messages: 0 };
        let hello =
            Hello { version_min: 1, version_max: 1, capabilities: 0, client: "counting".into() };
        native.call(Kind::Hello, &hello);
        native.call(Kind::Route, &Route { create_queues: 1, topic: TOPIC.into() });
        native
    }

    fn call(&mut self, kind: Kind, header: &impl Header) -> Vec<u8> {
        self.stream.write_all(&frame(kind, header, &[])).unwrap();
        self.answer()
    }

    /// The next answer.
    fn answer(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; protocol::native::PREFIX_BYTES];
        self.stream.read_exact(&mut bytes).unwrap();
        let prefix = Prefix::parse(&bytes).unwrap();
        bytes.resize(prefix.frame_bytes as usize, 0);
        self.stream.read_exact(&mut bytes[protocol::native::PREFIX_BYTES..]).unwrap();
        assert_ne!(prefix.kind, Kind::Error as u8, "{}", String::from_utf8_lossy(&bytes));
        bytes
    }
}

fn frame(kind: Kind, header: &impl Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(&mut bytes, kind, 1, header, payload.len()).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

fn record() -> Vec<u8> {
    let draft = RecordDraft {
        topic: TOPIC,
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        born_host: "127.0.0.1:1".parse().unwrap(),
        store_timestamp_ms: 0,
        store_host: "127.0.0.1:1".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &[b'x'; BODY_BYTES],
        properties: &[b"UNIQ_KEY\x017F00000100002A9F0000000000000000\x02TAGS\x01TagA\x02"],
    };
    let mut record = vec![0; draft.encoded_len().unwrap()];
    draft.encode_into(&mut record).unwrap();
    record
}

fn produce_frame() -> Vec<u8> {
    frame(
        Kind::Produce,
        &Produce { records: 1, ack: Ack::Configured as u8, wants_stages: true },
        &record(),
    )
}

impl Lane for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn body_bytes(&self) -> usize {
        BODY_BYTES
    }

    fn copied_bytes(&self) -> usize {
        record().len()
    }

    fn send(&mut self, messages: usize, in_flight: usize) {
        let frames = produce_frame().repeat(in_flight);
        for _ in 0..messages / in_flight {
            self.stream.write_all(&frames).unwrap();
            for _ in 0..in_flight {
                let answer = self.answer();
                assert_eq!(
                    FrameView::parse(&answer)
                        .unwrap()
                        .header::<ArchivedProduced>()
                        .unwrap()
                        .records,
                    1
                );
            }
        }
        self.sent_messages += messages;
    }

    fn pull(&mut self, messages: usize) {
        let offset = i64::try_from(self.sent_messages - FETCH_MESSAGES).unwrap();
        let messages_max = u32::try_from(FETCH_MESSAGES).unwrap();
        let fetch = Fetch {
            queue_id: 0,
            offset,
            messages_max,
            bytes_max: 1 << 20,
            hold_ms: 0,
            topic: TOPIC.into(),
            tags: vec![],
        };
        let request = frame(Kind::Fetch, &fetch, &[]);
        let mut fetched = 0;
        while fetched < messages {
            self.stream.write_all(&request).unwrap();
            let answer = self.answer();
            let view = FrameView::parse(&answer).unwrap();
            assert!(view.payload.len() >= FETCH_MESSAGES * BODY_BYTES);
            fetched += view.header::<ArchivedFetched>().unwrap().messages.to_native() as usize;
        }
    }
}
