//! Watch streams of devices.

use super::*;

const STREAM: &str = "0caaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn a_stream_is_named_by_its_relay_and_its_name() {
    let upper = STREAM.to_uppercase().replace("0C", "0D");
    let yaml = format!(
        "devices: '[::1]:9'\ndevice-streams: ['relay.example:5790/{STREAM}', '[::1]:7/{upper}']\n"
    );
    let settings = loaded(&yaml, &[]).unwrap();
    let streams = settings.devices.streams.iter();
    let streams: Vec<_> = streams
        .map(|it| (it.relay.as_str(), it.stream.0[0]))
        .collect();
    assert_eq!(streams, [("relay.example:5790", 0x0c), ("[::1]:7", 0x0d)]);
}

#[test]
fn what_names_no_stream_is_refused_with_its_origin() {
    let z = "z".repeat(32);
    for name in ["relay:1/", "relay:1/0c", &format!("relay:1/{z}")] {
        is_refused(name, "a stream has 32 hex digits");
    }
    is_refused("relay:1", "written like relay.example:5790/");
    for relay in ["", "relay", "relay:0", "relay:65536", ":1", "me@relay:1"] {
        is_refused(&format!("{relay}/{STREAM}"), "a relay is written like");
    }
    is_refused(
        &format!("tcp://relay:1/{STREAM}"),
        "a relay is written like",
    );
}

#[test]
fn streams_need_devices_and_are_named_once() {
    let name = format!("device-streams: relay:1/{STREAM}");
    let error = refused(&name, &[]);
    assert!(error.contains("say with devices where"), "{error}");
    let twice = format!("devices: 127.0.0.1:9\ndevice-streams: [a:1/{STREAM}, b:1/{STREAM}]");
    let error = refused(&twice, &[]);
    assert!(
        error.contains(STREAM) && error.contains("named twice"),
        "{error}"
    );
}

fn is_refused(name: &str, reason: &str) {
    let error = refused("", &[&format!("--device-streams={name}")]);
    for part in [reason, name, "device-streams", "the command line"] {
        assert!(error.contains(part), "{name}: {error}");
    }
}
