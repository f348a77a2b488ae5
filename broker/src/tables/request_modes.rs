//! How groups consume the topics of which SET_MESSAGE_REQUEST_MODE (401) has said it:
//! `config/messageRequestMode.json`.

use crate::limits::REQUEST_MODES_MAX;
use protocol::bodies::{MessageRequestModes, SetMessageRequestMode};

/// The modes of one shard.
#[derive(Debug, Default)]
pub(crate) struct RequestModes {
    modes: MessageRequestModes,
    unsaved: bool,
}

impl RequestModes {
    /// What the file holds.
    pub(crate) fn load(modes: MessageRequestModes) -> Self {
        Self { modes, unsaved: false }
    }

    /// Takes over a master's.
    pub(crate) fn follow(&mut self, modes: MessageRequestModes) {
        if modes != self.modes {
            *self = Self { modes, unsaved: true };
        }
    }

    /// What was said of a group and a topic.
    pub(crate) fn get(&self, topic: &str, group: &str) -> Option<&SetMessageRequestMode> {
        self.modes.message_request_mode_map.get(topic)?.get(group)
    }

    /// Says it; false when there is no room for more.
    pub(crate) fn set(&mut self, mode: SetMessageRequestMode) -> bool {
        let map = &mut self.modes.message_request_mode_map;
        let groups = map.get(&mode.topic);
        let is_new = groups.is_none_or(|groups| !groups.contains_key(&mode.consumer_group));
        if is_new && map.values().map(|groups| groups.len()).sum::<usize>() >= REQUEST_MODES_MAX {
            return false;
        }
        let groups = map.entry(mode.topic.clone()).or_default();
        groups.insert(mode.consumer_group.clone(), mode);
        self.unsaved = true;
        true
    }

    /// As the file and GET_ALL_MESSAGE_REQUEST_MODE (402) have them.
    pub(crate) fn wrapper(&self) -> &MessageRequestModes {
        &self.modes
    }

    /// Whether something changed since the last call.
    pub(crate) fn take_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// Writing failed: it is still to be done.
    pub(crate) fn set_unsaved(&mut self) {
        self.unsaved = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::bodies::MessageRequestMode;

    #[test]
    fn a_mode_is_kept_by_topic_and_group_and_replaced() {
        let mut modes = RequestModes::default();
        let mode = |share| SetMessageRequestMode {
            consumer_group: "g".into(),
            topic: "T".into(),
            mode: MessageRequestMode::Pop,
            pop_share_queue_num: share,
        };
        assert!(modes.set(mode(1)) && modes.take_unsaved() && !modes.take_unsaved());
        assert!(modes.set(mode(2)));
        assert_eq!(modes.get("T", "g"), Some(&mode(2)));
        assert_eq!((modes.get("T", "h"), modes.get("U", "g")), (None, None));
        let text = concat!(
            r#"{"messageRequestModeMap":{"T":{"g":{"consumerGroup":"g","mode":"POP","#,
            r#""popShareQueueNum":2,"topic":"T"}}}}"#
        );
        assert_eq!(protocol::json::to_fastjson(modes.wrapper()), text.as_bytes());
    }
}
