//! How far watching for devices is behind.

use std::sync::atomic::Ordering;

use super::RemoteService;
use crate::Margins;

impl RemoteService {
    /// How far watching is behind.
    pub fn margins(&self) -> Margins {
        let mut margins = Margins {
            disputes: self.shared.disputes.load(Ordering::Relaxed),
            ..Margins::default()
        };
        for watch in self.shared.all_watches() {
            if let Some((seen_at, timeout)) = watch.seen() {
                margins.count(self.shared.chain.clock(), seen_at, timeout);
            }
        }
        margins
    }
}
