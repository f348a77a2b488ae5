//! A client in bytes: requests written and answers read as a stock client would.

use protocol::bodies::{RegisterBrokerBody, TopicConfig, TopicRouteData};
use protocol::codes::request as code;
use protocol::json::{from_lenient, to_fastjson};
use protocol::remoting::{CommandHead, CommandView, FLAG_ONEWAY, SerializeType, write_command};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::SOON;

pub struct Client {
    pub stream: TcpStream,
    pub serialize: SerializeType,
    opaque: i32,
}

/// An answer, out of its frame.
#[derive(Debug)]
pub struct Reply {
    pub code: i32,
    pub opaque: i32,
    pub serialize: SerializeType,
    pub remark: String,
    pub ext: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, serialize: SerializeType::Json, opaque: 0 }
    }

    /// Queues nothing, waits for nothing: the bytes of one request go out.
    pub fn send(&mut self, code: i32, flag: i32, ext: &[(&str, &str)], body: &[u8]) -> i32 {
        self.opaque += 1;
        let head = CommandHead {
            code,
            flag,
            opaque: self.opaque,
            serialize: self.serialize,
            ..CommandHead::default()
        };
        let mut frame = Vec::new();
        write_command(
            &mut frame,
            &head,
            |w| ext.iter().for_each(|(key, value)| w.str(key, value)),
            body,
        );
        self.stream.write_all(&frame).unwrap();
        self.opaque
    }

    pub fn receive(&mut self) -> Reply {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        let reply = CommandView::parse(&frame).unwrap();
        assert!(reply.is_response());
        Reply {
            code: reply.code,
            opaque: reply.opaque,
            serialize: reply.serialize,
            remark: reply.remark().unwrap_or_default().into_owned(),
            ext: reply
                .ext
                .iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            body: reply.body.to_vec(),
        }
    }

    pub fn call_with(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Reply {
        let opaque = self.send(code, 0, ext, body);
        let reply = self.receive();
        assert_eq!((reply.opaque, reply.serialize), (opaque, self.serialize));
        reply
    }

    pub fn call(&mut self, code: i32, ext: &[(&str, &str)]) -> Reply {
        self.call_with(code, ext, &[])
    }

    pub fn oneway(&mut self, code: i32, ext: &[(&str, &str)]) {
        self.send(code, FLAG_ONEWAY, ext, &[]);
    }

    /// Registers `name` at `addr` with these topics (four queues each); more header fields in
    /// `more`.
    pub fn register(
        &mut self,
        name: &str,
        addr: &str,
        topics: &[&str],
        more: &[(&str, &str)],
    ) -> Reply {
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

    /// The route of a topic, when there is one.
    pub fn route(&mut self, topic: &str) -> Option<TopicRouteData> {
        let reply = self.call(code::GET_ROUTEINFO_BY_TOPIC, &[("topic", topic)]);
        (reply.code == 0).then(|| from_lenient(&reply.body).unwrap())
    }

    /// Waits until the server closes this connection.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1024];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}
