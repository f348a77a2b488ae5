//! A buffer for unescaped texts, reused so that decoding headers allocates nothing in steady state.

use std::ops::Range;

use crate::json::text::RawText;

/// Memory that decoding one header needs beside the frame. One for each core is enough; a decoded
/// header borrows it.
///
/// It keeps the capacity of the largest header seen, bounded by the frame limit.
#[derive(Debug, Default)]
pub struct Scratch {
    text: String,
}

impl Scratch {
    /// An empty scratch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every text as a plain one: borrowed from the frame, or unescaped into this scratch.
    pub(super) fn resolve<'s, const N: usize>(
        &'s mut self,
        raw: [Option<RawText<'s>>; N],
    ) -> [Option<&'s str>; N] {
        self.text.clear();
        let ranges = raw.map(|raw| raw.and_then(|raw| self.unescape(raw)));
        let text = self.text.as_str();
        let mut ranges = ranges.into_iter();
        raw.map(|raw| {
            let range = ranges.next().flatten();
            raw.and_then(|raw| raw.as_plain().or_else(|| text.get(range?)))
        })
    }

    fn unescape(&mut self, raw: RawText<'_>) -> Option<Range<usize>> {
        if raw.as_plain().is_some() {
            return None;
        }
        let start = self.text.len();
        raw.append_to(&mut self.text);
        Some(start..self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_escaped_texts_come_out_in_their_places() {
        let mut scratch = Scratch::new();
        for _ in 0..2 {
            let raw = [
                Some(RawText::plain("a")),
                None,
                Some(RawText::escaped(r"b\u0001")),
                Some(RawText::escaped(r"\n")),
            ];
            assert_eq!(scratch.resolve(raw), [Some("a"), None, Some("b\u{1}"), Some("\n")]);
        }
    }
}
