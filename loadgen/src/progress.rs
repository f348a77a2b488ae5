//! The display during a run: bars on a terminal, plain lines elsewhere. It uses standard error, so
//! that standard output has the result alone.

use crate::live::Reading;
use crate::rocketmq;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::checked::millis;
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a plain line is written.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Writes a line on standard error. A closed pipe does not end a measurement.
pub fn note(line: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{line}");
}

/// The display of a run.
#[derive(Debug)]
pub struct Progress {
    bars: bool,
    quiet: bool,
    rocketmq_every: Option<Duration>,
}

impl Progress {
    /// Bars when standard error is a terminal, lines otherwise, nothing when `quiet`.
    /// With `rocketmq_every` the lines that RocketMQ's own producer prints go to standard output
    /// this often.
    #[must_use]
    pub fn new(quiet: bool, rocketmq_every: Option<Duration>) -> Self {
        let bars = std::io::stderr().is_terminal() && rocketmq_every.is_none();
        Self { bars, quiet, rocketmq_every }
    }

    /// Shows one line about the present step.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            note(line);
        }
    }

    /// Begins a phase of known length (zero: unknown).
    #[must_use]
    pub fn phase(&self, label: &str, length: Duration) -> PhaseDisplay {
        let bar = (self.bars && !self.quiet).then(|| bar(label, length));
        if bar.is_none() && !self.quiet && self.rocketmq_every.is_none() {
            note(&format!("{label} …"));
        }
        let now = Instant::now();
        PhaseDisplay {
            bar,
            quiet: self.quiet,
            rocketmq_every: self.rocketmq_every,
            start: now,
            length,
            lead: Duration::ZERO,
            last: Cell::new((now, Reading::default())),
            ended_with: Cell::new(None),
            rate: Cell::new((now, 0, 0.0)),
        }
    }
}

fn bar(label: &str, length: Duration) -> ProgressBar {
    let milliseconds = millis(length);
    let bar = ProgressBar::with_draw_target(
        Some(milliseconds.max(1)),
        ProgressDrawTarget::stderr_with_hz(10),
    );
    if let Ok(style) = ProgressStyle::with_template("{prefix:<34} [{bar:24}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(label.to_owned());
    bar
}

/// The display of one phase.
#[derive(Debug)]
pub struct PhaseDisplay {
    bar: Option<ProgressBar>,
    quiet: bool,
    rocketmq_every: Option<Duration>,
    start: Instant,
    length: Duration,
    /// Time at the beginning in which nothing is counted.
    lead: Duration,
    last: Cell<(Instant, Reading)>,
    /// The newest reading.
    ended_with: Cell<Option<Reading>>,
    /// Time and count of the last reading, and the rate found there.
    rate: Cell<(Instant, u64, f64)>,
}

impl PhaseDisplay {
    /// What is done in the first `lead` is not counted: it warms up.
    #[must_use]
    pub fn counted_after(self, lead: Duration) -> Self {
        Self { lead, ..self }
    }

    /// Shows the counters as they are now.
    pub fn update(&self, reading: &Reading) {
        self.ended_with.set(Some(*reading));
        let left = self.length.saturating_sub(self.start.elapsed());
        let text = line(self.rate(reading.done), reading, left);
        if let Some(bar) = &self.bar {
            bar.set_position(millis(self.start.elapsed()));
            bar.set_message(text);
            return;
        }
        let (at, before) = self.last.get();
        let every = self.rocketmq_every.unwrap_or(LINE_EVERY);
        if self.quiet || at.elapsed() < every {
            return;
        }
        if self.rocketmq_every.is_some() {
            rocketmq::print(&rocketmq::producer_line(reading, &before, at.elapsed()));
        } else {
            note(&format!("  {text}"));
        }
        self.last.set((Instant::now(), *reading));
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let Some(reading) = self.ended_with.get().filter(|_| self.rocketmq_every.is_some()) {
            let whole = self.start.elapsed().min(self.length).saturating_sub(self.lead);
            rocketmq::print(&rocketmq::complete_line(&reading, whole));
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The rate over the last half second or so.
    fn rate(&self, done: u64) -> f64 {
        let (at, before, rate) = self.rate.get();
        let elapsed = at.elapsed();
        if elapsed < Duration::from_millis(500) {
            return rate;
        }
        let rate = crate::row::count_f64(done.saturating_sub(before)) / elapsed.as_secs_f64();
        self.rate.set((Instant::now(), done, rate));
        rate
    }
}

fn line(rate: f64, reading: &Reading, left: Duration) -> String {
    let time = |name: &str, nanos: u64| match nanos {
        0 => String::new(),
        _ => format!(" {name} {}", crate::report::text::time_nanos(nanos)),
    };
    let times = match reading.p50_nanos {
        0 => String::new(),
        nanos => format!(" · RT{}{}", time("p50", nanos), time("p99", reading.p99_nanos)),
    };
    let left =
        if left.is_zero() { String::new() } else { format!(" · {} s left", left.as_secs() + 1) };
    format!("{}/s{times} · {} errors{left}", crate::report::text::count(rate), reading.errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_has_rate_times_errors_and_time_left() {
        let reading = Reading {
            done: 0,
            errors: 3,
            p50_nanos: 120_000,
            p99_nanos: 2_500_000,
            ..Reading::default()
        };
        let text = line(123_456.0, &reading, Duration::from_millis(2500));
        assert_eq!(text, "123 k/s · RT p50 120 µs p99 2.50 ms · 3 errors · 3 s left");
    }
}
