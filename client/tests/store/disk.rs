//! A disk in memory that forgets, breaks and waits when it is told to.
//!
//! What was written and not flushed may after a crash be there or not, sector by sector; a file that
//! was made or removed may be so or not until the folder was flushed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use perun_client::store::disk::{Disk, DiskFile};

/// How long a flush is held at most.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    /// What a crash cannot take back.
    durable_files: BTreeMap<String, Arc<Mutex<Content>>>,
    flushes: u64,
    /// Writes, flushes and the like that were tried.
    operations: u64,
    /// Operations after which the disk is gone.
    dies_after: Option<u64>,
    /// Flushes that are let through before others wait.
    held_after: Option<u64>,
    /// Flushes that wait to be let through.
    held_flushes: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    flushed: Vec<u8>,
    /// What happened since the last flush.
    unflushed: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

#[derive(Debug)]
struct SimulatedFile {
    disk: Arc<Shared>,
    content: Arc<Mutex<Content>>,
}

/// Numbers that look random and are the same in every run.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

impl SimulatedDisk {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A disk that is gone after so many operations.
    pub fn mortal(operations: u64) -> Arc<Self> {
        let disk = Self::new();
        disk.dies_after(operations);
        disk
    }

    /// Gone after so many more operations.
    pub fn dies_after(&self, operations: u64) {
        let mut state = self.0.state.lock().unwrap();
        state.dies_after = Some(state.operations + operations);
    }

    pub fn operations(&self) -> u64 {
        self.0.state.lock().unwrap().operations
    }

    pub fn flushes(&self) -> u64 {
        self.0.state.lock().unwrap().flushes
    }

    /// From now on flushes wait.
    pub fn hold_flushes(&self) {
        self.hold_flushes_after(0);
    }

    /// So many more flushes are let through; others wait.
    pub fn hold_flushes_after(&self, count: u64) {
        let mut state = self.0.state.lock().unwrap();
        state.held_after = Some(state.flushes + count);
    }

    pub fn let_flushes_go(&self) {
        self.0.state.lock().unwrap().held_after = None;
        self.0.changed.notify_all();
    }

    /// Waits until a flush waits.
    pub fn wait_for_flush(&self) {
        let state = self.0.state.lock().unwrap();
        let flushing = self.0.changed.wait_while(state, |s| s.held_flushes == 0);
        drop(flushing.unwrap());
    }

    /// What a power cut leaves.
    pub fn crashed(&self, chance: &mut Chance) -> Arc<Self> {
        let state = self.0.state.lock().unwrap();
        let mut files = BTreeMap::new();
        for (name, content) in &state.durable_files {
            if state.files.contains_key(name) || chance.below(2) == 0 {
                files.insert(name.clone(), content.lock().unwrap().crashed(chance));
            }
        }
        for (name, content) in &state.files {
            if !files.contains_key(name) && chance.below(2) == 0 {
                files.insert(name.clone(), content.lock().unwrap().crashed(chance));
            }
        }
        Self::with(files)
    }

    /// What the end of the process leaves, if the machine goes on.
    pub fn killed(&self) -> Arc<Self> {
        let state = self.0.state.lock().unwrap();
        let content = |content: &Mutex<Content>| content.lock().unwrap().now.clone();
        let files = state.files.iter();
        Self::with(files.map(|(n, c)| (n.clone(), content(c))).collect())
    }

    fn with(files: BTreeMap<String, Vec<u8>>) -> Arc<Self> {
        let files: BTreeMap<_, _> = files
            .into_iter()
            .map(|(name, bytes)| {
                let content = Content {
                    flushed: bytes.clone(),
                    now: bytes,
                    unflushed: Vec::new(),
                };
                (name, Arc::new(Mutex::new(content)))
            })
            .collect();
        let disk = Self::new();
        {
            let mut state = disk.0.state.lock().unwrap();
            state.durable_files = files.clone();
            state.files = files;
        }
        disk
    }

    pub fn file(&self, name: &str) -> Vec<u8> {
        let state = self.0.state.lock().unwrap();
        let content = state.files[name].lock().unwrap();
        content.now.clone()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.state.lock().unwrap().files.contains_key(name)
    }

    /// Changes bytes behind everybody's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let state = self.0.state.lock().unwrap();
        let mut content = state.files[name].lock().unwrap();
        change(&mut content.now);
        content.flushed = content.now.clone();
    }

    /// Flips a bit in every copy of these bytes, and tells how many there were.
    pub fn flip_in(&self, name: &str, bytes: &[u8]) -> usize {
        let mut copies = 0;
        self.tamper(name, |content| {
            let mut at = 0;
            while let Some(found) = find(&content[at..], bytes) {
                content[at + found + bytes.len() / 2] ^= 4;
                at += found + bytes.len();
                copies += 1;
            }
        });
        copies
    }
}

fn find(content: &[u8], bytes: &[u8]) -> Option<usize> {
    content
        .windows(bytes.len())
        .position(|window| window == bytes)
}

impl Shared {
    /// Counts an operation that changes something.
    fn operate(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.operations += 1;
        match state.dies_after {
            Some(end) if state.operations > end => Err(io::Error::other("the disk is gone")),
            _ => Ok(()),
        }
    }

    fn flush(&self) -> io::Result<()> {
        {
            let mut state = self.state.lock().unwrap();
            state.flushes += 1;
            state.held_flushes += 1;
            self.changed.notify_all();
            // Not for ever, so that a test that fails meanwhile ends.
            let number = state.flushes;
            let held = |state: &mut State| state.held_after.is_some_and(|after| number > after);
            let state = self.changed.wait_timeout_while(state, PATIENCE, held);
            state.unwrap().0.held_flushes -= 1;
        }
        self.operate()
    }
}

impl Content {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Length(length) => bytes.resize(*length, 0),
            Change::Write(at, written) => {
                let end = at + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(written);
            }
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.now, &change);
        self.unflushed.push(change);
    }

    fn crashed(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.flushed.clone();
        // Mostly nothing, everything, or anything.
        let mood = chance.below(3);
        for change in &self.unflushed {
            match change {
                Change::Length(_) if mood > 0 => Self::apply(&mut bytes, change),
                Change::Length(_) => {}
                Change::Write(at, written) => {
                    let mut from = 0;
                    while from < written.len() {
                        let to = (at + from) / SECTOR * SECTOR + SECTOR - at;
                        let to = to.min(written.len());
                        if mood == 1 || (mood == 2 && chance.below(2) == 0) {
                            let part = written[from..to].to_vec();
                            Self::apply(&mut bytes, &Change::Write(at + from, part));
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let state = self.0.state.lock().unwrap();
        let content = state.files.get(name).cloned();
        Ok(content.map(|content| {
            Arc::new(SimulatedFile {
                disk: self.0.clone(),
                content,
            }) as Arc<dyn DiskFile>
        }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.0.operate()?;
        {
            let mut state = self.0.state.lock().unwrap();
            let content = Arc::default();
            state.files.insert(name.to_owned(), content);
        }
        Ok(self.open(name)?.expect("it was made"))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.operate()?;
        let mut state = self.0.state.lock().unwrap();
        let content = state.files.remove(from).expect("it is there");
        state.files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.operate()?;
        self.0.state.lock().unwrap().files.remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.state.lock().unwrap().files.keys().cloned().collect())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.flush()?;
        let mut state = self.0.state.lock().unwrap();
        state.durable_files = state.files.clone();
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().now.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let content = self.content.lock().unwrap();
        let from = offset as usize;
        let found = content.now.get(from..from + bytes.len());
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.operate()?;
        let change = Change::Write(offset as usize, bytes.to_vec());
        self.content.lock().unwrap().change(change);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.operate()?;
        let change = Change::Length(length as usize);
        self.content.lock().unwrap().change(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.flush()?;
        let mut content = self.content.lock().unwrap();
        content.flushed = content.now.clone();
        content.unflushed.clear();
        Ok(())
    }
}
