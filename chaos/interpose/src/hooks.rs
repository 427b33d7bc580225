//! The functions that take the place of libc's: who is in no simulation gets what libc would do.

use std::ffi::c_void;
use std::sync::atomic::AtomicU32;

use crate::real::{self, Next, answer, fail};
use crate::{baton, chance, clock};

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, flags: u32) -> isize {
    // SAFETY: the caller's buffer.
    if chance::fill(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), len) }) {
        return isize::try_from(len).unwrap_or(0);
    }
    // SAFETY: the caller's arguments.
    answer(unsafe {
        real::syscall(libc::SYS_getrandom, [buffer as usize, len, flags as usize, 0, 0, 0])
    })
}

/// In a simulation always the same: SQLite mixes it into its random numbers.
#[unsafe(no_mangle)]
pub extern "C" fn getpid() -> libc::pid_t {
    if baton::is_member() {
        return 1_000;
    }
    // SAFETY: has no arguments.
    let number = unsafe { real::syscall(libc::SYS_getpid, [0; 6]) };
    libc::pid_t::try_from(number).unwrap_or(0)
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, at: *mut libc::timespec) -> i32 {
    if let Some(now) = clock::read(clock) {
        // SAFETY: the caller's place.
        unsafe {
            (*at).tv_sec = i64::try_from(now / 1_000_000_000).unwrap_or(i64::MAX);
            (*at).tv_nsec = i64::try_from(now % 1_000_000_000).unwrap_or(0);
        }
        return 0;
    }
    static REAL: Next = Next::new(c"clock_gettime");
    // SAFETY: libc's function of that name.
    let real: unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> i32 =
        unsafe { std::mem::transmute(REAL.find()) };
    // SAFETY: the caller's arguments.
    unsafe { real(clock, at) }
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(at: *mut libc::timeval, zone: *mut c_void) -> i32 {
    if let Some(now) = clock::read(libc::CLOCK_REALTIME) {
        // SAFETY: the caller's place.
        unsafe {
            (*at).tv_sec = i64::try_from(now / 1_000_000_000).unwrap_or(i64::MAX);
            (*at).tv_usec = i64::try_from(now % 1_000_000_000 / 1_000).unwrap_or(0);
        }
        return 0;
    }
    // SAFETY: the caller's arguments.
    let done = answer(unsafe {
        real::syscall(libc::SYS_gettimeofday, [at as usize, zone as usize, 0, 0, 0, 0])
    });
    i32::try_from(done).unwrap_or(-1)
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(at: *mut libc::time_t) -> libc::time_t {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place of this function's own.
    unsafe { clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    if !at.is_null() {
        // SAFETY: the caller's place.
        unsafe { *at = now.tv_sec };
    }
    now.tv_sec
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nanosleep(for_: *const libc::timespec, left: *mut libc::timespec) -> i32 {
    if baton::is_member() {
        // SAFETY: the caller's place.
        baton::sleep(clock::nanoseconds(unsafe { &*for_ }));
        return 0;
    }
    // SAFETY: the caller's arguments.
    let done = answer(unsafe {
        real::syscall(libc::SYS_nanosleep, [for_ as usize, left as usize, 0, 0, 0, 0])
    });
    i32::try_from(done).unwrap_or(-1)
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(microseconds: u32) -> i32 {
    let nanoseconds = u64::from(microseconds) * 1_000;
    let for_ = libc::timespec {
        tv_sec: i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0),
        tv_nsec: i64::try_from(nanoseconds % 1_000_000_000).unwrap_or(0),
    };
    // SAFETY: a place of this function's own.
    unsafe { nanosleep(&raw const for_, std::ptr::null_mut()) }
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sched_yield() -> i32 {
    if baton::is_member() {
        baton::yield_now();
    } else {
        // SAFETY: has no arguments.
        unsafe { real::syscall(libc::SYS_sched_yield, [0; 6]) };
    }
    0
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    handle: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> i32 {
    static REAL: Next = Next::new(c"pthread_create");
    type Create = unsafe extern "C" fn(
        *mut libc::pthread_t,
        *const libc::pthread_attr_t,
        extern "C" fn(*mut c_void) -> *mut c_void,
        *mut c_void,
    ) -> i32;
    // SAFETY: libc's function of that name.
    let real: Create = unsafe { std::mem::transmute(REAL.find()) };
    // SAFETY: the caller's arguments.
    unsafe {
        if baton::is_member() {
            baton::create(real, handle, attributes, routine, argument)
        } else {
            real(handle, attributes, routine, argument)
        }
    }
}

/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_join(handle: libc::pthread_t, value: *mut *mut c_void) -> i32 {
    if baton::is_member() {
        baton::join(handle);
    }
    static REAL: Next = Next::new(c"pthread_join");
    // SAFETY: libc's function of that name.
    let real: unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> i32 =
        unsafe { std::mem::transmute(REAL.find()) };
    // SAFETY: the caller's arguments.
    unsafe { real(handle, value) }
}

/// Waits for futexes by the baton; passes everything else on.
///
/// # Safety
/// As for libc's. Declared with six arguments in registers, as a caller of the variadic one passes them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: libc::c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> libc::c_long {
    if number == libc::SYS_futex && baton::is_member() {
        // SAFETY: the caller's arguments.
        if let Some(done) = unsafe { futex(a, b, c, d, f) } {
            return done;
        }
    }
    if number == libc::SYS_getrandom && baton::is_member() {
        // SAFETY: the caller's buffer.
        return unsafe { getrandom(a as *mut c_void, b, 0) as libc::c_long };
    }
    // SAFETY: the caller's arguments.
    answer(unsafe { real::syscall(number, [a, b, c, d, e, f]) }) as libc::c_long
}

#[expect(clippy::cast_possible_truncation, reason = "a futex's value and bits have 32 bits")]
unsafe fn futex(
    address: usize,
    operation: usize,
    value: usize,
    time: usize,
    bits: usize,
) -> Option<i64> {
    const ANY: u32 = u32::MAX;
    let command =
        i32::try_from(operation).ok()? & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    let limit = (time != 0).then_some(time as *const libc::timespec);
    let failed = match command {
        libc::FUTEX_WAKE => return Some(baton::futex_wake(address, value as u32, ANY).into()),
        libc::FUTEX_WAKE_BITSET => {
            return Some(baton::futex_wake(address, value as u32, bits as u32).into());
        }
        libc::FUTEX_WAIT => {
            // From now on. SAFETY: the caller's place.
            let deadline = limit
                .map(|limit| clock::now().saturating_add(clock::nanoseconds(unsafe { &*limit })));
            // SAFETY: the caller's word.
            unsafe { baton::futex_wait(address as *const AtomicU32, value as u32, deadline, ANY) }
        }
        libc::FUTEX_WAIT_BITSET => {
            // By the monotonic clock. SAFETY: the caller's place.
            let deadline = limit.map(|limit| clock::since_beginning(unsafe { &*limit }));
            // SAFETY: the caller's word.
            unsafe {
                baton::futex_wait(address as *const AtomicU32, value as u32, deadline, bits as u32)
            }
        }
        _ => return None,
    };
    Some(if failed == 0 { 0 } else { fail(failed) as i64 })
}
