//! What a broker has, compared with what was acknowledged.

use crate::load::{Answers, TOPIC};
use protocol::headers::PullHeader;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use testkit::message::pull_from;
use testkit::remoting::Client;

/// The texts of a queue, from its beginning.
pub(crate) fn queue_of(addr: SocketAddr, topic: &str, queue_id: i32) -> Vec<String> {
    let mut client = Client::connect(addr);
    let mut texts: Vec<String> = vec![];
    loop {
        let from = i64::try_from(texts.len()).unwrap();
        let frame = client.pull(&PullHeader { queue_id, ..pull_from(topic, from) });
        match frame.code {
            0 => texts.extend(frame.messages().iter().map(|message| message.text().to_owned())),
            // 19: nothing new. 20 too, by a slave. 17: no such topic.
            17 | 19 | 20 => return texts,
            _ => panic!("{frame:?}"),
        }
    }
}

/// All that was ever acknowledged, by queue.
#[derive(Default)]
pub(crate) struct Ledger {
    acknowledged: BTreeMap<i32, BTreeSet<String>>,
    /// Other answers, by code.
    pub(crate) others: BTreeMap<i32, u64>,
}

impl Ledger {
    /// Adds answers.
    pub(crate) fn add(&mut self, answers: Answers) {
        for (queue, text) in answers.acknowledged {
            self.acknowledged.entry(queue).or_default().insert(text);
        }
        for (code, times) in answers.others {
            *self.others.entry(code).or_default() += times;
        }
    }

    /// How many were acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.values().map(BTreeSet::len).sum()
    }

    /// Everything acknowledged is there, once, and each connection's messages are in order. The
    /// faults, with at most three examples of each.
    pub(crate) fn faults(&self, addr: SocketAddr) -> Vec<String> {
        let mut faults = vec![];
        for (queue, acknowledged) in &self.acknowledged {
            let texts = queue_of(addr, TOPIC, *queue);
            let stored: BTreeSet<&String> = texts.iter().collect();
            if stored.len() != texts.len() {
                faults.push(format!("queue {queue} has {} twice", texts.len() - stored.len()));
            }
            let lost: Vec<&String> =
                acknowledged.iter().filter(|text| !stored.contains(text)).collect();
            if let Some(first) = lost.first() {
                let (lost, all) = (lost.len(), acknowledged.len());
                faults.push(format!("queue {queue}: {lost} of {all} are lost, first {first}"));
            }
            faults.extend(out_of_order(&texts).map(|what| format!("queue {queue}: {what}")));
        }
        faults
    }
}

/// The first message that stands behind a later one of its connection.
fn out_of_order(texts: &[String]) -> Option<String> {
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for text in texts {
        let head = text.split(' ').next().unwrap_or_default();
        let numbers: Vec<u64> = head.split('/').map(|number| number.parse().unwrap()).collect();
        let before = last.insert(numbers[1], numbers[2]);
        if before.is_some_and(|before| before >= numbers[2]) {
            return Some(format!("{head} stands behind number {before:?} of its connection"));
        }
    }
    None
}

#[test]
fn what_is_lost_or_out_of_order_is_seen() {
    let of = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(out_of_order(&of(&["0/1/1 x", "0/2/1 x", "0/1/3 x", "0/2/2 x"])), None);
    assert!(out_of_order(&of(&["0/1/2 x", "0/1/1 x"])).is_some());
    assert!(out_of_order(&of(&["0/1/2 x", "0/1/2 x"])).is_some());
}
