//! The list of services, and how it is started.

use super::{acknowledgements, expiry, lite, pop, registration, saving, schedule, statistics};
use super::{replication, timers, transactions};
use crate::reads::run as reads;
use crate::sends::{acknowledge, drain};
use crate::shard::{Cx, Shard};
use netcore::Net;
use rt::{Priority, Runtime as _};
use std::time::Duration;

/// How fine the time of what waits is.
const TICK: Duration = Duration::from_millis(50);
/// The same while nothing comes from the network or from a file: each wake-up of a sleeping core
/// costs some 165 us.
const TICK_AT_REST: Duration = Duration::from_millis(200);
/// How often the sums are sampled that rates are made of.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often long polls are looked at whose tags did not match (Apache's
/// `PullRequestHoldService`).
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(5);
/// How often members and locks are looked through (Apache's `scanExceptionChannel`).
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// What happens at one period, in this order.
struct Service {
    every: Duration,
    run: &'static [fn(&mut Shard, &mut Net)],
}

const SERVICES: [Service; 4] = [
    Service {
        every: TICK,
        run: &[
            reads::expire,
            drain::refuse_overdue,
            acknowledge::overdue,
            registration::tick,
            schedule::tick,
            transactions::tick,
            pop::tick,
            lite::tick,
            saving::tick,
            replication::master::tick,
            replication::slave::tick,
        ],
    },
    Service { every: SAMPLE_EVERY, run: &[statistics::tick] },
    Service { every: LOOK_AGAIN_EVERY, run: &[reads::look_again] },
    Service { every: EXPIRE_EVERY, run: &[expiry::expire, pop::sweep, lite::sweep] },
];

/// Starts them. They end with the core.
pub(crate) fn start(cx: &Cx) {
    for service in SERVICES {
        cx.core.spawn(Priority::Foreground, for_ever(cx.clone(), service));
    }
    cx.core.spawn(Priority::Foreground, acknowledgements::run(cx.clone()));
    replication::start(cx);
    if cx.options.process.replication.is_slave() {
        return; // A slave stores nothing itself: what is due is its master's to deliver.
    }
    schedule::start(cx);
    timers::start(cx);
    transactions::start(cx);
    pop::start(cx);
}

async fn for_ever(cx: Cx, service: Service) {
    let mut seen = 0;
    loop {
        let is_at_rest = cx.core.completions() == seen;
        seen = cx.core.completions();
        let at_rest = service.every.max(TICK_AT_REST);
        cx.core.sleep(if is_at_rest { at_rest } else { service.every }).await;
        cx.with(|shard, net| service.run.iter().for_each(|run| run(shard, net)));
    }
}
