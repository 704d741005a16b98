//! The node's clock, on which the API's expiries are. Deadlines within channels are on the adjudicator's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn since_1970() -> Duration {
    // A clock before 1970 is set wrong, and nothing can be told by it.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Now, in whole seconds since 1970.
pub fn seconds() -> i64 {
    i64::try_from(since_1970().as_secs()).unwrap_or(i64::MAX)
}

/// Now, in milliseconds since 1970.
pub fn millis() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}
