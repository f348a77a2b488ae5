//! A consumer that pops, in bytes: what it asks, its receipts, what it acknowledges.

use crate::client::{Client, Frame, Stored};
use crate::cluster::eventually;
use protocol::codes::{request, response};
use std::collections::BTreeMap;
use testkit::remoting::fields;

/// A message with what acknowledges it.
#[derive(Clone, Debug)]
pub(crate) struct Popped {
    pub(crate) stored: Stored,
    pub(crate) receipt: String,
    pub(crate) topic: String,
}

/// What a pop asks.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) group: &'a str,
    pub(crate) queue_id: i32,
    pub(crate) max: i32,
    pub(crate) invisible_ms: i64,
    pub(crate) poll_ms: i64,
    pub(crate) filter: &'a str,
}

pub(crate) const ASK: Ask<'static> =
    Ask { group: "g", queue_id: -1, max: 32, invisible_ms: 60_000, poll_ms: 0, filter: "*" };

pub(crate) fn send_pop(client: &mut Client, ask: Ask<'_>) -> i32 {
    let numbers = [
        ("queueId", i64::from(ask.queue_id)),
        ("maxMsgNums", i64::from(ask.max)),
        ("invisibleTime", ask.invisible_ms),
        ("pollTime", ask.poll_ms),
        ("bornTime", 0),
        ("initMode", 0),
    ];
    client.send(
        request::POP_MESSAGE,
        0,
        |ext| {
            ext.str("consumerGroup", ask.group);
            ext.str("topic", "T");
            ext.str("exp", ask.filter);
            ext.str("expType", "TAG");
            numbers.iter().for_each(|(name, value)| ext.int(name, *value));
        },
        &[],
    )
}

/// The receipts, as Java's client makes them of the answer's header.
pub(crate) fn popped(answer: &Frame) -> Vec<Popped> {
    let starts: BTreeMap<(String, String), String> = answer
        .field("startOffsetInfo")
        .split(';')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let parts: Vec<&str> = part.split(' ').collect();
            ((parts[0].to_owned(), parts[1].to_owned()), parts[2].to_owned())
        })
        .collect();
    let make = |stored: Stored| {
        let own = stored.properties.get("POP_CK").cloned();
        let queue_id = stored.queue_id.to_string();
        let retry = own.as_deref().map_or("0", |own| own.split(' ').nth(4).unwrap()).to_owned();
        let receipt = own.unwrap_or_else(|| {
            format!(
                "{} {} {} {} 0 broker-a {queue_id} {}",
                starts[&(retry.clone(), queue_id.clone())],
                answer.field("popTime"),
                answer.field("invisibleTime"),
                answer.field("reviveQid"),
                stored.queue_offset,
            )
        });
        let topic = match retry.as_str() {
            "1" => "%RETRY%g_T",
            "2" => "%RETRY%g+T",
            _ => "T",
        };
        Popped { stored, receipt, topic: topic.to_owned() }
    };
    answer.messages().into_iter().map(make).collect()
}

pub(crate) fn pop(client: &mut Client, ask: Ask<'_>) -> Vec<Popped> {
    let opaque = send_pop(client, ask);
    let answer = client.answer_to(opaque);
    assert!([0, response::POLLING_TIMEOUT].contains(&answer.code), "{answer:?}");
    popped(&answer)
}

pub(crate) fn with_receipt(
    client: &mut Client,
    code: i32,
    message: &Popped,
    more: &[(&str, &str)],
) -> Frame {
    let (queue_id, offset) = place(message);
    let mut all = of(message, &queue_id, &offset).to_vec();
    all.extend_from_slice(more);
    client.call(code, &all)
}

/// The bytes of an acknowledgement, and its number.
pub(crate) fn ack_frame(client: &mut Client, message: &Popped) -> (i32, Vec<u8>) {
    let (queue_id, offset) = place(message);
    client.frame(request::ACK_MESSAGE, 0, fields(&of(message, &queue_id, &offset)), &[])
}

fn place(message: &Popped) -> (String, String) {
    (message.stored.queue_id.to_string(), message.stored.queue_offset.to_string())
}

fn of<'a>(message: &'a Popped, queue_id: &'a str, offset: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("consumerGroup", "g"),
        ("topic", &message.topic),
        ("queueId", queue_id),
        ("offset", offset),
        ("extraInfo", &message.receipt),
    ]
}

pub(crate) fn ack(client: &mut Client, message: &Popped) {
    let answer = with_receipt(client, request::ACK_MESSAGE, message, &[]);
    assert_eq!(answer.code, 0, "{answer:?}");
}

pub(crate) fn texts(messages: &[Popped]) -> Vec<String> {
    let mut texts: Vec<String> =
        messages.iter().map(|message| message.stored.text().to_owned()).collect();
    texts.sort();
    texts
}

pub(crate) fn fill(client: &mut Client, messages: i32) -> Vec<String> {
    let texts: Vec<String> = (0..messages).map(|nth| format!("m{nth:03}")).collect();
    for text in &texts {
        client.put("T", "", text);
    }
    texts
}

/// Pops until `text` comes, and everything that came.
pub(crate) fn pop_until(client: &mut Client, ask: Ask<'_>, text: &str) -> Popped {
    let mut found = None;
    eventually(&format!("{text} is popped"), || {
        let mut all = pop(client, ask).into_iter();
        found = all.find(|message| message.stored.text() == text);
        found.is_some()
    });
    found.unwrap()
}
