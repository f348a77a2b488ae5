//! How much went by, and how fast: what tools show as rates, in the windows that Apache RocketMQ
//! has (`StatsItem`).
//!
//! ```text
//!   a request ─► adds to sums ── every 10 s ──► minute:  7 samples   rate = last − first
//!                             ── every 10 min ► hour:    7 samples          ────────────────
//!                             ── every hour ──► day:    25 samples          time between them
//! ```
//!
//! Sums only grow. A sum that is sampled for the first time counts from 0 one period before, as in
//! Apache. All are sampled at the same moments, so the times of samples are kept once ([`Clock`]).
//!
//! [`puts`] has the sums by topic; those of a group and a topic are in
//! [`super::pull_offsets`]. Pure.

pub(crate) mod puts;

/// The windows, by the period in which they are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// 10 s.
    Minute,
    /// 10 min.
    Hour,
    /// 1 h.
    Day,
}

impl Window {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Between two samples.
    pub(crate) fn period_ms(self) -> i64 {
        match self {
            Self::Minute => 10_000,
            Self::Hour => 600_000,
            Self::Day => 3_600_000,
        }
    }
}

/// What a window says of one sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// By how much it grew.
    pub(crate) sum: u64,
    /// The same, a second.
    pub(crate) per_second: f64,
    /// The same, an event.
    pub(crate) per_event: f64,
}

/// The last samples of one window, the oldest first.
#[derive(Clone, Copy, Debug)]
struct Samples<T, const N: usize> {
    samples: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> Samples<T, N> {
    fn new(zero: T) -> Self {
        Self { samples: [zero; N], len: 0 }
    }

    /// Adds the newest; `before` stands before the first.
    fn push(&mut self, before: T, newest: T) {
        if self.len == 0 {
            self.samples[0] = before;
            self.len = 1;
        }
        if self.len == N {
            self.samples.copy_within(1.., 0);
            self.len -= 1;
        }
        self.samples[self.len] = newest;
        self.len += 1;
    }

    fn get(&self) -> &[T] {
        &self.samples[..self.len]
    }
}

/// One of something for each window.
#[derive(Clone, Debug)]
struct PerWindow<T> {
    minute: Samples<T, 7>,
    hour: Samples<T, 7>,
    day: Samples<T, 25>,
}

impl<T: Copy> PerWindow<T> {
    fn new(zero: T) -> Self {
        Self { minute: Samples::new(zero), hour: Samples::new(zero), day: Samples::new(zero) }
    }

    fn push(&mut self, window: Window, before: T, newest: T) {
        match window {
            Window::Minute => self.minute.push(before, newest),
            Window::Hour => self.hour.push(before, newest),
            Window::Day => self.day.push(before, newest),
        }
    }

    fn get(&self, window: Window) -> &[T] {
        match window {
            Window::Minute => self.minute.get(),
            Window::Hour => self.hour.get(),
            Window::Day => self.day.get(),
        }
    }
}

/// When samples were taken, in milliseconds of the monotonic clock.
#[derive(Debug)]
pub(crate) struct Clock {
    times: PerWindow<i64>,
    next: [i64; 3],
}

impl Default for Clock {
    fn default() -> Self {
        Self { times: PerWindow::new(0), next: [0; 3] }
    }
}

impl Clock {
    /// The windows whose samples are due at this time; they count as taken.
    pub(crate) fn due(&mut self, now_ms: i64) -> impl Iterator<Item = Window> + use<> {
        let mut due = [false; 3];
        for (nth, window) in Window::ALL.into_iter().enumerate() {
            due[nth] = now_ms >= self.next[nth];
            if due[nth] {
                self.next[nth] = now_ms + window.period_ms();
                self.times.push(window, now_ms - window.period_ms(), now_ms);
            }
        }
        Window::ALL.into_iter().zip(due).filter_map(|(window, is_due)| is_due.then_some(window))
    }

    /// From the first of the last `samples` samples to the last.
    fn span_ms(&self, window: Window, samples: usize) -> i64 {
        let times = self.times.get(window);
        let first = times.len().checked_sub(samples).and_then(|first| times.get(first));
        match (first, times.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0,
        }
    }
}

/// `K` sums that are added to together, with their samples.
#[derive(Clone, Debug)]
pub(crate) struct Sums<const K: usize> {
    now: [u64; K],
    /// Sampled once: what never was has no memory for it.
    sampled: Option<Box<PerWindow<[u64; K]>>>,
}

impl<const K: usize> Default for Sums<K> {
    fn default() -> Self {
        Self { now: [0; K], sampled: None }
    }
}

impl<const K: usize> Sums<K> {
    /// Adds to each.
    pub(crate) fn add(&mut self, more: [u64; K]) {
        for (sum, more) in self.now.iter_mut().zip(more) {
            *sum += more;
        }
    }

    /// Sets them; they must not be smaller than before.
    pub(crate) fn set(&mut self, sums: [u64; K]) {
        self.now = sums;
    }

    /// Takes a sample.
    pub(crate) fn sample(&mut self, window: Window) {
        let sampled = self.sampled.get_or_insert_with(|| Box::new(PerWindow::new([0; K])));
        sampled.push(window, [0; K], self.now);
    }

    /// One of them.
    pub(crate) fn get(&self, which: usize) -> u64 {
        self.now[which]
    }

    /// Whether nothing was ever added.
    pub(crate) fn is_zero(&self) -> bool {
        self.now.iter().all(|sum| *sum == 0)
    }

    /// Whether there are samples.
    pub(crate) fn is_sampled(&self) -> bool {
        self.sampled.is_some()
    }

    /// Whether nothing was added for as long as the samples of days go back.
    pub(crate) fn is_idle(&self) -> bool {
        let day = self.sampled.as_ref().map(|sampled| sampled.get(Window::Day)).unwrap_or_default();
        day.len() == 25 && day.iter().all(|sample| *sample == self.now)
    }

    /// What a window says of sum `which`, counting events by sum `events`.
    pub(crate) fn rate(
        &self,
        clock: &Clock,
        window: Window,
        which: usize,
        events: Option<usize>,
    ) -> Rate {
        let samples = self.sampled.as_ref().map(|all| all.get(window)).unwrap_or_default();
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
            return Rate::default();
        };
        let grown = |which: usize| last[which].saturating_sub(first[which]);
        let span_ms = clock.span_ms(window, samples.len());
        let sum = grown(which);
        let through = |by: f64| if by > 0.0 { sum as f64 / by } else { 0.0 };
        Rate {
            sum,
            per_second: through(span_ms as f64 / 1_000.0),
            per_event: through(events.map_or(0, grown) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(clock: &mut Clock, now_ms: i64, sums: &mut [&mut Sums<2>]) {
        for window in clock.due(now_ms) {
            sums.iter_mut().for_each(|sums| sums.sample(window));
        }
    }

    #[test]
    fn a_rate_looks_back_a_minute_and_begins_one_period_before_the_first_sample() {
        let (mut clock, mut early, mut late) = (Clock::default(), Sums::default(), Sums::default());
        let minute = |sums: &Sums<2>, clock: &Clock| sums.rate(clock, Window::Minute, 0, Some(1));
        sample(&mut clock, 0, &mut [&mut early]);
        assert_eq!(minute(&early, &clock), Rate::default());
        assert_eq!(minute(&late, &clock), Rate::default(), "it has no sample");
        early.add([100, 10]);
        late.add([40, 4]);
        for second in 1..=10 {
            sample(&mut clock, second * 1_000, &mut [&mut early, &mut late]);
        }
        let rate = |sum, per_second, per_event| Rate { sum, per_second, per_event };
        assert_eq!(minute(&early, &clock), rate(100, 5.0, 10.0), "20 s: one period before 0");
        assert_eq!(minute(&late, &clock), rate(40, 4.0, 10.0), "10 s");
        for second in 11..=90 {
            sample(&mut clock, second * 1_000, &mut [&mut early, &mut late]);
        }
        assert_eq!(minute(&early, &clock), Rate::default(), "it is longer ago than a minute");
        assert_eq!(early.rate(&clock, Window::Hour, 0, None).sum, 0, "sampled at 0 alone");
        sample(&mut clock, 600_000, &mut [&mut early, &mut late]);
        assert_eq!(early.rate(&clock, Window::Hour, 0, None).sum, 100);
        assert_eq!(early.rate(&clock, Window::Hour, 0, None).per_second, 100.0 / 1_200.0);
    }

    #[test]
    fn windows_are_bounded_and_what_rests_for_a_day_is_idle() {
        let (mut clock, mut sums) = (Clock::default(), Sums::<1>::default());
        sums.add([7]);
        for hour in 0..=25 {
            for window in clock.due(hour * 3_600_000) {
                sums.sample(window);
            }
            assert_eq!(sums.is_idle(), hour >= 24, "hour {hour}");
        }
        assert_eq!(Window::ALL.map(|window| clock.times.get(window).len()), [7, 7, 25]);
        sums.add([1]);
        assert!(!sums.is_idle());
    }
}
