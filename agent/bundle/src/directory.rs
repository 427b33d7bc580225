//! The files of a bundle's directory, read once and checked for what no format can carry.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::finding::{Finding, Report};
use crate::sql::split::Places;

/// Larger files are refused: a migration of this size is data, and belongs to a backfill.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A directory's own files and its folders, by name.
#[derive(Debug)]
pub(crate) struct Directory {
    /// As the caller wrote it.
    pub(crate) path: String,
    pub(crate) files: Vec<File>,
    /// Names of the files that are not read: they neither end in `.sql` nor are a format's own.
    pub(crate) others: Vec<String>,
    pub(crate) folders: Vec<Folder>,
}

/// A folder directly below, the place of one Diesel migration.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) name: String,
    pub(crate) files: Vec<File>,
    pub(crate) others: Vec<String>,
    /// What is wrong with its files: of interest to the one format that looks into folders.
    pub(crate) report: Report,
}

/// A file whose text was read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    /// Relative to the bundle's directory, with `/` between its parts.
    pub(crate) path: String,
    /// Without a byte order mark.
    pub(crate) text: String,
    /// It began with a byte order mark.
    pub(crate) marked: bool,
    /// SHA-256 of the bytes on disk.
    pub(crate) digest: [u8; 32],
}

impl File {
    /// The name before `suffix`.
    pub(crate) fn stem(&self, suffix: &str) -> &str {
        self.name.strip_suffix(suffix).unwrap_or(&self.name)
    }
}

/// Reads `path` one level deep. `None`: there is no such directory, and the report says so.
pub(crate) fn read(path: &Path, report: &mut Report) -> Option<Directory> {
    let shown = path.display().to_string();
    let fault = |report: &mut Report, error: &io::Error| {
        report.error(
            &shown,
            (1, 1),
            format!("the directory cannot be read: {error}"),
            "check the path and the permissions; it must be a directory of migrations",
        );
    };
    let root = match fs::canonicalize(path).and_then(|root| fs::read_dir(&root).map(|_| root)) {
        Ok(root) => root,
        Err(error) => {
            fault(report, &error);
            return None;
        }
    };
    let mut found = Found::default();
    if let Err(error) = found.list(&root, &root, "", report) {
        fault(report, &error);
        return None;
    }
    let mut folders = Vec::new();
    for (name, folder) in std::mem::take(&mut found.folders) {
        let mut inner = Found::default();
        let mut report = Report::default();
        if let Err(error) = inner.list(&root, &folder, &format!("{name}/"), &mut report) {
            report.error(
                &name,
                (1, 1),
                format!("the folder cannot be read: {error}"),
                "check its permissions",
            );
        }
        let (files, others) = (inner.files, inner.others);
        folders.push(Folder { name, files, others, report });
    }
    Some(Directory { path: shown, files: found.files, others: found.others, folders })
}

#[derive(Default)]
struct Found {
    files: Vec<File>,
    others: Vec<String>,
    folders: Vec<(String, PathBuf)>,
}

impl Found {
    fn list(
        &mut self,
        root: &Path,
        folder: &Path,
        prefix: &str,
        report: &mut Report,
    ) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = match entry.file_name().into_string() {
                Ok(name) => name,
                Err(name) => {
                    report.error(
                        &format!("{prefix}{}", name.display()),
                        (1, 1),
                        "the file's name is not UTF-8, so that no history table could hold it"
                            .to_owned(),
                        "rename the file",
                    );
                    continue;
                }
            };
            let path = format!("{prefix}{name}");
            match one(root, &entry.path(), &name, &path) {
                Ok(Entry::File(file)) => {
                    if file.marked {
                        report.warn(
                            &file.path,
                            (1, 1),
                            "the byte order mark is left out of what is sent, since no server \
                             takes it"
                                .to_owned(),
                            "save the file as UTF-8 without a byte order mark",
                        );
                    }
                    self.files.push(file);
                }
                Ok(Entry::Folder) => self.folders.push((name, entry.path())),
                Ok(Entry::Other) => self.others.push(name),
                Err(finding) => report.findings.push(finding),
            }
        }
        Ok(())
    }
}

enum Entry {
    File(File),
    Folder,
    Other,
}

/// As the tools do, in small letters only.
pub(crate) fn is_sql(name: &str) -> bool {
    name.strip_suffix(".sql").is_some()
}

/// What each format reads: SQL, and Diesel's settings.
fn is_read(name: &str, path: &str) -> bool {
    is_sql(name) || (name == "metadata.toml" && path != name)
}

fn one(root: &Path, at: &Path, name: &str, path: &str) -> Result<Entry, Finding> {
    let finding = |message: String, help: &str| Finding {
        file: path.to_owned(),
        line: 1,
        column: 1,
        message,
        help: help.to_owned(),
    };
    let fault = |error: &io::Error| {
        finding(format!("the file cannot be read: {error}"), "check its permissions, or remove it")
    };
    let link = fs::symlink_metadata(at).map_err(|error| fault(&error))?.is_symlink();
    if link {
        let target = fs::canonicalize(at).map_err(|error| fault(&error))?;
        if !target.starts_with(root) {
            return Err(finding(
                "the link leads out of the directory, so that the bundle would hold what is not in \
                 it"
                .to_owned(),
                "copy the file into the directory",
            ));
        }
    }
    let metadata = fs::metadata(at).map_err(|error| fault(&error))?;
    if metadata.is_dir() {
        return Ok(Entry::Folder);
    }
    if !is_read(name, path) {
        return Ok(Entry::Other);
    }
    if !metadata.is_file() {
        return Err(finding("this is not a regular file".to_owned(), "remove it"));
    }
    let mut bytes = Vec::new();
    fs::File::open(at)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| fault(&error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(finding(
            "the file is larger than 64 MiB, more than a bundle may hold of one script".to_owned(),
            "load the rows by a data migration, or split the file",
        ));
    }
    let digest = Sha256::digest(&bytes).into();
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..valid).unwrap_or_default();
        let before = String::from_utf8_lossy(before);
        let (line, column) = Places::new(&before, 1).of(before.len());
        Finding {
            file: path.to_owned(),
            line,
            column,
            message: "the file is not UTF-8 from here on, and servers read it as such".to_owned(),
            help: "convert it, for example by `iconv -f LATIN1 -t UTF-8`".to_owned(),
        }
    })?;
    if let Some(at) = text.find('\0') {
        let (line, column) = Places::new(&text, 1).of(at);
        return Err(Finding {
            file: path.to_owned(),
            line,
            column,
            message: "a zero byte stands here, and servers take it for the end of the text"
                .to_owned(),
            help: "remove it; the file may have been saved as UTF-16".to_owned(),
        });
    }
    let (marked, text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text),
    };
    Ok(Entry::File(File { name: name.to_owned(), path: path.to_owned(), text, marked, digest }))
}
