//! The canister's own cycles: read by timer, told to controllers.

use std::time::Duration;

use candid::{CandidType, Deserialize, Nat, Principal};
use ic_cdk::api::{canister_cycle_balance, canister_self, is_controller};
use ic_cdk::call::Call;
use perun_canister::encoding::{Message, decode, encode};
use perun_canister::runway::{READING_INTERVAL_S, SubnetSays};
use perun_canister_api::{Runway, RunwayError};

use crate::state::{change, now, read};

/// A longer answer of the system makes no sense.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Whom the system is asked about.
#[derive(CandidType)]
struct CanisterId {
    canister_id: Principal,
}

/// As much of the system's answer as is needed. A canister may ask it about itself.
#[derive(CandidType, Deserialize)]
struct CanisterStatus {
    cycles: Nat,
    idle_cycles_burned_per_day: Nat,
    settings: Settings,
}

#[derive(CandidType, Deserialize)]
struct Settings {
    freezing_threshold: Nat,
}

impl Message for CanisterId {
    const TYPES: &'static [u8] = b"DIDL\x01l\x01\xb3\xc4\xb1\xf2\x04h\x01\0";
}

impl Message for CanisterStatus {
    const TYPES: &'static [u8] =
        b"DIDL\x02l\x03\x8d\xaa\xcd\x94\x08}\xe3\xf9\xf5\xd9\x08\x01\xb0\xe4\xd2\x97\x0a}l\x01\xc0\xcf\xf2q}\x01\0";
}

/// Reads the balance from time to time, beginning now.
pub fn watch() {
    note_balance();
    let interval = Duration::from_secs(READING_INTERVAL_S);
    ic_cdk_timers::set_timer_interval(interval, || async { note_balance() });
}

fn note_balance() {
    change(|adjudicator| adjudicator.note_balance(now(), canister_cycle_balance()));
}

/// How long the cycles last.
pub async fn runway(caller: Principal) -> Result<Runway, RunwayError> {
    if !is_controller(&caller) {
        return Err(RunwayError::NotController);
    }
    let says = ask().await;
    let says = says.map_err(|message| RunwayError::Unavailable { message })?;
    Ok(read(|adjudicator| adjudicator.runway(says)))
}

async fn ask() -> Result<SubnetSays, String> {
    let about = CanisterId {
        canister_id: canister_self(),
    };
    let system = Principal::management_canister();
    let answer = Call::bounded_wait(system, "canister_status")
        .take_raw_args(encode(about))
        .await
        .map_err(|error| error.to_string())?;
    let status: CanisterStatus = decode(&answer.into_bytes(), MAX_ANSWER_BYTES)?;
    let number = |nat: Nat| u128::try_from(nat.0).unwrap_or(u128::MAX);
    Ok(SubnetSays {
        balance_cycles: number(status.cycles),
        idle_burn_per_day_cycles: number(status.idle_cycles_burned_per_day),
        freezing_threshold_s: number(status.settings.freezing_threshold),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_are_what_candid_makes() {
        let about = CanisterId {
            canister_id: Principal::anonymous(),
        };
        let made = candid::encode_one(&about).expect("it encodes");
        assert_eq!(encode(about), made, "{}", made.escape_ascii());
        let freezing_threshold = Nat::from(3_u8);
        let status = CanisterStatus {
            cycles: Nat::from(1_u8),
            idle_cycles_burned_per_day: Nat::from(2_u8),
            settings: Settings { freezing_threshold },
        };
        let made = candid::encode_one(&status).expect("it encodes");
        let types = CanisterStatus::TYPES;
        assert!(made.starts_with(types), "{}", made.escape_ascii());
        assert_eq!(made.len(), types.len() + 3, "{}", made.escape_ascii());
    }
}
