//! The tests of consumer offsets.

use super::*;

#[test]
fn the_last_commit_counts_per_group_topic_and_queue() {
    let mut offsets = ConsumerOffsets::default();
    offsets.commit("g", "t", 0, 7, 1);
    offsets.commit("g", "t", 0, 5, 1);
    offsets.commit("g", "t", 1, 9, 1);
    offsets.commit("h", "t", 0, 1, 1);
    assert_eq!(
        [offsets.query("g", "t", 0), offsets.query("g", "t", 1), offsets.query("h", "t", 0)],
        [Some(5), Some(9), Some(1)]
    );
    assert_eq!(offsets.query("g", "u", 0), None);
}

#[test]
fn a_negative_commit_is_no_commit() {
    let mut offsets = ConsumerOffsets::default();
    offsets.commit("g", "t", 0, -1, 1);
    assert_eq!(offsets.query("g", "t", 0), None);
    offsets.commit("g", "t", 0, 3, 1);
    offsets.commit("g", "t", 0, -1, 1);
    assert_eq!(offsets.query("g", "t", 0), Some(3));
}

#[test]
fn a_restart_keeps_them_and_writes_only_what_changed() {
    let mut offsets = ConsumerOffsets::default();
    assert!(offsets.take_unsaved().is_none());
    offsets.commit("g", "t", 0, 7, 1);
    let mut after = ConsumerOffsets::load(offsets.take_unsaved().unwrap());
    assert!(offsets.take_unsaved().is_none());
    assert_eq!(after.query("g", "t", 0), Some(7));
}

#[test]
fn a_deleted_topics_offsets_are_gone() {
    let mut offsets = ConsumerOffsets::default();
    offsets.commit("g", "t", 0, 7, 1);
    offsets.commit("g", "tt", 0, 8, 1);
    offsets.forget_topic("t");
    assert_eq!((offsets.query("g", "t", 0), offsets.query("g", "tt", 0)), (None, Some(8)));
}

#[test]
fn a_reset_is_told_once_and_until_then_no_commit_undoes_it() {
    let mut offsets = ConsumerOffsets::default();
    offsets.commit("g", "t", 0, 7, 1);
    offsets.reset("g", "t", 0, 3, 1);
    assert_eq!(offsets.query("g", "t", 0), Some(3));
    assert!(!offsets.commit("g", "t", 0, 8, 1));
    assert!(offsets.commit("g", "t", 1, 8, 1) && offsets.commit("h", "t", 0, 8, 1));
    assert_eq!((offsets.query("g", "t", 0), offsets.take_reset("h", "t", 0)), (Some(3), None));
    assert_eq!(offsets.take_reset("g", "t", 0), Some(3));
    assert_eq!(offsets.take_reset("g", "t", 0), None);
    assert!(offsets.resets.is_empty() && offsets.commit("g", "t", 0, 8, 1));
    assert_eq!(offsets.query("g", "t", 0), Some(8));
}

#[test]
fn groups_and_topics_are_found_by_each_other_and_copied() {
    let mut offsets = ConsumerOffsets::default();
    for (group, topic, offset) in [("g", "t", 1), ("g", "u", 2), ("gg", "t", 3), ("h", "tt", 4)] {
        offsets.commit(group, topic, 0, offset, 1);
    }
    assert_eq!(Vec::from_iter(offsets.topics_of("g")), ["t", "u"]);
    let groups: BTreeSet<_> = offsets.groups_of("t").map(|(group, _)| group).collect();
    assert_eq!(Vec::from_iter(groups), ["g", "gg"]);
    assert!(offsets.copy("g", "new", "t", 1) && !offsets.copy("none", "new", "t", 1));
    assert_eq!(offsets.queues("new", "t"), Some(&BTreeMap::from([(0, 1)])));
    offsets.reset("g", "t", 0, 0, 1);
    offsets.forget_group("g");
    assert!(offsets.topics_of("g").is_empty() && offsets.resets.is_empty());
    assert_eq!(offsets.query("gg", "t", 0), Some(3));
}
