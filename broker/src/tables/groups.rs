//! Subscription groups: the settings of consumer groups, whether consumers are connected or not,
//! and `subscriptionGroup.json`. Pure; bounded by `GROUPS_MAX`.

use crate::config::Options;
use crate::limits::GROUPS_MAX;
use protocol::bodies::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper};
use protocol::names;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Groups with this prefix are RocketMQ's own.
const SYSTEM_PREFIX: &str = "CID_RMQ_SYS_";

/// One subscription group.
#[derive(Debug)]
pub struct Group {
    /// Its name, shared with held pulls.
    pub name: Rc<str>,
    /// Its settings.
    pub config: SubscriptionGroupConfig,
}

/// The subscription groups of one shard.
#[derive(Debug)]
pub struct SubscriptionGroups {
    table: HashMap<Rc<str>, Group>,
    version: DataVersion,
    /// What Apache RocketMQ's broker forbids by group and topic: nothing here looks at it, and its
    /// file must not lose it.
    forbidden: BTreeMap<String, BTreeMap<String, i32>>,
    unsaved: bool,
    create: bool,
    create_system: bool,
}

impl SubscriptionGroups {
    /// The groups every broker has.
    #[must_use]
    pub fn new(options: &Options, now_ms: i64) -> Self {
        let mut groups = Self {
            table: HashMap::new(),
            version: DataVersion { counter: 0, state_version: 0, timestamp: now_ms },
            forbidden: BTreeMap::new(),
            unsaved: true,
            create: options.create.groups,
            create_system: options.create.system_groups,
        };
        for name in names::SYSTEM_GROUPS {
            groups.insert(SubscriptionGroupConfig::new(name));
        }
        groups
    }

    /// Lays what `subscriptionGroup.json` holds over the groups from the start.
    pub fn load(&mut self, saved: SubscriptionGroupWrapper) {
        for (_, config) in saved.subscription_group_table {
            if names::check_group(&config.group_name).is_ok() && self.table.len() < GROUPS_MAX {
                self.insert(config);
            }
        }
        self.version = saved.data_version;
        self.forbidden = saved.forbidden_table;
        self.unsaved = false;
    }

    /// A group, created when that is allowed.
    pub fn find_or_create(&mut self, name: &str, now_ms: i64) -> Option<&Group> {
        if !self.table.contains_key(name) {
            let allowed = self.create || (self.create_system && name.starts_with(SYSTEM_PREFIX));
            if !allowed || self.table.len() >= GROUPS_MAX || names::check_group(name).is_err() {
                return None;
            }
            self.insert(SubscriptionGroupConfig::new(name));
            self.version = self.version.next(now_ms);
            self.unsaved = true;
        }
        self.table.get(name)
    }

    /// A group.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Group> {
        self.table.get(name)
    }

    /// Whether anything changed that the file does not have yet; the caller writes it now.
    pub fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// Writing failed: it is still to be done.
    pub fn set_unsaved(&mut self) {
        self.unsaved = true;
    }

    /// The table as files and GET_ALL_SUBSCRIPTIONGROUP_CONFIG have it.
    #[must_use]
    pub fn wrapper(&self) -> SubscriptionGroupWrapper {
        let table = self
            .table
            .values()
            .map(|group| (group.config.group_name.clone(), group.config.clone()));
        SubscriptionGroupWrapper {
            subscription_group_table: table.collect(),
            data_version: self.version,
            forbidden_table: self.forbidden.clone(),
        }
    }

    fn insert(&mut self, config: SubscriptionGroupConfig) {
        let name: Rc<str> = Rc::from(config.group_name.as_str());
        self.table.insert(name.clone(), Group { name, config });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;
    use protocol::config_file::{Properties, Settings};

    fn groups(auto_create: &str) -> SubscriptionGroups {
        let mut properties = Properties::default();
        for (key, value) in [
            ("brokerName", "b"),
            ("brokerIP1", "10.0.0.1"),
            ("storePathRootDir", "/s"),
            ("autoCreateSubscriptionGroup", auto_create),
        ] {
            properties.set(key, value, "test");
        }
        SubscriptionGroups::new(
            &Options::from_settings(&Settings::resolve(&KEYS, &properties).unwrap()).unwrap(),
            0,
        )
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
        after.load(before.wrapper());
        assert!(after.get("g").is_some());
        assert_eq!(after.wrapper().data_version, before.wrapper().data_version);
    }
}
