//! The naive oracle: every message that was appended, by its place in the log; what a store that
//! was opened again holds is held against it.
//!
//! A topic that is deleted begins a new epoch. Until the deletion has returned, a crash may bring
//! the old one back: whole, and only where no newer message of the queue survived.

use crate::oracle::{request, split};
use engine::{PhyOffset, QueueRange, ReadError, ReadStatus, Store, TagFilter};
use protocol::record::RecordView;
use rt::sim::Sim;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) type Queue = (&'static str, i32);

/// A message as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) queue: Queue,
    pub(crate) epoch: u32,
    pub(crate) offset: i64,
    pub(crate) end: u64,
    pub(crate) body: Vec<u8>,
}

/// What a crash must leave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Promise {
    /// Everything that ends at or below is there.
    pub(crate) survives: PhyOffset,
    /// Of what lies above, single messages may be missing (SYNC_FLUSH, where a break is never cut);
    /// else it is a prefix.
    pub(crate) holes: bool,
}

/// See the module's text.
#[derive(Clone, Default)]
pub(crate) struct Model {
    /// By place in the log.
    pub(crate) messages: BTreeMap<u64, Message>,
    /// Of each queue as it is now: the next offset, and where each message lies.
    live: HashMap<Queue, BTreeMap<i64, u64>>,
    next: HashMap<Queue, i64>,
    epochs: HashMap<&'static str, u32>,
    /// Every queue there ever was, and the last epoch in which it was there.
    last_epochs: BTreeMap<Queue, u32>,
    /// Deletions up to this epoch have returned.
    certain: HashMap<&'static str, u32>,
    /// Messages that are damaged on the disk, by place: never given any more, their places in their
    /// queues stay.
    pub(crate) damaged: BTreeSet<u64>,
    /// Topics whose deletion a crash overtook: no manifest knows of it, so that damage could hide
    /// it from the store.
    unsure: BTreeSet<&'static str>,
    /// Messages that were damaged on disk after a crash: each may be gone, alone, at once or when
    /// it leaves the memory that outlived the crash.
    pub(crate) rotten: BTreeSet<u64>,
    /// The furthest end of a message that a consumer was given.
    pub(crate) seen_upto: u64,
}

/// What a reopening found, for the tally.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) kept: usize,
    pub(crate) lost: usize,
    pub(crate) holes: usize,
    pub(crate) rotten: usize,
    /// Messages of a new topic taken for those of the deleted one, whose deletion no crash left.
    pub(crate) torn_beginnings: usize,
}

impl Model {
    /// Whether a queue has a message at one of these places that no damage took.
    pub(crate) fn has_whole(&self, queue: Queue, places: std::ops::Range<i64>) -> bool {
        let is_whole = |at: &u64| !self.damaged.contains(at) && !self.rotten.contains(at);
        self.live.get(&queue).is_some_and(|live| live.range(places).any(|(_, at)| is_whole(at)))
    }

    pub(crate) fn epoch(&self, topic: &str) -> u32 {
        self.epochs.get(topic).copied().unwrap_or(0)
    }

    /// A message that the store took at these places.
    pub(crate) fn appended(&mut self, queue: Queue, at: u64, end: u64, offset: i64, body: Vec<u8>) {
        let next = self.next.entry(queue).or_default();
        assert_eq!(offset, *next, "{queue:?}: offsets follow each other");
        *next += 1;
        self.live.entry(queue).or_default().insert(offset, at);
        let epoch = self.epoch(queue.0);
        self.last_epochs.insert(queue, epoch);
        let before = self.messages.insert(at, Message { queue, epoch, offset, end, body });
        assert!(before.is_none(), "two messages at {at}");
    }

    /// A deletion begins: from now on the topic is empty.
    pub(crate) fn delete(&mut self, topic: &'static str) -> u32 {
        self.live.retain(|queue, _| queue.0 != topic);
        self.next.retain(|queue, _| queue.0 != topic);
        let epoch = self.epochs.entry(topic).or_default();
        *epoch += 1;
        *epoch
    }

    /// It returned: no crash brings it back.
    pub(crate) fn deleted(&mut self, topic: &'static str, epoch: u32) {
        let certain = self.certain.entry(topic).or_default();
        *certain = epoch.max(*certain);
        self.unsure.remove(topic);
    }

    pub(crate) fn queues(&self) -> Vec<Queue> {
        let mut queues: Vec<Queue> = self.live.keys().copied().collect();
        queues.sort_unstable();
        queues
    }

    /// Some message that is in its queue.
    pub(crate) fn some_place(&self, random: u64) -> Option<u64> {
        let nth = usize::try_from(random).unwrap_or(0) % self.messages.len().max(1);
        self.messages.keys().nth(nth).copied()
    }

    /// Where the message of a queue offset lies, if it is there and whole.
    pub(crate) fn place_of(&self, queue: Queue, offset: i64) -> Option<u64> {
        self.live.get(&queue)?.get(&offset).copied()
    }

    /// The queues of topics whose deletions the store knows all.
    fn sure(&self) -> impl Iterator<Item = &BTreeMap<i64, u64>> {
        let is_sure = |queue: &Queue| !self.unsure.contains(queue.0);
        self.live.iter().filter(move |(queue, _)| is_sure(queue)).map(|(_, live)| live)
    }

    /// Picks a live message from `begin` on to be damaged, a queue's first if asked; says whether
    /// it is one.
    pub(crate) fn damage_one(
        &mut self,
        begin: PhyOffset,
        random: u64,
        first: bool,
    ) -> Option<(u64, bool)> {
        let firsts: BTreeSet<u64> =
            self.sure().filter_map(|live| live.values().next().copied()).collect();
        let all: BTreeSet<u64> = self.sure().flat_map(|live| live.values()).copied().collect();
        let from = if first { &firsts } else { &all };
        let from: Vec<u64> = from.iter().copied().filter(|at| *at >= begin.0).collect();
        let nth = usize::try_from(random % from.len().max(1) as u64).unwrap();
        let at = *from.get(nth)?;
        self.live.values_mut().for_each(|live| live.retain(|_, place| *place != at));
        self.damaged.insert(at);
        Some((at, firsts.contains(&at)))
    }

    /// A record that a consumer was given from `queue`: it must be the one that was sent there.
    /// Returns where it ends.
    pub(crate) fn check_given(&mut self, queue: Queue, record: &[u8]) -> u64 {
        let view = RecordView::parse(record).unwrap();
        let at = self.live.get(&queue).and_then(|live| live.get(&view.queue_offset())).copied();
        let at = at.unwrap_or_else(|| {
            panic!(
                "{queue:?} gave a message at offset {} that it does not have",
                view.queue_offset()
            )
        });
        let sent = &self.messages[&at];
        assert_same(&view, at, sent);
        self.seen_upto = self.seen_upto.max(sent.end);
        sent.end
    }

    /// The store was opened again: it holds what it must, and nothing else; from now on that is
    /// what there is.
    pub(crate) async fn reconcile(&mut self, store: &Store<Sim>, promise: Promise) -> Found {
        let log_end = store.appended().0;
        // A mark may lie within a record: what begins below it and ends above is not promised.
        let promised = self
            .messages
            .values()
            .map(|message| message.end)
            .filter(|end| *end <= promise.survives.0)
            .max()
            .unwrap_or(0);
        assert!(
            log_end >= promised,
            "the log ends at {log_end}, everything to {promised} had to survive: {promise:?}"
        );
        let mut found = Found::default();
        let before = self.messages.len();
        self.messages.retain(|_, message| message.end <= log_end);
        found.lost = before - self.messages.len();
        // What is gone now is gone for good; what goes while this looks may come back with a crash.
        let begin = store.log_begin().0;
        self.messages.retain(|at, _| *at >= begin);
        self.damaged.retain(|at| *at >= begin);
        // Also those without a message: one whose deletion a crash overtook goes on at its offset.
        let queues: Vec<Queue> = self.last_epochs.keys().copied().collect();
        let mut kept = BTreeMap::new();
        (self.live, self.next) = Default::default();
        for queue in queues {
            self.reconcile_queue(store, queue, promise, &mut kept, &mut found).await;
        }
        let epochs = self.epochs.clone();
        let certain = |topic| self.certain.get(topic).copied().unwrap_or(0);
        let overtaken = epochs.iter().filter(|(topic, epoch)| certain(*topic) < **epoch);
        let overtaken: Vec<&'static str> = overtaken.map(|(topic, _)| *topic).collect();
        self.unsure.extend(overtaken);
        self.certain.extend(epochs);
        found.kept = kept.len();
        self.messages = kept;
        found
    }

    async fn reconcile_queue(
        &mut self,
        store: &Store<Sim>,
        queue: Queue,
        promise: Promise,
        kept: &mut BTreeMap<u64, Message>,
        found: &mut Found,
    ) {
        let reread = self.reread(store, queue).await;
        let of_queue =
            |message: &&Message| message.queue == queue && message.epoch >= reread.certain;
        let expected: Vec<(u64, Message)> = self
            .messages
            .iter()
            .filter(|(_, message)| of_queue(message))
            .map(|(at, message)| (*at, message.clone()))
            .collect();
        for (at, message) in expected {
            self.reconcile_message(&reread, at, message, promise, kept, found);
        }
        self.check_nothing_strange(&reread);
        if reread.range.is_some() {
            self.last_epochs.insert(queue, self.epoch(queue.0));
        }
        self.next.insert(queue, reread.range.map_or(0, |range| range.max_offset.0));
    }

    /// What a queue gives, and which of the epochs that a crash leaves open is there.
    async fn reread(&self, store: &Store<Sim>, queue: Queue) -> Reread {
        let records = read_all(store, queue).await;
        // Old files may go while this is read.
        let (begin, end) = (store.log_begin().0, store.appended().0);
        let certain = self.certain.get(queue.0).copied().unwrap_or(0);
        let sent = |at: u64| match self.messages.get(&at) {
            Some(message) => message.epoch,
            None => panic!("{queue:?} has a message at {at} that was never sent"),
        };
        let first_at = records.values().next().map(|record| place(record));
        let epoch = first_at.map_or_else(|| self.epoch(queue.0), sent);
        assert!(
            epoch >= certain,
            "{queue:?}: epoch {epoch} was deleted, {certain} is what there is"
        );
        let range = store.queue_range(queue.0, queue.1);
        // A send that was refused may have made an empty queue.
        let last = self.last_epochs[&queue];
        assert!(
            range.is_none_or(|range| range.max_offset.0 == 0) || last >= certain,
            "{queue:?} came back, from epoch {last}: {certain} is what there is; {range:?}"
        );
        Reread { queue, records, begin, end, certain, epoch, range }
    }

    /// Keeps a message that was sent if it is there, and sees that it may be gone if not.
    fn reconcile_message(
        &mut self,
        reread: &Reread,
        at: u64,
        message: Message,
        promise: Promise,
        kept: &mut BTreeMap<u64, Message>,
        found: &mut Found,
    ) {
        let Reread { queue, ref records, begin, end, certain, epoch, range } = *reread;
        let is_there = records.get(&message.offset).is_some_and(|record| place(record) == at);
        if at < begin && !is_there {
            let epoch = message.epoch.max(self.epoch(queue.0));
            kept.insert(at, Message { epoch, ..message });
            return;
        }
        let must_be_there = message.end <= promise.survives.0 || !promise.holes;
        if message.epoch > epoch && !must_be_there && message.offset > 0 && is_there {
            // Nothing on disk says that the topic was deleted, and the crash tore the first
            // messages of the new one: nobody can tell the next from those of the old one
            // (`engine/src/store/fill.rs`).
            found.torn_beginnings += 1;
            self.live.entry(queue).or_default().insert(message.offset, at);
            kept.insert(at, Message { epoch: self.epoch(queue.0), ..message });
            return;
        }
        if message.epoch != epoch {
            assert!(
                message.epoch < epoch || !must_be_there,
                "{queue:?} went back to epoch {epoch} though {at} of epoch {} survives",
                message.epoch
            );
            return;
        }
        let record = records.get(&message.offset).filter(|record| place(record) == at);
        if self.damaged.contains(&at) {
            assert!(record.is_none(), "{queue:?} gave the damaged message at {at}");
            let holds = range.is_some_and(|range| range.max_offset.0 > message.offset);
            let may_be_deleted = records.is_empty() && epoch > certain && range.is_none();
            assert!(
                holds || may_be_deleted,
                "{queue:?} lost the place {} of a damaged message: {range:?}",
                message.offset
            );
            kept.insert(at, Message { epoch: self.epoch(queue.0), ..message });
            return;
        }
        let Some(record) = record else {
            if self.rotten.contains(&at) {
                found.rotten += 1;
                return;
            }
            let may_be_deleted = records.is_empty() && epoch > certain && range.is_none();
            assert!(
                !must_be_there || may_be_deleted,
                "{queue:?} {} of epoch {epoch} at {at}..{} is gone: {promise:?}, the log is \
                    {begin}..{end}, the queue {range:?}",
                message.offset,
                message.end
            );
            found.holes += usize::from(!may_be_deleted);
            return;
        };
        assert!(!self.damaged.contains(&at), "{queue:?} serves the damaged message at {at}");
        assert_same(&RecordView::parse(record).unwrap(), at, &message);
        self.live.entry(queue).or_default().insert(message.offset, at);
        kept.insert(at, Message { epoch: self.epoch(queue.0), ..message });
    }

    fn check_nothing_strange(&self, reread: &Reread) {
        let Reread { queue, ref records, range, .. } = *reread;
        let live = self.live.get(&queue);
        let strange: Vec<(i64, u64)> = records
            .iter()
            .map(|(offset, record)| (*offset, place(record)))
            .filter(|(offset, _)| live.is_none_or(|live| !live.contains_key(offset)))
            .collect();
        assert!(
            strange.is_empty(),
            "{queue:?} has messages (offset, place) that were not sent, or that a crash took \
                before: {strange:?}; {range:?}"
        );
        let min = live.and_then(|live| live.keys().next().copied());
        assert!(
            range.is_none_or(|range| min.is_none_or(|min| min < range.max_offset.0)),
            "{queue:?}: {range:?}, its first message is {min:?}"
        );
    }

    /// The ranges of all queues.
    pub(crate) fn ranges(&self, store: &Store<Sim>) -> Vec<(Queue, Option<QueueRange>)> {
        self.queues()
            .into_iter()
            .map(|queue| (queue, store.queue_range(queue.0, queue.1)))
            .collect()
    }
}

/// A queue as it is read after a start.
struct Reread {
    queue: Queue,
    /// Its messages by offset.
    records: BTreeMap<i64, Vec<u8>>,
    /// Where the log begins and ends.
    begin: u64,
    end: u64,
    /// The epoch that there must be at least, and the one that is there.
    certain: u32,
    epoch: u32,
    range: Option<QueueRange>,
}

fn place(record: &[u8]) -> u64 {
    u64::try_from(RecordView::parse(record).unwrap().physical_offset()).unwrap()
}

fn assert_same(view: &RecordView<'_>, at: u64, sent: &Message) {
    view.verify_crc().unwrap();
    assert_eq!(
        (view.topic(), view.queue_id(), view.queue_offset()),
        (sent.queue.0, sent.queue.1, sent.offset)
    );
    assert_eq!(u64::try_from(view.physical_offset()), Ok(at));
    assert!(view.body() == sent.body, "the body of {:?} {}", sent.queue, sent.offset);
}

/// All messages of a queue by offset, as a consumer gets them that starts at its beginning.
async fn read_all(store: &Store<Sim>, queue: Queue) -> BTreeMap<i64, Vec<u8>> {
    let mut records = BTreeMap::new();
    let Some(range) = store.queue_range(queue.0, queue.1) else { return records };
    let mut offset = range.min_offset.0;
    while offset < range.max_offset.0 {
        let read = match store
            .read_cold(request(queue.0, queue.1, offset, TagFilter::All).to_owned())
            .await
        {
            // Only because its hour came: nothing else goes on yet.
            Err(ReadError::File(gone)) if gone.source.kind() == std::io::ErrorKind::NotFound => {
                let begin_now = store.queue_range(queue.0, queue.1).unwrap().min_offset.0;
                assert!(begin_now > offset, "{gone}: {queue:?} begins at {begin_now}");
                offset = store.queue_range(queue.0, queue.1).unwrap().min_offset.0.max(offset);
                continue;
            }
            read => read.unwrap(),
        };
        let goes_on = matches!(
            read.status,
            ReadStatus::Found
                | ReadStatus::MessageWasRemoving
                | ReadStatus::OffsetTooSmall
                | ReadStatus::OffsetOverflowOne
        );
        assert!(goes_on, "{queue:?} at {offset} of {range:?}: {:?}", read.status);
        if read.status == ReadStatus::OffsetOverflowOne {
            break;
        }
        for record in split(&read.slices) {
            let at = RecordView::parse(&record).unwrap().queue_offset();
            assert!(
                at >= offset && records.insert(at, record).is_none(),
                "{queue:?} gave offset {at} when asked for {offset}"
            );
        }
        assert!(read.next_begin_offset.0 > offset, "{queue:?} stands still at {offset}");
        offset = read.next_begin_offset.0;
    }
    records
}
