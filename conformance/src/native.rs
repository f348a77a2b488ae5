//! What Java has no client for: the native protocol, spoken with `client/` at a program's request.
//!
//! `native-send TOPIC COUNT`: messages `native 0`, … with the user property `id`, keys
//! `native-key-N both` and the tag `native`; granted with their unique keys, in order.
//! `native-fetch TOPIC`: granted with the ids of all messages of the topic, sorted.

use client::{ClientConfig, FetchOptions, Message, ThreadClient};

use crate::process::Stop;

/// Sends `COUNT` messages; their unique keys.
pub(crate) fn send(ports: &[u16], argument: &str) -> Result<String, Stop> {
    let (topic, count) = argument.split_once(' ').ok_or_else(|| {
        Stop::Cannot(format!("native-send {argument}: expected a topic and a count"))
    })?;
    let count: u32 =
        count.parse().map_err(|_| Stop::Cannot(format!("native-send: {count} is no count")))?;
    let mut unique_keys = Vec::new();
    let mut sender = connect(ports)?;
    for nth in 0..count {
        let (body, key, id) =
            (format!("native {nth}"), format!("native-key-{nth}"), format!("native-{nth}"));
        let unique_key = format!("0A0B0C0D{nth:024X}");
        let keys = [key.as_str(), "both"];
        let properties = [("id", id.as_str())];
        let message = Message {
            properties: &properties,
            unique_key: Some(&unique_key),
            ..Message::new(topic, body.as_bytes())
        };
        sender.send(&message.with_tag("native").with_keys(&keys)).map_err(failed)?;
        unique_keys.push(unique_key);
    }
    Ok(unique_keys.join(","))
}

/// Reads a topic from its beginning; the ids of what is there.
pub(crate) fn fetch(ports: &[u16], topic: &str) -> Result<String, Stop> {
    let mut reader = connect(ports)?;
    let mut ids = Vec::new();
    for queue in reader.route(topic).map_err(failed)?.readable() {
        let mut offset = 0;
        loop {
            let batch =
                reader.fetch(topic, *queue, offset, &FetchOptions::default()).map_err(failed)?;
            for message in batch.messages() {
                ids.push(id_of(message.map_err(failed)?.properties()));
            }
            offset = batch.next_offset;
            // Another fetch would be a long poll.
            if offset >= batch.max_offset {
                break;
            }
        }
    }
    ids.retain(|id| !id.is_empty());
    ids.sort_unstable();
    Ok(ids.join(","))
}

/// The user property `id`, empty without.
fn id_of(properties: &[u8]) -> String {
    let text = String::from_utf8_lossy(properties);
    let id = text.split('\u{2}').find_map(|property| property.strip_prefix("id\u{1}"));
    id.unwrap_or_default().to_owned()
}

fn connect(ports: &[u16]) -> Result<ThreadClient, Stop> {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    ThreadClient::connect(&hosts, ClientConfig::default()).map_err(failed)
}

fn failed(error: client::ClientError) -> Stop {
    Stop::Cannot(format!("native client: {error}"))
}
