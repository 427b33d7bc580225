//! stdout, stderr and who sits before them. A reader that has gone away ends the writing, not the work.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};

use crate::args::{Color, Format, Global};
use crate::clock;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::look::{Look, Sign, Signs, Tone};
use crate::render::{self, View};

/// Where results and progress go.
pub struct Screen {
    stdout: Pipe,
    stderr: Pipe,
    format: Format,
    file: Option<PathBuf>,
    colour: (bool, bool),
    signs: Signs,
    stdout_tty: bool,
    stderr_tty: bool,
    can_ask: bool,
    quiet: bool,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("format", &self.format)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// The process's own streams.
    pub fn of_process(global: &Global) -> Self {
        let choice = |auto: ColorChoice| match (global.color, auto) {
            (Color::Always, _) => true,
            (Color::Never, _) | (Color::Auto, ColorChoice::Never) => false,
            (Color::Auto, _) => true,
        };
        let (stdout_tty, stderr_tty) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            stdout: Pipe::new(Box::new(io::stdout())),
            stderr: Pipe::new(Box::new(io::stderr())),
            format: global.output,
            file: global.output_file.clone(),
            colour: (
                choice(AutoStream::choice(&io::stdout())),
                choice(AutoStream::choice(&io::stderr())),
            ),
            // The bytes that go into a file or a pipe are the same on every machine.
            signs: if (stdout_tty || stderr_tty) && !shows_unicode(|name| std::env::var(name).ok())
            {
                Signs::Ascii
            } else {
                Signs::Unicode
            },
            stdout_tty,
            stderr_tty,
            can_ask: !global.no_input && stderr_tty && io::stdin().is_terminal(),
            quiet: global.quiet,
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether progress may redraw a part of the terminal.
    pub fn is_live(&self) -> bool {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let plain = matches!(self.format, Format::Text | Format::Wide);
        plain && self.stdout_tty && self.stderr_tty && !self.quiet && !dumb
    }

    /// Whether somebody is there to answer.
    pub fn can_ask(&self) -> bool {
        self.can_ask
    }

    /// Nobody reads stdout any more.
    pub fn is_closed(&self) -> bool {
        self.stdout.closed
    }

    /// How stdout looks now.
    pub fn look(&self) -> Look {
        let signs = if self.stdout_tty { self.signs } else { Signs::Unicode };
        let now_ms = self.stdout_tty.then(clock::now_ms);
        Look { wide: self.format == Format::Wide, colour: self.colour.0, signs, now_ms }
    }

    /// How stderr looks now.
    pub fn err_look(&self) -> Look {
        let signs = if self.stderr_tty { self.signs } else { Signs::Unicode };
        Look { wide: false, colour: self.colour.1, signs, now_ms: None }
    }

    /// The result: on stdout, and in the file that was asked for.
    pub fn show(&mut self, view: &dyn View) -> Result<(), Failure> {
        self.show_on_stdout(view)?;
        self.save(view)
    }

    pub fn show_on_stdout(&mut self, view: &dyn View) -> Result<(), Failure> {
        let (format, look) = (self.format, self.look());
        render::write(view, format, &look, &mut self.stdout).map_err(|e| stdout_failed(&e))?;
        self.stdout.flush().map_err(|e| stdout_failed(&e))
    }

    /// Only into the file of `--output-file`, where one was asked for.
    pub fn save(&self, view: &dyn View) -> Result<(), Failure> {
        let Some(path) = &self.file else { return Ok(()) };
        let mut bytes = Vec::new();
        render::write(view, format_of(path), &Look::default(), &mut bytes)
            .and_then(|()| fs::write(path, bytes))
            .map_err(|error| {
                Failure::new(
                    ExitCode::Internal,
                    format!("the result could not be written to {}: {error}", path.display()),
                )
                .next("choose another --output-file; what was asked for has happened all the same")
            })
    }

    /// stdout itself, for streams and files that have their own form.
    pub fn out(&mut self) -> &mut dyn Write {
        &mut self.stdout
    }

    /// Progress and remarks on stderr.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    pub fn warn(&mut self, text: &str) {
        let look = self.err_look();
        let word = look.paint(Tone::Warning, "warning");
        self.say(&format!("{word}: {text}"));
    }

    /// Why it did not work, and what to do next.
    pub fn fail(&mut self, failure: &Failure) {
        let look = self.err_look();
        let word = look.paint(Tone::Bad, "error");
        let mut lines = failure.what.lines();
        self.say(&format!("{word}: {}", lines.next().unwrap_or_default()));
        for line in lines {
            self.say(&format!("  {line}"));
        }
        if !failure.next.is_empty() {
            let word = look.paint(Tone::Strong, "next");
            self.say(&format!("{word}: {}", failure.next));
        }
    }

    pub fn done(&mut self, text: &str) {
        let look = self.err_look();
        let sign = look.paint(Tone::Good, look.sign(Sign::Good));
        self.note(&format!("{sign} {text}"));
    }

    /// One line from the person at the terminal; `None` when there is none, or nothing was said.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        if !self.can_ask {
            return None;
        }
        write!(self.stderr, "{question} ").and_then(|()| self.stderr.flush()).ok()?;
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer).ok()?;
        (read > 0).then(|| answer.trim().to_owned())
    }

    fn say(&mut self, text: &str) {
        // Where stderr itself cannot be written there is nowhere left to say so.
        if writeln!(self.stderr, "{text}").and_then(|()| self.stderr.flush()).is_err() {
            self.stderr.closed = true;
        }
    }
}

fn stdout_failed(error: &io::Error) -> Failure {
    Failure::new(ExitCode::Internal, format!("the result could not be written to stdout: {error}"))
}

/// Swallows what comes after its reader has gone.
struct Pipe {
    inner: Box<dyn Write + Send>,
    closed: bool,
}

impl Pipe {
    fn new(inner: Box<dyn Write + Send>) -> Self {
        Self { inner, closed: false }
    }

    fn quietly<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(instead)
            }
            result => result,
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(buf.len());
        }
        let written = self.inner.write(buf);
        self.quietly(written, buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.inner.flush();
        self.quietly(flushed, ())
    }
}

/// The format that a file's ending names.
fn format_of(path: &Path) -> Format {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => Format::Json,
        Some("jsonl" | "ndjson") => Format::Jsonl,
        Some("md" | "markdown") => Format::Markdown,
        _ => Format::Wide,
    }
}

/// Whether the terminal shows more than ASCII.
fn shows_unicode(env: impl Fn(&str) -> Option<String>) -> bool {
    if env("TERM").is_none_or(|term| term == "dumb") {
        return false;
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| env(name).filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::path::Path;

    use super::{Format, Pipe, format_of, shows_unicode};

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let with = |vars: &'static [(&str, &str)]| {
            shows_unicode(|name| {
                vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(with(&[("TERM", "xterm"), ("LANG", "de_DE.UTF-8")]));
        assert!(with(&[("TERM", "xterm"), ("LC_ALL", ""), ("LANG", "C.utf8")]));
        assert!(!with(&[("TERM", "xterm"), ("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(!with(&[("TERM", "dumb"), ("LANG", "de_DE.UTF-8")]));
        assert!(!with(&[("TERM", "xterm")]));
    }

    #[test]
    fn endings() {
        assert_eq!(format_of(Path::new("a.json")), Format::Json);
        assert_eq!(format_of(Path::new("a.jsonl")), Format::Jsonl);
        assert_eq!(format_of(Path::new("a.md")), Format::Markdown);
        assert_eq!(format_of(Path::new("a")), Format::Wide);
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let mut pipe = Pipe::new(Box::new(Gone));
        assert!(!pipe.closed);
        pipe.write_all(b"a line").unwrap();
        assert!(pipe.closed);
        pipe.write_all(b"and more").unwrap();
        pipe.flush().unwrap();
    }
}
