//! What a channel takes of stable memory.

use candid::Principal;
use perun_canister::finished::RETENTION_NS;
use perun_protocol::Timestamp;

use crate::image::Image;

/// Enough that pages of 64 KiB tell bytes.
const CHANNELS: u64 = 15_000;

/// Bytes of stable memory.
pub struct Memory {
    pub open_channel: u64,
    pub finished_channel: u64,
    pub event: u64,
}

pub fn measure() -> Memory {
    let me = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 1, 1]);
    let ledger = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    let mut image = Image::new(me, ledger);
    let mut over = Image::new(me, ledger);
    let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let before = image.adjudicator.stable_bytes();
    (0..CHANNELS).for_each(|number| image.open(number, now));
    let opened = image.adjudicator.stable_bytes();
    (0..CHANNELS).for_each(|number| over.refund(number, now));
    let much_later = now.saturating_add_nanos(2 * RETENTION_NS);
    (0..CHANNELS).for_each(|_| over.adjudicator.observe(much_later));
    let finished = over.adjudicator.stable_bytes();
    assert_eq!(
        over.adjudicator.info(much_later).channels,
        0,
        "all are finished"
    );
    Memory {
        open_channel: (opened.channels - before.channels).div_ceil(CHANNELS),
        finished_channel: (finished.finished - before.finished).div_ceil(CHANNELS),
        event: (opened.log - before.log).div_ceil(2 * CHANNELS),
    }
}
