//! Panics of the simulated processes. tokio catches those of tasks, so that nobody would hear of them.

use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, Once, PoisonError};

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn heard() -> std::sync::MutexGuard<'static, Vec<String>> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on they are written down. What the threads of a dead process do on their way out is its own
/// matter.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if skein_chaos_interpose::is_alive() {
                heard().push(info.to_string());
                before(info);
            }
        }));
    });
    heard().clear();
}

/// Those since the last call.
pub(crate) fn take() -> Vec<String> {
    std::mem::take(&mut heard())
}
