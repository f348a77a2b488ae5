//! A native client in bytes: frames written and read as docs/FORMATS.md says, good ones and bad
//! ones.

use crate::cluster::{Cluster, SOON};
use protocol::native::{
    Ack, ArchivedErrorAnswer, ArchivedFetched, ArchivedProduced, ErrorCode, Fetch, FrameView,
    Header, Hello, Kind, NO_RECORD, PREFIX_BYTES, Placed, Prefix, Produce, Route, Stages,
    append_frame,
};
use protocol::record::RecordDraft;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A frame out of its bytes.
#[derive(Clone, Debug)]
pub struct Answer {
    pub bytes: Vec<u8>,
}

/// What a Produced frame says.
#[derive(Debug)]
pub struct Produced {
    pub is_late: bool,
    pub store_timestamp_ms: i64,
    pub stages: Stages,
    pub placed: Vec<Placed>,
}

/// What a Fetched frame says.
#[derive(Debug)]
pub struct Fetched {
    pub status: u8,
    pub next_offset: i64,
    pub range: (i64, i64),
    pub messages: Vec<crate::client::Stored>,
}

impl Answer {
    pub fn view(&self) -> FrameView<'_> {
        FrameView::parse(&self.bytes).unwrap()
    }

    /// Code, record and reason of a refusal.
    pub fn error(&self) -> (ErrorCode, u32, String) {
        let view = self.view();
        assert_eq!(view.kind, Kind::Error, "{self:?}");
        let error = view.header::<ArchivedErrorAnswer>().unwrap();
        (
            ErrorCode::from_number(error.code.to_native()).unwrap(),
            error.record.to_native(),
            error.reason.as_str().to_owned(),
        )
    }

    pub fn produced(&self) -> Produced {
        let view = self.view();
        if view.kind == Kind::Error {
            panic!("{:?}", self.error());
        }
        let header = view.header::<ArchivedProduced>().unwrap();
        let placed: Vec<Placed> = Placed::iter(view.payload).collect();
        assert_eq!(placed.len(), header.records.to_native() as usize);
        let stages = Stages {
            appended_nanos: header.stages.appended_nanos.to_native(),
            flushed_nanos: header.stages.flushed_nanos.to_native(),
            replicated_nanos: header.stages.replicated_nanos.to_native(),
            answered_nanos: header.stages.answered_nanos.to_native(),
        };
        Produced {
            is_late: header.is_late,
            store_timestamp_ms: header.store_timestamp_ms.to_native(),
            stages,
            placed,
        }
    }

    pub fn fetched(&self) -> Fetched {
        let view = self.view();
        if view.kind == Kind::Error {
            panic!("{:?}", self.error());
        }
        let header = view.header::<ArchivedFetched>().unwrap();
        let mut rest = view.payload;
        let mut messages = vec![];
        while let Some(record) = protocol::native::records::next(&mut rest) {
            messages.push(crate::client::Stored::parse(record.unwrap()));
        }
        assert_eq!(messages.len(), header.messages.to_native() as usize);
        let range = (header.min_offset.to_native(), header.max_offset.to_native());
        Fetched {
            status: header.status,
            next_offset: header.next_offset.to_native(),
            range,
            messages,
        }
    }
}

/// One connection.
pub struct Native {
    pub stream: TcpStream,
    correlation: u32,
}

impl Native {
    /// A connection that has said nothing yet.
    pub fn silent(cluster: &Cluster) -> Self {
        let stream = TcpStream::connect(cluster.shard_addr(0)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation: 0 }
    }

    /// A connection that was welcomed.
    pub fn connect(cluster: &Cluster) -> Self {
        let mut native = Self::silent(cluster);
        let welcome = native.call(Kind::Hello, &hello(1, 1), &[]);
        assert_eq!(welcome.view().kind, Kind::Welcome, "{welcome:?}");
        native
    }

    /// Sends a request; its number.
    pub fn send(&mut self, kind: Kind, header: &impl Header, payload: &[u8]) -> u32 {
        self.correlation += 1;
        let bytes = frame(kind, self.correlation, header, payload);
        self.stream.write_all(&bytes).unwrap();
        self.correlation
    }

    /// The next frame, whatever it is; `None` when the broker closes.
    pub fn receive(&mut self) -> Option<Answer> {
        let mut bytes = vec![0; PREFIX_BYTES];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                ) =>
            {
                return None;
            }
            Err(error) => panic!("nothing came: {error}"),
        }
        let prefix = Prefix::parse(&bytes).unwrap();
        bytes.resize(prefix.frame_bytes as usize, 0);
        self.stream.read_exact(&mut bytes[PREFIX_BYTES..]).unwrap();
        Some(Answer { bytes })
    }

    /// A request and its answer.
    pub fn call(&mut self, kind: Kind, header: &impl Header, payload: &[u8]) -> Answer {
        let correlation = self.send(kind, header, payload);
        let answer = self.receive().expect("an answer");
        assert_eq!(answer.view().correlation, correlation, "{answer:?}");
        answer
    }

    /// Bytes as they are, and what comes back until the broker closes.
    pub fn raw(&mut self, bytes: &[u8]) -> Vec<Answer> {
        self.stream.write_all(bytes).unwrap();
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// The queues of a topic, which is made with four when it is missing.
    pub fn create(&mut self, topic: &str) -> Answer {
        self.call(Kind::Route, &Route { create_queues: 4, topic: topic.into() }, &[])
    }

    /// Stores records.
    pub fn produce(&mut self, records: &[Vec<u8>]) -> Answer {
        self.call(Kind::Produce, &produce(records.len()), &records.concat())
    }

    /// Reads queue 0.
    pub fn fetch(&mut self, topic: &str, offset: i64) -> Fetched {
        self.call(Kind::Fetch, &fetch(topic, offset, 0), &[]).fetched()
    }
}

pub fn hello(version_min: u16, version_max: u16) -> Hello {
    Hello { version_min, version_max, capabilities: 0, client: "test".into() }
}

pub fn produce(records: usize) -> Produce {
    Produce {
        records: u32::try_from(records).unwrap(),
        ack: Ack::Configured as u8,
        wants_stages: true,
    }
}

pub fn fetch(topic: &str, offset: i64, hold_ms: u32) -> Fetch {
    Fetch {
        queue_id: 0,
        offset,
        messages_max: 100,
        bytes_max: 1 << 20,
        hold_ms,
        topic: topic.into(),
        tags: vec![],
    }
}

pub fn frame(kind: Kind, correlation: u32, header: &impl Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(&mut bytes, kind, correlation, header, payload.len()).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}

/// A record as a client writes it.
pub fn record(topic: &str, queue_id: i32, properties: &str, text: &str) -> Vec<u8> {
    let open = "0.0.0.0:0".parse().unwrap();
    let pieces = [properties.as_bytes()];
    let draft = RecordDraft {
        topic,
        queue_id,
        flag: 7,
        queue_offset: -1,
        physical_offset: -1,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        born_host: "10.1.2.3:4567".parse().unwrap(),
        store_timestamp_ms: -1,
        store_host: open,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: text.as_bytes(),
        properties: &pieces,
    };
    let mut bytes = vec![0; draft.encoded_len().unwrap()];
    draft.encode_into(&mut bytes).unwrap();
    bytes
}

/// No record in particular.
pub const WHOLE_FRAME: u32 = NO_RECORD;
