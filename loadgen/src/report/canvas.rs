//! What a chart is drawn on. Each is drawn twice, for a page and for a phone, and the page's style
//! shows the one that fits: what was drawn for 920 pixels has letters of 5 on a screen of 400.

use plotters::coord::Shift;
use plotters::prelude::*;

/// Pixels.
const BROAD_WIDTH: u32 = 920;
const NARROW_WIDTH: u32 = 360;
/// Letters that a title of the narrow one has room for.
const NARROW_LETTERS: usize = 48;
const FONT: &str = "sans-serif";

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;
type Font = (&'static str, u32);

/// One of the two.
pub(super) struct Canvas<'a> {
    /// All of it: what is drawn by pixels.
    pub whole: Area<'a>,
    /// What the title leaves.
    pub area: Area<'a>,
    pub is_narrow: bool,
}

impl Canvas<'_> {
    /// Of axes and labels.
    pub(super) fn font(&self) -> Font {
        (FONT, if self.is_narrow { 11 } else { 13 })
    }

    /// Of labels that are long.
    pub(super) fn small_font() -> Font {
        (FONT, 11)
    }

    /// The one of this canvas.
    pub(super) fn pick<T>(&self, broad: T, narrow: T) -> T {
        if self.is_narrow { narrow } else { broad }
    }
}

/// A chart of this height, as the two drawings; `None`, and a warning, when it can't be drawn.
pub(super) fn svg_of(
    height: u32,
    title: &str,
    draw: impl Fn(&Canvas<'_>) -> Drawn,
) -> Option<String> {
    let broad = one(false, height, title, &draw);
    let drawn = broad.and_then(|broad| Ok((broad, one(true, height, title, &draw)?)));
    match drawn {
        Ok((broad, narrow)) => Some(format!(
            "<div class=\"broad\">{broad}</div>\n<div class=\"narrow\">{narrow}</div>"
        )),
        Err(error) => {
            tracing::warn!(%error, title, "a chart could not be drawn");
            None
        }
    }
}

fn one(
    is_narrow: bool,
    height: u32,
    title: &str,
    draw: &impl Fn(&Canvas<'_>) -> Drawn,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    {
        let width = if is_narrow { NARROW_WIDTH } else { BROAD_WIDTH };
        let whole = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        whole.fill(&WHITE)?;
        let mut area = whole.clone();
        let (lines, font) = match is_narrow {
            true => (lines_of(title), (FONT, 13)),
            false => (vec![title.to_owned()], (FONT, 17)),
        };
        for line in lines {
            area = area.titled(&line, font)?;
        }
        let canvas = Canvas { whole, area, is_narrow };
        draw(&canvas)?;
        canvas.whole.present()?;
    }
    Ok(text)
}

/// A title's parts, as many in a line as there is room for.
fn lines_of(title: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in title.split(" · ") {
        let room = |line: &String| line.chars().count() + part.chars().count() < NARROW_LETTERS;
        match lines.last_mut().filter(|line| room(line)) {
            Some(line) => *line += &format!(" · {part}"),
            None => lines.push(part.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_of_a_narrow_chart_is_broken_between_its_parts() {
        let title = "Response time over time · 64 senders × 1 · SYNC_FLUSH, SYNC_MASTER · loopback";
        let lines = lines_of(title);
        assert_eq!(lines.join(" · "), title);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= NARROW_LETTERS + 2), "{lines:?}");
    }
}
