//! Destinations: names are written once, a full disk leaves nothing, the dead are cleared away.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::support::{FINGERPRINT, files};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};
use skein_agent::backup::{
    Archive, BackupError, Destination, Moved, Progress, Request, Scope, Source, check, take,
};

/// A database of about `mib` MiB that does not compress.
fn database(home: &Path, mib: u32) -> Source {
    let path = home.join("live.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(&format!("CREATE TABLE much (a BLOB); WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {mib}) INSERT INTO much SELECT randomblob(1 << 20) FROM n;"))
        .unwrap();
    Source::from_url(&format!("sqlite://{}", path.display()), None).unwrap()
}

async fn try_take(
    source: &Source,
    destination: &Destination,
    name: &str,
) -> Result<Archive, BackupError> {
    let request =
        Request { source, scope: &Scope::Database, destination, name, fingerprint: FINGERPRINT };
    take(&request, &Progress::none()).await
}

#[tokio::test]
async fn a_name_is_written_once() {
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 1);
    let dir = tempfile::tempdir().unwrap();
    for destination in
        [Destination::directory(dir.path()), Destination::parse("memory:///").unwrap()]
    {
        let first = try_take(&source, &destination, "eu/a.zst").await.unwrap();
        let second = try_take(&source, &destination, "eu/a.zst").await;
        assert!(matches!(second, Err(BackupError::NameTaken { .. })), "{second:?}");
        check(&first, &destination).await.unwrap();
        let third = try_take(&source, &destination, "eu/b.zst").await.unwrap();
        check(&third, &destination).await.unwrap();
    }
}

#[tokio::test]
async fn of_two_writers_of_one_name_one_wins() {
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 3);
    let dir = tempfile::tempdir().unwrap();
    for destination in
        [Destination::directory(dir.path()), Destination::parse("memory:///").unwrap()]
    {
        let racing = (0..4).map(|_| try_take(&source, &destination, "a.zst"));
        let ended = futures::future::join_all(racing).await;
        let (won, lost): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "{lost:?}");
        assert!(lost.iter().all(|it| matches!(it, Err(BackupError::NameTaken { .. }))), "{lost:?}");
        for archive in won.into_iter().flatten() {
            check(&archive, &destination).await.unwrap();
        }
    }
    assert_eq!(files(dir.path()), [dir.path().join("a.zst")]);
}

#[tokio::test]
async fn another_writers_claim_in_a_store_is_respected() {
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 1);
    let store = Arc::new(InMemory::new());
    let destination = Destination::store(store.clone(), "pre/fix".into(), "memory");
    let claim = "pre/fix/a.zst.claim".into();
    store.put(&claim, PutPayload::from_static(b"x")).await.unwrap();
    let refused = try_take(&source, &destination, "a.zst").await;
    assert!(matches!(refused, Err(BackupError::NameTaken { .. })), "{refused:?}");
    store.delete(&claim).await.unwrap();
    try_take(&source, &destination, "a.zst").await.unwrap();
    assert!(store.head(&"pre/fix/a.zst".into()).await.is_ok());
    assert!(store.head(&claim).await.is_err(), "the claim stays behind a finished backup");
}

#[tokio::test]
async fn names_cannot_leave_the_destination() {
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 1);
    let destination = Destination::directory(home.path().join("inside"));
    std::fs::create_dir(home.path().join("inside")).unwrap();
    for name in ["../out.zst", "/tmp/out.zst", "a/../../out.zst", ""] {
        let refused = try_take(&source, &destination, name).await;
        assert!(matches!(refused, Err(BackupError::Name { .. })), "{name}: {refused:?}");
    }
    let nowhere = Destination::directory(home.path().join("not-mounted"));
    let refused = try_take(&source, &nowhere, "a.zst").await;
    assert!(matches!(refused, Err(BackupError::Destination { .. })), "{refused:?}");
}

#[tokio::test]
async fn archives_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 1);
    let dir = tempfile::tempdir().unwrap();
    try_take(&source, &Destination::directory(dir.path()), "eu/a.zst").await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.path().join("eu/a.zst")), 0o600);
    assert_eq!(mode(dir.path().join("eu")), 0o700);
}

#[tokio::test]
async fn what_the_dead_left_is_removed_and_the_living_are_let_be() {
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 1);
    let dir = tempfile::tempdir().unwrap();
    let (dead, living) =
        (dir.path().join(".skein-partial-dead"), dir.path().join(".skein-partial-living"));
    std::fs::write(&dead, "x").unwrap();
    let held = std::fs::File::create(&living).unwrap();
    held.lock().unwrap();
    try_take(&source, &Destination::directory(dir.path()), "a.zst").await.unwrap();
    assert_eq!(files(dir.path()), [living, dir.path().join("a.zst")]);
}

#[tokio::test]
async fn progress_grows_to_the_whole() {
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 8);
    let destination = Destination::parse("memory:///").unwrap();
    let seen = Arc::new(Mutex::new(Vec::<Moved>::new()));
    let told = seen.clone();
    let progress = Progress::new(move |moved| told.lock().unwrap().push(moved));
    let request = Request {
        source: &source,
        scope: &Scope::Database,
        destination: &destination,
        name: "a.zst",
        fingerprint: FINGERPRINT,
    };
    let archive = take(&request, &progress).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= 8, "{seen:?}");
    assert!(seen.is_sorted_by_key(|moved| (moved.dumped, moved.stored)), "{seen:?}");
    let whole = Moved { dumped: archive.bytes_dumped, stored: archive.bytes };
    assert_eq!(seen.last(), Some(&whole));
}

/// A file system of `size`, unmounted with the value.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: &Path, size: &str) -> Result<Self, String> {
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at);
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(Self(at.to_owned()));
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|it| it.success()) || std::thread::panicking());
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let source = database(home.path(), 8);
    let dir = tempfile::tempdir().unwrap();
    // 4 MiB are too little for SQLite's copy, 12 MiB for the archive beside it.
    for size in ["4m", "12m"] {
        let tiny = match Tiny::mount(dir.path(), size) {
            Ok(tiny) => tiny,
            Err(why) => {
                skein_tests::skip(
                    "a_full_disk_is_named_and_leaves_nothing",
                    &format!("no tmpfs: {why}"),
                );
                return;
            }
        };
        let destination = Destination::directory(dir.path());
        let full = try_take(&source, &destination, "eu/a.zst").await;
        assert!(matches!(full, Err(BackupError::NoSpace { .. })), "{size}: {full:?}");
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new(), "{size}");
        drop(tiny);
    }
}
