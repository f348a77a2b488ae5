//! The Rust client's program: see ../../README.md for its verbs, orders and events.
#![recursion_limit = "512"]

use std::any::Any;
use std::error::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rocketmq_client_rust::{
    ClientResult, ClientRuntime, ClientRuntimeConfig, ConsumeConcurrentlyContext,
    ConsumeConcurrentlyStatus, ConsumeOrderlyContext, ConsumeOrderlyStatus, DefaultMQProducer,
    DefaultMQPushConsumer, LocalTransactionState, MQPushConsumer as _, MessageListenerConcurrently,
    MessageListenerOrderly, MessageSelector, TelemetryHandle, TransactionListener,
    TransactionMQProducer,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_model::common::message::MessageTrait;
use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_queue::MessageQueue;
use rocketmq_model::common::message::message_single::Message;
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn tell(event: &Value) {
    println!("{event}");
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let setup: Value = serde_json::from_str(&arguments[2])?;
    let owner = RuntimeOwner::plan(RuntimeConfig::default())?.build()?;
    let context = owner.root_context().component("client");
    let runtime =
        ClientRuntime::try_new(context, ClientRuntimeConfig::default(), TelemetryHandle::noop())?;
    let lines = BufReader::new(tokio::io::stdin()).lines();
    let done = match arguments[1].as_str() {
        "produce" => produce(&setup, runtime, lines).await,
        "transact" => transact(&setup, runtime, lines).await,
        verb => consume(&setup, verb, runtime, lines).await,
    };
    match done {
        Ok(()) => tell(&json!({"event": "stopped"})),
        Err(why) => tell(&json!({"event": "broken", "why": why.to_string()})),
    }
    // The client's own tasks may still run; nothing is left for them to do.
    std::process::exit(0)
}

fn build(topic: &str, order: &Value) -> Outcome<Message> {
    let mut builder = Message::builder().topic(topic).body_slice(text(order, "body").as_bytes());
    if !text(order, "tag").is_empty() {
        builder = builder.tags(text(order, "tag"));
    }
    if let Some(level) = order["delay"].as_i64().filter(|&level| level > 0) {
        builder = builder.delay_level(i32::try_from(level)?);
    }
    for (key, value) in order["properties"].as_object().into_iter().flatten() {
        builder = builder.raw_property(key.as_str(), value.as_str().unwrap_or_default())?;
    }
    Ok(builder.build()?)
}

/// Reads an order; its kind, its messages and their bodies.
async fn next(
    lines: &mut Lines<BufReader<Stdin>>,
    topic: &str,
) -> Outcome<Option<(Value, Vec<Message>, Vec<String>)>> {
    let Some(line) = lines.next_line().await? else { return Ok(None) };
    let order: Value = serde_json::from_str(&line)?;
    let all = order["messages"].as_array().cloned().unwrap_or_default();
    let messages = all.iter().map(|message| build(topic, message)).collect::<Outcome<_>>()?;
    let bodies = all.iter().map(|message| text(message, "body")).collect();
    Ok(Some((order, messages, bodies)))
}

fn report(bodies: Vec<String>, done: ClientResult<()>) {
    match done {
        Ok(()) => tell(&json!({"event": "sent", "bodies": bodies})),
        Err(why) => {
            tell(&json!({"event": "failed", "bodies": bodies, "why": why.to_string()}));
        }
    }
}

async fn produce(
    setup: &Value,
    runtime: Arc<ClientRuntime>,
    mut lines: Lines<BufReader<Stdin>>,
) -> Outcome<()> {
    let mut producer = DefaultMQProducer::builder(runtime)
        .producer_group(text(setup, "group"))
        .name_server_addr(text(setup, "namesrv"))
        .build();
    producer.start().await?;
    tell(&json!({"event": "ready"}));
    let topic = text(setup, "topic");
    while let Some((order, mut messages, bodies)) = next(&mut lines, &topic).await? {
        let done = match order["kind"].as_str() {
            Some("batch") => producer.send_batch(messages).await.map(drop),
            Some("oneway") => producer.send_oneway(messages.remove(0)).await,
            Some("ordered") => {
                let key: usize = text(&order["messages"][0], "order").parse()?;
                let select = |queues: &[MessageQueue], _: &Message, key: &usize| {
                    queues.get(key % queues.len()).cloned()
                };
                producer.send_with_selector(messages.remove(0), select, key).await.map(drop)
            }
            _ => producer.send(messages.remove(0)).await.map(drop),
        };
        report(bodies, done);
    }
    producer.shutdown().await;
    Ok(())
}

/// A message's body says how its transaction ends: `commit…`, `rollback…`, and `ask-commit…` or
/// `ask-rollback…` when the broker has to ask.
struct Fates;

fn fate(body: &str) -> LocalTransactionState {
    match body {
        _ if body.starts_with("commit") => LocalTransactionState::CommitMessage,
        _ if body.starts_with("rollback") => LocalTransactionState::RollbackMessage,
        _ => LocalTransactionState::Unknown,
    }
}

impl TransactionListener for Fates {
    fn execute_local_transaction(
        &self,
        message: &dyn MessageTrait,
        _: Option<&(dyn Any + Send + Sync)>,
    ) -> LocalTransactionState {
        let body = message.get_body().map(|body| body.to_vec()).unwrap_or_default();
        fate(&String::from_utf8_lossy(&body))
    }

    fn check_local_transaction(&self, message: &MessageExt) -> LocalTransactionState {
        let body = message.body().unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        tell(&json!({"event": "asked", "body": body}));
        fate(body.trim_start_matches("ask-"))
    }
}

async fn transact(
    setup: &Value,
    runtime: Arc<ClientRuntime>,
    mut lines: Lines<BufReader<Stdin>>,
) -> Outcome<()> {
    let topic = text(setup, "topic");
    let mut producer = TransactionMQProducer::builder(runtime)
        .producer_group(text(setup, "group"))
        .name_server_addr(text(setup, "namesrv"))
        .topics(vec![topic.clone()])
        .transaction_listener(Fates)
        .build();
    producer.start().await?;
    tell(&json!({"event": "ready"}));
    while let Some((_, mut messages, bodies)) = next(&mut lines, &topic).await? {
        let message = messages.remove(0);
        let sent = producer.send_message_in_transaction::<(), _>(message, None).await;
        report(bodies, sent.map(drop));
    }
    producer.shutdown().await;
    Ok(())
}

struct Listener {
    fail_until: i32,
}

impl Listener {
    /// Tells of the messages; false: they shall come again.
    fn takes(&self, messages: &[&MessageExt]) -> bool {
        for message in messages {
            let body = message.body().unwrap_or_default();
            let origin = message.properties().iter().find(|(key, _)| *key == "RETRY_TOPIC");
            tell(&json!({
                "event": "received", "body": String::from_utf8_lossy(&body),
                "attempt": message.reconsume_times(),
                "tag": message.get_tags().unwrap_or_default().as_str(),
                "queue": message.queue_id(), "broker": message.broker_name(),
                "at_ms": i64::try_from(now_ms()).unwrap_or(i64::MAX),
                "from": origin.map_or("", |(_, topic)| topic.as_str()),
            }));
        }
        messages.iter().all(|message| message.reconsume_times() >= self.fail_until)
    }
}

impl MessageListenerConcurrently for Listener {
    fn consume_message(
        &self,
        messages: &[&MessageExt],
        _: &ConsumeConcurrentlyContext,
    ) -> ClientResult<ConsumeConcurrentlyStatus> {
        Ok(if self.takes(messages) {
            ConsumeConcurrentlyStatus::ConsumeSuccess
        } else {
            ConsumeConcurrentlyStatus::ReconsumeLater
        })
    }
}

impl MessageListenerOrderly for Listener {
    fn consume_message(
        &self,
        messages: &[&MessageExt],
        _: &mut ConsumeOrderlyContext,
    ) -> ClientResult<ConsumeOrderlyStatus> {
        self.takes(messages);
        Ok(ConsumeOrderlyStatus::Success)
    }
}

async fn consume(
    setup: &Value,
    verb: &str,
    runtime: Arc<ClientRuntime>,
    mut lines: Lines<BufReader<Stdin>>,
) -> Outcome<()> {
    if verb != "consume" {
        return Err(format!("{verb}: no such verb").into());
    }
    let number = |key: &str| i32::try_from(setup[key].as_i64().unwrap_or(-1));
    let mut consumer = DefaultMQPushConsumer::builder(runtime)
        .consumer_group(text(setup, "group"))
        .name_server_addr(text(setup, "namesrv"))
        .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
        .max_reconsume_times(number("attempts_max")?)
        .build();
    let (topic, sql) = (text(setup, "topic"), text(setup, "sql"));
    if sql.is_empty() {
        consumer.subscribe(topic, text(setup, "tags")).await?;
    } else {
        consumer.subscribe_with_selector(&topic, Some(MessageSelector::by_sql(sql))).await?;
    }
    let listener = Listener { fail_until: number("fail_until")? };
    if setup["orderly"] == true {
        consumer.register_message_listener_orderly(listener);
    } else {
        consumer.register_message_listener_concurrently(listener);
    }
    consumer.start().await?;
    tell(&json!({"event": "ready"}));
    while lines.next_line().await?.is_some() {}
    consumer.shutdown().await;
    Ok(())
}
