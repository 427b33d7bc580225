//! The kernel's own calls, with errors as Rust has them.

use std::ffi::{CStr, c_char, c_int, c_long};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The result of a raw system call.
pub(crate) fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `result` as C has it: -1 and `errno`.
pub(crate) fn answer(result: io::Result<c_long>) -> c_long {
    result.unwrap_or_else(|error| {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        // SAFETY: libc gives each thread a place of its own for errno, which is always valid.
        unsafe { *libc::__errno_location() = errno };
        -1
    })
}

/// The program's file, which stays its own.
pub(crate) fn file(fd: c_int) -> Option<ManuallyDrop<std::fs::File>> {
    if fd < 0 {
        return None;
    }
    // SAFETY: never closed here; a descriptor that is not open makes each call on it fail, as it should.
    Some(ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) }))
}

/// The path that a C string names, seen from a directory.
///
/// # Safety
/// `path` is null or a C string, as the caller of libc has to see to.
pub(crate) unsafe fn path(dir: c_int, path: *const c_char) -> Option<PathBuf> {
    if path.is_null() {
        return None;
    }
    // SAFETY: not null, and a C string by what this function asks for.
    let path = Path::new(std::ffi::OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    if path.is_absolute() || dir == libc::AT_FDCWD {
        return Some(path.to_owned());
    }
    Some(std::fs::read_link(format!("/proc/self/fd/{dir}")).ok()?.join(path))
}
