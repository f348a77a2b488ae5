//! A client of the native protocol in bytes: frames written and read as docs/FORMATS.md says, good
//! ones and bad ones.

use crate::message::Stored;
use crate::wait::SOON;
use protocol::native::{
    Ack, ArchivedErrorAnswer, ArchivedFetched, ArchivedProduced, ErrorCode, Fetch, FrameView,
    Header, Hello, Kind, PREFIX_BYTES, Placed, Prefix, Produce, Route, Stages, append_frame,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A frame out of its bytes.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Prefix, header and payload.
    pub bytes: Vec<u8>,
}

/// What a Produced frame says.
#[derive(Debug)]
pub struct Produced {
    /// Stored, and not known to be durable in time.
    pub is_late: bool,
    /// When it was stored.
    pub store_timestamp_ms: i64,
    /// Where its time went.
    pub stages: Stages,
    /// Where its records went.
    pub placed: Vec<Placed>,
}

/// What a Fetched frame says.
#[derive(Debug)]
pub struct Fetched {
    /// What was found.
    pub status: u8,
    /// Where to go on.
    pub next_offset: i64,
    /// The queue's least and greatest offset.
    pub range: (i64, i64),
    /// What it brings.
    pub messages: Vec<Stored>,
}

impl Answer {
    /// The frame's parts.
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

    /// It is a Produced frame.
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

    /// It is a Fetched frame.
    pub fn fetched(&self) -> Fetched {
        let view = self.view();
        if view.kind == Kind::Error {
            panic!("{:?}", self.error());
        }
        let header = view.header::<ArchivedFetched>().unwrap();
        let mut rest = view.payload;
        let mut messages = vec![];
        while let Some(record) = protocol::native::records::next(&mut rest) {
            messages.push(Stored::parse(record.unwrap()));
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
    /// The socket, for bytes that are no frame.
    pub stream: TcpStream,
    correlation: u32,
}

impl Native {
    /// A connection that has said nothing yet.
    pub fn silent(to: impl Into<SocketAddr>) -> Self {
        let stream = TcpStream::connect(to.into()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation: 0 }
    }

    /// A connection that was welcomed.
    pub fn connect(to: impl Into<SocketAddr>) -> Self {
        let mut native = Self::silent(to);
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
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
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

/// A greeting that offers these versions.
pub fn hello(version_min: u16, version_max: u16) -> Hello {
    Hello { version_min, version_max, capabilities: 0, client: "test".into() }
}

/// The header of a produce frame of so many records.
pub fn produce(records: usize) -> Produce {
    Produce {
        records: u32::try_from(records).unwrap(),
        ack: Ack::Configured as u8,
        wants_stages: true,
    }
}

/// A fetch of queue 0; it waits for up to `hold_ms`.
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

/// The bytes of a frame.
pub fn frame(kind: Kind, correlation: u32, header: &impl Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_frame(&mut bytes, kind, correlation, header, payload.len()).unwrap();
    bytes.extend_from_slice(payload);
    bytes
}
