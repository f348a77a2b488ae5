//! A batch is stored whole: consecutive offsets, one file, all or nothing.

use crate::oracle::{draft, request, small_config, split};
use engine::{AppendError, QueueOffset, ReadSlices, ReadStatus, Store, StoreConfig, TagFilter};
use protocol::batch::BatchEntry;
use protocol::record::RecordView;
use rt::sim::Sim;

fn config() -> StoreConfig {
    small_config("/store")
}

#[test]
fn a_batch_gets_consecutive_offsets_and_the_common_properties() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let store = Store::open(sim.clone(), config()).await.unwrap();
        store.append(&draft("t", 0, b"before", &[])).unwrap();
        let entries = [
            BatchEntry { flag: 1, body: b"one", properties: b"TAGS\x01red\x02" },
            BatchEntry { flag: 2, body: b"two", properties: b"TAGS\x01blue" },
            BatchEntry { flag: 0, body: b"three", properties: b"" },
        ];
        let mut places = Vec::new();
        let batch = store
            .append_batch(
                &draft("t", 0, b"", &[b"CLUSTER\x01c\x02"]),
                entries.iter().copied(),
                |at| places.push(*at),
            )
            .unwrap();
        assert_eq!(
            (batch.count, batch.first.queue_offset, batch.end),
            (3, QueueOffset(1), store.appended())
        );
        assert_eq!((places.len(), places[0], places[2].end()), (3, batch.first, batch.end));
        let mut out = ReadSlices::default();
        assert_eq!(store.read(&request("t", 0, 1, TagFilter::All), &mut out), ReadStatus::Found);
        let records = split(&out.slices);
        let views: Vec<RecordView<'_>> =
            records.iter().map(|record| RecordView::parse(record).unwrap()).collect();
        assert_eq!(
            views.iter().map(|view| view.body()).collect::<Vec<_>>(),
            [&b"one"[..], b"two", b"three"]
        );
        assert_eq!(views[0].properties(), b"TAGS\x01red\x02CLUSTER\x01c\x02");
        assert_eq!(views[1].properties(), b"TAGS\x01blue\x02CLUSTER\x01c\x02");
        assert_eq!(views[2].properties(), b"CLUSTER\x01c\x02");
        assert_eq!(views.iter().map(|view| view.flag()).collect::<Vec<_>>(), [1, 2, 0]);
        store.close().await.unwrap();
    });
}

#[test]
fn a_batch_that_does_not_fit_the_file_goes_to_the_next_as_a_whole() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let store = Store::open(sim.clone(), config()).await.unwrap();
        let body = [7; 3000];
        for _ in 0..50 {
            let entries =
                std::iter::repeat_n(BatchEntry { flag: 0, body: &body, properties: b"" }, 5);
            let batch = loop {
                match store.append_batch(&draft("t", 0, b"", &[]), entries.clone(), |_| ()) {
                    Err(AppendError::TailFull { .. }) => store.wait_writable().await,
                    other => break other.unwrap(),
                }
            };
            let file_bytes = config().commitlog_file_bytes;
            assert_eq!(
                batch.first.physical_offset.0 / file_bytes,
                (batch.end.0 - 1) / file_bytes,
                "in one file"
            );
        }
        store.close().await.unwrap();
    });
}

#[test]
fn what_is_too_large_or_empty_is_refused_and_nothing_is_stored() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let store = Store::open(sim.clone(), config()).await.unwrap();
        let limit = config().record_bytes_max();
        let body = vec![0; limit];
        assert_eq!(
            store.append(&draft("t", 0, &body, &[])),
            Err(AppendError::TooLarge { found: limit + 92, limit })
        );
        let entries = std::iter::repeat_n(
            BatchEntry { flag: 0, body: &body[..limit / 2], properties: b"" },
            3,
        );
        assert!(matches!(
            store.append_batch(&draft("t", 0, b"", &[]), entries, |_| ()),
            Err(AppendError::TooLarge { .. })
        ));
        assert_eq!(
            store.append_batch(&draft("t", 0, b"", &[]), std::iter::empty(), |_| ()),
            Err(AppendError::EmptyBatch)
        );
        assert!(matches!(
            store.append(&draft("t", -1, b"x", &[])),
            Err(AppendError::QueueId { .. })
        ));
        assert!(matches!(
            store.append(&draft("t", 70_000, b"x", &[])),
            Err(AppendError::QueueId { .. })
        ));
        let long = vec![b'a'; 40_000];
        assert!(matches!(
            store.append(&draft("t", 0, b"x", &[&long])),
            Err(AppendError::Record(_))
        ));
        assert_eq!((store.appended().0, store.queue_range("t", 0)), (0, None));
        store.close().await.unwrap();
        assert_eq!(store.append(&draft("t", 0, b"x", &[])), Err(AppendError::Closed));
    });
}

#[test]
fn each_message_of_a_batch_is_where_the_store_says_also_with_checksums() {
    for append_property_crc in [false, true] {
        let sim = Sim::new(3);
        sim.block_on(async {
            let config = StoreConfig { append_property_crc, ..config() };
            let store = Store::open(sim.clone(), config).await.unwrap();
            // The second gets a checksum whatever the configuration says.
            let entries = [
                BatchEntry { flag: 0, body: b"one", properties: b"TAGS\x01red\x02" },
                BatchEntry { flag: 0, body: b"two", properties: b"a\x01zero \x00" },
                BatchEntry { flag: 0, body: b"three", properties: b"KEYS\x01k" },
                BatchEntry { flag: 0, body: b"four", properties: b"" },
            ];
            let mut places = Vec::new();
            let appended =
                store.append_batch(&draft("t", 0, b"", &[]), entries.iter().copied(), |at| {
                    places.push(at.physical_offset)
                });
            assert_eq!((appended.unwrap().count, places.len()), (4, 4));
            for (nth, (entry, at)) in entries.iter().zip(&places).enumerate() {
                let bytes = store.message_at(*at).await.unwrap().unwrap();
                let record = RecordView::parse(&bytes).unwrap();
                assert_eq!((record.body(), record.queue_offset()), (entry.body, nth as i64));
                assert_eq!(record.has_crc_property(), append_property_crc || nth == 1);
            }
            store.close().await.unwrap();
        });
    }
}
