//! The management canister: who may do what, and what it does.

mod world;

use candid::{CandidType, Encode, Nat, Principal, decode_one, encode_one};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInfoArgs, CanisterInfoResult, CanisterInstallMode, CanisterSettings,
    CanisterStatusResult, CanisterStatusType, ChangeDetails, ChunkHash, EnvironmentVariable,
    InstallChunkedCodeArgs, InstallCodeArgs, ProvisionalCreateCanisterWithCyclesArgs,
    ProvisionalTopUpCanisterArgs, UpdateSettingsArgs, UpgradeFlags, UploadChunkArgs,
    WasmMemoryPersistence,
};
use local_ic::{IngressStatus, Reject, Status};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use world::calls::{CALLEE, CALLER, Outcome, order};
use world::{World, assert_rejected, module, number, user};

const MANAGEMENT: Principal = Principal::management_canister();

fn stranger() -> Principal {
    Principal::self_authenticating(b"stranger")
}

fn manage<T: CandidType>(world: &mut World, method: &str, arg: T) -> Result<Vec<u8>, Reject> {
    let arg = encode_one(arg).unwrap();
    world.ic.update(user(), MANAGEMENT, method, arg)
}

fn ask<T: for<'de> Deserialize<'de> + CandidType>(
    world: &mut World,
    method: &str,
    arg: impl CandidType,
) -> T {
    decode_one(&manage(world, method, arg).unwrap()).unwrap()
}

fn record(canister_id: Principal) -> CanisterIdRecord {
    CanisterIdRecord { canister_id }
}

fn create(world: &mut World) -> Principal {
    let args = ProvisionalCreateCanisterWithCyclesArgs::default();
    let created: CanisterIdRecord = ask(world, "provisional_create_canister_with_cycles", args);
    created.canister_id
}

fn install_args(id: Principal, mode: CanisterInstallMode, wasm: &[u8]) -> InstallCodeArgs {
    InstallCodeArgs {
        mode,
        canister_id: id,
        wasm_module: wasm.to_vec(),
        arg: vec![],
        sender_canister_version: None,
    }
}

#[test]
fn a_canister_is_created_installed_upgraded_and_deleted() {
    let mut world = World::new();
    let id = create(&mut world);
    let wasm = module(CALLEE);
    let install = install_args(id, CanisterInstallMode::Install, &wasm);
    manage(&mut world, "install_code", &install).unwrap();
    assert_eq!(world.update(id, "ok", b"").unwrap(), b"fine");
    assert_rejected(
        manage(&mut world, "install_code", &install),
        "IC0514",
        "not empty",
    );
    for mode in [
        CanisterInstallMode::Upgrade(None),
        CanisterInstallMode::Upgrade(Some(UpgradeFlags {
            skip_pre_upgrade: Some(true),
            wasm_memory_persistence: Some(WasmMemoryPersistence::Replace),
        })),
        CanisterInstallMode::Reinstall,
    ] {
        manage(&mut world, "install_code", install_args(id, mode, &wasm)).unwrap();
    }
    let keep = CanisterInstallMode::Upgrade(Some(UpgradeFlags {
        skip_pre_upgrade: None,
        wasm_memory_persistence: Some(WasmMemoryPersistence::Keep),
    }));
    let result = manage(&mut world, "install_code", install_args(id, keep, &wasm));
    assert_rejected(result, "IC0408", "not supported");

    assert_rejected(
        manage(&mut world, "delete_canister", record(id)),
        "IC0510",
        "stopped",
    );
    manage(&mut world, "stop_canister", record(id)).unwrap();
    assert_rejected(world.update(id, "ok", b""), "IC0508", "stopped");
    manage(&mut world, "start_canister", record(id)).unwrap();
    world.update(id, "ok", b"").unwrap();
    manage(&mut world, "uninstall_code", record(id)).unwrap();
    assert_rejected(world.update(id, "ok", b""), "IC0537", "no Wasm module");
    manage(&mut world, "stop_canister", record(id)).unwrap();
    manage(&mut world, "delete_canister", record(id)).unwrap();
    assert_rejected(world.update(id, "ok", b""), "IC0301", "not found");
}

#[test]
fn a_canister_is_created_under_a_chosen_id() {
    let mut world = World::new();
    let id = Principal::from_text("bkyz2-fmaaa-aaaaa-qaaaq-cai").unwrap();
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(Nat::from(77u8)),
        specified_id: Some(id),
        settings: Some(CanisterSettings {
            controllers: Some(vec![stranger(), user()]),
            ..CanisterSettings::default()
        }),
        ..Default::default()
    };
    let method = "provisional_create_canister_with_cycles";
    let created: CanisterIdRecord = ask(&mut world, method, &args);
    assert_eq!(created.canister_id, id);
    let info = world.ic.canister(id).unwrap();
    assert_eq!(info.cycles, 77);
    assert!(info.controllers.contains(&stranger()));
    assert_rejected(
        manage(&mut world, method, &args),
        "IC0205",
        "exists already",
    );
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        specified_id: Some(user()),
        ..Default::default()
    };
    assert_rejected(
        manage(&mut world, method, &args),
        "IC0408",
        "no canister id",
    );
    let top_up = ProvisionalTopUpCanisterArgs {
        canister_id: id,
        amount: Nat::from(3u8),
    };
    manage(&mut world, "provisional_top_up_canister", top_up).unwrap();
    assert_eq!(world.ic.canister(id).unwrap().cycles, 80);
}

#[test]
fn only_controllers_control() {
    let mut world = World::new();
    let id = world.install(CALLEE);
    let wasm = module(CALLEE);
    let settings = UpdateSettingsArgs {
        canister_id: id,
        settings: CanisterSettings::default(),
        sender_canister_version: None,
    };
    let chunk = UploadChunkArgs {
        canister_id: id,
        chunk: vec![1],
    };
    let chunked = InstallChunkedCodeArgs {
        mode: CanisterInstallMode::Reinstall,
        target_canister: id,
        store_canister: None,
        chunk_hashes_list: vec![],
        wasm_module_hash: vec![],
        arg: vec![],
        sender_canister_version: None,
    };
    let install = install_args(id, CanisterInstallMode::Reinstall, &wasm);
    let attempts = [
        ("install_code", Encode!(&install).unwrap()),
        ("install_chunked_code", Encode!(&chunked).unwrap()),
        ("update_settings", Encode!(&settings).unwrap()),
        ("upload_chunk", Encode!(&chunk).unwrap()),
        ("uninstall_code", Encode!(&record(id)).unwrap()),
        ("start_canister", Encode!(&record(id)).unwrap()),
        ("stop_canister", Encode!(&record(id)).unwrap()),
        ("delete_canister", Encode!(&record(id)).unwrap()),
        ("canister_status", Encode!(&record(id)).unwrap()),
        ("stored_chunks", Encode!(&record(id)).unwrap()),
        ("clear_chunk_store", Encode!(&record(id)).unwrap()),
    ];
    for (method, arg) in &attempts {
        let result = world.ic.update(stranger(), MANAGEMENT, method, arg.clone());
        assert_rejected(result, "IC0512", &stranger().to_text());
    }
    assert_eq!(world.ic.canister(id).unwrap().status, Status::Running);
}

/// Sends its argument on to the management canister: 20 bytes of method, cycles, argument.
const FORWARDER: &str = r#"
  (func (export "canister_update forward")
    (drop (call $arg))
    (call $call_new (i32.const 0) (i32.const 0) (i32.const 1009)
      (i32.load8_u (i32.const 1008)) (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 0))
    (call $call_data_append
      (i32.add (i32.const 1009) (i32.load8_u (i32.const 1008)))
      (i32.sub (call $msg_arg_data_size) (i32.add (i32.const 9) (i32.load8_u (i32.const 1008)))))
    (call $call_cycles_add128 (i64.const 0) (i64.load (i32.const 1000)))
    (if (call $call_perform) (then (unreachable))))
  (func $on_reply (param i32)
    (call $answer_text (i32.const 1000) (call $arg)))
  (func $on_reject (param i32)
    (call $msg_reject_msg_copy (i32.const 2000) (i32.const 0) (call $msg_reject_msg_size))
    (call $msg_reject (i32.const 2000) (call $msg_reject_msg_size)))
  (elem (i32.const 1) $on_reply $on_reject)
"#;

fn forward_with(cycles: u64, method: &str, arg: &[u8]) -> Vec<u8> {
    let mut order = cycles.to_le_bytes().to_vec();
    order.push(method.len() as u8);
    order.extend(method.as_bytes());
    order.extend(arg);
    order
}

fn forward(method: &str, arg: &[u8]) -> Vec<u8> {
    forward_with(0, method, arg)
}

#[test]
fn a_canister_creates_funds_and_controls_others() {
    let mut world = World::new();
    let factory = world.install(FORWARDER);
    let held = world.ic.canister(factory).unwrap().cycles;
    let nothing = Encode!(&ic_management_canister_types::CreateCanisterArgs::default()).unwrap();
    let order = forward_with(1_000, "create_canister", &nothing);
    let reply = world.update(factory, "forward", &order).unwrap();
    let child = decode_one::<CanisterIdRecord>(&reply).unwrap().canister_id;
    let info = world.ic.canister(child).unwrap();
    assert_eq!((info.cycles, info.controllers), (1_000, &[factory][..]));
    let arg = Encode!(&record(child)).unwrap();
    let order = forward_with(500, "deposit_cycles", &arg);
    world.update(factory, "forward", &order).unwrap();
    assert_eq!(world.ic.canister(child).unwrap().cycles, 1_500);
    assert_eq!(world.ic.canister(factory).unwrap().cycles, held - 1_500);
    // What a method does not take comes back.
    let order = forward_with(500, "start_canister", &arg);
    world.update(factory, "forward", &order).unwrap();
    assert_eq!(world.ic.canister(factory).unwrap().cycles, held - 1_500);
    // It controls its child, and nothing else.
    let order = forward("stop_canister", &arg);
    world.update(factory, "forward", &order).unwrap();
    assert_eq!(world.ic.canister(child).unwrap().status, Status::Stopped);
    let other = world.install(CALLEE);
    let order = forward("stop_canister", &Encode!(&record(other)).unwrap());
    let result = world.update(factory, "forward", &order);
    assert_rejected(result, "IC0406", "Only the controllers");
}

#[test]
fn randomness_differs_within_a_run_and_repeats_with_the_seed() {
    let run = |seed| {
        let config = local_ic::Config {
            seed,
            ..Default::default()
        };
        let mut world = World {
            ic: local_ic::Replica::new(config),
        };
        let id = world.install(FORWARDER);
        let order = forward("raw_rand", &candid::encode_args(()).unwrap());
        [(); 2].map(|()| {
            let reply = world.update(id, "forward", &order).unwrap();
            let bytes: Vec<u8> = decode_one(&reply).unwrap();
            assert_eq!(bytes.len(), 32);
            bytes
        })
    };
    let first = run(1);
    assert_ne!(first[0], first[1]);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}

#[test]
fn some_methods_are_for_canisters_and_unknown_ones_for_nobody() {
    let mut world = World::new();
    let nothing = candid::encode_args(()).unwrap();
    for method in ["raw_rand", "create_canister", "deposit_cycles"] {
        let result = world.ic.update(user(), MANAGEMENT, method, nothing.clone());
        assert_rejected(result, "IC0406", "only be called by canisters");
    }
    for method in [
        "sign_with_ecdsa",
        "http_request",
        "take_canister_snapshot",
        "",
    ] {
        let result = world.ic.update(user(), MANAGEMENT, method, nothing.clone());
        assert_rejected(result, "IC0407", "has no method");
        let id = world.install(FORWARDER);
        let result = world.update(id, "forward", &forward(method, &nothing));
        assert_rejected(result, "IC0406", "has no method");
    }
    let result = world
        .ic
        .query(user(), MANAGEMENT, "canister_status", nothing);
    assert_rejected(result, "IC0536", "canister_status");
}

#[test]
fn arguments_that_do_not_decode_are_refused() {
    let mut world = World::new();
    let id = world.install(FORWARDER);
    // Among them a type that claims four billion values of no size.
    let bomb = b"DIDL\x01\x6d\x7f\x01\x00\xff\xff\xff\xff\x0f".to_vec();
    for arg in [vec![], b"no candid".to_vec(), b"DIDL\xff".to_vec(), bomb] {
        for method in [
            "canister_status",
            "install_code",
            "update_settings",
            "upload_chunk",
        ] {
            let result = world.ic.update(user(), MANAGEMENT, method, arg.clone());
            assert_rejected(result, "IC0408", "Error decoding candid");
            let result = world.update(id, "forward", &forward(method, &arg));
            assert_rejected(result, "IC0406", "Error decoding candid");
        }
    }
}

#[test]
fn the_status_shows_what_there_is() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_update grow")
          (drop (call $stable64_grow (i64.const 2))) (call $msg_reply))"#,
    );
    world.update(id, "grow", b"").unwrap();
    let status: CanisterStatusResult = ask(&mut world, "canister_status", record(id));
    assert_eq!(status.status, CanisterStatusType::Running);
    assert_eq!(status.settings.controllers, [user()]);
    assert_eq!(
        status.memory_metrics.stable_memory_size,
        Nat::from(131_072u32)
    );
    assert_eq!(status.memory_metrics.wasm_memory_size, Nat::from(65_536u32));
    assert!(status.memory_size > 131_072u32 + 65_536);
    let hash = world.ic.canister(id).unwrap().module_hash.unwrap();
    assert_eq!(status.module_hash, Some(hash.to_vec()));
    world.ic.stop(id).unwrap();
    let status: CanisterStatusResult = ask(&mut world, "canister_status", record(id));
    assert_eq!(status.status, CanisterStatusType::Stopped);
}

#[test]
fn settings_change_controllers_and_environment() {
    let mut world = World::new();
    let id = world.install(
        r#"(func (export "canister_query first")
          (call $env_var_name_copy (i32.const 0) (i32.const 1000) (i32.const 0)
            (call $env_var_name_size (i32.const 0)))
          (call $env_var_value_copy (i32.const 1000) (call $env_var_name_size (i32.const 0))
            (i32.const 2000) (i32.const 0)
            (call $env_var_value_size (i32.const 1000) (call $env_var_name_size (i32.const 0))))
          (call $answer_text (i32.const 2000)
            (call $env_var_value_size (i32.const 1000) (call $env_var_name_size (i32.const 0)))))
        (func (export "canister_query exists")
          (call $answer_i32 (call $env_var_name_exists (i32.const 1000) (call $arg))))
        (func (export "canister_query count") (call $answer_i32 (call $env_var_count)))
        (func (export "canister_query value")
          (call $answer_i32 (call $env_var_value_size (i32.const 1000) (call $arg))))"#,
    );
    let update = |settings| UpdateSettingsArgs {
        canister_id: id,
        settings,
        sender_canister_version: None,
    };
    let variable = |name: &str, value: &str| EnvironmentVariable {
        name: name.into(),
        value: value.into(),
    };
    let variables = |list| CanisterSettings {
        environment_variables: Some(list),
        ..CanisterSettings::default()
    };
    let args = update(variables(vec![
        variable("LEDGER", "bkyz2"),
        variable("B", ""),
    ]));
    manage(&mut world, "update_settings", &args).unwrap();
    assert_eq!(world.query(id, "first", b"").unwrap(), b"bkyz2");
    assert_eq!(world.ask(id, "count"), 2);
    assert_eq!(number(&world.query(id, "exists", b"B").unwrap()), 1);
    assert_eq!(number(&world.query(id, "exists", b"C").unwrap()), 0);
    assert_rejected(world.query(id, "value", b"C"), "IC0504", "`C`");

    let twice = update(variables(vec![variable("A", "1"), variable("A", "2")]));
    assert_rejected(
        manage(&mut world, "update_settings", &twice),
        "IC0408",
        "twice",
    );
    let many = (0..21).map(|n| variable(&n.to_string(), "")).collect();
    let many = update(variables(many));
    assert_rejected(
        manage(&mut world, "update_settings", &many),
        "IC0408",
        "at most 20",
    );

    let crowd = CanisterSettings {
        controllers: Some(vec![user(); 11]),
        ..CanisterSettings::default()
    };
    let result = manage(&mut world, "update_settings", update(crowd));
    assert_rejected(result, "IC0408", "at most 10");
    let gone = CanisterSettings {
        controllers: Some(vec![stranger()]),
        ..CanisterSettings::default()
    };
    manage(&mut world, "update_settings", update(gone)).unwrap();
    assert_rejected(
        manage(&mut world, "canister_status", record(id)),
        "IC0512",
        "controllers",
    );
}

#[test]
fn a_large_module_comes_in_chunks() {
    let mut world = World::new();
    let id = create(&mut world);
    let wasm = module(CALLEE);
    let (first, second) = wasm.split_at(wasm.len() / 2);
    let hashes: Vec<ChunkHash> = [first, second]
        .map(|chunk| {
            let args = UploadChunkArgs {
                canister_id: id,
                chunk: chunk.to_vec(),
            };
            ask(&mut world, "upload_chunk", args)
        })
        .into();
    let stored: Vec<ChunkHash> = ask(&mut world, "stored_chunks", record(id));
    assert_eq!(stored.len(), 2);
    let mut args = InstallChunkedCodeArgs {
        mode: CanisterInstallMode::Install,
        target_canister: id,
        store_canister: None,
        chunk_hashes_list: hashes.clone(),
        wasm_module_hash: vec![0; 32],
        arg: vec![],
        sender_canister_version: None,
    };
    let result = manage(&mut world, "install_chunked_code", &args);
    assert_rejected(result, "IC0408", "make a module with the hash");
    args.wasm_module_hash = Sha256::digest(&wasm).to_vec();
    args.chunk_hashes_list[0].hash[0] ^= 1;
    let result = manage(&mut world, "install_chunked_code", &args);
    assert_rejected(result, "IC0408", "has no chunk");
    args.chunk_hashes_list = hashes;
    manage(&mut world, "install_chunked_code", &args).unwrap();
    assert_eq!(world.update(id, "ok", b"").unwrap(), b"fine");
    // Another canister is installed from the same store.
    let other = create(&mut world);
    args.target_canister = other;
    args.store_canister = Some(id);
    manage(&mut world, "install_chunked_code", &args).unwrap();
    assert_eq!(world.update(other, "ok", b"").unwrap(), b"fine");
    manage(&mut world, "clear_chunk_store", record(id)).unwrap();
    let stored: Vec<ChunkHash> = ask(&mut world, "stored_chunks", record(id));
    assert_eq!(stored, []);
    let large = UploadChunkArgs {
        canister_id: id,
        chunk: vec![0; 1024 * 1024 + 1],
    };
    assert_rejected(
        manage(&mut world, "upload_chunk", large),
        "IC0408",
        "1048577 bytes",
    );
}

#[test]
fn the_history_of_a_canister_is_kept() {
    let mut world = World::new();
    let id = create(&mut world);
    let wasm = module(CALLEE);
    let install = install_args(id, CanisterInstallMode::Install, &wasm);
    manage(&mut world, "install_code", install).unwrap();
    manage(&mut world, "uninstall_code", record(id)).unwrap();
    let args = CanisterInfoArgs {
        canister_id: id,
        num_requested_changes: Some(2),
    };
    let info: CanisterInfoResult = ask(&mut world, "canister_info", args);
    assert_eq!((info.total_num_changes, info.recent_changes.len()), (3, 2));
    assert_eq!(info.module_hash, None);
    assert_eq!(info.controllers, [user()]);
    let details: Vec<_> = info
        .recent_changes
        .into_iter()
        .map(|it| it.details)
        .collect();
    let hash = Sha256::digest(&wasm).to_vec();
    assert!(matches!(
        &details[..],
        [Some(ChangeDetails::CodeDeployment(it)), Some(ChangeDetails::CodeUninstall)]
            if it.module_hash == hash
    ));
}

#[test]
fn uninstalling_answers_what_was_open() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let middle = world.install(CALLER);
    let callee = world.install(CALLEE);
    let rule = world.ic.faults().add(
        local_ic::Target::call().to(callee),
        local_ic::Fault::DelayReply(local_ic::Until::Released),
    );
    let arg = order(callee, 1_000, 0, "ok");
    let message = world.ic.submit_anew(user(), middle, "call", arg).unwrap();
    world.ic.run();
    let held = world.ic.canister(middle).unwrap().cycles;
    manage(&mut world, "uninstall_code", record(middle)).unwrap();
    match world.ic.status(&message) {
        IngressStatus::Rejected(reject) => {
            assert!(reject.message.contains("has been uninstalled"), "{reject}");
        }
        status => panic!("{status:?}"),
    }
    // The answer comes late, finds nobody, and gives the cycles back.
    world.ic.faults().release(rule);
    world.ic.run();
    assert_eq!(world.ic.canister(middle).unwrap().cycles, held + 1_000);
    let answer = world
        .update(caller, "call", &order(middle, 0, 0, "state"))
        .unwrap();
    assert_eq!(Outcome::parse(&answer).code(), 5);
}

#[test]
fn a_stop_request_waits_and_gives_up_after_five_minutes() {
    let mut world = World::new();
    let caller = world.install(CALLER);
    let callee = world.install(CALLEE);
    let rule = world.ic.faults().add(
        local_ic::Target::call().to(callee).always(),
        local_ic::Fault::DelayReply(local_ic::Until::Released),
    );
    let arg = order(callee, 0, 0, "ok");
    world.ic.submit_anew(user(), caller, "call", arg).unwrap();
    world.ic.run();
    let stop = |world: &mut World| {
        let arg = Encode!(&record(caller)).unwrap();
        let id = world
            .ic
            .submit_anew(user(), MANAGEMENT, "stop_canister", arg)
            .unwrap();
        world.ic.run();
        id
    };
    let late = stop(&mut world);
    world.ic.advance(Duration::from_secs(299));
    assert_eq!(world.ic.status(&late), IngressStatus::Received);
    let cancelled = stop(&mut world);
    world.ic.advance(Duration::from_secs(1));
    assert!(matches!(
        world.ic.status(&late),
        IngressStatus::Rejected(reject) if reject.error_code == "IC0206"
    ));
    assert_eq!(world.ic.canister(caller).unwrap().status, Status::Stopping);
    // Started again, who waits is told so.
    manage(&mut world, "start_canister", record(caller)).unwrap();
    assert!(matches!(
        world.ic.status(&cancelled),
        IngressStatus::Rejected(reject) if reject.error_code == "IC0511"
    ));
    // And once the call is answered, it stops.
    let done = stop(&mut world);
    world.ic.faults().release(rule);
    world.ic.run();
    assert!(matches!(world.ic.status(&done), IngressStatus::Replied(_)));
    assert_eq!(world.ic.canister(caller).unwrap().status, Status::Stopped);
}
