//! A relay, a device and watchers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use perun_protocol::{ChannelId, SecretKey, Version};
use perun_watch_relay::frames::Side;
use perun_watch_relay::{RelayEnd, Server, Settings};
use perun_watch_stream::{
    Author, MAX_MESSAGE_LENGTH, Number, Received, Record, Storage, StreamId, Subscriber,
};
use rand_core::OsRng;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// How long is waited for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long is waited for what must not come.
pub const SILENCE: Duration = Duration::from_millis(150);

#[derive(Clone, Default)]
pub struct Memory(Rc<RefCell<HashMap<Record, Vec<u8>>>>);

impl Storage for Memory {
    type Error = Infallible;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        Ok(self.0.borrow().get(&record).map(|bytes| {
            into[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.borrow_mut().insert(record, bytes.to_vec());
        Ok(())
    }
}

/// The usual settings, for a folder that no other test has.
pub fn settings() -> Settings {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("perun-watch-relay-{}-{count}", std::process::id());
    Settings::new(std::env::temp_dir().join(name))
}

/// A relay with a folder of its own, which is removed at the end.
pub struct Relay {
    runtime: Option<Runtime>,
    server: Option<Server>,
    pub settings: Settings,
}

impl Relay {
    pub fn start() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        let mut relay = Self {
            runtime: None,
            server: None,
            settings,
        };
        relay.restart();
        relay
    }

    /// The process ends, all connections with it, and another one takes the folder up.
    pub fn restart(&mut self) {
        self.server = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            Server::start(listener, self.settings.clone())
                .await
                .unwrap()
        });
        self.runtime = Some(runtime);
        self.server = Some(server);
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    pub fn end(&self) -> RelayEnd {
        RelayEnd::connect(self.address(), PATIENCE).unwrap()
    }

    /// The files of a stream.
    pub fn files(&self, stream: StreamId) -> Vec<PathBuf> {
        let name: String = stream.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = std::fs::read_dir(self.settings.folder.join(name)).unwrap();
        folder.map(|file| file.unwrap().path()).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
        let _ = std::fs::remove_dir_all(&self.settings.folder);
    }
}

pub fn channel() -> ChannelId {
    ChannelId::from_bytes([0xc4; 32])
}

pub fn owner() -> SecretKey {
    SecretKey::from_bytes(&[0x11; 32]).unwrap()
}

pub fn identity(seed: u8) -> [u8; 32] {
    SigningKey::from_bytes(&[seed; 32])
        .verifying_key()
        .to_bytes()
}

pub struct Device {
    pub author: Author<Memory>,
    pub end: RelayEnd,
}

impl Device {
    pub fn announce(relay: &Relay) -> Self {
        let author = Author::create(Memory::default(), channel(), &owner(), &mut OsRng).unwrap();
        let mut device = Self {
            author,
            end: relay.end(),
        };
        let announcement = device.author.announcement();
        assert_eq!(device.end.publish(&announcement).unwrap(), Ok(()));
        device.follow();
        device
    }

    pub fn reconnect(&mut self, relay: &Relay) {
        self.end = relay.end();
        self.follow();
    }

    pub fn open_epoch(&mut self) -> Vec<u8> {
        let keyload = self.author.open_epoch(&mut OsRng).unwrap().to_vec();
        assert_eq!(self.end.publish(&keyload).unwrap(), Ok(()));
        keyload
    }

    pub fn publish(&mut self, version: u64) -> Vec<u8> {
        let payload = version.to_be_bytes();
        let packet = self.author.publish(Version::new(version), &[], &payload);
        let packet = packet.unwrap().to_vec();
        assert_eq!(self.end.publish(&packet).unwrap(), Ok(()));
        packet
    }

    /// Takes up what watchers said until so many of their messages had an effect.
    pub fn hear(&mut self, count: usize) {
        let mut heard = 0;
        while heard < count {
            let message = self.end.next(PATIENCE).unwrap().expect("something comes");
            heard += usize::from(self.author.receive(&message).is_ok());
        }
    }

    fn follow(&mut self) {
        let stream = self.author.stream();
        self.end.follow(Side::Watchers, stream, Number(0)).unwrap();
    }
}

pub struct Watcher {
    pub side: Subscriber<Memory>,
    pub end: RelayEnd,
    pub key: [u8; 32],
}

impl Watcher {
    /// Follows by the announcement that the relay has.
    pub fn follow(relay: &Relay, device: &mut Device, seed: u8) -> Self {
        let mut end = relay.end();
        let stream = device.author.stream();
        end.follow(Side::Author, stream, Number(0)).unwrap();
        let announcement = end.next(PATIENCE).unwrap().unwrap();
        let participant = owner().participant();
        let memory = Memory::default();
        let identity_seed = [seed; 32];
        let side = Subscriber::follow(
            memory,
            &announcement,
            channel(),
            participant,
            &identity_seed,
            &mut OsRng,
        );
        let key = identity(seed);
        end.introduce(key).unwrap();
        let mut watcher = Self {
            side: side.unwrap(),
            end,
            key,
        };
        device.author.allow(key).unwrap();
        let subscription = watcher.side.subscribe(&mut OsRng).unwrap();
        assert_eq!(watcher.end.publish(&subscription).unwrap(), Ok(()));
        device.hear(1);
        watcher
    }

    pub fn reconnect(&mut self, relay: &Relay) {
        self.end = relay.end();
        self.end.introduce(self.key).unwrap();
        let from = self
            .side
            .window()
            .map_or(Number(0), |window| window.contiguous());
        self.end
            .follow(Side::Author, self.side.stream(), from)
            .unwrap();
    }

    /// Takes up what comes until it has this version.
    pub fn until(&mut self, version: u64) {
        let version = Version::new(version);
        while self.side.stored_version() != Some(version) {
            let message = self.end.next(PATIENCE).unwrap().expect("something comes");
            self.take(&message);
        }
    }

    pub fn take(&mut self, message: &[u8]) {
        let mut text = [0; MAX_MESSAGE_LENGTH];
        if let Ok(Received::State {
            version, payload, ..
        }) = self.side.receive(message, &mut text)
        {
            assert_eq!(payload, version.number().to_be_bytes());
            self.side.stored(version).unwrap();
        }
    }

    pub fn ack(&mut self) {
        let ack = self.side.ack().unwrap();
        assert_eq!(self.end.publish(&ack).unwrap(), Ok(()));
    }

    /// All that comes until nothing does.
    pub fn rest(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.end.next(SILENCE).unwrap()).collect()
    }
}

/// A device with watchers that can read.
pub fn stage(relay: &Relay, watchers: u8) -> (Device, Vec<Watcher>) {
    let mut device = Device::announce(relay);
    let watchers = (0..watchers)
        .map(|seed| Watcher::follow(relay, &mut device, 0x41 + seed))
        .collect();
    device.open_epoch();
    (device, watchers)
}
