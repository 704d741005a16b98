//! Time, counters, prices, and words for the operator.
//!
//! The prices are those of a 13-node subnet, without prepayments. They are only quoted: nothing
//! here charges them.

use super::{Sys, Trap, range};

const CALL_FEE: u128 = 260_000;
const CALL_FEE_PER_BYTE: u128 = 1_000;
const CREATE_CANISTER_FEE: u128 = 500_000_000_000;
const HTTP_REQUEST_FEE: u128 = 49_140_000;
const HTTP_FEE_PER_REQUEST_BYTE: u128 = 5_200;
const HTTP_FEE_PER_RESPONSE_BYTE: u128 = 10_400;

/// What is kept of one message's debug output, in bytes; a loop that prints must not fill the
/// host's memory.
const MAX_DEBUG_OUTPUT: usize = 64 * 1024;

/// No such curve or algorithm.
const INVALID_CURVE: u32 = 1;
/// This subnet holds no threshold keys, so every key name is unknown.
const UNKNOWN_KEY: u32 = 2;

impl Sys<'_> {
    pub(super) fn time(&mut self) -> Result<u64, Trap> {
        Ok(self.host.input.time_ns)
    }

    pub(super) fn global_timer_set(&mut self, timestamp_ns: u64) -> Result<u64, Trap> {
        let before = self.host.effects.timer_ns.replace(timestamp_ns);
        Ok(before.unwrap_or(self.host.input.timer_ns))
    }

    pub(super) fn performance_counter(&mut self, counter: u32) -> Result<u64, Trap> {
        match counter {
            0 => Ok(self.instructions),
            1 => Ok(self.instructions + self.host.input.context_instructions),
            _ => Err(Trap::Contract(format!(
                "performance_counter: there is no counter {counter}"
            ))),
        }
    }

    pub(super) fn cost_call(
        &mut self,
        method_size: u64,
        payload_size: u64,
        dst: u32,
    ) -> Result<(), Trap> {
        let bytes = u128::from(method_size) + u128::from(payload_size);
        self.write_u128(dst, CALL_FEE + CALL_FEE_PER_BYTE * bytes)
    }

    pub(super) fn cost_create_canister(&mut self, dst: u32) -> Result<(), Trap> {
        self.write_u128(dst, CREATE_CANISTER_FEE)
    }

    pub(super) fn cost_http_request(
        &mut self,
        request_size: u64,
        max_response: u64,
        dst: u32,
    ) -> Result<(), Trap> {
        let price = HTTP_REQUEST_FEE
            + HTTP_FEE_PER_REQUEST_BYTE * u128::from(request_size)
            + HTTP_FEE_PER_RESPONSE_BYTE * u128::from(max_response);
        self.write_u128(dst, price)
    }

    /// The parameters are not looked at: there are no outcalls here to be priced exactly.
    pub(super) fn cost_http_request_v2(
        &mut self,
        src: u32,
        size: u32,
        dst: u32,
    ) -> Result<(), Trap> {
        self.read(src.into(), size.into())?;
        self.write_u128(dst, HTTP_REQUEST_FEE)
    }

    pub(super) fn cost_sign_with_ecdsa(
        &mut self,
        src: u32,
        size: u32,
        curve: u32,
        _dst: u32,
    ) -> Result<u32, Trap> {
        self.no_such_key(src, size, curve == 0)
    }

    pub(super) fn cost_sign_with_schnorr(
        &mut self,
        src: u32,
        size: u32,
        algorithm: u32,
        _dst: u32,
    ) -> Result<u32, Trap> {
        self.no_such_key(src, size, algorithm <= 1)
    }

    pub(super) fn cost_vetkd_derive_key(
        &mut self,
        src: u32,
        size: u32,
        curve: u32,
        _dst: u32,
    ) -> Result<u32, Trap> {
        self.no_such_key(src, size, curve == 0)
    }

    fn no_such_key(&mut self, src: u32, size: u32, known_curve: bool) -> Result<u32, Trap> {
        self.read(src.into(), size.into())?;
        Ok(if known_curve {
            UNKNOWN_KEY
        } else {
            INVALID_CURVE
        })
    }

    /// Never traps: a canister must not behave differently because its operator listens.
    pub(super) fn debug_print(&mut self, src: u32, size: u32) -> Result<(), Trap> {
        let output = &mut self.host.effects.debug_output;
        let room = MAX_DEBUG_OUTPUT
            .saturating_sub(output.iter().map(|text| text.len() + 1).sum::<usize>());
        match range(self.heap.len(), src.into(), size.into()) {
            Some(range) => {
                self.moved += u64::from(size);
                if room > 0 {
                    let text = &self.heap[range];
                    let text = &text[..text.len().min(room)];
                    output.push(String::from_utf8_lossy(text).into_owned());
                }
            }
            None if room > 0 => output.push("(debug_print message out of memory bounds)".into()),
            None => {}
        }
        Ok(())
    }

    pub(super) fn trap(&mut self, src: u32, size: u32) -> Result<(), Trap> {
        let text = match range(self.heap.len(), src.into(), size.into()) {
            Some(range) => String::from_utf8_lossy(&self.heap[range]).into_owned(),
            None => "(trap message out of memory bounds)".into(),
        };
        Err(Trap::Called(text))
    }
}
