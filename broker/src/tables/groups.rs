//! Subscription groups: the settings of consumer groups, whether consumers are connected or not,
//! and `subscriptionGroup.json`. Pure. Requests can create `groupsMax` groups; a file with more
//! is served whole.

use crate::config::Options;
use crate::limits::FORBIDDEN_MAX;
use crate::tables::not_served::NotServed;
use protocol::bodies::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper, perm};
use protocol::limits::RETRY_TOPIC_BYTES_MAX;
use protocol::names::{self, NameError};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Groups with this prefix are RocketMQ's own.
const SYSTEM_PREFIX: &str = "CID_RMQ_SYS_";

/// One subscription group.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its name, shared with held pulls.
    pub(crate) name: Rc<str>,
    /// Its settings.
    pub(crate) config: SubscriptionGroupConfig,
}

/// Why a request can't change the groups.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPut {
    /// A name is not allowed, or stays in the file only.
    #[error("{0:?} can't be the name of a group or topic here")]
    Name(String),
    /// The shard has as many groups as requests may create.
    #[error("the broker has {0} consumer groups already (groupsMax)")]
    TooMany(usize),
    /// As many groups may not read as many topics as can be kept.
    #[error("the broker knows of {FORBIDDEN_MAX} topics that groups may not read already")]
    TooManyForbidden,
}

/// The subscription groups of one shard.
#[derive(Debug)]
pub(crate) struct SubscriptionGroups {
    table: HashMap<Rc<str>, Group>,
    version: DataVersion,
    /// Groups of `subscriptionGroup.json` that can't be served because of their names, by the
    /// file's key. They stay in the file.
    not_served: BTreeMap<String, SubscriptionGroupConfig>,
    /// What a group may not do with a topic: one bit each, numbered as permissions are.
    forbidden: BTreeMap<String, BTreeMap<String, i32>>,
    unsaved: bool,
    create: bool,
    create_system: bool,
    /// How many requests may create.
    max: usize,
}

impl SubscriptionGroups {
    /// The groups every broker has.
    pub(crate) fn new(options: &Options, now_ms: i64) -> Self {
        let mut groups = Self {
            table: HashMap::new(),
            version: DataVersion { counter: 0, state_version: 0, timestamp: now_ms },
            not_served: BTreeMap::new(),
            forbidden: BTreeMap::new(),
            unsaved: true,
            create: options.create.groups,
            create_system: options.create.system_groups,
            max: options.serve.limits.groups,
        };
        for name in names::SYSTEM_GROUPS {
            groups.insert(SubscriptionGroupConfig::new(name));
        }
        groups
    }

    /// Lays what `subscriptionGroup.json` holds over the groups from the start. Returns those that
    /// are kept for the file only.
    ///
    /// A group of the file may have a longer name than a new one: older brokers created those, and
    /// RocketMQ looks at the length only when it creates a group. The name of its retry topic must
    /// be allowed.
    pub(crate) fn load(&mut self, saved: SubscriptionGroupWrapper) -> Vec<NotServed> {
        let mut not_served = vec![];
        for (key, config) in saved.subscription_group_table {
            match check_saved(&config.group_name) {
                Ok(()) => self.insert(config),
                Err(why) => {
                    not_served.push(NotServed { name: key.clone(), why });
                    self.not_served.insert(key, config);
                }
            }
        }
        self.version = saved.data_version;
        self.forbidden = saved.forbidden_table;
        self.unsaved = false;
        not_served
    }

    /// Takes over a master's groups, whatever they are here.
    pub(crate) fn follow(&mut self, master: SubscriptionGroupWrapper) {
        if master.data_version == self.version {
            return;
        }
        self.table.clear();
        self.load(master);
        self.unsaved = true;
    }

    /// A group, created when that is allowed.
    pub(crate) fn find_or_create(&mut self, name: &str, now_ms: i64) -> Option<&Group> {
        if !self.table.contains_key(name) {
            let allowed = self.create || (self.create_system && name.starts_with(SYSTEM_PREFIX));
            if !allowed || self.is_full() || !self.may_be_created(name) {
                return None;
            }
            self.insert(SubscriptionGroupConfig::new(name));
            self.touch(now_ms);
        }
        self.table.get(name)
    }

    /// How many requests may create.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Whether requests have created as many as they may.
    pub(crate) fn is_full(&self) -> bool {
        self.table.len() >= self.max
    }

    /// A group.
    pub(crate) fn get(&self, name: &str) -> Option<&Group> {
        self.table.get(name)
    }

    /// The names of all, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(|name| &**name)
    }

    /// Creates or changes a group at the request of a tool.
    pub(crate) fn put(
        &mut self,
        config: SubscriptionGroupConfig,
        now_ms: i64,
    ) -> Result<(), NotPut> {
        let name = config.group_name.as_str();
        if !self.table.contains_key(name) {
            if !self.may_be_created(name) {
                return Err(NotPut::Name(config.group_name));
            }
            if self.is_full() {
                return Err(NotPut::TooMany(self.max));
            }
        }
        self.insert(config);
        self.touch(now_ms);
        Ok(())
    }

    /// Deletes a group's settings; false when there are none.
    pub(crate) fn delete(&mut self, name: &str, now_ms: i64) -> bool {
        let is_known = self.table.remove(name).is_some();
        if is_known {
            self.touch(now_ms);
        }
        is_known
    }

    /// Says whether a group may read a topic. Neither need exist.
    pub(crate) fn forbid_reading(
        &mut self,
        group: &str,
        topic: &str,
        is_forbidden: bool,
        now_ms: i64,
    ) -> Result<(), NotPut> {
        if is_forbidden == self.is_read_forbidden(group, topic) {
            return Ok(());
        }
        let known = self.forbidden.get(group).and_then(|topics| topics.get(topic)).copied();
        if known.is_none() {
            names::check_group(group).map_err(|_| NotPut::Name(group.to_owned()))?;
            names::check_topic(topic).map_err(|_| NotPut::Name(topic.to_owned()))?;
            if self.forbidden.values().map(BTreeMap::len).sum::<usize>() >= FORBIDDEN_MAX {
                return Err(NotPut::TooManyForbidden);
            }
        }
        let bits = known.unwrap_or(0).max(0);
        let bits = if is_forbidden { bits | perm::READ } else { bits & !perm::READ };
        let topics = self.forbidden.entry(group.to_owned()).or_default();
        if bits == 0 {
            topics.remove(topic);
        } else {
            topics.insert(topic.to_owned(), bits);
        }
        if topics.is_empty() {
            self.forbidden.remove(group);
        }
        self.touch(now_ms);
        Ok(())
    }

    fn touch(&mut self, now_ms: i64) {
        self.version = self.version.next(now_ms);
        self.unsaved = true;
    }

    fn may_be_created(&self, name: &str) -> bool {
        names::check_group(name).is_ok() && !self.not_served.contains_key(name)
    }

    /// Whether a group may not read a topic (`getForbidden` with `INDEX_PERM_READ`). Apache
    /// RocketMQ asks when a pull relies on its group's heartbeats.
    pub(crate) fn is_read_forbidden(&self, group: &str, topic: &str) -> bool {
        // A negative value means 0 there.
        let bits = self.forbidden.get(group).and_then(|topics| topics.get(topic));
        bits.is_some_and(|bits| *bits > 0 && *bits & perm::READ != 0)
    }

    /// Whether anything changed that the file does not have yet; the caller writes it now.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// Writing failed: it is still to be done.
    pub(crate) fn set_unsaved(&mut self) {
        self.unsaved = true;
    }

    /// The table as GET_ALL_SUBSCRIPTIONGROUP_CONFIG has it.
    pub(crate) fn wrapper(&self) -> SubscriptionGroupWrapper {
        let configs = self.table.values().map(|group| &group.config);
        SubscriptionGroupWrapper {
            subscription_group_table: configs
                .map(|config| (config.group_name.clone(), config.clone()))
                .collect(),
            data_version: self.version,
            forbidden_table: self.forbidden.clone(),
        }
    }

    /// The table as `subscriptionGroup.json` has it: with the groups that are not served.
    pub(crate) fn for_file(&self) -> SubscriptionGroupWrapper {
        let mut wrapper = self.wrapper();
        for (key, config) in &self.not_served {
            let entry = wrapper.subscription_group_table.entry(key.clone());
            entry.or_insert_with(|| config.clone());
        }
        wrapper
    }

    fn insert(&mut self, config: SubscriptionGroupConfig) {
        let name: Rc<str> = Rc::from(config.group_name.as_str());
        self.table.insert(name.clone(), Group { name, config });
    }
}

/// The longest name whose retry topic can be had.
const SAVED_GROUP_BYTES_MAX: usize = RETRY_TOPIC_BYTES_MAX - names::RETRY_PREFIX.len();

/// Whether a group of the file can be served.
fn check_saved(name: &str) -> Result<(), NameError> {
    match names::check_group(name) {
        Ok(()) | Err(NameError::TooLong { .. }) if name.len() > SAVED_GROUP_BYTES_MAX => {
            let (found, max) = (name.len(), SAVED_GROUP_BYTES_MAX);
            Err(NameError::TooLong { kind: "group", found, max })
        }
        Err(NameError::TooLong { .. }) => Ok(()),
        checked => checked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;
    use crate::limits::GROUPS_MAX;

    fn groups(auto_create: &str) -> SubscriptionGroups {
        SubscriptionGroups::new(&options(&[("autoCreateSubscriptionGroup", auto_create)]), 0)
    }

    #[test]
    fn a_group_comes_into_being_when_it_is_asked_for() {
        let mut groups = groups("true");
        assert_eq!(groups.find_or_create("g", 5).unwrap().config.retry_queue_nums, 1);
        assert!(groups.find_or_create("bad name", 5).is_none());
        assert!(groups.get("g").is_some() && groups.get("TOOLS_CONSUMER").is_some());
    }

    #[test]
    fn without_automatic_creation_only_rocketmqs_own_groups_do() {
        let mut groups = groups("false");
        assert!(groups.find_or_create("g", 5).is_none());
        assert!(groups.find_or_create("CID_RMQ_SYS_X", 5).is_some());
    }

    #[test]
    fn saved_groups_survive_a_restart() {
        let mut before = groups("true");
        before.find_or_create("g", 5);
        let mut after = groups("false");
        assert_eq!(after.load(before.for_file()), []);
        assert!(after.get("g").is_some());
        assert_eq!(after.for_file().data_version, before.for_file().data_version);
    }

    fn saved(names: &[&str]) -> SubscriptionGroupWrapper {
        let mut saved = SubscriptionGroupWrapper::default();
        for name in names {
            let config = SubscriptionGroupConfig::new(name);
            saved.subscription_group_table.insert((*name).to_owned(), config);
        }
        saved
    }

    #[test]
    fn groups_whose_names_are_not_allowed_stay_in_the_file_and_are_not_served() {
        let longest = "g".repeat(249);
        let mut groups = groups("true");
        let not_served = groups.load(saved(&["strange name", &longest]));
        assert_eq!(not_served.len(), 2);
        for name in ["strange name", longest.as_str()] {
            assert!(groups.get(name).is_none() && groups.find_or_create(name, 5).is_none());
            assert!(groups.for_file().subscription_group_table.contains_key(name));
        }
    }

    #[test]
    fn an_older_brokers_group_with_a_long_name_is_served() {
        let long = "g".repeat(248);
        let mut groups = groups("false");
        assert_eq!(groups.load(saved(&[&long])), []);
        assert!(groups.find_or_create(&long, 5).is_some());
        assert!(groups.for_file().subscription_group_table.contains_key(&long));
    }

    #[test]
    fn a_file_with_more_groups_than_requests_may_create_is_served_whole() {
        let names: Vec<_> = (0..=GROUPS_MAX).map(|number| format!("g{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut groups = groups("true");
        groups.load(saved(&names));
        assert!(names.iter().all(|name| groups.get(name).is_some()));
        assert!(groups.find_or_create("one-more", 5).is_none());
    }

    #[test]
    fn reading_is_forbidden_and_allowed_topic_by_topic() {
        let mut groups = groups("true");
        groups.take_unsaved();
        for topic in ["t", "u"] {
            groups.forbid_reading("g", topic, true, 5).unwrap();
        }
        groups.forbid_reading("g", "t", false, 5).unwrap();
        assert!(groups.take_unsaved());
        assert_eq!(["t", "u"].map(|topic| groups.is_read_forbidden("g", topic)), [false, true]);
        groups.forbid_reading("g", "u", false, 5).unwrap();
        assert!(groups.for_file().forbidden_table.is_empty());
        let long = "t".repeat(300);
        for (group, topic) in [("bad name", "t"), ("g", ""), ("g", long.as_str())] {
            assert!(groups.forbid_reading(group, topic, true, 5).is_err(), "{group} {topic}");
        }
        for nth in 0..FORBIDDEN_MAX {
            groups.forbidden.entry(format!("h{nth}")).or_default().insert("t".to_owned(), 4);
        }
        let more = groups.forbid_reading("one", "more", true, 5);
        assert_eq!(more, Err(NotPut::TooManyForbidden));
    }

    #[test]
    fn what_a_group_may_not_read_is_as_apaches_file_says() {
        let mut groups = groups("true");
        let of_g = [("read", 4), ("write", 2), ("both", 6), ("none", 0), ("negative", -1)];
        let of_g = of_g.map(|(topic, bits)| (topic.to_owned(), bits)).into();
        let forbidden_table = BTreeMap::from([("g".to_owned(), of_g)]);
        groups.load(SubscriptionGroupWrapper { forbidden_table, ..Default::default() });
        let forbidden = ["read", "write", "both", "none", "negative", "other"]
            .map(|topic| groups.is_read_forbidden("g", topic));
        assert_eq!(forbidden, [true, false, true, false, false, false]);
        assert!(!groups.is_read_forbidden("h", "read"));
        assert_eq!(groups.for_file().forbidden_table["g"]["negative"], -1);
    }
}
