//! Messages of several queues that belong together: all are stored or none, next to each other.

use crate::oracle::{draft, request, small_config, split};
use engine::{AppendError, ReadSlices, ReadStatus, Store, TagFilter};
use protocol::record::RecordView;
use rt::sim::Sim;

fn bodies(store: &Store<Sim>, topic: &str) -> Vec<Vec<u8>> {
    let mut out = ReadSlices::default();
    if store.read(&request(topic, 0, 0, TagFilter::All), &mut out) != ReadStatus::Found {
        return vec![];
    }
    let records = split(&out.slices);
    records.iter().map(|record| RecordView::parse(record).unwrap().body().to_vec()).collect()
}

#[test]
fn they_go_to_their_own_queues_next_to_each_other_and_outlive_a_restart() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        store.append(&draft("a", 0, b"before", &[])).unwrap();
        let mut places = vec![];
        let all = [draft("a", 0, b"one", &[]), draft("b", 0, b"two", &[b"TAGS\x01d\x02"])];
        let end = store.append_all(&all, |at| places.push(*at)).unwrap();
        assert_eq!((places[0].queue_offset.0, places[1].queue_offset.0), (1, 0));
        assert_eq!((places[0].end(), places[1].end()), (places[1].physical_offset, end));
        assert_eq!(end, store.appended());
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for place in places {
            assert!(store.message_at(place.physical_offset).await.unwrap().is_some());
        }
        assert_eq!(store.queue_range("a", 0).unwrap().max_offset.0, 2);
        store.close().await.unwrap();
    });
}

#[test]
fn what_can_not_be_stored_as_a_whole_is_not_stored_at_all() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let config = small_config("/store");
        let large = vec![7; config.record_bytes_max() / 2];
        let store = Store::open(sim.clone(), config).await.unwrap();
        let refused = [
            store.append_all(&[draft("a", 0, b"x", &[]), draft("b", -1, b"y", &[])], |_| {}),
            store.append_all(&[draft("a", 0, b"x", &[]), draft("../b", 0, b"y", &[])], |_| {}),
            store.append_all(&[draft("a", 0, &large, &[]), draft("b", 0, &large, &[])], |_| {}),
            store.append_all(&[], |_| {}),
        ];
        assert!(matches!(refused[0], Err(AppendError::QueueId { .. })), "{refused:?}");
        assert!(matches!(refused[1], Err(AppendError::TopicName)), "{refused:?}");
        assert!(matches!(refused[2], Err(AppendError::TooLarge { .. })), "{refused:?}");
        assert!(matches!(refused[3], Err(AppendError::EmptyBatch)), "{refused:?}");
        assert_eq!((store.appended().0, bodies(&store, "a").len()), (0, 0));
        store.close().await.unwrap();
    });
}
