//! libc's own functions, behind the ones that take their place; and the kernel, without libc between.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A system call. Not through libc's `syscall`, which is taken.
///
/// # Safety
/// As for the call itself.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn syscall(number: i64, arguments: [usize; 6]) -> isize {
    let answer: isize;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the kernel's calling convention on x86-64; it overwrites rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// The kernel's answer as libc gives it: -1 and `errno`.
pub(crate) fn answer(value: isize) -> isize {
    if (-4095..0).contains(&value) {
        fail(i32::try_from(-value).unwrap_or(libc::EIO))
    } else {
        value
    }
}

/// -1, with this `errno`.
pub(crate) fn fail(errno: i32) -> isize {
    // SAFETY: errno's place is this thread's own.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// A function of libc that has been taken, found once.
pub(crate) struct Next {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Next {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    pub(crate) fn find(&self) -> *mut c_void {
        let found = self.found.load(Ordering::Relaxed);
        if !found.is_null() {
            return found;
        }
        // SAFETY: looks up a name in the libraries behind this program.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        assert!(!found.is_null(), "libc has no such function");
        self.found.store(found, Ordering::Relaxed);
        found
    }
}
