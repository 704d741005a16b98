//! The same story over each transport.

use std::fs;

use perun_protocol::Version;
use perun_watch_stream::{Bucket, MAX_MESSAGE_LENGTH, Transport};

use crate::world::folder::Folder;
use crate::world::{Got, World, state};

/// Two watchers and a device that meet only through `ends`.
fn story<T: Transport>(mut ends: [T; 3])
where
    T::Error: std::fmt::Debug,
{
    let mut world = World::with_watchers(2);
    let [device, one, other] = &mut ends;
    let keyload = world.keyload();
    device.send(&keyload).unwrap();
    device.send(&world.publish(5)).unwrap();
    let mut buffer = [0; MAX_MESSAGE_LENGTH];
    for (end, watcher) in [one, other].into_iter().zip(&mut world.watchers) {
        let mut got = Vec::new();
        while let Some(length) = end.receive(&mut buffer).unwrap() {
            got.extend(watcher.receive(&buffer[..length]));
        }
        assert_eq!(got, [Got::Epoch(2), state(5)]);
        end.send(&watcher.side.ack().unwrap()).unwrap();
    }
    while let Some(length) = device.receive(&mut buffer).unwrap() {
        let _ = world.author.receive(&buffer[..length]);
    }
    assert_eq!(world.author.guarded_by(Version::new(5)), 2);
}

#[test]
fn over_a_bucket() {
    let bucket = Bucket::<8>::new();
    story([bucket.end(), bucket.end(), bucket.end()]);
}

#[test]
fn a_full_bucket_drops_the_oldest() {
    let bucket = Bucket::<3>::new();
    let (mut writer, mut reader) = (bucket.end(), bucket.end());
    for byte in 0..5 {
        writer.send(&[byte]).unwrap();
    }
    writer.send(&[9; MAX_MESSAGE_LENGTH + 1]).unwrap();
    let mut buffer = [0; MAX_MESSAGE_LENGTH];
    for byte in 2..5 {
        assert_eq!(reader.receive(&mut buffer), Ok(Some(1)));
        assert_eq!(buffer[0], byte);
    }
    assert_eq!(reader.receive(&mut buffer), Ok(None));
    assert_eq!(bucket.end().receive(&mut []), Ok(None));
}

#[test]
fn over_a_folder() {
    let path = std::env::temp_dir().join(format!("perun-watch-stream-{}", std::process::id()));
    story([0; 3].map(|_| Folder::open(&path).unwrap()));
    fs::write(path.join("00000004.msg"), [1; MAX_MESSAGE_LENGTH + 1]).unwrap();
    let mut end = Folder::open(&path).unwrap();
    let mut buffer = [0; MAX_MESSAGE_LENGTH];
    let count = std::iter::from_fn(|| end.receive(&mut buffer).unwrap()).count();
    assert_eq!(count, 4);
    fs::remove_dir_all(path).unwrap();
}
