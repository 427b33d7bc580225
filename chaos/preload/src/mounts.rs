//! The layers of this process, and that the layer's own calls pass by it.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use skein_chaos_disk::Layer;

static MOUNTS: RwLock<Vec<(PathBuf, Layer)>> = RwLock::new(Vec::new());
static ENVIRONMENT: OnceLock<()> = OnceLock::new();

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Puts a layer over `root` in this process.
pub fn mount(root: &Path, side: &Path) -> io::Result<()> {
    let layer = inside(|| Layer::open(root, side)).unwrap_or_else(|| Layer::open(root, side))?;
    let mut mounts = MOUNTS.write().unwrap_or_else(PoisonError::into_inner);
    mounts.push((root.to_owned(), layer));
    Ok(())
}

/// Takes the layer over `root` away again.
pub fn unmount(root: &Path) {
    MOUNTS.write().unwrap_or_else(PoisonError::into_inner).retain(|(mounted, _)| mounted != root);
}

/// What the environment says, once.
fn from_environment() {
    ENVIRONMENT.get_or_init(|| {
        let Some(text) = std::env::var_os("SKEIN_DISK") else { return };
        let text = text.into_string().unwrap_or_default();
        for pair in text.split(':').filter(|pair| !pair.is_empty()) {
            let mounted = match pair.split_once('=') {
                Some((root, side)) => Layer::open(Path::new(root), Path::new(side)),
                None => Err(io::Error::other("SKEIN_DISK is ROOT=SIDE[:ROOT=SIDE…]")),
            };
            match mounted {
                Ok(layer) => {
                    let root = pair.split('=').next().unwrap_or_default();
                    MOUNTS
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((PathBuf::from(root), layer));
                }
                Err(error) => broken(&error),
            }
        }
    });
}

/// Runs `work` with the layers passed by; not at all if this thread is in a layer already, or ends.
fn inside<T>(work: impl FnOnce() -> T) -> Option<T> {
    struct Outside;
    impl Drop for Outside {
        fn drop(&mut self) {
            // A thread that ends has nothing to set back.
            let _ended = INSIDE.try_with(|inside| inside.set(false));
        }
    }
    if INSIDE.try_with(|inside| inside.replace(true)).unwrap_or(true) {
        return None;
    }
    let _outside = Outside;
    Some(work())
}

/// What the first layer that feels concerned makes of a call; nothing, if none does.
pub(crate) fn through<T>(mut ask: impl FnMut(&Layer) -> Option<T>) -> Option<T> {
    inside(|| {
        from_environment();
        let mounts = MOUNTS.read().unwrap_or_else(PoisonError::into_inner);
        mounts.iter().find_map(|(_, layer)| ask(layer))
    })
    .flatten()
}

/// A layer that cannot write down what it sees must not let the program go on.
fn broken(error: &io::Error) -> ! {
    eprintln!("the disk layer cannot be put up: {error}");
    std::process::abort()
}
