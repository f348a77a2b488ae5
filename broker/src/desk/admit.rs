//! Whether a request may run: permission by access and resource, and the limit of its row.
//!
//! Access control comes later; the table has its two columns today, and this is the one place that
//! will look at them.

use super::counts::Desk;
use crate::limits::REQUESTS_UNDER_WAY_MAX;

/// What a request does to its resource (RocketMQ's `Action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing that anybody may be kept from: a ping.
    Free,
    /// Stores messages of a topic (PUB).
    Publish,
    /// Reads messages of a topic, or acts for a consumer group (SUB).
    Subscribe,
    /// Reads settings or state (GET, LIST).
    Inspect,
    /// Changes settings (CREATE, UPDATE, DELETE).
    Manage,
}

/// The kind of thing that a request is about: which field of it names the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Nothing of its own.
    Nothing,
    /// The topic in the header.
    Topic,
    /// The consumer group in the header.
    Group,
    /// The topic and the consumer group in the header.
    TopicAndGroup,
    /// Topics and groups in the body.
    InBody,
    /// The broker.
    Broker,
}

/// Why a request may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// As many of its kind are under way as may be.
    TooMany {
        /// How many that is.
        limit: u32,
    },
    /// It stores messages, and a slave stores its master's only.
    Slave,
}

/// Whether a broker of this role does what the request asks for.
#[inline]
pub(crate) fn admit_role(access: Access, is_slave: bool) -> Result<(), NotAdmitted> {
    if is_slave && access == Access::Publish { Err(NotAdmitted::Slave) } else { Ok(()) }
}

/// Looks at a request before it runs; `under_way_max` is its row's. It is counted already.
#[inline]
pub(crate) fn admit(desk: &Desk, row: u8, under_way_max: Option<u32>) -> Result<(), NotAdmitted> {
    let limit = under_way_max.unwrap_or(REQUESTS_UNDER_WAY_MAX);
    if desk.count(row).under_way > limit {
        return Err(NotAdmitted::TooMany { limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::ticket::Wire;
    use crate::desk::code::Code;
    use netcore::ConnId;

    #[test]
    fn over_the_limit_of_its_row_a_request_is_not_admitted_until_another_ended() {
        let mut desk = Desk::new(Box::new([Code::Remoting(12), Code::Remoting(33)]));
        let came = |desk: &mut Desk, row| desk.came(row, ConnId::default(), 1, Wire::Json, || 0);
        let first = came(&mut desk, 0);
        assert_eq!(admit(&desk, 0, Some(1)), Ok(()));
        let second = came(&mut desk, 0);
        assert_eq!(admit(&desk, 0, Some(1)), Err(NotAdmitted::TooMany { limit: 1 }));
        desk.ended_now(&second, false);
        came(&mut desk, 1);
        assert_eq!(admit(&desk, 1, Some(1)), Ok(()), "rows do not share a limit");
        desk.ended_now(&first, true);
        came(&mut desk, 0);
        assert_eq!(admit(&desk, 0, Some(1)), Ok(()));
    }
}
