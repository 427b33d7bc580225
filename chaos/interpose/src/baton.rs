//! Threads that take turns. One of a simulation's threads has the baton and runs; it passes it on where
//! it waits, ends, or wakes others; and who gets it follows from the order of what happened.
//!
//! Waiting is waiting for a futex: std, tokio, `parking_lot` and everything above them wait so. A wait
//! with a time limit ends when the simulated clock has passed it, or when nobody can do anything else.
//! The thread that drives goes on only when all others wait: what it wakes is done when it returns.

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::owner::{self, Owner};
use crate::{clock, real};

/// The thread that drives.
const DRIVER: u32 = 1;

/// What a thread waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// A wake at this address, by somebody whose bits meet these.
    Wake { address: usize, bits: u32 },
    /// Time alone.
    Time,
    /// The end of a thread.
    End(u32),
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    thread: u32,
    what: For,
    deadline: Option<u64>,
}

#[derive(Debug)]
struct Thread {
    /// 1: it has the baton.
    go: &'static AtomicU32,
    handle: libc::pthread_t,
    owner: Owner,
    ended: bool,
    timed_out: bool,
}

#[derive(Debug, Default)]
struct Baton {
    /// By number, from 1.
    threads: Vec<Thread>,
    ready: VecDeque<u32>,
    /// In the order in which they came.
    waiting: Vec<Waiter>,
}

thread_local! {
    /// This thread's number in the simulation; 0: it is in none.
    static MEMBER: Cell<u32> = const { Cell::new(0) };
}

/// Guards the baton while it changes hands. No lock of std: that would wait by the calls made here.
static LOCKED: AtomicBool = AtomicBool::new(false);

struct Shared(UnsafeCell<Baton>);
// SAFETY: looked at only under `LOCKED`.
unsafe impl Sync for Shared {}
static BATON: Shared = Shared(UnsafeCell::new(Baton {
    threads: Vec::new(),
    ready: VecDeque::new(),
    waiting: Vec::new(),
}));

fn with<T>(work: impl FnOnce(&mut Baton) -> T) -> T {
    while LOCKED.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        std::hint::spin_loop();
    }
    // SAFETY: `LOCKED` is held, and `work` calls nothing that takes it.
    let done = work(unsafe { &mut *BATON.0.get() });
    LOCKED.store(false, Ordering::Release);
    done
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    let operation = usize::try_from(operation | libc::FUTEX_PRIVATE_FLAG).unwrap_or(0);
    let number = libc::SYS_futex;
    // SAFETY: the word lives for ever.
    unsafe {
        real::syscall(number, [word.as_ptr() as usize, operation, value as usize, 0, 0, 0]);
    }
}

/// Waits for the baton.
fn receive(go: &AtomicU32) {
    while go.swap(0, Ordering::Acquire) == 0 {
        futex(go, libc::FUTEX_WAIT, 0);
    }
}

fn give(go: &AtomicU32) {
    go.store(1, Ordering::Release);
    futex(go, libc::FUTEX_WAKE, 1);
}

impl Baton {
    fn thread(&mut self, number: u32) -> &mut Thread {
        &mut self.threads[number as usize - 1]
    }

    fn enrol(&mut self, owner: Owner) -> (u32, &'static AtomicU32) {
        let go: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
        self.threads.push(Thread { go, handle: 0, owner, ended: false, timed_out: false });
        (u32::try_from(self.threads.len()).unwrap_or(u32::MAX), go)
    }

    /// Who is next. The one that drives comes last, unless `fair`.
    fn next(&mut self, fair: bool) -> u32 {
        let at = self.ready.iter().position(|thread| fair || *thread != DRIVER);
        if let Some(thread) = self.ready.remove(at.unwrap_or(0)) {
            return thread;
        }
        // Nobody can go on: time passes until somebody can.
        let due = self
            .waiting
            .iter()
            .enumerate()
            .filter_map(|(at, waiter)| Some((waiter.deadline?, at)))
            .min();
        let Some((deadline, at)) = due else {
            die("all threads of the simulation wait for each other")
        };
        clock::set(deadline);
        let waiter = self.waiting.remove(at);
        self.thread(waiter.thread).timed_out = true;
        waiter.thread
    }

    fn rouse(&mut self, timed_out: bool, which: impl Fn(&Waiter) -> bool, most: u32) -> u32 {
        let mut roused = 0;
        let mut at = 0;
        while let Some(waiter) = self.waiting.get(at)
            && roused < most
        {
            if which(waiter) {
                let waiter = self.waiting.remove(at);
                self.thread(waiter.thread).timed_out = timed_out;
                self.ready.push_back(waiter.thread);
                roused += 1;
            } else {
                at += 1;
            }
        }
        roused
    }
}

/// Says why, and ends the process: there is no way to go on.
fn die(why: &str) -> ! {
    let line = format!("interpose: {why}\n");
    // SAFETY: writes a string that is there, and ends.
    unsafe {
        real::syscall(libc::SYS_write, [2, line.as_ptr() as usize, line.len(), 0, 0, 0]);
        libc::abort()
    }
}

pub(crate) fn begin() {
    with(|baton| {
        assert!(baton.threads.is_empty(), "one simulation at a time in a process");
        baton.enrol(Owner::default());
    });
    MEMBER.set(DRIVER);
}

pub(crate) fn end() {
    MEMBER.set(0);
    with(|baton| *baton = Baton::default());
}

/// Whether this thread is in a simulation.
pub(crate) fn is_member() -> bool {
    MEMBER.get() != 0
}

/// Whose thread this is; `None` for the one that drives, which is everybody's.
pub(crate) fn inherited_owner() -> Option<Owner> {
    let me = MEMBER.get();
    (me > DRIVER).then(|| with(|baton| baton.thread(me).owner))
}

/// Gives the baton to `next`, and waits for it again.
fn pass(me: u32, next: u32) {
    if me == next {
        return;
    }
    let (mine, theirs) = with(|baton| (baton.thread(me).go, baton.thread(next).go));
    give(theirs);
    receive(mine);
}

/// Waits; whether it was time that ended the wait.
fn wait(what: For, deadline: Option<u64>) -> bool {
    let me = MEMBER.get();
    let next = with(|baton| {
        baton.waiting.push(Waiter { thread: me, what, deadline });
        baton.next(false)
    });
    pass(me, next);
    with(|baton| baton.thread(me).timed_out)
}

/// Lets others go on first: all of them, if this is the thread that drives.
pub(crate) fn yield_now() {
    let me = MEMBER.get();
    let next = with(|baton| {
        baton.ready.push_back(me);
        baton.next(me != DRIVER)
    });
    pass(me, next);
}

/// Waits for so long, if this thread does not drive: time stands still while that one waits.
pub(crate) fn sleep(nanoseconds: u64) {
    if MEMBER.get() > DRIVER {
        wait(For::Time, Some(clock::now().saturating_add(nanoseconds)));
    }
}

/// Time has come this far.
pub(crate) fn expire(now: u64) {
    with(|baton| {
        let mut due: Vec<(u64, u32)> = baton
            .waiting
            .iter()
            .filter_map(|waiter| Some((waiter.deadline.filter(|at| *at <= now)?, waiter.thread)))
            .collect();
        due.sort_unstable();
        for (_, thread) in due {
            baton.rouse(true, |waiter| waiter.thread == thread, 1);
        }
    });
    yield_now();
}

/// Ends the waits for time of a dead owner's threads; how many.
pub(crate) fn release_owned(owner: Owner) -> u32 {
    let released = with(|baton| {
        let theirs: Vec<u32> = (1..)
            .zip(&baton.threads)
            .filter(|(_, thread)| thread.owner == owner && !thread.ended)
            .map(|(number, _)| number)
            .collect();
        let asleep = |waiter: &Waiter| waiter.deadline.is_some() && theirs.contains(&waiter.thread);
        baton.rouse(true, asleep, u32::MAX)
    });
    yield_now();
    released
}

/// Lets a dead owner's threads run to their ends; whether all of them came there.
pub(crate) fn bury(owner: Owner) -> bool {
    let mut rounds = 0;
    while release_owned(owner) > 0 && rounds < 1_000 {
        rounds += 1;
    }
    with(|baton| baton.threads.iter().all(|thread| thread.ended || thread.owner != owner))
}

/// `FUTEX_WAIT`: an errno, or 0.
///
/// # Safety
/// `address` is a futex.
pub(crate) unsafe fn futex_wait(
    address: *const AtomicU32,
    value: u32,
    deadline: Option<u64>,
    bits: u32,
) -> i32 {
    // SAFETY: the caller's word.
    if unsafe { (*address).load(Ordering::SeqCst) } != value {
        return libc::EAGAIN;
    }
    let what = For::Wake { address: address as usize, bits };
    if wait(what, deadline) { libc::ETIMEDOUT } else { 0 }
}

/// `FUTEX_WAKE`: how many.
pub(crate) fn futex_wake(address: usize, most: u32, bits: u32) -> u32 {
    let at_address = |waiter: &Waiter| matches!(waiter.what, For::Wake { address: at, bits: theirs } if at == address && theirs & bits != 0);
    let roused = with(|baton| baton.rouse(false, at_address, most));
    if roused > 0 && MEMBER.get() == DRIVER {
        yield_now();
    }
    roused
}

/// What a new thread starts with.
struct Start {
    number: u32,
    go: &'static AtomicU32,
    routine: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
}

extern "C" fn start(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `create` made it, for this thread alone.
    let start = unsafe { Box::from_raw(argument.cast::<Start>()) };
    let Start { number, go, routine, argument } = *start;
    receive(go);
    MEMBER.set(number);
    // What ends a thread comes behind the destructors of its locals, which may wait and wake.
    // SAFETY: the key is there.
    unsafe { libc::pthread_setspecific(key(), std::ptr::without_provenance(1)) };
    routine(argument)
}

fn key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: fills the key in.
        unsafe { libc::pthread_key_create(&raw mut key, Some(over)) };
        key
    })
}

/// A thread is over: who waits for its end is woken, and the baton goes on.
extern "C" fn over(_: *mut c_void) {
    let me = MEMBER.replace(0);
    if me == 0 {
        return;
    }
    let next = with(|baton| {
        baton.thread(me).ended = true;
        baton.rouse(false, |waiter| waiter.what == For::End(me), u32::MAX);
        let next = baton.next(false);
        baton.thread(next).go
    });
    give(next);
}

type Create = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    extern "C" fn(*mut c_void) -> *mut c_void,
    *mut c_void,
) -> i32;

/// Starts a thread of this simulation; it runs until it waits before this returns.
///
/// # Safety
/// As for `pthread_create`, which `create` is.
pub(crate) unsafe fn create(
    create: Create,
    handle: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> i32 {
    key();
    let owner = owner::here();
    let (number, go) = with(|baton| baton.enrol(owner));
    let begun = Box::into_raw(Box::new(Start { number, go, routine, argument }));
    // SAFETY: the caller's arguments, and a routine of this module.
    let failed = unsafe { create(handle, attributes, start, begun.cast()) };
    with(|baton| {
        let thread = baton.thread(number);
        if failed == 0 {
            // SAFETY: it has just been written.
            thread.handle = unsafe { *handle };
            baton.ready.push_back(number);
        } else {
            thread.ended = true;
        }
    });
    if failed == 0 {
        yield_now();
    }
    failed
}

/// Waits until a thread that is about to be joined is over.
pub(crate) fn join(handle: libc::pthread_t) {
    let running = with(|baton| {
        let joined =
            (1..).zip(&baton.threads).find(|(_, thread)| thread.handle == handle && !thread.ended);
        joined.map(|(number, _)| number)
    });
    if let Some(number) = running {
        wait(For::End(number), None);
    }
}
