//! What brokers and clients ask a name server for.

use protocol::bodies::{RegisterBrokerBody, TopicConfig, TopicRouteData};
use protocol::codes::request as code;
use protocol::json::{from_lenient, to_fastjson};
pub(crate) use testkit::remoting::{Client, Frame, fields};

pub(crate) trait Requests {
    /// Registers `name` at `addr` with these topics (four queues each); more header fields in
    /// `more`.
    fn register(&mut self, name: &str, addr: &str, topics: &[&str], more: &[(&str, &str)])
    -> Frame;

    /// The route of a topic, when there is one.
    fn route(&mut self, topic: &str) -> Option<TopicRouteData>;
}

impl Requests for Client {
    fn register(
        &mut self,
        name: &str,
        addr: &str,
        topics: &[&str],
        more: &[(&str, &str)],
    ) -> Frame {
        let ext = [
            ("brokerName", name),
            ("brokerAddr", addr),
            ("clusterName", "c"),
            ("haServerAddr", "ha"),
            ("brokerId", "0"),
        ];
        let mut body = RegisterBrokerBody::default();
        let table = &mut body.topic_config_serialize_wrapper.topic_config_table;
        table.extend(
            topics.iter().map(|topic| ((*topic).to_owned(), TopicConfig::new(topic, 4, 6))),
        );
        self.call_with(code::REGISTER_BROKER, &[&ext, more].concat(), &to_fastjson(&body))
    }

    fn route(&mut self, topic: &str) -> Option<TopicRouteData> {
        let reply = self.call(code::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]);
        (reply.code == 0).then(|| from_lenient(&reply.body).unwrap())
    }
}
