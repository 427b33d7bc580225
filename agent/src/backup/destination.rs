//! Where archives are kept, under names that are written once.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path as StorePath;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use url::Url;

use super::archive::{Archive, Progress, Sha256};
use super::error::BackupError;
use super::local::{self, Partial};
use super::remote::{At, Upload};
use super::stream::{self, CHUNKS_MAX, ChunkReader, ChunkWriter, PackError, Sink};

/// A directory or an object store. An existing name is never overwritten in either.
#[derive(Clone)]
pub struct Destination(Kind);

#[derive(Clone)]
enum Kind {
    Directory(PathBuf),
    Store { store: Arc<dyn ObjectStore>, prefix: StorePath, shown: String },
}

impl Destination {
    /// A directory, which must exist when a backup is taken.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Directory(path.into()))
    }

    /// An object store, below `prefix`. `shown` is how errors name it, without credentials.
    pub fn store(store: Arc<dyn ObjectStore>, prefix: StorePath, shown: impl Into<String>) -> Self {
        Self(Kind::Store { store, prefix, shown: shown.into() })
    }

    /// Reads a path, `file:///path`, `memory:///` (gone with the process), or the URL of an object
    /// store that this binary was built for (`s3://bucket/prefix` and the like; credentials come
    /// from the store's usual environment variables).
    ///
    /// # Errors
    ///
    /// [`BackupError::Destination`] where the URL cannot be used, without its credentials.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        if !text.contains("://") {
            return Ok(Self::directory(text));
        }
        let refused =
            |shown: &str, what: String| BackupError::Destination { shown: shown.to_owned(), what };
        let url = Url::parse(text).map_err(|error| refused("URL", error.to_string()))?;
        let shown =
            format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
        match url.scheme() {
            "file" => match url.to_file_path() {
                Ok(path) => Ok(Self::directory(path)),
                Err(()) => Err(refused(&shown, "write it as file:///path".to_owned())),
            },
            "memory" => Ok(Self::store(Arc::new(InMemory::new()), StorePath::default(), shown)),
            _ => {
                // Pairs that are no valid text cannot be a store's setting.
                let environment = std::env::vars_os().filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                });
                match object_store::parse_url_opts(&url, environment) {
                    Ok((store, prefix)) => Ok(Self::store(Arc::from(store), prefix, shown)),
                    // The store's own words may repeat the URL.
                    Err(_) => Err(refused(
                        &shown,
                        "this binary was built without its feature (s3, gcs, azure), or the store's settings in the environment are incomplete".to_owned(),
                    )),
                }
            }
        }
    }

    /// Where temporary copies go: beside the archives where that is a directory.
    pub(super) fn scratch(&self) -> PathBuf {
        match &self.0 {
            Kind::Directory(root) => root.clone(),
            Kind::Store { .. } => std::env::temp_dir(),
        }
    }

    /// Reserves `name`: from now on either [`Pending::fill`] and [`Filled::publish`], or nothing.
    pub(super) async fn begin(&self, name: &str) -> Result<Pending, BackupError> {
        let path = checked(name)?;
        match &self.0 {
            Kind::Directory(root) => {
                let root = root.clone();
                blocking("preparing the destination", move || {
                    let to = root.join(path.as_ref());
                    let dir = local::prepare(&to, &root)?;
                    Ok(Pending(Writing::File { partial: Partial::create(&dir)?, to, root }))
                })
                .await
            }
            Kind::Store { store, prefix, shown } => {
                let at = at(store, prefix, shown, (name, &path));
                Ok(Pending(Writing::Object(Box::new(Upload::begin(at).await?))))
            }
        }
    }

    /// The archive's bytes as they are stored, to be read on a blocking thread, and their number.
    pub(super) async fn open(
        &self,
        name: &str,
    ) -> Result<(Box<dyn Read + Send>, u64), BackupError> {
        let path = checked(name)?;
        match &self.0 {
            Kind::Directory(root) => {
                let (at, name, shown) =
                    (root.join(path.as_ref()), name.to_owned(), self.to_string());
                blocking("opening the archive", move || {
                    let opened =
                        File::open(&at).and_then(|file| Ok((file.metadata()?.len(), file)));
                    match opened {
                        Ok((bytes, file)) => Ok((Box::new(file) as Box<dyn Read + Send>, bytes)),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {
                            Err(BackupError::Missing { name, destination: shown })
                        }
                        Err(error) => Err(BackupError::io("opening", &at, error)),
                    }
                })
                .await
            }
            Kind::Store { store, prefix, shown } => {
                let (from, bytes) = at(store, prefix, shown, (name, &path)).open().await?;
                Ok((Box::new(ChunkReader::new(from)), bytes))
            }
        }
    }

    /// Opens an archive whose size is what it was; the cheapest finding first.
    pub(super) async fn open_whole(
        &self,
        archive: &Archive,
    ) -> Result<Box<dyn Read + Send>, BackupError> {
        let (reader, bytes) = self.open(&archive.location).await?;
        if bytes != archive.bytes {
            return Err(BackupError::SizeDiffers {
                name: archive.location.clone(),
                expected: archive.bytes,
                found: bytes,
            });
        }
        Ok(reader)
    }
}

fn at(
    store: &Arc<dyn ObjectStore>,
    prefix: &StorePath,
    shown: &str,
    name: (&str, &StorePath),
) -> At {
    At {
        store: store.clone(),
        path: prefix.parts().chain(name.1.parts()).collect(),
        name: name.0.to_owned(),
        destination: shown.to_owned(),
    }
}

/// A reserved name.
#[derive(Debug)]
pub(super) struct Pending(Writing);

#[derive(Debug)]
enum Writing {
    File { partial: Partial, to: PathBuf, root: PathBuf },
    Object(Box<Upload>),
}

/// Bytes that are written and have no name yet.
#[derive(Debug)]
pub(super) struct Filled {
    writing: Writing,
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
    pub(super) bytes_dumped: u64,
}

impl Pending {
    /// Compresses and writes all of `from`.
    pub(super) async fn fill(
        self,
        from: impl Read + Send + 'static,
        progress: &Progress,
    ) -> Result<Filled, BackupError> {
        let progress = progress.clone();
        match self.0 {
            Writing::File { partial, to, root } => {
                blocking("writing the archive", move || {
                    let packed = stream::pack(from, Sink::File(partial), &progress)
                        .map_err(|error| failed(error, &to))?;
                    let Sink::File(partial) = packed.sink else {
                        return Err(failed(PackError::Write(io::ErrorKind::Other.into()), &to));
                    };
                    Ok(Filled {
                        writing: Writing::File { partial, to, root },
                        sha256: packed.sha256,
                        bytes: packed.bytes,
                        bytes_dumped: packed.bytes_dumped,
                    })
                })
                .await
            }
            Writing::Object(mut upload) => {
                let (to, chunks) = mpsc::channel(CHUNKS_MAX);
                let sink = Sink::Chunks(ChunkWriter::new(to));
                let packing = blocking("compressing", move || {
                    stream::pack(from, sink, &progress)
                        .map(|packed| (packed.sha256, packed.bytes, packed.bytes_dumped))
                        .map_err(|error| failed(error, Path::new("the upload")))
                });
                let (packed, fed) = tokio::join!(packing, upload.feed(chunks));
                // The store's reason explains why the writer met a closed channel.
                match fed.and(packed) {
                    Ok((sha256, bytes, bytes_dumped)) => {
                        Ok(Filled { writing: Writing::Object(upload), sha256, bytes, bytes_dumped })
                    }
                    Err(error) => {
                        upload.discard().await;
                        Err(error)
                    }
                }
            }
        }
    }
}

impl Filled {
    /// Makes it durable under its name.
    pub(super) async fn publish(self) -> Result<(), BackupError> {
        match self.writing {
            Writing::File { partial, to, root } => {
                blocking("naming the archive", move || partial.publish(&to, &root)).await
            }
            Writing::Object(upload) => upload.publish().await,
        }
    }

    /// Removes it: the dump tool failed after all.
    pub(super) async fn discard(self) {
        match self.writing {
            Writing::File { partial, .. } => drop(partial),
            Writing::Object(upload) => upload.discard().await,
        }
    }
}

/// The destination without credentials.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Directory(root) => root.display().fmt(f),
            Kind::Store { shown, .. } => f.write_str(shown),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

/// Runs `work` on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    spawn_blocking(work).await.map_err(|source| BackupError::Task { doing, source })?
}

fn failed(error: PackError, to: &Path) -> BackupError {
    match error {
        PackError::Read(error) => BackupError::io("reading the dump for", to, error),
        PackError::Write(error) => BackupError::io("writing", to, error),
    }
}

/// A name is the same everywhere: plain parts, no way out of the destination.
fn checked(name: &str) -> Result<StorePath, BackupError> {
    let refused = |why| Err(BackupError::Name { name: name.to_owned(), why });
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '=' | '@');
    if name.is_empty() || name.len() > 1024 {
        return refused("it is empty or longer than 1024 bytes");
    }
    if !name.chars().all(plain) {
        return refused("it has a character that some store or shell would change");
    }
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.len() > 200) {
        return refused("a part of it is empty, begins with a dot, or is longer than 200 bytes");
    }
    Ok(name.split('/').map(object_store::path::PathPart::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for bad in
            ["", "/a", "a//b", "../a", "a/../b", ".hidden", "a/", "a b", "a\nb", "ä", "a%2fb"]
        {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
        assert_eq!(checked("eu/orders-017/42.zst").unwrap().as_ref(), "eu/orders-017/42.zst");
    }

    #[test]
    fn destinations_are_read_without_their_secrets() {
        let shown = |text| Destination::parse(text).map(|it| it.to_string());
        assert_eq!(shown("/var/backups").unwrap(), "/var/backups");
        assert_eq!(shown("file:///var/backups").unwrap(), "/var/backups");
        let error = shown("ftp://user:canary@host/x?key=canary").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}
