//! A figure that a page says it has from a run is in that run's files.
//!
//! A block (paragraph, item of a list, row of a table) that links to a folder below
//! `bench-results/runs`, `benches` or `campaigns` names its source. Each number with a unit in it
//! must be among the numbers of that folder's files, as it stands or rounded; the folder's own
//! README.md does not count, for that is written by hand too. A number behind "aim" or "limit" is
//! none of the run's.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{everywhere, none, root};

/// What tells a figure from a number.
const UNITS: [&str; 14] = [
    "µs",
    "ms",
    "ns",
    "s",
    "%",
    "×",
    "times",
    "k/s",
    "/s",
    "MiB",
    "KiB",
    "GiB",
    "GB",
    "instructions",
];
/// Where runs are.
const FOLDERS: [&str; 3] =
    ["bench-results/runs/", "bench-results/benches/", "bench-results/campaigns/"];
/// What this page has is withdrawn: what it quotes was printed, not measured well.
const WITHDRAWN: &str = "docs/decisions/0026-withdrawn-figures.md";

#[test]
fn figures_with_a_link_to_a_run_are_in_its_files() {
    let mut checked = 0;
    let mut faults = Vec::new();
    let pages = everywhere(".md");
    let ours = |path: &str| !path.starts_with("bench-results/") && path != WITHDRAWN;
    for (path, text) in pages.iter().filter(|(path, _)| ours(path)) {
        for block in blocks(text) {
            let runs = runs_of(Path::new(path), &block.links);
            if runs.is_empty() {
                continue;
            }
            let printed: Vec<String> = runs.iter().flat_map(|run| numbers_in_files(run)).collect();
            for figure in figures(&block.text) {
                checked += 1;
                if !printed.iter().any(|number| is_same(&figure, number)) {
                    faults.push(format!(
                        "{path}: {figure} is in no file of {runs:?}. Fix: quote what the run \
                            printed, or give the run's link a paragraph of its own"
                    ));
                }
            }
        }
    }
    assert!(checked > 30, "only {checked} figures found: the scan is broken");
    none(&faults);
}

/// A piece of a page, and where it links to.
#[derive(Debug, Default)]
struct Block {
    text: String,
    links: Vec<String>,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = vec![Block::default()];
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        let block = found.last_mut().unwrap();
        match event {
            Event::Text(text) => block.text.push_str(&text),
            Event::SoftBreak | Event::HardBreak | Event::End(TagEnd::TableCell) => {
                block.text.push(' ');
            }
            Event::Start(Tag::Link { dest_url, .. }) => block.links.push(dest_url.into_string()),
            Event::End(
                TagEnd::Paragraph | TagEnd::Item | TagEnd::TableRow | TagEnd::Heading(_),
            ) => found.push(Block::default()),
            _ => {}
        }
    }
    found
}

/// The folders of runs that links of a page lead to.
fn runs_of(page: &Path, links: &[String]) -> Vec<PathBuf> {
    let folder = page.parent().unwrap();
    let mut runs = Vec::new();
    for link in links {
        let link = link.split('#').next().unwrap_or_default();
        let Some(at) = FOLDERS.iter().find_map(|kind| Some(link.find(kind)? + kind.len())) else {
            continue;
        };
        let end = link[at..].find('/').map_or(link.len(), |slash| at + slash);
        let run = root().join(folder).join(&link[..end]);
        if run.is_dir() && !runs.contains(&run) {
            runs.push(run);
        }
    }
    runs
}

/// The numbers of a run's files, without their commas.
fn numbers_in_files(run: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(numbers_in_files(&path));
        } else if name != "README.md"
            && [".txt", ".json", ".csv", ".md"].iter().any(|e| name.ends_with(e))
        {
            found.extend(numbers(&fs::read_to_string(&path).unwrap()).map(|(number, _)| number));
        }
    }
    found
}

/// Numbers with a unit behind them, but for aims and limits.
fn figures(text: &str) -> Vec<String> {
    let is_figure = |rest: &str| {
        let rest = rest.trim_start();
        UNITS.iter().any(|unit| {
            let behind = rest.strip_prefix(unit).map(|behind| behind.chars().next());
            behind.is_some_and(|next| !next.is_some_and(char::is_alphanumeric))
        })
    };
    let is_wanted = |before: &str| {
        let words = before.trim_end_matches([' ', '≥', '≤', ',', ':']);
        ["aim", "aims", "limit", "limits"].iter().any(|word| words.ends_with(word))
    };
    numbers(text)
        .filter(|(number, at)| is_figure(&text[at + length(text, *at)..]) && !number.is_empty())
        .filter(|(_, at)| !is_wanted(&text[..*at]))
        .map(|(number, _)| number)
        .collect()
}

/// Every number in a text, without its commas, and where it begins. A digit behind a letter, a
/// dot or a hyphen begins none.
fn numbers(text: &str) -> impl Iterator<Item = (String, usize)> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + text[from..].find(|c: char| c.is_ascii_digit())?;
            let length = length(text, at);
            from = at + length;
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && !".-_".contains(c)) {
                let number = text[at..from].replace(',', "");
                return Some((number, at));
            }
        }
    })
}

/// The length of the number that begins there: digits, and commas and one dot between digits.
fn length(text: &str, at: usize) -> usize {
    let bytes = &text.as_bytes()[at..];
    let mut dots = 0;
    let is_part = |place: usize, dots: &mut usize| {
        let next_is_digit = bytes.get(place + 1).is_some_and(u8::is_ascii_digit);
        match bytes[place] {
            b'0'..=b'9' => true,
            b',' => next_is_digit && *dots == 0,
            b'.' => {
                *dots += 1;
                next_is_digit && *dots == 1
            }
            _ => false,
        }
    };
    (0..bytes.len()).find(|place| !is_part(*place, &mut dots)).unwrap_or(bytes.len())
}

/// The same number, or the printed one rounded to the figure's places. A figure of one digit must
/// be there as it is: nearly everything rounds to it.
fn is_same(figure: &str, printed: &str) -> bool {
    if figure == printed {
        return true;
    }
    let places = figure.split_once('.').map_or(0, |(_, places)| places.len());
    let digits = figure.chars().filter(char::is_ascii_digit).count();
    let rounded = printed.parse::<f64>().map(|printed| format!("{printed:.places$}"));
    digits > 1 && printed.contains('.') && rounded.is_ok_and(|rounded| rounded == figure)
}

#[test]
fn a_figure_is_a_number_with_a_unit_that_is_no_aim() {
    let text = "1,616.4 k/s and 3.9×, 64×1 with 12 files in 7 ms (aim 5 ms, limit ≤ 3 %); D12 s";
    assert_eq!(figures(text), ["1616.4", "3.9", "7"]);
    assert!(is_same("11.8", "11.78") && is_same("264", "263.71") && is_same("9", "9"));
    assert!(!is_same("11.8", "11.88") && !is_same("9", "8.9") && !is_same("12", "11.2"));
    let two = blocks("- 5 ms ([run](../bench-results/runs/x/README.md))\n- 6 ms\n");
    let texts: Vec<(&str, usize)> =
        two.iter().map(|block| (block.text.as_str(), block.links.len())).collect();
    assert_eq!(texts, [("5 ms (run)", 1), ("6 ms", 0), ("", 0)]);
}
