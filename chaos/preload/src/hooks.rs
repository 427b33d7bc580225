//! The functions of libc that change files, by their names.
//!
//! `open` and `fcntl` have a variable number of arguments in C; on the targets that this is built for
//! they arrive where fixed ones would.
//!
//! Safety, for all of them: they have the signatures of libc's own, and what a caller must see to (strings
//! end, buffers are as long as they say) is passed on to the kernel as it came, which checks it.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::io;

use libc::{iovec, mode_t, off_t, size_t, ssize_t};

use crate::calls::{answer, checked, file, path};
use crate::mounts::through;

/// # Safety
/// As `open` of libc.
unsafe fn open_at(dir: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as it came.
    let real = || checked(unsafe { libc::syscall(libc::SYS_openat, dir, name, flags, mode) });
    let changes = flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
    let unnamed = flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let opened = if changes && !unnamed {
        through(|layer| {
            // SAFETY: as it came.
            let path = unsafe { path(dir, name) }?;
            layer.open_file(&path, flags & libc::O_TRUNC != 0, real)
        })
    } else {
        None
    };
    narrow(answer(opened.unwrap_or_else(real)))
}

fn narrow(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}

fn done(result: c_long) -> io::Result<()> {
    checked(result).map(drop)
}

fn plain(result: io::Result<()>) -> c_int {
    narrow(answer(result.map(|()| 0)))
}

/// # Safety
/// As `pwrite` of libc; without an offset, as `write`.
unsafe fn write_to(fd: c_int, data: *const c_void, len: size_t, offset: Option<off_t>) -> ssize_t {
    let real = |len: usize| {
        // SAFETY: as it came, or less of it.
        checked(unsafe {
            match offset {
                Some(offset) => libc::syscall(libc::SYS_pwrite64, fd, data, len, offset),
                None => libc::syscall(libc::SYS_write, fd, data, len),
            }
        })
    };
    let written = through(|layer| {
        if data.is_null() {
            return None;
        }
        // SAFETY: not null, and as long as the caller says.
        let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
        let offset = offset.map(u64::try_from).transpose().ok()?;
        let took = layer.write(&*file(fd)?, offset, bytes, |bytes| {
            real(bytes.len()).and_then(|took| usize::try_from(took).map_err(io::Error::other))
        })?;
        Some(took.and_then(|took| c_long::try_from(took).map_err(io::Error::other)))
    });
    answer(written.unwrap_or_else(|| real(len))) as ssize_t
}

/// # Safety
/// As `pwritev` of libc; without an offset, as `writev`.
unsafe fn write_all_to(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: Option<off_t>,
) -> ssize_t {
    let ours = through(|layer| layer.holds(&*file(fd)?).then_some(())).is_some();
    if ours && !parts.is_null() {
        let mut bytes = Vec::new();
        for place in 0..usize::try_from(count).unwrap_or(0) {
            // SAFETY: `count` parts, each as long as it says, by what the caller has to see to.
            unsafe {
                let part = &*parts.add(place);
                if !part.iov_base.is_null() {
                    bytes.extend_from_slice(std::slice::from_raw_parts(
                        part.iov_base.cast::<u8>(),
                        part.iov_len,
                    ));
                }
            }
        }
        // SAFETY: a buffer of our own.
        return unsafe { write_to(fd, bytes.as_ptr().cast(), bytes.len(), offset) };
    }
    // SAFETY: as it came.
    answer(checked(unsafe {
        match offset {
            // The kernel takes the offset in two halves.
            Some(offset) => libc::syscall(
                libc::SYS_pwritev,
                fd,
                parts,
                c_long::from(count),
                offset,
                offset >> 32,
            ),
            None => libc::syscall(libc::SYS_writev, fd, parts, c_long::from(count)),
        }
    })) as ssize_t
}

/// # Safety
/// As `pread` of libc; without an offset, as `read`.
unsafe fn read_from(fd: c_int, data: *mut c_void, len: size_t, offset: Option<off_t>) -> ssize_t {
    // SAFETY: as it came.
    let read = answer(checked(unsafe {
        match offset {
            Some(offset) => libc::syscall(libc::SYS_pread64, fd, data, len, offset),
            None => libc::syscall(libc::SYS_read, fd, data, len),
        }
    }));
    if let Ok(read) = usize::try_from(read)
        && read > 0
    {
        let flipped = through(|layer| {
            // SAFETY: the kernel has just written so many bytes there.
            let bytes = unsafe { std::slice::from_raw_parts_mut(data.cast::<u8>(), read) };
            let file = file(fd)?;
            layer.holds(&file).then(|| layer.read(&file, bytes))
        });
        if let Some(Err(error)) = flipped {
            return answer(Err(error)) as ssize_t;
        }
    }
    read as ssize_t
}

fn truncate_to(fd: c_int, len: off_t) -> c_int {
    // SAFETY: two numbers.
    let real = || done(unsafe { libc::syscall(libc::SYS_ftruncate, fd, len) });
    let cut = through(|layer| layer.truncate(&*file(fd)?, u64::try_from(len).ok()?, real));
    plain(cut.unwrap_or_else(real))
}

fn allocate(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> io::Result<()> {
    // SAFETY: four numbers.
    let real = || done(unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, len) });
    let allocated = through(|layer| {
        let file = file(fd)?;
        if !layer.holds(&file) {
            return None;
        }
        if mode != 0 {
            // Holes and shifts are not modelled; nobody here makes them.
            return Some(Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
        }
        let end = u64::try_from(offset.checked_add(len)?).ok()?;
        if end <= file.metadata().ok()?.len() { None } else { layer.truncate(&file, end, real) }
    });
    allocated.unwrap_or_else(real)
}

fn sync_one(fd: c_int, call: c_long) -> c_int {
    // SAFETY: a number. Where a layer answers, what is durable is the layer's to say, and the machine's own
    // disk need not be waited for.
    let real = || done(unsafe { libc::syscall(call, fd) });
    let synced = through(|layer| layer.sync(&*file(fd)?, || Ok(())));
    plain(synced.unwrap_or_else(real))
}

/// # Safety
/// As `renameat2` of libc.
unsafe fn rename_at(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: u32,
) -> c_int {
    // SAFETY: as it came.
    let real =
        || done(unsafe { libc::syscall(libc::SYS_renameat2, from_dir, from, to_dir, to, flags) });
    let renamed = through(|layer| {
        // SAFETY: as it came.
        let (from, to) = unsafe { (path(from_dir, from)?, path(to_dir, to)?) };
        layer.rename(&from, &to, real)
    });
    plain(renamed.unwrap_or_else(real))
}

/// # Safety
/// As `unlinkat` of libc.
unsafe fn unlink_at(dir: c_int, name: *const c_char, flags: c_int) -> c_int {
    // SAFETY: as it came.
    let real = || done(unsafe { libc::syscall(libc::SYS_unlinkat, dir, name, flags) });
    // SAFETY: as it came.
    let gone = through(|layer| layer.unlink(&unsafe { path(dir, name) }?, real));
    plain(gone.unwrap_or_else(real))
}

/// # Safety
/// As `linkat` of libc.
unsafe fn link_at(
    from_dir: c_int,
    from: *const c_char,
    to_dir: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    // SAFETY: as it came.
    let real =
        || done(unsafe { libc::syscall(libc::SYS_linkat, from_dir, from, to_dir, to, flags) });
    // SAFETY: as it came.
    let linked = through(|layer| layer.name(&unsafe { path(to_dir, to) }?, false, real));
    plain(linked.unwrap_or_else(real))
}

/// # Safety
/// As `mkdirat` of libc.
unsafe fn make_dir_at(dir: c_int, name: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: as it came.
    let real = || done(unsafe { libc::syscall(libc::SYS_mkdirat, dir, name, mode) });
    // SAFETY: as it came.
    let made = through(|layer| layer.name(&unsafe { path(dir, name) }?, true, real));
    plain(made.unwrap_or_else(real))
}

/// Defines functions of libc: `name(arguments) -> result { body }`.
macro_rules! in_place_of_libc {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty { $($body:tt)* })*) => {$(
        /// # Safety
        /// As libc's own.
        // SAFETY: the name is libc's, and the function keeps what libc promises of it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> $result {
            // SAFETY: what the caller of libc has to see to, the function within asks for too.
            #[allow(unused_unsafe)]
            unsafe { $($body)* }
        }
    )*};
}

in_place_of_libc! {
    open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(libc::AT_FDCWD, name, flags, mode) }
    open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(libc::AT_FDCWD, name, flags | libc::O_LARGEFILE, mode) }
    openat(dir: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(dir, name, flags, mode) }
    openat64(dir: c_int, name: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_at(dir, name, flags | libc::O_LARGEFILE, mode) }
    creat(name: *const c_char, mode: mode_t) -> c_int { open_at(libc::AT_FDCWD, name, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
    creat64(name: *const c_char, mode: mode_t) -> c_int { open_at(libc::AT_FDCWD, name, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }

    write(fd: c_int, data: *const c_void, len: size_t) -> ssize_t { write_to(fd, data, len, None) }
    pwrite(fd: c_int, data: *const c_void, len: size_t, offset: off_t) -> ssize_t { write_to(fd, data, len, Some(offset)) }
    pwrite64(fd: c_int, data: *const c_void, len: size_t, offset: off_t) -> ssize_t { write_to(fd, data, len, Some(offset)) }
    writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t { write_all_to(fd, parts, count, None) }
    pwritev(fd: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t { write_all_to(fd, parts, count, Some(offset)) }
    pwritev64(fd: c_int, parts: *const iovec, count: c_int, offset: off_t) -> ssize_t { write_all_to(fd, parts, count, Some(offset)) }

    read(fd: c_int, data: *mut c_void, len: size_t) -> ssize_t { read_from(fd, data, len, None) }
    pread(fd: c_int, data: *mut c_void, len: size_t, offset: off_t) -> ssize_t { read_from(fd, data, len, Some(offset)) }
    pread64(fd: c_int, data: *mut c_void, len: size_t, offset: off_t) -> ssize_t { read_from(fd, data, len, Some(offset)) }

    ftruncate(fd: c_int, len: off_t) -> c_int { truncate_to(fd, len) }
    ftruncate64(fd: c_int, len: off_t) -> c_int { truncate_to(fd, len) }
    fallocate(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int { plain(allocate(fd, mode, offset, len)) }
    fallocate64(fd: c_int, mode: c_int, offset: off_t, len: off_t) -> c_int { plain(allocate(fd, mode, offset, len)) }
    posix_fallocate(fd: c_int, offset: off_t, len: off_t) -> c_int { allocate(fd, 0, offset, len).map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0) }
    posix_fallocate64(fd: c_int, offset: off_t, len: off_t) -> c_int { allocate(fd, 0, offset, len).map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0) }

    fsync(fd: c_int) -> c_int { sync_one(fd, libc::SYS_fsync) }
    fdatasync(fd: c_int) -> c_int { sync_one(fd, libc::SYS_fdatasync) }
    syncfs(fd: c_int) -> c_int {
        let real = || done(libc::syscall(libc::SYS_syncfs, fd));
        let synced = through(|layer| layer.holds(&*file(fd)?).then(|| layer.sync_all(|| Ok(()))));
        plain(synced.unwrap_or_else(real))
    }

    rename(from: *const c_char, to: *const c_char) -> c_int { rename_at(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
    renameat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char) -> c_int { rename_at(from_dir, from, to_dir, to, 0) }
    renameat2(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: u32) -> c_int { rename_at(from_dir, from, to_dir, to, flags) }
    unlink(name: *const c_char) -> c_int { unlink_at(libc::AT_FDCWD, name, 0) }
    unlinkat(dir: c_int, name: *const c_char, flags: c_int) -> c_int { unlink_at(dir, name, flags) }
    rmdir(name: *const c_char) -> c_int { unlink_at(libc::AT_FDCWD, name, libc::AT_REMOVEDIR) }
    link(from: *const c_char, to: *const c_char) -> c_int { link_at(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
    linkat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_int) -> c_int { link_at(from_dir, from, to_dir, to, flags) }
    mkdir(name: *const c_char, mode: mode_t) -> c_int { make_dir_at(libc::AT_FDCWD, name, mode) }
    mkdirat(dir: c_int, name: *const c_char, mode: mode_t) -> c_int { make_dir_at(dir, name, mode) }

    // Copies within the kernel are refused where a layer would miss them; programs then read and write.
    copy_file_range(from: c_int, from_at: *mut off_t, to: c_int, to_at: *mut off_t, len: size_t, flags: u32) -> ssize_t {
        if through(|layer| layer.holds(&*file(to)?).then_some(())).is_some() {
            return answer(Err(io::Error::from_raw_os_error(libc::EXDEV))) as ssize_t;
        }
        answer(checked(libc::syscall(libc::SYS_copy_file_range, from, from_at, to, to_at, len, flags))) as ssize_t
    }
    sendfile(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t {
        if through(|layer| layer.holds(&*file(to)?).then_some(())).is_some() {
            return answer(Err(io::Error::from_raw_os_error(libc::EINVAL))) as ssize_t;
        }
        answer(checked(libc::syscall(libc::SYS_sendfile, to, from, offset, len))) as ssize_t
    }
    sendfile64(to: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t { sendfile(to, from, offset, len) }
    splice(from: c_int, from_at: *mut off_t, to: c_int, to_at: *mut off_t, len: size_t, flags: u32) -> ssize_t {
        if through(|layer| layer.holds(&*file(to)?).then_some(())).is_some() {
            return answer(Err(io::Error::from_raw_os_error(libc::EINVAL))) as ssize_t;
        }
        answer(checked(libc::syscall(libc::SYS_splice, from, from_at, to, to_at, len, flags))) as ssize_t
    }
}
