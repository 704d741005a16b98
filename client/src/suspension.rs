//! Suspension: time that passes while the machine does not run.
//!
//! The monotonic clock, by which the age of a view is told, may stand still meanwhile. The clock on
//! the wall does not. Where the two differ, nothing that was seen before counts any more; if somebody
//! has only set the clock, that costs one look at each channel.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

/// How often the clocks are compared.
const INTERVAL: Duration = Duration::from_secs(1);
/// The clocks may differ by so much from one comparison to the next.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Notices suspensions, for ever, and calls `lost` after each. It can be dropped at any time.
pub(crate) async fn notice_suspensions(lost: impl Fn()) {
    loop {
        let (monotonic, wall) = (Instant::now(), SystemTime::now());
        sleep(INTERVAL).await;
        // A clock that was set back says nothing.
        let on_the_wall = wall.elapsed().unwrap_or_default();
        if on_the_wall <= monotonic.elapsed() + TOLERANCE {
            continue;
        }
        tracing::debug!("time was lost, or the clock was set: all channels are looked at");
        lost();
    }
}
