//! A lock that is taken in turns.
//!
//! The thread that runs messages takes the replica, runs one, lets go and takes it again at once.
//! With a plain mutex it nearly always wins that race, and a query would wait until all work is
//! done. Here everybody first passes a gate, which is held while waiting for the value: whoever
//! waits at the gate while a message runs is next, before the runner gets back to it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value of which one thread at a time has the use, and none can have two turns in a row while
/// another waits.
pub(crate) struct Turns<T> {
    gate: Mutex<()>,
    value: Mutex<T>,
}

/// A holder of the value panicked, so nobody knows whether it is still consistent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Broken;

impl<T> Turns<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            gate: Mutex::new(()),
            value: Mutex::new(value),
        }
    }

    /// Whether a holder has panicked. Doesn't wait.
    pub(crate) fn is_broken(&self) -> bool {
        self.value.is_poisoned()
    }

    /// Waits for a turn.
    pub(crate) fn take(&self) -> Result<Turn<'_, T>, Broken> {
        // The gate guards nothing, so a panic while holding it breaks nothing.
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.value.lock().map(Turn).map_err(|_| Broken)
    }
}

/// The use of the value, until it is dropped.
pub(crate) struct Turn<'a, T>(MutexGuard<'a, T>);

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_busy_holder_does_not_keep_others_out() {
        let turns = Turns::new(0u32);
        let stop = AtomicBool::new(false);
        let (started, running) = mpsc::channel();
        std::thread::scope(|scope| {
            let runner = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut count = turns.take().unwrap();
                    let _ = started.send(());
                    // Work: the lock is free only for the blink between two iterations.
                    std::thread::sleep(Duration::from_millis(1));
                    *count += 1;
                }
            });
            running.recv().unwrap();
            let (mut last, mut most) = (None, 0);
            for _ in 0..20 {
                let count = *turns.take().unwrap();
                if let Some(last) = last {
                    most = most.max(count - last);
                }
                last = Some(count);
            }
            stop.store(true, Ordering::Relaxed);
            runner.join().unwrap();
            // One turn that was running, and one that began before we reached the gate; a few
            // more when this thread is not scheduled. A plain mutex lets hundreds pass.
            assert!(most <= 20, "{most} turns passed while we waited");
        });
    }

    #[test]
    fn a_panic_of_the_holder_is_told_to_the_next() {
        let turns = Turns::new(());
        let panicked = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _turn = turns.take();
                    panic!("on purpose");
                })
                .join()
        });
        assert!(panicked.is_err());
        assert!(turns.is_broken());
        assert_eq!(turns.take().err(), Some(Broken));
    }
}
