//! The canister's own cycles: read by timer, told to controllers.

use std::time::Duration;

use candid::{CandidType, Deserialize, Nat, Principal};
use ic_cdk::api::{canister_cycle_balance, canister_self, is_controller};
use ic_cdk::call::Call;
use perun_canister::runway::{READING_INTERVAL_S, SubnetSays};
use perun_canister_api::{Runway, RunwayError};

use crate::state::{change, now, read};

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
        .with_arg(about)
        .await
        .map_err(|error| error.to_string())?;
    let status: CanisterStatus = answer.candid().map_err(|error| error.to_string())?;
    let number = |nat: Nat| u128::try_from(nat.0).unwrap_or(u128::MAX);
    Ok(SubnetSays {
        balance_cycles: number(status.cycles),
        idle_burn_per_day_cycles: number(status.idle_cycles_burned_per_day),
        freezing_threshold_s: number(status.settings.freezing_threshold),
    })
}
