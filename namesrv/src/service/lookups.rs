//! Lookups by clients and tools.

use super::{Answer, Answered, NameServer, Refusal, name};
use crate::kv::ORDER_TOPIC_CONFIG;
use crate::route::UnitFilter;
use protocol::bodies::TopicList;
use protocol::codes::{request as code, response};
use protocol::json::to_fastjson;
use protocol::remoting::CommandView;

impl<C: Copy + Eq> NameServer<C> {
    pub(super) fn route_info(&self, request: &CommandView<'_>, now_ms: i64) -> Answered {
        let is_early = |after_ms: i64| now_ms < self.started_ms + after_ms;
        if self.lookups.ready_after_ms.is_some_and(is_early) {
            return Ok(Answer::error(response::SYSTEM_ERROR, "name server not ready"));
        }
        let topic = request.ext.require("topic")?;
        let Some(mut route) = self.routes.route(&topic) else {
            let remark = format!("No topic route info in name server for the topic: {topic}");
            return Ok(Answer::error(response::TOPIC_NOT_EXIST, remark));
        };
        if self.lookups.order_messages {
            route.order_topic_conf = self.kv.get(ORDER_TOPIC_CONFIG, &topic);
        }
        let standard_only = request.ext.get_bool("acceptStandardJsonOnly").unwrap_or(false);
        Ok(Answer::body(route.encode_for(request.version, standard_only)))
    }

    pub(super) fn cluster_info(&self) -> Answer {
        Answer::body(to_fastjson(&self.routes.cluster_info()))
    }

    pub(super) fn topic_list(&self, request: &CommandView<'_>) -> Answered {
        let settings = &self.config.settings;
        let enabled = match request.code {
            code::GET_SYSTEM_TOPIC_LIST_FROM_NS => true,
            code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => settings.bool("enableAllTopicList"),
            _ => settings.bool("enableTopicList"),
        };
        if !enabled {
            return Ok(Answer::error(response::SYSTEM_ERROR, "disable"));
        }
        let (topic_list, broker_addr) = match request.code {
            code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => (self.routes.all_topics(), None),
            code::GET_TOPICS_BY_CLUSTER => {
                (self.routes.topics_of_cluster(&name(request, "cluster")?), None)
            }
            code::GET_SYSTEM_TOPIC_LIST_FROM_NS => self.routes.system_topics(),
            code::GET_UNIT_TOPIC_LIST => (self.routes.unit_topics(UnitFilter::Unit), None),
            code::GET_HAS_UNIT_SUB_TOPIC_LIST => {
                (self.routes.unit_topics(UnitFilter::UnitSub), None)
            }
            code::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
                (self.routes.unit_topics(UnitFilter::UnitSubOnly), None)
            }
            other => {
                return Err(Refusal::Other(format!(
                    "request type {other} asks for no list of topics"
                )));
            }
        };
        Ok(Answer::body(to_fastjson(&TopicList { broker_addr, topic_list })))
    }
}
