//! The records of followed streams: a folder for each.
//!
//! A restored subscriber is an old copy. It must not sign under numbers that the original has used since
//! ([`renumber`]): the device passes over a number that it has heard, and would count itself unguarded. If
//! one backup is restored twice, the second copy still comes to numbers of the first, and a subscriber that
//! is made anew begins at 1. Then the device's owner has to remove the node's key and allow it again.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use perun_client::remote::StreamFiles;
use perun_watch_stream::{StartError, StreamId, Subscriber};

use crate::devices::FOLDER;
use crate::private_file;

/// The folder of all streams, in that of devices.
const STREAMS: &str = "streams";
/// How a record's file ends that may not be whole yet.
const UNFINISHED: &str = "new";

/// The folder of all streams' records.
pub(in crate::devices) fn folder(devices: &Path) -> PathBuf {
    devices.join(STREAMS)
}

/// The folder of one stream's.
pub(super) fn folder_of(devices: &Path, stream: StreamId) -> PathBuf {
    folder(devices).join(hex::encode(stream.0))
}

/// The subscriber whose records are in a folder, if it is there.
pub(super) fn resume(
    folder: &Path,
) -> Result<Option<Subscriber<StreamFiles>>, StartError<io::Error>> {
    if !fs::exists(folder).map_err(StartError::Storage)? {
        return Ok(None);
    }
    let files = StreamFiles::open(folder).map_err(StartError::Storage)?;
    Subscriber::start(files)
}

/// Copies all streams' records, each as it is at one moment, to a folder that is made.
pub(in crate::devices) fn copy(devices: &Path, to: &Path) -> io::Result<()> {
    private_file::create_folder(to)?;
    for stream in entries(&folder(devices))? {
        let copied = to.join(stream.file_name().unwrap_or_default());
        private_file::create_folder(&copied)?;
        for file in entries(&stream)? {
            // A record is replaced by this one, and never written in place.
            if file.extension().is_none_or(|ending| ending != UNFINISHED) {
                fs::copy(&file, copied.join(file.file_name().unwrap_or_default()))?;
            }
        }
    }
    Ok(())
}

/// Makes the subscribers in a data folder go on far behind all numbers that they may have signed since they
/// were copied. What is damaged stays as it is: a start tells it.
///
/// # Errors
/// What the system says.
pub(crate) fn renumber(data: &Path) -> io::Result<()> {
    for stream in entries(&folder(&data.join(FOLDER)))? {
        match renumber_one(&stream) {
            Ok(()) => {}
            Err(StartError::Storage(error)) if error.kind() != ErrorKind::InvalidData => {
                return Err(error);
            }
            Err(error @ StartError::Exhausted) => return Err(io::Error::other(error.to_string())),
            Err(error) => tracing::warn!("{}: {error}", stream.display()),
        }
    }
    Ok(())
}

fn renumber_one(folder: &Path) -> Result<(), StartError<io::Error>> {
    let Some(subscriber) = resume(folder)? else {
        return Ok(());
    };
    // An import leaves numbers out. This export never leaves the memory.
    let mut key = zeroize::Zeroizing::new([0; 32]);
    let filled = getrandom::fill(&mut *key).map_err(io::Error::other);
    filled.map_err(StartError::Storage)?;
    let export = subscriber.export(&key);
    Subscriber::import(subscriber.into_storage(), &export, &key)?;
    Ok(())
}

/// What is in a folder; nothing if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use perun_protocol::{ChannelId, Participant, SecretKey, Signer as _};
    use perun_watch_stream::{Author, IMPORT_JUMP, Message};
    use rand_core::OsRng;

    use super::*;
    use crate::scratch::Scratch;

    /// A data folder in which a stream is followed; and the folder of its records.
    fn followed(data: &Path) -> (Subscriber<StreamFiles>, PathBuf) {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let channel = ChannelId::from_bytes([2; 32]);
        let files = StreamFiles::open(&data.join("author")).unwrap();
        let author = Author::create(files, channel, &key, &mut OsRng).unwrap();
        let folder = folder_of(&data.join(FOLDER), author.stream());
        let participant = Participant::Secp256k1(key.public_key());
        let follows = Subscriber::follow(
            StreamFiles::open(&folder).unwrap(),
            &author.announcement(),
            channel,
            participant,
            &[3; 32],
            &mut OsRng,
        );
        (follows.unwrap(), folder)
    }

    fn next_number(subscriber: &mut Subscriber<StreamFiles>) -> u64 {
        let message = subscriber.subscribe(&mut OsRng).unwrap();
        Message::parse(&message).unwrap().header().number.0
    }

    #[test]
    fn a_restored_subscriber_repeats_no_number_of_its_original() {
        let scratch = Scratch::new();
        let (data, restored) = (scratch.path().join("data"), scratch.path().join("restored"));
        let (mut original, records) = followed(&data);
        next_number(&mut original);
        fs::write(records.join("state.new"), "half").unwrap();
        copy(&data.join(FOLDER), &folder(&restored.join(FOLDER))).unwrap();
        let copied = folder_of(&restored.join(FOLDER), original.stream());
        assert_eq!(entries(&copied).unwrap().len(), 2);
        let numbers: Vec<_> = (0..100).map(|_| next_number(&mut original)).collect();
        renumber(&restored).unwrap();
        let mut subscriber = resume(&copied).unwrap().unwrap();
        assert_eq!(subscriber.id(), original.id());
        let number = next_number(&mut subscriber);
        assert!(
            !numbers.contains(&number) && number >= IMPORT_JUMP,
            "{number}"
        );
    }

    #[test]
    fn what_is_damaged_is_named_and_keeps_nothing_from_being_restored() {
        let scratch = Scratch::new();
        let (_, records) = followed(scratch.path());
        for (name, text) in [("state", "damaged"), ("reservation", "")] {
            let file = records.join(name);
            let good = fs::read(&file).unwrap();
            fs::write(&file, text).unwrap();
            let error = resume(&records).err().unwrap().to_string();
            assert!(error.contains(file.to_str().unwrap()), "{error}");
            renumber(scratch.path()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            fs::write(&file, good).unwrap();
        }
        assert!(resume(&records).unwrap().is_some());
        renumber(&scratch.path().join("elsewhere")).unwrap();
    }
}
