//! Locking what no panic leaves half-changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, also if somebody has panicked meanwhile.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
