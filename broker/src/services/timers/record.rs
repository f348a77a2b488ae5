//! What a record of `rmq_sys_wheel_timer` says of its timer.

use super::pending::{AFTER_MS_MAX, Kind, Timer};
use crate::config::TimerOptions;
use crate::sends::timer::Asked;
use engine::PhyOffset;
use protocol::properties;
use protocol::record::RecordView;

/// The properties of a timer's record.
#[derive(Debug, Default)]
struct Said<'r> {
    asked: Asked<'r>,
    slot_ms: Option<i64>,
    has_rolled: bool,
}

fn read<'r>(properties: &'r [u8]) -> Said<'r> {
    let mut said = Said::default();
    for (name, value) in properties::iter(properties) {
        let text = std::str::from_utf8(value).ok();
        match name {
            b"TIMER_OUT_MS" => said.slot_ms = text.and_then(|text| text.parse().ok()),
            b"TIMER_DELAY_SEC" => said.asked.delay_sec = text,
            b"TIMER_DELAY_MS" => said.asked.delay_ms = text,
            b"TIMER_DELIVER_MS" => said.asked.deliver_ms = text,
            b"TIMER_DEL_UNIQKEY" => said.asked.recalls = true,
            b"TIMER_ROLL_TIMES" => said.has_rolled = true,
            _ => {}
        }
    }
    said
}

/// The timer of a record; else why it is none.
///
/// One that lies further away than the window is stored once more when it has come as near. When
/// that is follows from its store time alone, so a restart finds the same.
pub(super) fn timer_of(
    record: &RecordView<'_>,
    options: &TimerOptions,
) -> Result<Timer, &'static str> {
    let timer = due_timer_of(record, options)?;
    let (stored_ms, window_ms) = (record.store_timestamp_ms(), options.roll_window_ms);
    let stored_ms = floor(stored_ms, options.precision_ms);
    let beyond_ms = timer.slot_ms.saturating_sub(stored_ms).saturating_sub(window_ms);
    if beyond_ms < 0 {
        return Ok(timer);
    }
    let first_ms = if beyond_ms < window_ms / 3 { window_ms / 2 } else { window_ms };
    let slot_ms = floor(stored_ms.saturating_add(first_ms), options.precision_ms);
    Ok(Timer { slot_ms, after_ms: 0, kind: Kind::Roll, ..timer })
}

fn floor(ms: i64, precision_ms: i64) -> i64 {
    ms.div_euclid(precision_ms).saturating_mul(precision_ms)
}

/// The timer of a record when its message is due, however far away that is.
pub(super) fn due_timer_of(
    record: &RecordView<'_>,
    options: &TimerOptions,
) -> Result<Timer, &'static str> {
    let said = read(record.properties());
    let out_ms = said.slot_ms.ok_or("no TIMER_OUT_MS")?;
    let at = u64::try_from(record.physical_offset()).map_err(|_| "a place below 0")?;
    let size = u32::try_from(record.total_size()).map_err(|_| "longer than a record may be")?;
    let slot_ms = floor(out_ms, options.precision_ms);
    let kind = if said.asked.recalls { Kind::Recall } else { Kind::Message };
    let due_ms = due_ms(&said, record.store_timestamp_ms(), out_ms, options.precision_ms);
    let after_ms = due_ms.saturating_sub(slot_ms).clamp(0, AFTER_MS_MAX);
    Ok(Timer { slot_ms, after_ms, kind, at: PhyOffset(at), size })
}

/// The time that was asked for, where it can be told; else the end of the slot, as Apache has it.
/// A delay counts from when the message was stored, which is a little after it was asked for.
fn due_ms(said: &Said<'_>, stored_ms: i64, out_ms: i64, precision_ms: i64) -> i64 {
    let over_ms = out_ms.saturating_add(precision_ms);
    let is_delay = said.asked.delay_sec.or(said.asked.delay_ms).is_some();
    if is_delay && said.has_rolled {
        return over_ms; // stored again: its delay counts from another time
    }
    let asked_ms = said.asked.due_ms(stored_ms);
    asked_ms.filter(|asked| (out_ms.saturating_add(1)..=over_ms).contains(asked)).unwrap_or(over_ms)
}

/// Whether the message is recalled by what names this key.
pub(super) fn key_of(record: &RecordView<'_>, has_topic: bool) -> Option<Vec<u8>> {
    let unique = properties::get_bytes(record.properties(), "UNIQ_KEY")?;
    if !has_topic {
        return Some(unique.to_owned());
    }
    let topic = properties::get_bytes(record.properties(), "REAL_TOPIC").unwrap_or(b"null");
    Some([topic, b"+", unique].concat())
}

/// What tells a message that was stored once more from others: its copies say the same.
pub(super) fn identity(record: &RecordView<'_>) -> Option<Vec<u8>> {
    let mut identity = key_of(record, true)?;
    identity.extend_from_slice(&record.born_timestamp_ms().to_be_bytes());
    identity.extend_from_slice(&record.body_crc().to_be_bytes());
    Some(identity)
}

/// Whether a message is stored more than once: it rolls, or has.
pub(super) fn has_copies(record: &RecordView<'_>, options: &TimerOptions) -> bool {
    properties::get_bytes(record.properties(), "TIMER_ROLL_TIMES").is_some()
        || timer_of(record, options).is_ok_and(|timer| timer.kind == Kind::Roll)
}

/// The key that a recall names.
pub(super) fn recalled_key<'r>(record: &RecordView<'r>) -> Option<&'r [u8]> {
    properties::get_bytes(record.properties(), "TIMER_DEL_UNIQKEY")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use protocol::record::RecordDraft;

    const STORED_MS: i64 = 1_700_000_000_400;
    const DAY_MS: i64 = 86_400_000;

    fn of(properties: &str, then: impl FnOnce(&RecordView<'_>)) {
        let host = "127.0.0.1:10911".parse().unwrap();
        let draft = RecordDraft {
            topic: "rmq_sys_wheel_timer",
            queue_id: 0,
            flag: 0,
            queue_offset: 7,
            physical_offset: 4_711,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: STORED_MS,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            properties: &[properties.as_bytes()],
        };
        let mut bytes = vec![0; draft.encoded_len().unwrap()];
        draft.encode_into(&mut bytes).unwrap();
        then(&RecordView::parse(&bytes).unwrap());
    }

    fn timer(properties: &str) -> Result<Timer, &'static str> {
        let mut found = Err("not asked");
        of(properties, |record| found = timer_of(record, &config::options(&[]).timers));
        found
    }

    fn slot_and_due(properties: &str) -> (i64, i64, Kind) {
        let timer = timer(properties).unwrap();
        assert_eq!(timer.at, PhyOffset(4_711));
        (timer.slot_ms - 1_700_000_000_000, timer.due_ms() - 1_700_000_000_000, timer.kind)
    }

    #[test]
    fn a_timer_is_due_when_it_was_asked_for() {
        let out = "TIMER_OUT_MS\u{1}1700000002000\u{2}";
        let exact = slot_and_due(&format!("TIMER_DELIVER_MS\u{1}1700000002345\u{2}{out}"));
        assert_eq!(exact, (2_000, 2_345, Kind::Message));
        let delay = slot_and_due(&format!("TIMER_DELAY_MS\u{1}2100\u{2}{out}"));
        assert_eq!(delay, (2_000, 2_500, Kind::Message));
        let recall = "TIMER_DELIVER_MS\u{1}1700000002001\u{2}TIMER_DEL_UNIQKEY\u{1}k\u{2}";
        assert_eq!(slot_and_due(&format!("{recall}{out}")), (2_000, 2_001, Kind::Recall));
    }

    #[test]
    fn what_says_no_time_within_its_slot_is_due_when_the_slot_is_over() {
        let out = "TIMER_OUT_MS\u{1}1700000002000\u{2}";
        for said in [
            "",
            "TIMER_DELIVER_MS\u{1}1700000002000\u{2}",
            "TIMER_DELIVER_MS\u{1}1700000003001\u{2}",
            "TIMER_DELIVER_MS\u{1}x\u{2}",
            "TIMER_DELAY_MS\u{1}2700\u{2}",
            "TIMER_DELAY_SEC\u{1}2\u{2}TIMER_ROLL_TIMES\u{1}1\u{2}",
        ] {
            let found = slot_and_due(&format!("{said}{out}"));
            assert_eq!(found, (2_000, 3_000, Kind::Message), "{said:?}");
        }
    }

    #[test]
    fn what_is_too_far_away_rolls_as_apache_rolls_it() {
        let after = |ms: i64| format!("TIMER_OUT_MS\u{1}{}\u{2}", 1_700_000_000_000 + ms);
        assert_eq!(slot_and_due(&after(2 * DAY_MS - 1)).2, Kind::Message);
        let near = slot_and_due(&after(2 * DAY_MS));
        assert_eq!(near, (DAY_MS, DAY_MS, Kind::Roll), "leaves enough time for the next");
        let far = slot_and_due(&after(2 * DAY_MS + 2 * DAY_MS / 3));
        assert_eq!(far, (2 * DAY_MS, 2 * DAY_MS, Kind::Roll));
        let recall = slot_and_due(&format!("{}TIMER_DEL_UNIQKEY\u{1}k", after(3 * DAY_MS)));
        assert_eq!(recall.2, Kind::Roll, "it goes where its message goes");
    }

    #[test]
    fn no_number_makes_it_fail() {
        assert_eq!(timer("KEYS\u{1}k"), Err("no TIMER_OUT_MS"));
        assert_eq!(timer("TIMER_OUT_MS\u{1}soon"), Err("no TIMER_OUT_MS"));
        for out in [i64::MIN, -1, 0, i64::MAX] {
            let found = timer(&format!("TIMER_OUT_MS\u{1}{out}")).unwrap();
            assert!(found.slot_ms <= STORED_MS + 2 * DAY_MS, "{found:?}");
        }
    }

    #[test]
    fn a_recall_names_the_unique_key_and_the_topic_where_it_is_to() {
        of("UNIQ_KEY\u{1}k\u{2}REAL_TOPIC\u{1}T\u{2}", |record| {
            assert_eq!(key_of(record, false), Some(b"k".to_vec()));
            assert_eq!(key_of(record, true), Some(b"T+k".to_vec()));
            assert_eq!(recalled_key(record), None);
        });
    }
}
