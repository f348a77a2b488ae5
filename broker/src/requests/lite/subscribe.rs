//! LITE_SUBSCRIPTION_CTL 200071: what clients have subscribed to, and what no longer.

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Caller, Task, task};
use crate::requests::body;
use crate::services::lite::subscribe::{NotTaken, Said, add, forget, remove, replace};
use crate::services::lite::{dispatch, routes, sharding};
use crate::shard::{Cx, Shard};
use netcore::{ConnId, Net};
use protocol::bodies::{
    LiteSubscriptionAction, LiteSubscriptionCtlRequestBody, LiteSubscriptionDto,
};
use protocol::codes::response;
use protocol::lite;
use protocol::remoting::CommandView;

/// Takes the entries one after another; the first that can't be taken ends it, as with Apache.
pub(crate) fn begin(
    shard: &mut Shard,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<Task, Refusal> {
    let illegal = |remark: &str| Err(Refusal::new(response::ILLEGAL_OPERATION, remark));
    if command.body.is_empty() {
        return illegal("Request body is null.");
    }
    let asked: LiteSubscriptionCtlRequestBody = body::read(command)?;
    if asked.subscription_set.is_empty() {
        return illegal("LiteSubscriptionCtlRequestBody is empty.");
    }
    Ok(task(&shard.cx, move |cx| async move {
        for entry in &asked.subscription_set {
            one(&cx, caller.conn, entry).await?;
        }
        Ok(Reply::ok())
    }))
}

async fn one(cx: &Cx, conn: ConnId, entry: &LiteSubscriptionDto) -> Result<(), Refusal> {
    let names = [&entry.client_id, &entry.group, &entry.topic];
    if names.iter().any(|name| name.trim().is_empty()) {
        return Ok(()); // Apache notes it in its log
    }
    let Some(action) = entry.action else {
        return Err(Refusal::new(response::SYSTEM_ERROR, "a lite subscription without action"));
    };
    let mut queues = queues_of(entry)?;
    if matches!(action, LiteSubscriptionAction::PartialAdd | LiteSubscriptionAction::CompleteAdd) {
        let may_consume = cx.with(|shard, _| {
            let now_ms = shard.cx.now_ms();
            let group = shard.tables.groups.find_or_create(&entry.group, now_ms);
            group.is_some_and(|group| group.config.consume_enable)
        });
        if !may_consume {
            let remark =
                "java.lang.IllegalStateException: Consumer group is not allowed to consume.";
            return Err(Refusal::new(response::ILLEGAL_OPERATION, remark));
        }
        // Those of other brokers count for nothing here.
        let brokers = sharding::brokers_of(cx, &entry.topic).await;
        let here = &cx.options.broker;
        queues.retain(|queue| {
            let child = lite::parts(queue).map_or("", |(_, child)| child);
            routes::is_here(&brokers, here, child)
                || cx.with(|shard, _| dispatch::end_of(shard, queue) > 0)
        });
    }
    let (client, group, topic) = (&*entry.client_id, &*entry.group, &*entry.topic);
    let said = Said { client, group, topic, conn };
    let taken = cx.with(|shard, net| apply(shard, net, (said, action, entry), &queues));
    taken.map_err(|why| {
        let code = match why {
            NotTaken::Quota(_) => response::LITE_SUBSCRIPTION_QUOTA_EXCEEDED,
            NotTaken::Wildcard => response::ILLEGAL_OPERATION,
        };
        Refusal::new(code, why.to_string())
    })
}

fn apply(
    shard: &mut Shard,
    net: &mut Net,
    (said, action, entry): (Said<'_>, LiteSubscriptionAction, &LiteSubscriptionDto),
    queues: &[String],
) -> Result<(), NotTaken> {
    match action {
        LiteSubscriptionAction::PartialAdd => add(shard, net, said, queues, entry.offset_option),
        LiteSubscriptionAction::PartialRemove => remove(shard, said, queues),
        LiteSubscriptionAction::CompleteAdd => replace(shard, said, queues),
        LiteSubscriptionAction::CompleteRemove => {
            forget(shard, said.client);
            Ok(())
        }
    }
}

fn queues_of(entry: &LiteSubscriptionDto) -> Result<Vec<String>, Refusal> {
    let queue = |child: &String| {
        lite::queue(&entry.topic, child)
            .ok_or_else(|| Refusal::new(response::SYSTEM_ERROR, "a lite topic without a name"))
    };
    let queues: Result<Vec<String>, Refusal> = entry.lite_topic_set.iter().map(queue).collect();
    let mut queues = queues?;
    queues.retain(|queue| lite::parts(queue).is_some()); // nobody can send to others
    Ok(queues)
}
