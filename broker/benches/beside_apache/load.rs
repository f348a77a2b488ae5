//! Requests, many at once, on one connection; what a broker refuses as busy is sent again.

use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::message::message;
use testkit::remoting::{Client, Frame};

/// Sends under way at once.
const WINDOW: usize = 500;
const BODY: [u8; 100] = [b'x'; 100];
/// Nothing that is waited for here takes longer.
const LIMIT: Duration = Duration::from_secs(900);

/// Sends so many messages of 100 bytes with these properties to queue 0 of `T`; `stored` gets
/// each answer. How many were refused as busy on the way.
pub(crate) fn send_all(
    client: &mut Client,
    count: u64,
    properties: impl Fn(u64) -> String,
    mut stored: impl FnMut(&mut Client, &Frame),
) -> u64 {
    let (mut under_way, mut again, mut refused) = (HashMap::new(), VecDeque::new(), 0);
    let mut next = 0;
    while next < count || !again.is_empty() || !under_way.is_empty() {
        while under_way.len() < WINDOW && (next < count || !again.is_empty()) {
            let nth = again.pop_front().unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            let properties = format!("{}UNIQ_KEY\u{1}{nth:032}", properties(nth));
            let header =
                SendHeader { properties: &properties, born_timestamp_ms: now_ms(), ..message("T") };
            let send = client.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), &BODY);
            under_way.insert(send, nth);
        }
        let reply = client.receive();
        let Some(nth) = under_way.remove(&reply.opaque) else {
            assert!(!reply.is_response || reply.code == 0, "{reply:?}");
            continue;
        };
        match reply.code {
            0 => stored(client, &reply),
            response::SYSTEM_BUSY => {
                refused += 1;
                again.push_back(nth);
            }
            _ => panic!("{reply:?}"),
        }
    }
    refused
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The end of queue 0 of a topic.
pub(crate) fn end_of(client: &mut Client, topic: &str) -> u64 {
    let reply = client.call(request::GET_MAX_OFFSET, &[("topic", topic), ("queueId", "0")]);
    let is_there = reply.code == 0;
    if is_there { u64::try_from(reply.number("offset")).unwrap() } else { 0 }
}

/// Waits until queue 0 of `T` has so many.
pub(crate) fn wait_for(client: &mut Client, count: u64) {
    let began = Instant::now();
    while end_of(client, "T") < count {
        let came = end_of(client, "T");
        assert!(began.elapsed() < LIMIT, "{came} of {count} have come");
        std::thread::sleep(Duration::from_millis(200));
    }
}
