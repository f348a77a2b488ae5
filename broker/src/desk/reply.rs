//! The answer of a task: what a handler on the loop writes at once, a task gives back.

use crate::answers::ticket::Ticket;
use crate::peers::answer::ClientAnswer;
use netcore::Net;
use protocol::codes::response;
use protocol::remoting::ExtWriter;
use rt::BufSlice;

/// An answer with SUCCESS, or with a code that carries a body.
#[derive(Debug)]
pub(crate) struct Reply {
    code: i32,
    remark: Option<String>,
    numbers: Vec<(&'static str, i64)>,
    texts: Vec<(&'static str, String)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Bytes(Vec<u8>),
    /// Slices of the log and their length together.
    Slices(Vec<BufSlice>, usize),
}

impl Reply {
    /// SUCCESS with nothing else.
    pub(crate) fn ok() -> Self {
        let body = Body::Bytes(vec![]);
        Self { code: response::SUCCESS, remark: None, numbers: vec![], texts: vec![], body }
    }

    /// The answer of a client, as it came.
    pub(crate) fn passed_on(answer: ClientAnswer) -> Self {
        let ClientAnswer { code, remark, body } = answer;
        Self { code, remark, ..Self::ok().bytes(body) }
    }

    /// With this code and remark.
    pub(crate) fn with_code(self, code: i32, remark: &str) -> Self {
        Self { code, remark: Some(remark.to_owned()), ..self }
    }

    /// With a number in its header.
    pub(crate) fn number(mut self, field: &'static str, value: i64) -> Self {
        self.numbers.push((field, value));
        self
    }

    /// With a text in its header.
    pub(crate) fn text(mut self, field: &'static str, value: String) -> Self {
        self.texts.push((field, value));
        self
    }

    /// With this body.
    pub(crate) fn bytes(self, body: Vec<u8>) -> Self {
        Self { body: Body::Bytes(body), ..self }
    }

    /// With slices of the log, `bytes` long together, as its body.
    pub(crate) fn slices(self, slices: Vec<BufSlice>, bytes: usize) -> Self {
        Self { body: Body::Slices(slices, bytes), ..self }
    }

    /// Writes it.
    pub(crate) fn write(self, net: &mut Net, to: &Ticket) {
        let Self { code, remark, numbers, texts, body } = self;
        let ext = |ext: &mut ExtWriter<'_>| {
            for (field, value) in &numbers {
                ext.int(field, *value);
            }
            for (field, value) in &texts {
                ext.str(field, value);
            }
        };
        match body {
            Body::Bytes(bytes) => to.answer(net, code, remark.as_deref(), ext, &bytes),
            Body::Slices(slices, bytes) => {
                let head = to.head(code, remark.as_deref());
                to.answer_slices(net, &head, ext, bytes, slices.into_iter());
            }
        }
    }
}
