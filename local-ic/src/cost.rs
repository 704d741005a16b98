//! What a WebAssembly operator costs, in instructions.
//!
//! The weights are the public replica's, so that a figure measured here says what the message
//! would count there. Calibrated against one ECDSA verification over secp256k1 (crate `k256`,
//! opt-level 3), which counts 4.13 million there.
//!
//! The engine charges one more for each basic block it enters (see [`crate::module`]). Whoever comes
//! there by a jump or a call pays one less for it, so only blocks that are walked into cost one too
//! many.
//!
//! Not modelled: the replica's charge for stable memory pages touched. Two weights do not fit the
//! engine's table of bytes and are cut to 255: growing memory or tables (300) and dropping segments
//! (300).

use wasmi::{CustomFuelCosts, OperatorCost};

/// Copying, filling and initialising memory costs one instruction per byte on top of the operator.
/// Translating a function costs nothing, because when that happens is the engine's affair.
pub(crate) const DYNAMIC: CustomFuelCosts = CustomFuelCosts {
    bytes_copied_per_fuel: 1,
    fuel_per_bytes_translated: 0,
    fuel_per_bytes_validated: 0,
};

/// The replica's weight of every operator; 1 unless named here.
pub(crate) fn operators() -> OperatorCost {
    let mut cost = OperatorCost {
        block: 0,
        loop_: 0,
        else_: 0,
        end: 0,
        // The engine's own default leaves these out; the replica counts them.
        nop: 1,
        drop: 1,
        unreachable: 1,
        return_: 1,
        // Weigh 2 each, and lead into a basic block.
        if_: 1,
        br: 1,
        br_if: 1,
        br_table: 1,
        global_get: 2,
        global_set: 2,
        // Weigh 5, 10, 3 and 10, and lead into a function.
        call: 4,
        call_indirect: 9,
        return_call: 2,
        return_call_indirect: 9,
        memory_size: 20,
        ref_func: 130,
        table_get: 5,
        table_set: 5,
        table_size: 100,
        ..OperatorCost::default()
    };
    for weight in [
        &mut cost.i32_div_s,
        &mut cost.i32_div_u,
        &mut cost.i32_rem_s,
        &mut cost.i32_rem_u,
        &mut cost.i64_div_s,
        &mut cost.i64_div_u,
        &mut cost.i64_rem_s,
        &mut cost.i64_rem_u,
    ] {
        *weight = 10;
    }
    for weight in [
        &mut cost.memory_grow,
        &mut cost.table_grow,
        &mut cost.data_drop,
        &mut cost.elem_drop,
    ] {
        *weight = u8::MAX;
    }
    for weight in [
        &mut cost.memory_copy,
        &mut cost.memory_fill,
        &mut cost.memory_init,
        &mut cost.table_copy,
        &mut cost.table_fill,
        &mut cost.table_init,
    ] {
        *weight = 100;
    }
    floats(&mut cost);
    cost
}

fn floats(cost: &mut OperatorCost) {
    for weight in [
        &mut cost.f32_add,
        &mut cost.f32_sub,
        &mut cost.f32_mul,
        &mut cost.f64_add,
        &mut cost.f64_sub,
        &mut cost.f64_mul,
    ] {
        *weight = 2;
    }
    for weight in [
        &mut cost.f32_eq,
        &mut cost.f32_ne,
        &mut cost.f32_lt,
        &mut cost.f32_gt,
        &mut cost.f32_le,
        &mut cost.f32_ge,
        &mut cost.f64_eq,
        &mut cost.f64_ne,
        &mut cost.f64_lt,
        &mut cost.f64_gt,
        &mut cost.f64_le,
        &mut cost.f64_ge,
        &mut cost.f32_div,
        &mut cost.f32_convert_i32_s,
        &mut cost.f32_convert_i64_s,
        &mut cost.f64_convert_i32_s,
        &mut cost.f64_convert_i64_s,
    ] {
        *weight = 3;
    }
    cost.f64_div = 5;
    cost.f32_sqrt = 5;
    cost.f64_sqrt = 8;
    for weight in [
        &mut cost.f32_convert_i32_u,
        &mut cost.f32_convert_i64_u,
        &mut cost.f64_convert_i32_u,
        &mut cost.f64_convert_i64_u,
    ] {
        *weight = 16;
    }
    for weight in [
        &mut cost.f32_min,
        &mut cost.f32_max,
        &mut cost.f64_min,
        &mut cost.f64_max,
    ] {
        *weight = 18;
    }
    for weight in [
        &mut cost.i32_trunc_f32_s,
        &mut cost.i32_trunc_f32_u,
        &mut cost.i32_trunc_f64_s,
        &mut cost.i32_trunc_f64_u,
        &mut cost.i64_trunc_f32_s,
        &mut cost.i64_trunc_f32_u,
        &mut cost.i64_trunc_f64_s,
        &mut cost.i64_trunc_f64_u,
        &mut cost.i32_trunc_sat_f32_s,
        &mut cost.i32_trunc_sat_f32_u,
        &mut cost.i32_trunc_sat_f64_s,
        &mut cost.i32_trunc_sat_f64_u,
        &mut cost.i64_trunc_sat_f32_s,
        &mut cost.i64_trunc_sat_f32_u,
        &mut cost.i64_trunc_sat_f64_s,
        &mut cost.i64_trunc_sat_f64_u,
    ] {
        *weight = 20;
    }
}
