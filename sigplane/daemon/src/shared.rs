//! What the SIP workers share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that there is one of: the journal. See ADR 5 for why it has a lock and not an owner.
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// Has it alone. Without other workers nobody is ever waited for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
