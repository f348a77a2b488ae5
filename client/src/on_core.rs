//! The client on a glommio core: its sockets live in the core's ring, beside the log files, and its
//! futures are awaited by the core's tasks. The client then owns the core's events of sockets, so a
//! core that also serves connections (netcore) cannot have one.

use crate::client::{Client, resolve};
use crate::error::Result;
use crate::hub::{ClientConfig, Hub};
use rt::real::{Core, RingClient};
use rt::ring::{Event, Ring};
use rt::{Priority, Runtime};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

struct OnCore(Rc<RefCell<Hub>>);

impl RingClient for OnCore {
    fn on_event(&self, event: Event<'_>) {
        self.0.borrow_mut().on_event(event);
    }

    fn end_turn(&self, ring: &mut Ring) {
        self.0.borrow_mut().end_turn(ring);
    }
}

/// Shortest sleep of the timer task. With a linger it wakes this often, because a batch may have
/// begun meanwhile.
const STEP_MIN: Duration = Duration::from_micros(200);

/// Makes a client on `core` for the shards at these `host:port`. Resolving a name blocks, so give
/// addresses once the core serves. Await [`Client::connect`] next. The connections end with the
/// client's last handle.
pub fn on_core(core: &Core, seeds: &[&str], config: ClientConfig) -> Result<Client> {
    let hub = Rc::new(RefCell::new(Hub::new(config, &resolve(seeds)?)));
    core.set_client(Rc::new(OnCore(hub.clone())));
    let linger = hub.borrow().linger();
    let to_wake = core.clone();
    let client = Client::new(hub.clone(), Rc::new(move || to_wake.wake()));
    let (keeper, hub) = (core.clone(), Rc::downgrade(&hub));
    core.spawn(Priority::Foreground, async move {
        // The ring holds one handle, the application the others.
        while let Some(idle) =
            hub.upgrade().filter(|hub| Rc::strong_count(hub) > 2).map(|hub| hub.borrow().idle_for())
        {
            let step = if linger.is_zero() { idle } else { idle.min(linger) };
            keeper.sleep(step.max(STEP_MIN)).await;
            keeper.wake();
        }
        if let Some(hub) = hub.upgrade() {
            hub.borrow_mut().close();
            keeper.wake();
        }
    });
    Ok(client)
}
