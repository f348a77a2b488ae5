//! A message that names light message queues gets its places there from the store, whatever its
//! sender says of them; a rebuild finds the same, and a limit refuses new queues alone.

use crate::oracle::{consume, draft, small_config};
use engine::{AppendError, Store, StoreConfig, TagFilter};
use protocol::properties::{self, names};
use protocol::record::RecordView;
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;

fn config() -> StoreConfig {
    StoreConfig { builds_light_queues: true, ..small_config("/store") }
}

fn named(queues: &str) -> String {
    format!("TAGS\u{1}a\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}70\u{2}INNER_MULTI_DISPATCH\u{1}{queues}")
}

fn append(store: &Store<Sim>, topic: &str, queues: &str, body: &str) -> Result<(), AppendError> {
    let properties = named(queues);
    let pieces = [properties.as_bytes(), b"\x02CLUSTER\x01c"];
    store.append(&draft(topic, 1, body.as_bytes(), &pieces)).map(|_| ())
}

/// What a queue has: bodies, and the places that the records say.
async fn read(store: &Store<Sim>, topic: &str, queue_id: i32) -> Vec<(String, String)> {
    let records = consume(store, topic, queue_id, TagFilter::All).await;
    let each = records.iter().map(|bytes| {
        let record = RecordView::parse(bytes).unwrap();
        let places = properties::get(record.properties(), names::INNER_MULTI_QUEUE_OFFSET);
        let body = String::from_utf8(record.body().to_vec()).unwrap();
        (body, places.unwrap_or_default().to_owned())
    });
    each.collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(body, places)| ((*body).to_owned(), (*places).to_owned())).collect()
}

#[test]
fn places_are_the_ends_of_the_queues_and_a_rebuild_finds_them() {
    let sim = Sim::new(11);
    sim.block_on(async {
        let mut store = Store::open(sim.clone(), config()).await.unwrap();
        append(&store, "t", "%LMQ%a", "0").unwrap();
        append(&store, "t", "%LMQ%b,%LMQ%a", "1").unwrap();
        append(&store, "t", "%LMQ%a,%LMQ%a", "2").unwrap();
        append(&store, "t", "plain,%LMQ%b", "3").unwrap();
        append(&store, "%RETRY%g", "%LMQ%a", "no light queues of a retry topic").unwrap();
        let [first, second] = [named("%LMQ%a"), named("%LMQ%a,%LMQ%new")];
        let pieces = [[first.as_bytes()], [second.as_bytes()]];
        let both = [draft("t", 1, b"4", &pieces[0]), draft("t", 1, b"5", &pieces[1])];
        store.append_all(&both, |_| {}).unwrap();
        for life in 0..3 {
            let a = [("0", "0"), ("1", "0,1"), ("2", "2,2"), ("4", "3"), ("5", "4,0")];
            assert_eq!(read(&store, "%LMQ%a", 0).await, pairs(&a), "life {life}");
            let b = [("1", "0,1"), ("3", ",1")];
            assert_eq!(read(&store, "%LMQ%b", 0).await, pairs(&b), "life {life}");
            assert_eq!(read(&store, "%LMQ%new", 0).await, pairs(&[("5", "4,0")]), "life {life}");
            let own: Vec<String> =
                read(&store, "t", 1).await.into_iter().map(|(body, _)| body).collect();
            assert_eq!(own, ["0", "1", "2", "3", "4", "5"], "life {life}");
            assert_eq!(store.light_queues(), 3);
            assert_eq!(store.recovered().damaged_stretches, 0);
            store.close().await.unwrap();
            if life > 0 {
                sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            }
            store = Store::open(sim.clone(), config()).await.unwrap();
        }
    });
}

#[test]
fn the_limit_refuses_new_queues_and_a_deletion_makes_room() {
    let sim = Sim::new(12);
    sim.block_on(async {
        let config = StoreConfig { light_queues_max: 2, ..config() };
        let store = Store::open(sim.clone(), config).await.unwrap();
        append(&store, "t", "%LMQ%a,%LMQ%b", "0").unwrap();
        let refused = append(&store, "t", "%LMQ%a,%LMQ%c", "1").unwrap_err();
        assert!(matches!(refused, AppendError::LightQueuesFull { limit: 2 }), "{refused:?}");
        append(&store, "t", "%LMQ%b", "2").unwrap();
        let many = append(&store, "t", &("%LMQ%a,".repeat(128) + "%LMQ%b"), "3").unwrap_err();
        assert!(matches!(many, AppendError::ManyLightQueues { found: 129, .. }), "{many:?}");
        store.delete_topics(vec!["%LMQ%a".into(), "%LMQ%b".into()]).await.unwrap();
        assert_eq!(store.light_queues(), 0);
        append(&store, "t", "%LMQ%c", "4").unwrap();
        append(&store, "t", "%LMQ%b", "5").unwrap();
        assert_eq!(read(&store, "%LMQ%b", 0).await, pairs(&[("5", "0")]));
        let own = read(&store, "t", 1).await;
        let own: Vec<&str> = own.iter().map(|(body, _)| body.as_str()).collect();
        assert_eq!(own, ["0", "2", "4", "5"], "what was refused is nowhere");
        store.close().await.unwrap();
    });
}

#[test]
fn without_the_setting_a_message_goes_nowhere_else_and_stays_as_it_is() {
    let sim = Sim::new(13);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        append(&store, "t", "%LMQ%a", "0").unwrap();
        assert_eq!(read(&store, "t", 1).await, pairs(&[("0", "70")]));
        assert_eq!((read(&store, "%LMQ%a", 0).await, store.light_queues()), (vec![], 0));
        store.close().await.unwrap();
    });
}
