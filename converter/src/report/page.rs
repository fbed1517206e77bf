//! The frame of every page.

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A number at the top.
pub(super) struct Figure {
    /// The number, with its unit.
    pub value: String,
    /// What it is.
    pub what: &'static str,
    /// What to hold it against.
    pub note: String,
}

/// A part of the page.
pub(super) struct Section {
    /// What addresses end in.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// All below it.
    pub body: Markup,
}

/// What a browser must never do with a page, whatever is in it: run or load anything.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A whole page. `kind` says what it reports, `title` on what; `lead` is the result in a sentence or two.
pub(super) fn page(kind: &str, title: &str, lead: &Markup, figures: &[Figure], sections: &[Section]) -> String {
    let title = short(title);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) " – " (kind) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    p.kind { "Cardinal" span { " " (kind) } }
                    h1 { (title) }
                    div.lead { (lead) }
                    @if !figures.is_empty() {
                        dl.figures {
                            @for figure in figures {
                                div { dt { (figure.what) } dd { strong { (figure.value) } " " span { (figure.note) } } }
                            }
                        }
                    }
                    nav aria-label="Sections" {
                        @for section in sections { a href={ "#" (section.id) } { (section.title) } " " }
                    }
                }
                main {
                    @for section in sections {
                        section id=(section.id) { h2 { (section.title) } (section.body) }
                    }
                }
                footer {
                    p { "Made by Cardinal " (env!("CARGO_PKG_VERSION")) ". One file: no scripts, nothing is loaded." }
                }
            }
        }
    };
    // Names may hold what neither HTML nor XML can, even escaped.
    let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{FFFE}' | '\u{FFFF}');
    page.0.replace(bad, "\u{FFFD}")
}

/// Names are of any length in files; here the ends of a long one.
pub(super) fn short(name: &str) -> Cow<'_, str> {
    const LONGEST: usize = 80;
    let mut ends = name.char_indices().map(|(at, _)| at);
    if name.len() <= LONGEST || ends.clone().count() <= LONGEST {
        return name.into();
    }
    let head = ends.nth(LONGEST / 2).unwrap_or(0);
    let tail = ends.nth_back(LONGEST / 2 - 2).unwrap_or(name.len());
    format!("{}…{}", &name[..head], &name[tail..]).into()
}

/// A name out of a file.
pub(super) fn code(name: &str) -> Markup {
    html! { code { (short(name)) } }
}

/// The head of a table.
pub(super) fn head(columns: &[&str]) -> Markup {
    html! {
        thead {
            tr {
                @for name in columns { @if name.is_empty() { td {} } @else { th scope="col" { (short(name)) } } }
            }
        }
    }
}

/// Terms and what they are, in the order given.
pub(super) fn facts(rows: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (term, value) in rows { div { dt { (term) } dd { (value) } } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(short("layer1.0.conv2"), "layer1.0.conv2");
        assert_eq!(short(&"ü".repeat(80)), "ü".repeat(80));
        let long = format!("{}{}", "a".repeat(200), "z".repeat(200));
        assert_eq!(short(&long), format!("{}…{}", "a".repeat(40), "z".repeat(39)));
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let page = page("test", "<b>\"x\"&\u{1b}", &html! {}, &[], &[]);
        assert!(page.contains("<h1>&lt;b&gt;&quot;x&quot;&amp;\u{FFFD}</h1>"), "{page}");
    }
}
