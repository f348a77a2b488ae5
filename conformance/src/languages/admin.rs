//! Topics and groups, made at every broker by requests of our own: a JVM with `mqadmin` for each
//! would take longer than the scenarios.

use std::io;

use serde_json::{Value, json};

use crate::registration::{exchange, request};

const UPDATE_AND_CREATE_TOPIC: u16 = 17;
const GET_ROUTEINFO_BY_TOPIC: u16 = 105;
const UPDATE_AND_CREATE_SUBSCRIPTION_GROUP: u16 = 200;
const SUCCESS: i64 = 0;
/// Read and write.
const PERM: u8 = 6;

/// Makes a topic at the broker on this port.
pub(super) fn create_topic(port: u16, topic: &str, queues: u16) -> io::Result<()> {
    let fields = json!({
        "topic": topic, "defaultTopic": "TBW102", "readQueueNums": queues.to_string(),
        "writeQueueNums": queues.to_string(), "perm": PERM.to_string(),
        "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
    });
    accepted(port, UPDATE_AND_CREATE_TOPIC, &fields, b"").map(drop)
}

/// Makes a group at the broker on this port, whose messages may be tried again so often.
pub(super) fn create_group(port: u16, group: &str, retries_max: u16) -> io::Result<()> {
    let config = json!({
        "groupName": group, "consumeEnable": true, "consumeFromMinEnable": true,
        "consumeBroadcastEnable": true, "retryQueueNums": 1, "retryMaxTimes": retries_max,
        "brokerId": 0, "whichBrokerWhenConsumeSlowly": 1,
        "notifyConsumerIdsChangedEnable": true,
    });
    let body = config.to_string().into_bytes();
    accepted(port, UPDATE_AND_CREATE_SUBSCRIPTION_GROUP, &json!({}), &body).map(drop)
}

/// True when the name server on this port has the topic on all of these brokers.
pub(super) fn is_routed(port: u16, topic: &str, brokers: &[String]) -> bool {
    let route = accepted(port, GET_ROUTEINFO_BY_TOPIC, &json!({"topic": topic}), b"");
    route.is_ok_and(|body| {
        let text = String::from_utf8_lossy(&body);
        brokers.iter().all(|name| text.contains(&format!("\"{name}\"")))
    })
}

/// The answer's body; an answer that is no success is an error with its remark.
fn accepted(port: u16, code: u16, fields: &Value, body: &[u8]) -> io::Result<Vec<u8>> {
    let header = json!({
        "code": code, "extFields": fields, "flag": 0, "language": "JAVA", "opaque": 1,
        "serializeTypeCurrentRPC": "JSON", "version": 513,
    });
    let answer = exchange(port, &request(&header.to_string(), body)?)?;
    let (header, body) = halves(&answer).ok_or_else(|| {
        io::Error::other(format!("port {port}: the answer to {code} is no frame"))
    })?;
    if header["code"].as_i64() == Some(SUCCESS) {
        return Ok(body.to_vec());
    }
    Err(io::Error::other(format!("port {port}: request {code} {fields}: {header}")))
}

/// Header and body of a frame without its length. The first byte of the header's length says that
/// it is JSON (0).
fn halves(frame: &[u8]) -> Option<(Value, &[u8])> {
    let (length, rest) = frame.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (header, body) = rest.split_at_checked(length)?;
    Some((serde_json::from_slice(header).ok()?, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_into_header_and_body() {
        let frame = request(r#"{"code":17,"remark":"no"}"#, b"body").unwrap();
        let (header, body) = halves(&frame[4..]).unwrap();
        assert_eq!(header["code"], 17);
        assert_eq!(body, b"body");
        assert!(halves(&frame[4..12]).is_none());
        assert!(halves(b"").is_none());
    }
}
