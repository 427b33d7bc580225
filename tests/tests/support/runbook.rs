//! The commands of one runbook. A test takes them one after another and runs what is written there; a
//! command that is not the expected one, or is left over, fails it: what people read is what was tried.

use std::collections::VecDeque;
use std::path::Path;

/// The commands that are still to be followed.
#[derive(Debug, Clone)]
pub(crate) struct Runbook {
    name: String,
    lines: VecDeque<String>,
    places: Vec<(String, String)>,
}

impl Runbook {
    /// The runbook behind `<!-- runbook: NAME -->` in `docs/operations.md`.
    pub(crate) fn open(name: &str) -> Self {
        Self::on("operations.md", name)
    }

    /// The same on another page of `docs/`.
    pub(crate) fn on(page: &str, name: &str) -> Self {
        let lines = blocks(page, name, "sh");
        let lines = lines.iter().flat_map(|block| block.lines()).map(str::to_owned).collect();
        Self { name: name.to_owned(), lines, places: Vec::new() }
    }

    /// What stands for what in this test.
    pub(crate) fn place(&mut self, written: &str, here: impl Into<String>) {
        self.places.retain(|(known, _)| known != written);
        self.places.push((written.to_owned(), here.into()));
    }

    /// The next command, which begins so: its words behind `skein`, with the places in them.
    #[track_caller]
    pub(crate) fn next(&mut self, begins: &str) -> Vec<String> {
        let Self { name, lines, .. } = self;
        let line = lines.pop_front().unwrap_or_else(|| panic!("{name} ends before {begins:?}"));
        assert!(line.starts_with(begins), "{name} says {line:?} where {begins:?} is next");
        let mut words = words(&line);
        for word in &mut words {
            for (written, here) in &self.places {
                if word == written {
                    word.clone_from(here);
                }
            }
        }
        words.into_iter().skip(1).collect()
    }

    /// The next command is one for the machine, which the test does by its own means.
    #[track_caller]
    pub(crate) fn done_by_hand(&mut self, line: &str) {
        let next = self.lines.pop_front();
        assert_eq!(next.as_deref(), Some(line), "in {}", self.name);
    }

    /// Nothing is left.
    #[track_caller]
    pub(crate) fn ends(self) {
        assert!(self.lines.is_empty(), "{} goes on with {:?}", self.name, self.lines);
    }
}

/// The blocks of one language behind `<!-- runbook: NAME -->`, as they stand on a page of `docs/`.
pub(crate) fn blocks(page: &str, name: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(path).expect("the page is there");
    let mark = format!("<!-- runbook: {name} -->");
    let (_, after) = text.split_once(&mark).unwrap_or_else(|| panic!("there is no {mark}"));
    let section = after.split("<!-- runbook:").next().unwrap_or(after);
    let section = section.split("\n## ").next().unwrap_or(section);
    let fence = format!("```{language}\n");
    let blocks = section.split(fence.as_str()).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// The words of a line, one in double quotes whole.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
