//! A batch: payments of one participant that go into one update.

use alloc::vec::Vec;
use core::fmt;

use crate::{Amount, AssetIdx, MAX_ASSETS};

/// Bit of a record's header: a memo follows the amount.
const HAS_MEMO: u8 = 1 << 4;
/// Where the asset stands in a record's header.
const ASSET_SHIFT: u8 = 5;

/// One payment, by whoever proposes the update that it is in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Payment {
    /// What is paid.
    pub asset: AssetIdx,
    /// How much, at least one unit.
    pub amount: Amount,
    /// 32 bytes that tell the payee what it is for: the hash of a text, or the digest of the
    /// request that it answers. `None` costs nothing.
    pub memo: Option<[u8; 32]>,
}

/// Payments of one participant, in their order, as the bytes that travel and their sums.
///
/// Invariant: the bytes are records of the one form that a payment has, and for each asset the sum
/// fits 128 bits.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Batch {
    bytes: Vec<u8>,
    count: u32,
    totals: [Amount; MAX_ASSETS],
}

/// A payment is not taken into a batch. Nothing has changed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BatchFull {
    /// With it the batch would have more bytes than allowed.
    Length {
        /// How many bytes are allowed.
        limit: usize,
    },
    /// The sum of the asset would exceed 128 bits.
    SumOverflow {
        /// The asset.
        asset: AssetIdx,
    },
    /// A payment of nothing.
    Nothing,
    /// No channel has so many assets.
    UnknownAsset {
        /// The position asked for.
        asset: AssetIdx,
    },
}

/// Why bytes are no batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BatchError {
    /// More bytes than [`Batch::MAX_LENGTH`].
    TooLong {
        /// How many there are.
        length: usize,
    },
    /// The bytes end inside of a record.
    UnexpectedEnd {
        /// Where the record begins.
        offset: usize,
    },
    /// An amount begins with a zero byte: it has a shorter form, or is nothing.
    LeadingZero {
        /// Where the record begins.
        offset: usize,
    },
    /// The sum of an asset exceeds 128 bits.
    SumOverflow {
        /// The asset.
        asset: AssetIdx,
    },
}

impl Batch {
    /// Bytes of the longest batch: about a hundred thousand payments without memos.
    pub const MAX_LENGTH: usize = 512 * 1024;

    /// A batch without payments.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            count: 0,
            totals: [Amount::ZERO; MAX_ASSETS],
        }
    }

    /// Adds a payment, unless the batch would have more than `limit` bytes then or its sum would
    /// overflow.
    pub fn push(&mut self, payment: &Payment, limit: usize) -> Result<(), BatchFull> {
        let Payment {
            asset,
            amount,
            memo,
        } = *payment;
        let Some(total) = self.totals.get_mut(asset.index()) else {
            return Err(BatchFull::UnknownAsset { asset });
        };
        let units = amount.units().to_be_bytes();
        let zeros = amount.units().leading_zeros() as usize / 8;
        let digits = units.get(zeros..).filter(|digits| !digits.is_empty());
        let digits = digits.ok_or(BatchFull::Nothing)?;
        let length = self.bytes.len() + 1 + digits.len() + memo.map_or(0, |memo| memo.len());
        if length > limit.min(Self::MAX_LENGTH) {
            return Err(BatchFull::Length { limit });
        }
        *total = total
            .checked_add(amount)
            .ok_or(BatchFull::SumOverflow { asset })?;
        let memo_flag = if memo.is_some() { HAS_MEMO } else { 0 };
        let header = (digits.len() - 1) as u8 | memo_flag | asset.number() << ASSET_SHIFT;
        self.bytes.push(header);
        self.bytes.extend_from_slice(digits);
        if let Some(memo) = &memo {
            self.bytes.extend_from_slice(memo);
        }
        self.count += 1;
        Ok(())
    }

    /// The batch with exactly these bytes.
    pub fn decode(bytes: Vec<u8>) -> Result<Self, BatchError> {
        if bytes.len() > Self::MAX_LENGTH {
            let length = bytes.len();
            return Err(BatchError::TooLong { length });
        }
        let (mut offset, mut count) = (0, 0);
        let mut totals = [Amount::ZERO; MAX_ASSETS];
        while offset < bytes.len() {
            let Record { payment, length } = Record::read(&bytes, offset)?;
            let asset = payment.asset;
            // The position has three bits.
            let total = &mut totals[asset.index()];
            *total = total
                .checked_add(payment.amount)
                .ok_or(BatchError::SumOverflow { asset })?;
            offset += length;
            count += 1;
        }
        Ok(Self {
            bytes,
            count,
            totals,
        })
    }

    /// The records, one after the other.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many payments there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is no payment.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The sum of one asset, zero for a position that no channel has.
    pub fn total(&self, asset: AssetIdx) -> Amount {
        self.totals.get(asset.index()).copied().unwrap_or_default()
    }

    /// How many assets a channel must have for this batch: one more than the highest position.
    pub(crate) fn assets_needed(&self) -> usize {
        let highest = self.totals.iter().rposition(|total| !total.is_zero());
        highest.map_or(0, |position| position + 1)
    }

    /// Takes the first payments out: as many as fit into `limit` bytes, but one at least if there
    /// is one.
    pub(crate) fn take_front(&mut self, limit: usize) -> Self {
        if self.bytes.len() <= limit {
            return core::mem::take(self);
        }
        let mut front = Self::new();
        let mut rest = Self::new();
        for payment in self.iter() {
            let limit = if front.is_empty() {
                Self::MAX_LENGTH
            } else {
                limit
            };
            // Once one does not fit, none behind it overtakes it.
            if rest.is_empty() && front.push(&payment, limit).is_ok() {
                continue;
            }
            let pushed = rest.push(&payment, Self::MAX_LENGTH);
            pushed.expect("parts of a batch are within its bounds");
        }
        *self = rest;
        front
    }

    /// Takes the payment at a place out, counted from 0: whether there is one.
    pub(crate) fn remove(&mut self, place: usize) -> bool {
        let mut payments = self.iter();
        if place > 0 && payments.nth(place - 1).is_none() {
            return false;
        }
        let from = payments.offset;
        let Some(Payment { asset, amount, .. }) = payments.next() else {
            return false;
        };
        let through = payments.offset;
        self.bytes.drain(from..through);
        self.count -= 1;
        let total = &mut self.totals[asset.index()];
        let less = total.checked_sub(amount);
        *total = less.expect("the sum has every payment of the batch");
        true
    }

    /// The payments in their order.
    pub fn iter(&self) -> Payments<'_> {
        Payments {
            bytes: &self.bytes,
            offset: 0,
        }
    }
}

impl<'a> IntoIterator for &'a Batch {
    type IntoIter = Payments<'a>;
    type Item = Payment;

    fn into_iter(self) -> Payments<'a> {
        self.iter()
    }
}

/// The payments of a [`Batch`].
#[derive(Clone, Debug)]
pub struct Payments<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Iterator for Payments<'_> {
    type Item = Payment;

    fn next(&mut self) -> Option<Payment> {
        if self.offset == self.bytes.len() {
            return None;
        }
        let record = Record::read(self.bytes, self.offset);
        let Record { payment, length } = record.expect("a batch consists of records");
        self.offset += length;
        Some(payment)
    }
}

/// A payment and how many bytes it takes.
struct Record {
    payment: Payment,
    length: usize,
}

impl Record {
    /// Reads the record that begins at `offset`, which lies within `bytes`.
    fn read(bytes: &[u8], offset: usize) -> Result<Self, BatchError> {
        let end = BatchError::UnexpectedEnd { offset };
        let (&header, rest) = bytes[offset..].split_first().ok_or(end)?;
        let digit_count = usize::from(header & 0x0f) + 1;
        let (digits, rest) = rest.split_at_checked(digit_count).ok_or(end)?;
        if digits[0] == 0 {
            return Err(BatchError::LeadingZero { offset });
        }
        let units = digits
            .iter()
            .fold(0, |units, &digit| units << 8 | u128::from(digit));
        let memo = if header & HAS_MEMO == 0 {
            None
        } else {
            let (memo, _) = rest.split_first_chunk::<32>().ok_or(end)?;
            Some(*memo)
        };
        Ok(Self {
            payment: Payment {
                asset: AssetIdx::new(header >> ASSET_SHIFT),
                amount: Amount::new(units),
                memo,
            },
            length: 1 + digit_count + memo.map_or(0, |memo| memo.len()),
        })
    }
}

impl fmt::Display for BatchFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { limit } => write!(
                f,
                "with one more payment the update would have more than {limit} bytes of them"
            ),
            Self::SumOverflow { asset } => {
                write!(
                    f,
                    "the payments of asset {asset} would exceed 128 bits together"
                )
            }
            Self::Nothing => write!(f, "a payment of nothing"),
            Self::UnknownAsset { asset } => {
                write!(f, "there is no asset {asset}, counted from 0")
            }
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length } => write!(
                f,
                "{length} bytes of payments, at most {} are allowed",
                Batch::MAX_LENGTH
            ),
            Self::UnexpectedEnd { offset } => {
                write!(f, "the bytes end inside of the payment at offset {offset}")
            }
            Self::LeadingZero { offset } => write!(
                f,
                "the amount of the payment at offset {offset} begins with zero"
            ),
            Self::SumOverflow { asset } => {
                write!(f, "the payments of asset {asset} exceed 128 bits together")
            }
        }
    }
}

impl core::error::Error for BatchFull {}
impl core::error::Error for BatchError {}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn payment(asset: u8, units: u128, memo: Option<u8>) -> Payment {
        Payment {
            asset: AssetIdx::new(asset),
            amount: Amount::new(units),
            memo: memo.map(|byte| [byte; 32]),
        }
    }

    fn batch(payments: &[Payment]) -> Batch {
        let mut batch = Batch::new();
        for payment in payments {
            batch.push(payment, Batch::MAX_LENGTH).unwrap();
        }
        batch
    }

    #[test]
    fn a_batch_is_its_records() {
        let payments = [
            payment(0, 1, None),
            payment(7, u128::MAX, Some(9)),
            payment(2, 0x0100, None),
        ];
        let batch = batch(&payments);
        let mut expected = vec![0x00, 1, 0xff];
        expected.extend([0xff; 16]);
        expected.extend([9; 32]);
        expected.extend([0x41, 1, 0]);
        assert_eq!(batch.as_bytes(), expected);
        assert_eq!(batch.iter().collect::<Vec<_>>(), payments);
        assert_eq!(Batch::decode(expected), Ok(batch));
    }

    #[test]
    fn sums_are_those_of_the_payments() {
        let batch = batch(&[
            payment(1, 5, None),
            payment(0, 2, None),
            payment(1, 6, None),
        ]);
        assert_eq!(batch.total(AssetIdx::new(1)), Amount::new(11));
        assert_eq!(batch.total(AssetIdx::new(9)), Amount::ZERO);
        assert_eq!((batch.count(), batch.assets_needed()), (3, 2));
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut batch = batch(&[payment(0, u128::MAX, None)]);
        let before = batch.clone();
        let asset = AssetIdx::new(0);
        let refusals = [
            (payment(0, 1, None), 100, BatchFull::SumOverflow { asset }),
            (payment(1, 1, None), 18, BatchFull::Length { limit: 18 }),
            (payment(1, 0, None), 100, BatchFull::Nothing),
            (
                payment(8, 1, None),
                100,
                BatchFull::UnknownAsset {
                    asset: AssetIdx::new(8),
                },
            ),
        ];
        for (payment, limit, refusal) in refusals {
            assert_eq!(batch.push(&payment, limit), Err(refusal));
            assert_eq!(batch, before);
        }
        assert_eq!(batch.push(&payment(1, 1, None), 19), Ok(()));
    }

    #[test]
    fn what_is_too_long_is_taken_out_in_parts_and_in_order() {
        let payments: Vec<_> = (1..=5).map(|units| payment(0, units, None)).collect();
        let mut rest = batch(&payments);
        let first = rest.take_front(5);
        assert_eq!(first.iter().collect::<Vec<_>>(), payments[..2]);
        let second = rest.take_front(0);
        assert_eq!(second.iter().collect::<Vec<_>>(), payments[2..3]);
        assert_eq!(rest, batch(&payments[3..]));
        assert_eq!(rest.take_front(100).count(), 2);
        assert!(rest.is_empty() && rest.take_front(0).is_empty());
    }

    #[test]
    fn other_bytes_are_no_batch() {
        let asset = AssetIdx::new(0);
        let mut overflow = vec![0x0f];
        overflow.extend([0xff; 16]);
        overflow.extend([0x00, 1]);
        let bad = [
            (vec![0x00], BatchError::UnexpectedEnd { offset: 0 }),
            (
                vec![0x00, 1, 0x01, 2],
                BatchError::UnexpectedEnd { offset: 2 },
            ),
            (vec![0x10, 1, 0], BatchError::UnexpectedEnd { offset: 0 }),
            (vec![0x00, 0], BatchError::LeadingZero { offset: 0 }),
            (
                vec![0x00, 7, 0x01, 0, 1],
                BatchError::LeadingZero { offset: 2 },
            ),
            (overflow, BatchError::SumOverflow { asset }),
            (
                vec![1; Batch::MAX_LENGTH + 1],
                BatchError::TooLong {
                    length: Batch::MAX_LENGTH + 1,
                },
            ),
        ];
        for (bytes, error) in bad {
            assert_eq!(Batch::decode(bytes), Err(error));
        }
    }
}
