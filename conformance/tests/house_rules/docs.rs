//! Rules about the documentation: links lead somewhere, references to the design have a page, and
//! nothing names the machine it was made on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{everywhere, none, root, sources};

#[test]
fn links_inside_the_repository_resolve() {
    let pages = everywhere(".md");
    assert!(pages.len() > 10, "only {} pages found", pages.len());
    let mut links = 0;
    let mut faults = Vec::new();
    for (path, text) in &pages {
        let folder = Path::new(path).parent().unwrap();
        for link in links_of(text).into_iter().filter(|link| is_inside(link)) {
            links += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.into() } else { folder.join(file) };
            if !root().join(&target).exists() {
                faults.push(format!("{path}: {link} leads nowhere"));
            } else if !anchor.is_empty() && target.extension().is_some_and(|end| end == "md") {
                let page = fs::read_to_string(root().join(&target)).unwrap();
                if !anchors_of(&page).contains(anchor) {
                    faults.push(format!("{path}: {link}: the page has no such heading"));
                }
            }
        }
    }
    assert!(links > 50, "only {links} links found: the scan is broken");
    none(&faults);
}

fn is_inside(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:")
}

fn links_of(markdown: &str) -> Vec<String> {
    Parser::new_ext(markdown, Options::ENABLE_TABLES)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        })
        .collect()
}

/// The anchors that a page's headings get: small letters, punctuation gone, spaces to hyphens.
fn anchors_of(markdown: &str) -> BTreeSet<String> {
    let mut heading: Option<String> = None;
    let mut found = BTreeSet::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let text = heading.take().unwrap_or_default().to_lowercase();
                let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                let slug = kept.collect::<String>().replace(' ', "-");
                let before = times.entry(slug.clone()).or_insert(0);
                found.insert(if *before == 0 { slug } else { format!("{slug}-{before}") });
                *before += 1;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_reference_to_the_design_has_its_page() {
    let index = fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
    let pages: BTreeSet<u32> = index
        .lines()
        .filter_map(|line| line.strip_prefix("| D")?.split_once(" | [")?.0.parse().ok())
        .collect();
    assert!(pages.len() >= 14, "only {pages:?} have a page");
    let mut references = 0;
    let mut faults = Vec::new();
    let texts = [everywhere(".md"), everywhere(".rs"), everywhere(".toml")].concat();
    for (path, text) in texts.iter().filter(|(path, _)| !path.contains("house_rules")) {
        for number in design_references(text) {
            references += 1;
            if !pages.contains(&number) {
                faults.push(format!("{path}: design D{number} has no page in docs/decisions"));
            }
        }
    }
    assert!(references > 5, "only {references} references found: the scan is broken");
    none(&faults);
}

#[test]
fn nothing_refers_to_a_review_that_the_repository_has_not() {
    let mut faults = Vec::new();
    for (path, text) in [everywhere(".md"), everywhere(".rs")].concat() {
        for number in 1..20 {
            for letter in 'A'..='F' {
                for word in ["review", "finding"] {
                    let reference = format!("({word} {letter}{number})");
                    if text.contains(&reference) {
                        faults.push(format!("{path}: {reference} leads nowhere"));
                    }
                }
            }
        }
    }
    none(&faults);
}

/// The numbers in "design D7" and "DESIGN D7", also where a comment breaks between the words.
fn design_references(text: &str) -> Vec<u32> {
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !["//", "///", "//!", "#"].contains(word))
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .collect();
    words
        .windows(2)
        .filter(|pair| pair[0].eq_ignore_ascii_case("design"))
        .filter_map(|pair| {
            let digits = pair[1].strip_prefix('D')?;
            digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
        .collect()
}

#[test]
fn nothing_committed_names_the_machine_it_was_made_on() {
    let mut faults = Vec::new();
    for (path, text) in [sources(".rs"), everywhere(".md"), everywhere(".toml")].concat() {
        for banned in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")] {
            if text.contains(banned) {
                faults.push(format!("{path} contains {banned}"));
            }
        }
    }
    none(&faults);
}

#[test]
fn links_anchors_and_references_are_read_as_they_are_written() {
    let page = concat!(
        "# One `two` (three)
[a](b.md#c) ![d](e.svg)

| x |
|---|
| [f](g) |

",
        "# Twice
# Twice
```text
[no](link)
```
",
    );
    assert_eq!(links_of(page), ["b.md#c", "e.svg", "g"]);
    let wanted = ["one-two-three", "twice", "twice-1"].map(ToOwned::to_owned);
    assert_eq!(anchors_of(page), BTreeSet::from(wanted));
    let text = "(design D4). A design D1, and Design\n/// D14: designs D2, design Doc";
    assert_eq!(design_references(text), [4, 1, 14]);
}
