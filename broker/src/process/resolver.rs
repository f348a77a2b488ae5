//! The names of name servers, and of a slave's master, looked up on a thread of their own: this may
//! block for seconds, and no core waits for it.

use crate::serve::life::Event;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::Duration;

/// Between two look-ups.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Looks the names up now and again and again; an event tells of each answer that differs from the
/// one before.
pub(super) fn start(names: &[String], events: &mpsc::Sender<Event>) -> io::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let (names, events) = (names.to_vec(), events.clone());
    std::thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || resolve_for_ever(&names, &events))?;
    Ok(())
}

fn resolve_for_ever(names: &[String], events: &mpsc::Sender<Event>) {
    let mut known: Vec<Option<Vec<SocketAddr>>> = vec![None; names.len()];
    loop {
        for (index, (name, known)) in names.iter().zip(&mut known).enumerate() {
            let Some(addresses) = changed(known.as_deref(), look_up(name, known.is_some())) else {
                continue;
            };
            *known = Some(addresses.clone());
            if events.send(Event::Resolved { index, addresses }).is_err() {
                return;
            }
        }
        std::thread::sleep(RESOLVE_EVERY);
    }
}

/// The addresses of a name; `None` when it can't be resolved now.
fn look_up(name: &str, was_known: bool) -> Option<Vec<SocketAddr>> {
    match name.to_socket_addrs() {
        Ok(addresses) => Some(addresses.collect()),
        Err(error) => {
            if !was_known {
                tracing::warn!(
                    "{name} can't be resolved ({error}), trying again every {} s",
                    RESOLVE_EVERY.as_secs()
                );
            }
            None
        }
    }
}

/// What a look-up found when that is news: other addresses than before, or the first answer of all.
/// A name server's addresses often come in another order each time, which is no news. What was
/// known stays in use while the name can't be resolved.
fn changed(
    known: Option<&[SocketAddr]>,
    found: Option<Vec<SocketAddr>>,
) -> Option<Vec<SocketAddr>> {
    let Some(mut found) = found else {
        return known.is_none().then(Vec::new);
    };
    found.sort_unstable();
    found.dedup();
    (known != Some(found.as_slice())).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([10, 0, 0, 1], *port))).collect()
    }

    #[test]
    fn only_other_addresses_are_news() {
        let known = changed(None, Some(addresses(&[2, 1, 2]))).unwrap();
        assert_eq!(known, addresses(&[1, 2]));
        for order in [&[1, 2][..], &[2, 1], &[2, 1, 1]] {
            assert_eq!(changed(Some(&known), Some(addresses(order))), None, "{order:?}");
        }
        assert_eq!(changed(Some(&known), Some(addresses(&[2]))), Some(addresses(&[2])));
    }

    #[test]
    fn what_was_known_stays_while_the_name_cannot_be_resolved() {
        assert_eq!(changed(Some(&addresses(&[1])), None), None);
        assert_eq!(changed(None, None), Some(vec![]), "shards are told that there is no answer");
        assert_eq!(changed(Some(&[]), None), None);
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_told_once_and_an_address_needs_no_resolver() {
        assert_eq!(look_up("127.0.0.1:9876", false), Some(vec![([127, 0, 0, 1], 9876).into()]));
        assert_eq!(look_up("no such host:9876", false), None);
    }
}
