//! A broker that a test owns: this test program again, which then is `mqbroker`.

use client::{ClientConfig, ThreadClient};
use std::ops::{Deref, DerefMut};
use testkit::{BrokerSetup, Program};
pub(crate) use testkit::{SOON, eventually};

const ARGUMENTS: &str = "CLIENT_TEST_BROKER_ARGUMENTS";

/// Not a test of its own: the broker's program, when the environment says so.
#[test]
fn be_the_broker() {
    Program::when_started(ARGUMENTS, |arguments| {
        _ = broker::run(arguments.into_iter().map(Into::into));
    });
}

pub(crate) struct Broker(testkit::Broker);

impl Broker {
    /// Starts it and waits until every shard serves; `settings` are `key=value`.
    pub(crate) fn start(shards: u16, settings: &[&str]) -> Self {
        let program = Program::this_test("broker_process::be_the_broker", ARGUMENTS);
        Self(testkit::Broker::start(BrokerSetup::new(program, shards).settings(settings)))
    }

    pub(crate) fn addr(&self) -> String {
        self.0.addr().to_string()
    }

    pub(crate) fn client(&self) -> ThreadClient {
        self.client_with(ClientConfig::default())
    }

    pub(crate) fn client_with(&self, config: ClientConfig) -> ThreadClient {
        ThreadClient::connect(&[&self.addr()], config).unwrap()
    }
}

impl Deref for Broker {
    type Target = testkit::Broker;

    fn deref(&self) -> &testkit::Broker {
        &self.0
    }
}

impl DerefMut for Broker {
    fn deref_mut(&mut self) -> &mut testkit::Broker {
        &mut self.0
    }
}
