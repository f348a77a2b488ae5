//! For tests of debug builds only: a shard that panics when the environment asks for it.

use rt::real::Core;
use rt::{Priority, Runtime as _};
use std::time::Duration;

/// `<shard>:<ms>`: that shard panics so long after its start.
const VARIABLE: &str = "RINGMQ_TEST_PANIC_AFTER_MS";

/// Obeys [`VARIABLE`].
pub(super) fn arm(core: &Core, shard: usize) {
    let Some(after) = std::env::var(VARIABLE).ok().and_then(|text| asked(&text, shard)) else {
        return;
    };
    let waiting = core.clone();
    core.spawn(Priority::Foreground, async move {
        waiting.sleep(after).await;
        panic!("{VARIABLE} asks for it");
    });
}

fn asked(text: &str, shard: usize) -> Option<Duration> {
    let (of, ms) = text.split_once(':')?;
    (of.parse() == Ok(shard)).then_some(())?;
    ms.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_is_named_with_its_time() {
        assert_eq!(asked("1:250", 1), Some(Duration::from_millis(250)));
        assert_eq!([asked("1:250", 0), asked("1:", 1), asked("250", 1)], [None; 3]);
    }
}
