//! How many looks and defences are under way at once.
//!
//! Without a bound, ten thousand watches that all want to look after a restart would all be too slow.
//! A defence waits for no look, and looks that somebody's deeds ask for wait for none that only a
//! restart does.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bounds of what is under way at once.
pub(super) struct Gates {
    looks: Semaphore,
    urgent_looks: Semaphore,
    defences: Semaphore,
}

impl Gates {
    /// How many of one kind there are at once.
    const AT_ONCE: usize = 16;

    pub(super) async fn look(&self) -> SemaphorePermit<'_> {
        pass(&self.looks).await
    }

    pub(super) async fn urgent_look(&self) -> SemaphorePermit<'_> {
        pass(&self.urgent_looks).await
    }

    pub(super) async fn defence(&self) -> SemaphorePermit<'_> {
        pass(&self.defences).await
    }
}

async fn pass(gate: &Semaphore) -> SemaphorePermit<'_> {
    gate.acquire().await.expect("no gate is ever closed")
}

impl Default for Gates {
    fn default() -> Self {
        let [looks, urgent_looks, defences] = [(); 3].map(|()| Semaphore::new(Self::AT_ONCE));
        Self {
            looks,
            urgent_looks,
            defences,
        }
    }
}
