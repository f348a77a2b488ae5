//! When log files go: RocketMQ's rules (`CleanCommitLogService` of 5.5.0), as pure functions of
//! time, age and space.
//!
//! | disk used | old files | young files | sends |
//! |---|---|---|---|
//! | up to `diskMaxUsedSpaceRatio` (75) | go at `deleteWhen` | stay | taken |
//! | more than that | go | stay | taken |
//! | more than `diskSpaceCleanForciblyRatio` (85) | go | go, oldest first (`cleanFileForciblyEnable`) | taken, or still refused |
//! | more than `diskSpaceWarningLevelRatio` (90) | go | go, oldest first | refused, until no more than 85 is used again |
//!
//! A file is old `fileReservedTime` hours after it was last written to. The first that may not go
//! ends the round: the log has no holes. The file that is being written, and whatever is not
//! durable yet, never goes.

/// The hours of the day at which old files go (`deleteWhen`), in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteWhen(u32);

impl DeleteWhen {
    /// From RocketMQ's list: `04`, `04;16`. `None` when a part is no hour. An empty list is no hour
    /// at all.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hours = 0;
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let hour: u32 = part.parse().ok().filter(|hour| *hour < 24)?;
            hours |= 1 << hour;
        }
        Some(Self(hours))
    }

    /// Whether it is time, `wall_ms` after 1970 in a place that is `utc_offset_seconds` ahead of
    /// UTC.
    #[must_use]
    pub fn is_now(self, wall_ms: i64, utc_offset_seconds: i64) -> bool {
        let local_seconds = wall_ms.div_euclid(1000) + utc_offset_seconds;
        let hour = local_seconds.rem_euclid(86_400) / 3600;
        self.0 & (1 << hour) != 0
    }
}

/// How long a store keeps what it has. RocketMQ's names in parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Age from which a file is old, since it was last written to (`fileReservedTime`, in hours
    /// there).
    pub reserved_ms: u64,
    /// When old files go although there is space (`deleteWhen`).
    pub delete_when: DeleteWhen,
    /// Used space, in hundredths, from which old files go at any time (`diskMaxUsedSpaceRatio`).
    pub max_used_percent: u64,
    /// Used space from which young files go as well (`diskSpaceCleanForciblyRatio`).
    pub clean_forcibly_percent: u64,
    /// Used space from which sends are refused (`diskSpaceWarningLevelRatio`).
    pub warning_percent: u64,
    /// Whether young files may go at all (`cleanFileForciblyEnable`).
    pub clean_forcibly: bool,
    /// Time between two looks (`cleanResourceInterval`).
    pub interval_ms: u64,
    /// Time between the removals of two files: one takes the file system a while
    /// (`deleteCommitLogFilesInterval`).
    pub file_interval_ms: u64,
    /// Files in one round (`deleteFileBatchMax`).
    pub batch_max: usize,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            reserved_ms: 72 * 3_600_000,
            delete_when: DeleteWhen(1 << 4),
            max_used_percent: 75,
            clean_forcibly_percent: 85,
            warning_percent: 90,
            clean_forcibly: true,
            interval_ms: 10_000,
            file_interval_ms: 100,
            batch_max: 10,
        }
    }
}

impl RetentionConfig {
    /// Ratios outside RocketMQ's bounds count as the nearest inside, as there.
    #[must_use]
    pub fn within_bounds(self) -> Self {
        Self {
            max_used_percent: self.max_used_percent.clamp(10, 95),
            clean_forcibly_percent: self.clean_forcibly_percent.clamp(30, 85),
            warning_percent: self.warning_percent.clamp(35, 90),
            ..self
        }
    }
}

/// What the space on the disk asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Sends are refused.
    pub(crate) refuse: bool,
    /// Old files go now.
    pub(crate) clean: bool,
    /// Young ones too.
    pub(crate) at_once: bool,
}

/// As the module's table says; `refused` is what was the case before.
pub(crate) fn judge(config: &RetentionConfig, used_percent: u64, refused: bool) -> Judgement {
    let forcibly = used_percent > config.clean_forcibly_percent;
    let warning = used_percent > config.warning_percent;
    Judgement {
        refuse: warning || (forcibly && refused),
        clean: warning || forcibly || used_percent > config.max_used_percent,
        at_once: (warning || forcibly) && config.clean_forcibly,
    }
}

/// One log file, as the folder shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub(crate) start: u64,
    pub(crate) modified_ms: i64,
}

/// Where the log begins once the files that may go are gone: `files` in order, none of them at or
/// above `keep_from`.
pub(crate) fn begin_after(
    config: &RetentionConfig,
    files: &[LogFile],
    file_bytes: u64,
    keep_from: u64,
    now_ms: i64,
    at_once: bool,
) -> Option<u64> {
    let reserved_ms = i64::try_from(config.reserved_ms).unwrap_or(i64::MAX);
    let may_go = |file: &&LogFile| {
        let is_old = now_ms >= file.modified_ms.saturating_add(reserved_ms);
        file.start + file_bytes <= keep_from && (at_once || is_old)
    };
    files
        .iter()
        .take(config.batch_max.max(1))
        .take_while(may_go)
        .last()
        .map(|file| file.start + file_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn hours_are_local_and_lists_are_rocketmqs() {
        let four = DeleteWhen::parse("04").unwrap();
        assert_eq!(four, RetentionConfig::default().delete_when);
        assert!(
            four.is_now(4 * HOUR_MS, 0)
                && four.is_now(5 * HOUR_MS - 1, 0)
                && !four.is_now(5 * HOUR_MS, 0)
        );
        assert!(four.is_now(20 * HOUR_MS, 8 * 3600), "20:00 UTC is 04:00 in Shanghai");
        assert!(four.is_now(-20 * HOUR_MS, 0), "before 1970 as well");
        let two = DeleteWhen::parse("4; 16").unwrap();
        assert!(two.is_now(4 * HOUR_MS, 0) && two.is_now(16 * HOUR_MS, 0) && !two.is_now(0, 0));
        assert!(!DeleteWhen::parse("").unwrap().is_now(0, 0));
        assert!(
            DeleteWhen::parse("24").is_none()
                && DeleteWhen::parse("four").is_none()
                && DeleteWhen::parse("-1").is_none()
        );
    }

    #[test]
    fn every_level_of_use_has_its_consequence_and_refusing_ends_below_it_began() {
        let config = RetentionConfig::default();
        let consequence = |used, refused| {
            let Judgement { refuse, clean, at_once } = judge(&config, used, refused);
            (refuse, clean, at_once)
        };
        for (used, refused, expected) in [
            (75, false, (false, false, false)),
            (76, false, (false, true, false)),
            (85, false, (false, true, false)),
            (86, false, (false, true, true)),
            (90, false, (false, true, true)),
            (91, false, (true, true, true)),
            (90, true, (true, true, true)),
            (86, true, (true, true, true)),
            (85, true, (false, true, false)),
        ] {
            assert_eq!(
                consequence(used, refused),
                expected,
                "{used} % used, refused before: {refused}"
            );
        }
        let gentle = RetentionConfig { clean_forcibly: false, ..config };
        assert_eq!(
            judge(&gentle, 95, false),
            Judgement { refuse: true, clean: true, at_once: false }
        );
    }

    #[test]
    fn ratios_have_rocketmqs_bounds() {
        let wild = RetentionConfig {
            max_used_percent: 0,
            clean_forcibly_percent: 99,
            warning_percent: 99,
            ..RetentionConfig::default()
        }
        .within_bounds();
        assert_eq!(
            (wild.max_used_percent, wild.clean_forcibly_percent, wild.warning_percent),
            (10, 85, 90)
        );
    }

    #[test]
    fn the_first_young_file_ends_the_round_and_the_active_one_never_goes() {
        let config = RetentionConfig::default();
        let files: Vec<LogFile> = [0, 0, 50, 0, 0]
            .iter()
            .enumerate()
            .map(|(nth, hours)| LogFile { start: nth as u64 * 100, modified_ms: hours * HOUR_MS })
            .collect();
        let begin = |keep_from, now_hours, at_once| {
            begin_after(&config, &files, 100, keep_from, now_hours * HOUR_MS, at_once)
        };
        assert_eq!(begin(400, 71, false), None);
        assert_eq!(
            begin(400, 72, false),
            Some(200),
            "the third is young, and what follows it stays"
        );
        assert_eq!(begin(100, 72, false), Some(100));
        assert_eq!(begin(400, 0, true), Some(400), "by force only the active one stays");
        assert_eq!(begin(0, 1000, true), None);
        let few = RetentionConfig { batch_max: 2, ..config };
        assert_eq!(begin_after(&few, &files, 100, 400, 1000 * HOUR_MS, false), Some(200));
    }
}
