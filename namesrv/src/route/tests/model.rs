//! Long random histories, told twice: to the table, and to flat lists that are searched from the
//! start each time.

use super::super::{Registration, RouteOptions};
use super::{Table, queues, version};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Register {
        cluster: u8,
        name: u8,
        id: i64,
        addr: u8,
        conn: u32,
        state: i64,
        counter: i64,
        topics: Vec<u8>,
        timeout: i64,
    },
    Unregister {
        name: u8,
        addr: u8,
    },
    Lost {
        conn: u32,
    },
    Heartbeat {
        cluster: u8,
        addr: u8,
    },
    Wait {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let topics = proptest::collection::vec(0..4u8, 0..4);
    let register = (0..2u8, 0..3u8, 0..3i64, 0..5u8, 0..4u32, (0..2i64, 0..3i64), topics, 1..30i64)
        .prop_map(|(cluster, name, id, addr, conn, (state, counter), topics, timeout)| {
            Step::Register { cluster, name, id, addr, conn, state, counter, topics, timeout }
        });
    prop_oneof![
        6 => register,
        1 => (0..3u8, 0..5u8).prop_map(|(name, addr)| Step::Unregister { name, addr }),
        1 => (0..4u32).prop_map(|conn| Step::Lost { conn }),
        2 => (0..2u8, 0..5u8).prop_map(|(cluster, addr)| Step::Heartbeat { cluster, addr }),
        2 => (1..20i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// One living broker.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    cluster: String,
    name: String,
    id: i64,
    addr: String,
    conn: u32,
    state: i64,
    counter: i64,
    last: i64,
    timeout: i64,
}

#[derive(Debug, Default)]
struct Model {
    rows: Vec<Row>,
    /// (topic, broker name, queues).
    topics: Vec<(String, String, i32)>,
}

impl Model {
    fn sweep(&mut self) {
        let Self { rows, topics } = self;
        topics.retain(|(_, name, _)| rows.iter().any(|row| row.name == *name));
    }

    fn register(&mut self, new: Row, topics: &[(String, i32)]) -> bool {
        let first = !self.rows.iter().any(|row| row.name == new.name && row.id == new.id);
        if first && topics.len() == 1 {
            return false;
        }
        self.rows.retain(|row| {
            row.addr != new.addr || row.name == new.name || row.cluster != new.cluster
        });
        self.sweep();
        let before =
            self.rows.iter().find(|row| row.addr == new.addr && row.name == new.name).cloned();
        self.rows.retain(|row| row.addr != new.addr || row.name != new.name);
        if self
            .rows
            .iter()
            .any(|row| row.name == new.name && row.id == new.id && row.state > new.state)
        {
            self.sweep();
            return true;
        }
        self.rows.retain(|row| row.name != new.name || row.id != new.id);
        let same = before.is_some_and(|old| {
            old.cluster == new.cluster && old.state == new.state && old.counter == new.counter
        });
        if new.id == 0 {
            for (topic, n) in topics {
                let known =
                    self.topics.iter_mut().find(|(t, name, _)| t == topic && *name == new.name);
                match known {
                    Some(known) if first || !same => known.2 = *n,
                    Some(_) => {}
                    None => self.topics.push((topic.clone(), new.name.clone(), *n)),
                }
            }
        }
        self.rows.push(new);
        true
    }

    fn remove(&mut self, gone: impl Fn(&Row) -> bool) {
        self.rows.retain(|row| !gone(row));
        self.sweep();
    }
}

fn play(step: Step, table: &mut Table, model: &mut Model, now: &mut i64) {
    match step {
        Step::Register { cluster, name, id, addr, conn, state, counter, mut topics, timeout } => {
            topics.sort_unstable();
            topics.dedup();
            let topics: Vec<_> = topics
                .into_iter()
                .map(|t| (format!("T{t}"), 1 + i32::try_from(counter).unwrap()))
                .collect();
            let row = Row {
                cluster: format!("c{cluster}"),
                name: format!("n{name}"),
                id,
                addr: format!("h{addr}"),
                conn,
                state,
                counter,
                last: *now,
                timeout,
            };
            let registration = Registration {
                cluster: row.cluster.clone(),
                broker_name: row.name.clone(),
                broker_addr: row.addr.clone(),
                broker_id: id,
                heartbeat_timeout_ms: Some(timeout),
                version: version(state, counter),
                topics: topics.iter().map(|(t, n)| (t.clone(), queues(*n))).collect(),
                ..Registration::default()
            };
            assert_eq!(
                table.register(registration, conn, *now).is_ok(),
                model.register(row, &topics)
            );
        }
        Step::Unregister { name, addr } => {
            let (name, addr) = (format!("n{name}"), format!("h{addr}"));
            table.unregister(&name, &addr);
            model.remove(|row| row.name == name && row.addr == addr);
        }
        Step::Lost { conn } => {
            table.connection_lost(conn);
            model.remove(|row| row.conn == conn);
        }
        Step::Heartbeat { cluster, addr } => {
            let (cluster, addr) = (format!("c{cluster}"), format!("h{addr}"));
            table.heartbeat(&cluster, &addr, *now);
            let beating =
                model.rows.iter_mut().filter(|row| row.cluster == cluster && row.addr == addr);
            beating.for_each(|row| row.last = *now);
        }
        Step::Wait { ms } => {
            *now += ms;
            table.expire(*now);
            let now = *now;
            model.remove(|row| now - row.last > row.timeout);
        }
    }
}

fn compare(table: &Table, model: &Model) {
    table.check();
    let mut members: Vec<_> = table
        .cluster_info()
        .broker_addr_table
        .into_iter()
        .flat_map(|(name, data)| {
            data.broker_addrs.into_iter().map(move |(id, addr)| (name.clone(), id, addr))
        })
        .collect();
    members.sort();
    let mut rows: Vec<_> =
        model.rows.iter().map(|row| (row.name.clone(), row.id, row.addr.clone())).collect();
    rows.sort();
    assert_eq!(members, rows);
    for topic in (0..4).map(|t| format!("T{t}")) {
        let route = table.route(&topic).map(|route| route.queue_datas).unwrap_or_default();
        let known: Vec<_> =
            route.into_iter().map(|q| (q.broker_name.to_owned(), q.read_queue_nums)).collect();
        let mut expected: Vec<_> = model
            .topics
            .iter()
            .filter(|(t, ..)| *t == topic)
            .map(|(_, name, n)| (name.clone(), *n))
            .collect();
        expected.sort();
        assert_eq!(known, expected, "{topic}");
    }
}

proptest! {
    #[test]
    fn any_history_gives_the_same_routes_as_the_naive_telling(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut table = Table::new(RouteOptions::default());
        let (mut model, mut now) = (Model::default(), 0);
        for step in steps {
            play(step, &mut table, &mut model, &mut now);
            compare(&table, &model);
        }
    }
}
