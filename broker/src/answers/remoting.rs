//! Answers: written straight into the connection's outgoing bytes, in the serialization the request
//! came in.

use netcore::{ConnId, Net};
use protocol::remoting::{
    CommandHead, CommandView, ExtWriter, FLAG_RESPONSE, SerializeType, write_command,
};

/// Who gets the answer to a request, kept by requests that are answered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The connection; when it is gone the answer goes nowhere.
    pub(crate) conn: ConnId,
    opaque: i32,
    serialize: SerializeType,
    oneway: bool,
}

impl Caller {
    pub(crate) fn new(conn: ConnId, request: &CommandView<'_>) -> Self {
        Self {
            conn,
            opaque: request.opaque,
            serialize: request.serialize,
            oneway: request.is_oneway(),
        }
    }

    /// Whether no answer is wanted.
    pub(crate) fn is_oneway(&self) -> bool {
        self.oneway
    }

    /// The fixed fields of the answer.
    pub(crate) fn head<'a>(&self, code: i32, remark: Option<&'a str>) -> CommandHead<'a> {
        CommandHead {
            serialize: self.serialize,
            code,
            opaque: self.opaque,
            flag: FLAG_RESPONSE,
            remark,
        }
    }

    /// Answers, unless the request was one-way or the connection is gone.
    pub(crate) fn answer(
        &self,
        net: &mut Net,
        code: i32,
        remark: Option<&str>,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) {
        if self.oneway {
            return;
        }
        if let Some(out) = net.out(self.conn) {
            write_command(out.bytes(), &self.head(code, remark), ext, body);
        }
    }

    /// Answers with a code and a reason.
    pub(crate) fn refuse(&self, net: &mut Net, refusal: &Refusal) {
        self.answer(net, refusal.code, Some(&refusal.remark), |_| {}, &[]);
    }

    /// Answers with SUCCESS and nothing else.
    pub(crate) fn ok(&self, net: &mut Net) {
        self.answer(net, protocol::codes::response::SUCCESS, None, |_| {}, &[]);
    }
}

/// Why a request is not done: RocketMQ's code and a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The response code.
    pub(crate) code: i32,
    /// The remark.
    pub(crate) remark: String,
}

impl Refusal {
    pub(crate) fn new(code: i32, remark: impl Into<String>) -> Self {
        Self { code, remark: remark.into() }
    }
}
