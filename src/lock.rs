//! Locks a mutex even if a thread panicked while it held it. Only for values that are changed in one step, so
//! that a panic leaves them intact.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
