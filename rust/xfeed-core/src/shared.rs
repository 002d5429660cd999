//! One value, many readers, one writer at a time, and nobody waits long.
//!
//! A plain reader-writer lock makes a reader wait for as long as the writer has work: a million
//! posts that arrive at once would be seconds in which nobody gets a feed. So the writer's role
//! (who may write next) and the write lock (who writes now) are two locks. [`Shared::write_batches`]
//! keeps the role to its end and gives the write lock to those who wait after every batch; a reader
//! waits for one batch at most, and always sees whole batches. [`Shared::freeze`] takes the role and
//! reads: writers wait, readers go on, and the value stands still while a snapshot is written.
//!
//! The price: a reader that holds on for long holds up the writer and everyone who comes after it,
//! so closures given to [`Shared::read`] should be short. The locks are always taken in the same
//! order (role, then value), so they cannot block each other; a closure must not call back into the
//! value that it was given, except [`Shared::read`] inside [`Shared::freeze`].

use sync::{RwLock, Turns};

/// A value behind the two locks.
#[derive(Debug, Default)]
pub struct Shared<T> {
    role: Turns,
    value: RwLock<Held<T>>,
}

#[derive(Debug, Default)]
struct Held<T> {
    value: T,
    /// A closure is changing the value, or panicked while it did.
    changing: bool,
}

impl<T> Held<T> {
    /// A value that a panic left half changed would give wrong answers, so nobody gets it again.
    fn check(&self) {
        assert!(
            !self.changing,
            "an earlier panic left this state half changed; hint: open it anew"
        );
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.check();
        self.changing = true;
        let result = change(&mut self.value);
        self.changing = false;
        result
    }
}

impl<T> Shared<T> {
    /// Shares `value`.
    pub fn new(value: T) -> Self {
        Self {
            role: Turns::new(()),
            value: RwLock::new(Held {
                value,
                changing: false,
            }),
        }
    }

    /// Reads the value. Waits for one batch of a writer at most.
    ///
    /// # Panics
    /// When a closure panicked while it changed the value.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        let held = sync::read(&self.value);
        held.check();
        look(&held.value)
    }

    /// Changes the value in one piece; readers see all of the change or nothing.
    ///
    /// # Panics
    /// When this or an earlier closure panicked while it changed the value.
    pub fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let turn = sync::lock(&self.role);
        let mut held = sync::write(&self.value);
        let result = held.change(change);
        sync::pass_on(held);
        sync::end_turn(turn);
        result
    }

    /// Gives every item to `apply`, at most `max_batch` (at least one) between two moments in which
    /// waiting readers get in. No other writer and no freeze gets in before the last item. Items are
    /// made outside the lock, one batch ahead.
    ///
    /// # Panics
    /// As [`Shared::write`].
    pub fn write_batches<X>(
        &self,
        items: impl IntoIterator<Item = X>,
        max_batch: usize,
        mut apply: impl FnMut(&mut T, X),
    ) {
        let turn = sync::lock(&self.role);
        let mut items = items.into_iter();
        let mut batch = Vec::new();
        loop {
            batch.extend(items.by_ref().take(max_batch.max(1)));
            if batch.is_empty() {
                break;
            }
            let mut held = sync::write(&self.value);
            held.change(|value| {
                for item in batch.drain(..) {
                    apply(value, item);
                }
            });
            sync::pass_on(held);
        }
        sync::end_turn(turn);
    }

    /// Reads the value while no writer can change it before `look` is done; readers go on.
    ///
    /// # Panics
    /// As [`Shared::read`].
    pub fn freeze<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        let turn = sync::lock(&self.role);
        let result = self.read(look);
        sync::end_turn(turn);
        result
    }
}

/// The locks that are used, and under `--cfg loom` their models (see `tests/loom.rs`).
#[cfg(not(loom))]
mod sync {
    pub(super) use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

    pub(super) type Turns = Mutex<()>;

    pub(super) fn lock(turns: &Turns) -> MutexGuard<'_, ()> {
        turns.lock()
    }

    pub(super) fn end_turn(turn: MutexGuard<'_, ()>) {
        MutexGuard::unlock_fair(turn);
    }

    pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read()
    }

    pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write()
    }

    /// Hands the lock over to those who wait, instead of racing with them for it.
    pub(super) fn pass_on<T>(held: RwLockWriteGuard<'_, T>) {
        RwLockWriteGuard::unlock_fair(held);
    }
}

#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

    pub(super) type Turns = Mutex<()>;

    pub(super) fn lock(turns: &Turns) -> MutexGuard<'_, ()> {
        turns.lock().expect("loom does not poison")
    }

    pub(super) fn end_turn(turn: MutexGuard<'_, ()>) {
        drop(turn);
    }

    pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read().expect("loom does not poison")
    }

    pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write().expect("loom does not poison")
    }

    pub(super) fn pass_on<T>(held: RwLockWriteGuard<'_, T>) {
        drop(held);
    }
}
