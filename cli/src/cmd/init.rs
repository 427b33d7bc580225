//! `skein init`: a project to begin with. What is there already stays as it is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use skein_coordinator::charter;

use crate::args::InitArgs;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;

const CONFIG: &str = include_str!("init/skein.toml");
const UP: &str = include_str!("init/0001_create_greetings.up.sql");
const DOWN: &str = include_str!("init/0001_create_greetings.down.sql");

pub(crate) fn run(args: &InitArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let dir = args.dir.as_deref().unwrap_or(Path::new("."));
    let migrations = dir.join("migrations");
    let has_migrations = migrations.is_dir();
    let unwritten = |path: &Path, error: &io::Error| {
        Failure::new(ExitCode::Internal, format!("{} could not be written: {error}", path.display()))
            .next("see whether the directory can be written, then run `skein init` again: it goes on where it stopped")
    };
    fs::create_dir_all(&migrations).map_err(|error| unwritten(&migrations, &error))?;
    let mut files = vec![("skein.toml", CONFIG), ("charter.toml", charter::DEFAULT)];
    // An empty file is an empty SQLite database: there is something to migrate at once.
    files.push(("local.db", ""));
    // A directory that was there before holds migrations of its own.
    if !has_migrations {
        files.push(("migrations/0001_create_greetings.up.sql", UP));
        files.push(("migrations/0001_create_greetings.down.sql", DOWN));
    }
    for (name, text) in files {
        let path = dir.join(name);
        match create(&path, text) {
            Ok(()) => screen.done(&format!("wrote {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                screen.note(&format!("  kept {}", path.display()));
            }
            Err(error) => return Err(unwritten(&path, &error)),
        }
    }
    screen.note("next: put your targets into skein.toml, then skein plan");
    Ok(ExitCode::Done)
}

/// Never over another file, not even one that appears at this moment.
fn create(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use skein_agent::config::File;

    use super::{CONFIG, create};

    #[test]
    fn the_file_is_one_that_skein_reads() {
        let file = File::parse(CONFIG, Path::new("skein.toml"), Path::new("/project")).unwrap();
        assert_eq!(file.targets.len(), 1);
        assert!(file.coordinator.is_none());
    }

    /// Each line that a reader may take the `#` from is one that skein reads, too.
    #[test]
    fn so_is_what_it_offers() {
        let offered: Vec<&str> =
            CONFIG.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
        let offered = offered.join("\n");
        let file = File::parse(&offered, Path::new("skein.toml"), Path::new("/project")).unwrap();
        assert_eq!(file.targets.len(), 2);
        assert_eq!(file.strategy.waves.len(), 1);
        assert!(file.coordinator.is_some());
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("skein.toml");
        create(&path, "mine").unwrap();
        assert!(create(&path, "other").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
