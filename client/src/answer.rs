//! Answers of a broker, decoded in the receive buffer.

use crate::error::Refusal;
use protocol::native::{
    ArchivedErrorAnswer, ArchivedFetched, ArchivedOffsetIs, ArchivedProduced, ArchivedRouteIs,
    ArchivedWelcome, FetchStatus, FrameView, Kind, NativeError, Placed, Stages, Welcome,
};
use protocol::native::{OffsetIs, RouteIs, ShardAddress};

/// An answer in the receive buffer.
#[derive(Clone, Debug)]
pub enum Answer<'a> {
    /// Answer to Hello.
    Welcome(Box<Welcome>),
    /// Answer to a produce.
    Produced(Produced<'a>),
    /// Answer to a fetch.
    Fetched(Fetched<'a>),
    /// Answer to a query of an offset.
    OffsetIs(OffsetIs),
    /// Answer to a commit.
    Committed,
    /// Answer to a request for a route.
    RouteIs(RouteIs),
    /// Answer to a ping.
    Pong,
    /// Answer to any request that was refused.
    Refused(Refusal),
}

/// Records were stored.
#[derive(Clone, Copy, Debug)]
pub struct Produced<'a> {
    /// Stored, but the flush took longer than the broker's `syncFlushTimeout`.
    pub is_late: bool,
    /// The records' STORETIMESTAMP.
    pub store_timestamp_ms: i64,
    /// Time spent in each stage; zeros unless the request asked.
    pub stages: Stages,
    payload: &'a [u8],
}

impl<'a> Produced<'a> {
    /// The place of each record, in the order of the request.
    pub fn placed(&self) -> impl ExactSizeIterator<Item = Placed> + 'a {
        Placed::iter(self.payload)
    }
}

/// Records of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// How the fetch ended. `None` is a status of a later version; reading goes on at
    /// `next_offset`.
    pub status: Option<FetchStatus>,
    /// How many records there are.
    pub messages: u32,
    /// The offset to fetch next.
    pub next_offset: i64,
    /// The queue's first offset.
    pub min_offset: i64,
    /// The offset that the queue's next message will have.
    pub max_offset: i64,
    /// The records in stored layout, one after the other.
    pub records: &'a [u8],
}

/// Decodes a frame into its correlation and its answer.
pub fn read(frame: &[u8]) -> Result<(u32, Answer<'_>), NativeError> {
    let frame = FrameView::parse(frame)?;
    Ok((frame.correlation, of(&frame)?))
}

fn of<'a>(frame: &FrameView<'a>) -> Result<Answer<'a>, NativeError> {
    Ok(match frame.kind {
        Kind::Welcome => Answer::Welcome(Box::new(welcome(frame.header()?))),
        Kind::Produced => Answer::Produced(produced(frame.header()?, frame.payload)),
        Kind::Fetched => Answer::Fetched(fetched(frame.header()?, frame.payload)),
        Kind::OffsetIs => {
            let is: &ArchivedOffsetIs = frame.header()?;
            Answer::OffsetIs(OffsetIs {
                committed: is.committed.to_native(),
                min_offset: is.min_offset.to_native(),
                max_offset: is.max_offset.to_native(),
            })
        }
        Kind::RouteIs => {
            let is: &ArchivedRouteIs = frame.header()?;
            Answer::RouteIs(RouteIs {
                read_queues: is.read_queues.to_native(),
                write_queues: is.write_queues.to_native(),
                permission: is.permission.to_native(),
            })
        }
        Kind::Error => {
            let error: &ArchivedErrorAnswer = frame.header()?;
            Answer::Refused(Refusal::new(
                error.code.to_native(),
                error.record.to_native(),
                error.reason.as_str(),
            ))
        }
        Kind::Committed => Answer::Committed,
        Kind::Pong => Answer::Pong,
        kind => return Err(NativeError::Kind { found: kind as u8 }),
    })
}

fn produced<'a>(header: &ArchivedProduced, payload: &'a [u8]) -> Produced<'a> {
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
        payload,
    }
}

fn fetched<'a>(header: &ArchivedFetched, records: &'a [u8]) -> Fetched<'a> {
    Fetched {
        status: FetchStatus::from_number(header.status),
        messages: header.messages.to_native(),
        next_offset: header.next_offset.to_native(),
        min_offset: header.min_offset.to_native(),
        max_offset: header.max_offset.to_native(),
        records,
    }
}

fn welcome(header: &ArchivedWelcome) -> Welcome {
    let shards = header.shards.iter().map(|shard| ShardAddress {
        broker_name: shard.broker_name.as_str().into(),
        address: shard.address.as_str().into(),
    });
    Welcome {
        version: header.version.to_native(),
        shard: header.shard.to_native(),
        capabilities: header.capabilities.to_native(),
        frame_bytes_max: header.frame_bytes_max.to_native(),
        records_per_produce_max: header.records_per_produce_max.to_native(),
        message_bytes_max: header.message_bytes_max.to_native(),
        fetch_messages_max: header.fetch_messages_max.to_native(),
        hold_ms_max: header.hold_ms_max.to_native(),
        durability: header.durability,
        store_host_is_v6: header.store_host_is_v6,
        needs_crc_property: header.needs_crc_property,
        wall_ms: header.wall_ms.to_native(),
        cluster: header.cluster.as_str().into(),
        shards: shards.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::native::{ErrorAnswer, ErrorCode, NO_RECORD, append_frame};

    #[test]
    fn a_refusal_names_code_and_record_and_an_unknown_code_stays_a_number() {
        for (code, record, expected) in [(5, 3, Some(ErrorCode::Record)), (999, NO_RECORD, None)] {
            let mut frame = Vec::new();
            append_frame(
                &mut frame,
                Kind::Error,
                9,
                &ErrorAnswer { code, record, reason: "BODYCRC".into() },
                0,
            )
            .unwrap();
            let (correlation, Answer::Refused(refusal)) = read(&frame).unwrap() else {
                panic!("a refusal")
            };
            assert_eq!(
                (correlation, refusal.code(), refusal.record),
                (9, expected, (record != NO_RECORD).then_some(record))
            );
            assert!(refusal.to_string().contains("BODYCRC"));
        }
    }

    #[test]
    fn a_request_is_no_answer() {
        let mut frame = Vec::new();
        append_frame(&mut frame, Kind::Ping, 1, &(), 0).unwrap();
        assert_eq!(read(&frame).unwrap_err(), NativeError::Kind { found: 7 });
    }
}
