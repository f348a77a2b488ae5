//! The topics of one shard: queue counts and permissions, what exists from the start, what sends
//! create.
//!
//! Pure: the clock comes in as `now_ms`. The caller writes `topics.json` and tells the name
//! servers; [`Topics::take_changed`] and [`Topics::take_unsaved`] say when. Requests can create
//! [`TOPICS_MAX`] topics; a file with more is served whole.

mod builtin;

use crate::config::ShardOptions;
use crate::limits::{QUEUES_PER_TOPIC_MAX, TOPICS_MAX};
use crate::tables::not_served::NotServed;
use foldhash::{HashMap, HashMapExt as _};
use protocol::bodies::{DataVersion, TopicConfig, TopicConfigSerializeWrapper, perm};
use protocol::names;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// One topic.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// Its name, shared with whatever waits for its messages.
    pub(crate) name: Rc<str>,
    /// What `topics.json` has of it.
    pub(crate) config: TopicConfig,
    /// Whether clients may send to it (the broker's own topics are closed).
    pub(crate) accepts_sends: bool,
}

/// Why a topic is not created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotCreated {
    /// The topic to inherit from does not exist: automatic creation is off, or a client's own
    /// default topic is missing.
    #[error("the default topic does not exist")]
    NoDefaultTopic,
    /// It exists and does not give its settings.
    #[error("the default topic may not be inherited from")]
    NotInherited,
    /// The shard has as many topics as requests may create.
    #[error("the broker has {TOPICS_MAX} topics already")]
    TooMany,
}

/// The topics of one shard. See the module's text.
#[derive(Debug)]
pub(crate) struct Topics {
    table: HashMap<Rc<str>, Topic>,
    /// Topics of `topics.json` whose names RocketMQ does not allow, by the file's key. They stay in
    /// the file; no request sees them.
    not_served: BTreeMap<String, TopicConfig>,
    system: BTreeSet<String>,
    /// `autoCreateTopicEnable`.
    auto_create: bool,
    version: DataVersion,
    changed: Vec<Rc<str>>,
    unsaved: bool,
}

impl Topics {
    /// The topics every broker has.
    pub(crate) fn new(options: &ShardOptions, now_ms: i64) -> Self {
        let version = DataVersion { counter: 0, state_version: 0, timestamp: now_ms };
        let mut topics = Self {
            table: HashMap::new(),
            not_served: BTreeMap::new(),
            system: names::SYSTEM_TOPICS.map(str::to_owned).into(),
            auto_create: options.process.create.topics,
            version,
            changed: vec![],
            unsaved: true,
        };
        for config in builtin::topics(options) {
            topics.system.insert(config.topic_name.clone());
            topics.insert(config);
        }
        topics
    }

    /// Lays what `topics.json` holds over the topics from the start. Returns those that are kept
    /// for the file only.
    pub(crate) fn load(&mut self, saved: TopicConfigSerializeWrapper) -> Vec<NotServed> {
        let mut not_served = vec![];
        for (key, config) in saved.topic_config_table {
            match names::check_topic(&config.topic_name) {
                Ok(()) => _ = self.insert(config),
                Err(why) => {
                    not_served.push(NotServed { name: key.clone(), why });
                    self.not_served.insert(key, config);
                }
            }
        }
        self.version = saved.data_version;
        self.unsaved = false;
        not_served
    }

    /// The epoch of the master whose topics these are; 0 of an Apache broker without a controller.
    pub(crate) fn state_version(&self) -> i64 {
        self.version.state_version
    }

    /// A master's life begins: of two brokers that register as the same master, name servers keep
    /// the one with the higher number.
    pub(crate) fn set_state_version(&mut self, epoch: i64) {
        self.version.state_version = epoch;
        self.unsaved = true;
    }

    /// Takes over a master's topics, whatever they are here; returns the names of those that are
    /// gone there. This broker's own topics stay.
    pub(crate) fn follow(&mut self, master: TopicConfigSerializeWrapper) -> Vec<Rc<str>> {
        let theirs = &master.topic_config_table;
        let is_gone =
            |name: &Rc<str>| !theirs.contains_key(&**name) && !self.system.contains(&**name);
        let gone: Vec<Rc<str>> = self.table.keys().filter(|name| is_gone(name)).cloned().collect();
        if master.data_version == self.version && gone.is_empty() {
            return gone;
        }
        for name in &gone {
            self.table.remove(name);
        }
        for config in master.topic_config_table.into_values() {
            let is_news = names::check_topic(&config.topic_name).is_ok()
                && self.get(&config.topic_name).is_none_or(|known| known.config != config);
            if is_news {
                let name = self.insert(config);
                self.changed.push(name);
            }
        }
        self.version = master.data_version;
        self.unsaved = true;
        gone
    }

    /// A topic.
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.table.get(name)
    }

    /// The names of all, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(|name| &**name)
    }

    /// Whether the file has a topic of this name that is not served.
    pub(crate) fn is_not_served(&self, name: &str) -> bool {
        self.not_served.contains_key(name)
    }

    /// How many topics are served.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether a topic belongs to the broker and requests may not create or delete it
    /// (`TopicValidator.isSystemTopic`).
    pub(crate) fn is_system(&self, name: &str) -> bool {
        self.system.contains(name) || names::is_system_topic(name)
    }

    /// The system topics by name, sorted: RocketMQ's fixed ones, whether they exist here or not,
    /// and this broker's own (`TopicValidator.getSystemTopicSet`).
    pub(crate) fn system_names(&self) -> Vec<String> {
        self.system.iter().cloned().collect()
    }

    /// Creates the topic of a send after the client's default topic (automatic creation).
    ///
    /// With `autoCreateTopicEnable=false` nothing inherits from TBW102, even where `topics.json`
    /// has it from a time when that was allowed. Apache RocketMQ clears TBW102's permission there
    /// and saves it, so that it stays off when the key is true again; here the file stays as it is.
    pub(crate) fn create_for_send(
        &mut self,
        want: &WantedTopic<'_>,
        now_ms: i64,
    ) -> Result<&Topic, NotCreated> {
        let default = self.table.get(want.default_topic).ok_or(NotCreated::NoDefaultTopic)?;
        let switched_off = !self.auto_create && want.default_topic == names::AUTO_CREATE_TOPIC;
        if switched_off || default.config.perm & perm::INHERIT == 0 {
            return Err(NotCreated::NotInherited);
        }
        let queues = want.queues.min(default.config.write_queue_nums).max(0);
        let mut config = TopicConfig::new(want.name, queues, default.config.perm & !perm::INHERIT);
        config.topic_sys_flag = want.sys_flag;
        config.topic_filter_type.clone_from(&default.config.topic_filter_type);
        self.create(config, now_ms)
    }

    /// Creates a topic that is missing, a retry or dead letter topic for example. One that exists
    /// stays as it is.
    pub(crate) fn create_if_absent(
        &mut self,
        config: TopicConfig,
        now_ms: i64,
    ) -> Result<&Topic, NotCreated> {
        if self.table.contains_key(config.topic_name.as_str()) {
            return self.table.get(config.topic_name.as_str()).ok_or(NotCreated::TooMany);
        }
        self.create(config, now_ms)
    }

    fn create(&mut self, config: TopicConfig, now_ms: i64) -> Result<&Topic, NotCreated> {
        if self.table.len() >= TOPICS_MAX {
            return Err(NotCreated::TooMany);
        }
        let name = self.insert(config);
        self.touch(name.clone(), now_ms);
        self.table.get(&name).ok_or(NotCreated::TooMany)
    }

    /// Creates or replaces a topic; false when it is as it was or there is no room.
    pub(crate) fn put(&mut self, config: TopicConfig, now_ms: i64) -> bool {
        let old = self.table.get(config.topic_name.as_str());
        if old.is_some_and(|old| old.config == config)
            || (old.is_none() && self.table.len() >= TOPICS_MAX)
        {
            return false;
        }
        let name = self.insert(config);
        self.touch(name, now_ms);
        true
    }

    /// Marks the topics that the name servers know as ordered.
    pub(crate) fn mark_ordered<'a>(&mut self, names: impl Iterator<Item = &'a str>, now_ms: i64) {
        for name in names {
            let unordered = self.table.get_mut(name).filter(|topic| !topic.config.order);
            if let Some(topic) = unordered {
                topic.config.order = true;
                let name = topic.name.clone();
                self.touch(name, now_ms);
            }
        }
    }

    /// Removes a topic; false when there is none.
    pub(crate) fn delete(&mut self, name: &str, now_ms: i64) -> bool {
        let removed = self.table.remove(name).is_some();
        if removed {
            self.next_version(now_ms);
            self.unsaved = true;
        }
        removed
    }

    /// The topics that changed since the last call: the name servers are told at once.
    pub(crate) fn take_changed(&mut self) -> Vec<Rc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// Whether anything changed that `topics.json` does not have yet; the caller writes it now.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// Writing failed: it is still to be done.
    pub(crate) fn set_unsaved(&mut self) {
        self.unsaved = true;
    }

    /// The table as registrations and GET_ALL_TOPIC_CONFIG have it; `only`: these topics alone.
    pub(crate) fn wrapper(&self, only: Option<&[Rc<str>]>) -> TopicConfigSerializeWrapper {
        let pair = |topic: &Topic| (topic.config.topic_name.clone(), topic.config.clone());
        let table: BTreeMap<_, _> = match only {
            None => self.table.values().map(pair).collect(),
            Some(names) => names.iter().filter_map(|name| self.table.get(name)).map(pair).collect(),
        };
        TopicConfigSerializeWrapper {
            topic_config_table: table,
            data_version: self.version,
            ..Default::default()
        }
    }

    /// The table as `topics.json` has it: with the topics that are not served.
    pub(crate) fn for_file(&self) -> TopicConfigSerializeWrapper {
        let mut wrapper = self.wrapper(None);
        for (key, config) in &self.not_served {
            wrapper.topic_config_table.entry(key.clone()).or_insert_with(|| config.clone());
        }
        wrapper
    }

    fn insert(&mut self, mut config: TopicConfig) -> Rc<str> {
        config.read_queue_nums = config.read_queue_nums.clamp(0, QUEUES_PER_TOPIC_MAX);
        config.write_queue_nums = config.write_queue_nums.clamp(0, QUEUES_PER_TOPIC_MAX);
        let name: Rc<str> = Rc::from(config.topic_name.as_str());
        let accepts_sends = !names::is_not_allowed_send(&name);
        self.table.insert(name.clone(), Topic { name: name.clone(), config, accepts_sends });
        name
    }

    fn touch(&mut self, name: Rc<str>, now_ms: i64) {
        self.next_version(now_ms);
        self.unsaved = true;
        self.changed.push(name);
    }

    fn next_version(&mut self, now_ms: i64) {
        self.version = self.version.next(now_ms);
    }
}

/// A topic that a send asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedTopic<'a> {
    /// Its name, already found valid.
    pub(crate) name: &'a str,
    /// What it inherits from.
    pub(crate) default_topic: &'a str,
    /// How many queues the client asks for.
    pub(crate) queues: i32,
    /// Unit flags.
    pub(crate) sys_flag: i32,
}

#[cfg(test)]
mod tests;
