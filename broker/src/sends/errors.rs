//! Why a message is not stored, in the words of each side: a client of RocketMQ's protocol, one of
//! the native protocol, a task of the broker.

use crate::answers::native::NativeRefusal;
use crate::answers::remoting::Refusal;
use engine::{AppendError, Appended};
use protocol::codes::response;
use protocol::native::ErrorCode;

/// Why the log did not take a message.
#[derive(Debug)]
pub(crate) enum NotStored {
    /// There is no room in the log's tail, or too many messages are unacknowledged: it has to wait.
    Full,
    /// It never will.
    Failed(AppendError),
}

impl From<AppendError> for NotStored {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TailFull { .. } => Self::Full,
            error => Self::Failed(error),
        }
    }
}

/// Why a task's message is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// The log did not take it.
    #[error(transparent)]
    NotStored(#[from] AppendError),
    /// Its topic went away while it waited for room.
    #[error("its topic went away while it waited for room: {0}")]
    Gone(Gone),
    /// It waited for room for longer than a send may.
    #[error("there was no room in the log for {waited_ms} ms")]
    Busy {
        /// How long that was.
        waited_ms: i64,
    },
    /// Too many messages wait for room.
    #[error("too many messages wait for room in the log")]
    BacklogFull,
    /// It is stored, but its flush takes longer than `syncFlushTimeout`.
    #[error("stored at {}, but not flushed in time", .0.physical_offset)]
    NotFlushedInTime(Appended),
    /// The store failed before it was acknowledged.
    #[error("it was not made durable: {reason}")]
    Poisoned {
        /// What failed.
        reason: String,
    },
}

/// Why a message that waited may not be stored any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gone {
    /// There is no such topic.
    #[error("topic[{topic}] not exist, apply first please!")]
    Topic {
        /// The topic.
        topic: String,
    },
    /// It may not be written any more.
    #[error("Sending message to topic[{topic}] is forbidden.")]
    Closed {
        /// The topic.
        topic: String,
    },
    /// It has fewer queues now.
    #[error("queue {queue_id} of topic {topic} is gone, it has {queues} now")]
    Queue {
        /// The topic.
        topic: String,
        /// The queue.
        queue_id: i32,
        /// How many it has.
        queues: i32,
    },
}

impl Gone {
    /// For a client of RocketMQ's protocol.
    pub(crate) fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Topic { .. } => response::TOPIC_NOT_EXIST,
            Self::Closed { .. } => response::NO_PERMISSION,
            Self::Queue { .. } => response::INVALID_PARAMETER,
        };
        Refusal::new(code, self.to_string())
    }

    /// For a native client.
    pub(crate) fn native_refusal(&self) -> NativeRefusal {
        let code = match self {
            Self::Topic { .. } => ErrorCode::Topic,
            Self::Closed { .. } => ErrorCode::Permission,
            Self::Queue { .. } => ErrorCode::Queue,
        };
        NativeRefusal::new(code, self.to_string())
    }
}

/// MESSAGE_ILLEGAL, in Apache's words; `limit` is `maxMessageSize`.
pub(crate) fn illegal(limit: usize, found: &dyn std::fmt::Display) -> Refusal {
    let remark = format!(
        "the message is illegal, maybe msg body or properties length not matched. msg body \
         length limit {limit}B, msg properties length limit 32KB. ({found})"
    );
    Refusal::new(response::MESSAGE_ILLEGAL, remark)
}

/// Why an append failed, in RocketMQ's codes; `limit` is `maxMessageSize`.
pub(crate) fn refusal_of(error: &AppendError, limit: usize) -> Refusal {
    let code = match error {
        AppendError::TooLarge { .. }
        | AppendError::Record(_)
        | AppendError::NoCrcProperty
        | AppendError::EmptyBatch => return illegal(limit, error),
        AppendError::ManyLightQueues { .. } => return illegal(limit, error),
        AppendError::LightQueuesFull { .. } => {
            let remark = "[LMQ_CONSUME_QUEUE_NUM_EXCEEDED]lmq consume queue num exceeded.";
            return Refusal::new(response::LMQ_QUOTA_EXCEEDED, remark);
        }
        AppendError::QueueId { .. } | AppendError::TopicName => response::INVALID_PARAMETER,
        AppendError::TailFull { .. } => response::SYSTEM_BUSY,
        AppendError::DiskFull { .. }
        | AppendError::LogBlocked { .. }
        | AppendError::DiskNearlyFull { .. }
        | AppendError::Foreign
        | AppendError::QueueStuck { .. }
        | AppendError::Poisoned { .. }
        | AppendError::Closed => response::SERVICE_NOT_AVAILABLE,
    };
    Refusal::new(code, format!("service not available now: {error}"))
}

/// Why an append failed, in native codes.
pub(crate) fn native_refusal_of(error: &AppendError) -> NativeRefusal {
    let code = match error {
        AppendError::TailFull { .. } => ErrorCode::Busy,
        AppendError::TooLarge { .. } => ErrorCode::TooLarge,
        AppendError::Record(_) | AppendError::NoCrcProperty => ErrorCode::Record,
        AppendError::QueueId { .. } | AppendError::TopicName => ErrorCode::Queue,
        AppendError::ManyLightQueues { .. } => ErrorCode::Record,
        AppendError::EmptyBatch => ErrorCode::Request,
        AppendError::DiskFull { .. }
        | AppendError::LogBlocked { .. }
        | AppendError::LightQueuesFull { .. }
        | AppendError::DiskNearlyFull { .. }
        | AppendError::Foreign
        | AppendError::QueueStuck { .. }
        | AppendError::Poisoned { .. }
        | AppendError::Closed => ErrorCode::NotWritable,
    };
    NativeRefusal::new(code, error.to_string())
}
