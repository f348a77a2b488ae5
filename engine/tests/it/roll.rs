//! The end of a file: a blank, then the next file, all of RocketMQ's size and name.

use crate::oracle::{Oracle, small_config};
use engine::Store;
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;

#[test]
fn a_full_file_ends_with_a_blank_and_the_next_begins_with_a_record() {
    let sim = Sim::new(4);
    sim.block_on(async {
        let config = small_config("/store");
        let file_bytes = config.commitlog_file_bytes;
        let store = Store::open(sim.clone(), config).await.unwrap();
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 400).await;
        oracle.check(&store).await;
        store.close().await.unwrap();
        let files = sim.list_dir(Path::new("/store/commitlog")).await.unwrap();
        assert!(files.len() > 4, "{} files", files.len());
        assert!(files.iter().all(|file| file.bytes == file_bytes));
        for pair in files.windows(2).take(files.len() - 2) {
            let start: u64 = pair[0].name.parse().unwrap();
            assert_eq!(pair[1].name, format!("{:020}", start + file_bytes));
            let last = oracle
                .sent
                .iter()
                .rfind(|sent| sent.at.physical_offset.0 < start + file_bytes)
                .unwrap();
            let bytes =
                sim.read_file(&Path::new("/store/commitlog").join(&pair[0].name)).await.unwrap();
            let end = usize::try_from(last.at.end().0 - start).unwrap();
            let remaining = u32::try_from(bytes.len() - end).unwrap();
            assert_eq!(
                bytes[end..end + 8],
                [&remaining.to_be_bytes()[..], &[0xCB, 0xD4, 0x31, 0x94]].concat()
            );
            assert!(bytes[end + 8..].iter().all(|byte| *byte == 0));
            assert!(oracle.sent.iter().any(|sent| sent.at.physical_offset.0 == start + file_bytes));
        }
    });
}

#[test]
fn consumequeue_files_have_rocketmqs_size_name_and_units() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let mut oracle = Oracle::default();
        for _ in 0..120 {
            oracle.append_waiting(&store, ("alpha", 2), "red", 10).await;
        }
        store.close().await.unwrap();
        let folder = Path::new("/store/consumequeue/alpha/2");
        let files = sim.list_dir(folder).await.unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["00000000000000000000", "00000000000000001000", "00000000000000002000"]);
        assert!(files.iter().all(|file| file.bytes == 1000));
        let last = sim.read_file(&folder.join(names[2])).await.unwrap();
        let sent = &oracle.sent[100];
        let size = u32::try_from(sent.at.bytes).unwrap();
        assert_eq!(last[..8], sent.at.physical_offset.0.to_be_bytes());
        assert_eq!(last[8..12], size.to_be_bytes());
        assert_eq!(last[12..20], protocol::tags::tags_code("red").to_be_bytes());
        assert!(last[20 * 20..].iter().all(|byte| *byte == 0));
    });
}
