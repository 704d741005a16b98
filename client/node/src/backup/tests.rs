mod refused;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perun_client::store::{FileStore, Store as _, Write as StoreWrite};
use perun_protocol::{ChannelId, SecretKey, Signer as _, Version};

use super::manifest::NAME;
use super::*;
use crate::history::{self, History};
use crate::idempotency::{Begin, Calls};
use crate::scratch::Scratch;
use crate::tokens::Tokens;

/// A data folder with one session, and what in it is in use.
struct World {
    scratch: Scratch,
    data: PathBuf,
    store: Arc<FileStore>,
    history: Arc<History>,
    calls: Arc<Calls>,
}

const SESSION: &str = "user: { commAddr: \"127.0.0.1:0\" }\n";

fn identity() -> perun_protocol::PublicKey {
    SecretKey::from_bytes(&[1; 32]).unwrap().public_key()
}

fn session(data: &Path) -> PathBuf {
    data.join("sessions/alice")
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        let data = scratch.path().join("data");
        let session = session(&data);
        fs::create_dir_all(session.join("keystore")).unwrap();
        fs::write(data.join("node.yaml"), "loglevel: debug\n").unwrap();
        fs::write(data.join("tls.key"), "secret").unwrap();
        fs::write(session.join("session.yaml"), SESSION).unwrap();
        fs::write(session.join("keystore/keys.json"), "{}").unwrap();
        fs::write(session.join("contacts.yaml.new-0123"), "half").unwrap();
        Self {
            store: Arc::new(FileStore::open(&session.join("database"), &identity()).unwrap()),
            history: Arc::new(History::open(&session).unwrap()),
            calls: Arc::new(Calls::open(&session.join("calls.redb")).unwrap()),
            scratch,
            data,
        }
    }

    fn live(&self) -> Vec<Live> {
        let session = session(&self.data);
        let store = Arc::clone(&self.store);
        let (history, calls) = (Arc::clone(&self.history), Arc::clone(&self.calls));
        vec![
            Live::new(session.join("database"), move |to| {
                store.copy_to(to).map_err(Error::internal)
            }),
            Live::new(session.join(history::FILE), move |to| history.copy_to(to)),
            Live::new(session.join("calls.redb"), move |to| calls.copy_to(to)),
        ]
    }

    fn backup(&self) -> PathBuf {
        let path = self.scratch.path().join("backup.tar");
        let file = fs::File::create(&path).unwrap();
        write::write(&self.data, &[], &self.live(), file).unwrap();
        path
    }

    /// Stores a version with payments, durably.
    fn store_version(&self, version: u64) {
        let write = StoreWrite {
            opening: Some(vec![1]),
            snapshot: Some(version.to_be_bytes().to_vec()),
            payments: Some((Version::new(version), vec![version as u8])),
            ..StoreWrite::new(channel())
        };
        let ticket = self.store.write(write);
        while self.store.durable() < ticket {
            std::thread::yield_now();
        }
    }

    fn elsewhere(&self) -> PathBuf {
        self.scratch.path().join("elsewhere")
    }
}

fn channel() -> ChannelId {
    ChannelId::from_bytes([5; 32])
}

fn newest(store: &FileStore) -> u64 {
    let loaded = store.load().unwrap();
    let (_, stored) = loaded.channels.into_iter().next().unwrap();
    u64::from_be_bytes(stored.unwrap().snapshot.try_into().unwrap())
}

#[tokio::test]
async fn what_was_backed_up_is_restored_and_marked() {
    let world = World::new();
    world.store_version(1);
    world.history.note_memo([2; 32], "coffee");
    world.history.flush().await.unwrap();
    match world.calls.begin("key", [3; 32]).await.unwrap() {
        Begin::First(ticket) => ticket.done(b"answer").unwrap(),
        other => panic!("{other:?}"),
    }
    let Begin::First(_under_way) = world.calls.begin("other", [3; 32]).await.unwrap() else {
        panic!();
    };
    let backup = world.backup();
    // Nothing of it stays in the data folder.
    assert!(fs::read_dir(&world.data).unwrap().all(|entry| {
        !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".backup")
    }));
    let data = world.elsewhere();
    restore(&backup, &data).unwrap();
    let alice = session(&data);
    for name in [
        "node.yaml",
        "tls.key",
        "sessions/alice/session.yaml",
        "sessions/alice/keystore/keys.json",
    ] {
        assert_eq!(
            fs::read(data.join(name)).unwrap(),
            fs::read(world.data.join(name)).unwrap()
        );
    }
    assert!(!alice.join("contacts.yaml.new-0123").exists());
    assert!(!data.join(NAME).exists());
    assert!(
        fs::read_to_string(alice.join(RESTORED))
            .unwrap()
            .contains("backup")
    );
    let store = FileStore::open(&alice.join("database"), &identity()).unwrap();
    assert_eq!(newest(&store), 1);
    History::open(&alice).unwrap();
    let calls = Calls::open(&alice.join("calls.redb")).unwrap();
    assert!(matches!(
        calls.begin("key", [3; 32]).await,
        Ok(Begin::Done(_))
    ));
    assert!(matches!(
        calls.begin("other", [3; 32]).await,
        Ok(Begin::Interrupted(_))
    ));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data), mode(&alice)), (0o700, 0o700));
        assert_eq!(mode(&data.join("tls.key")), 0o600);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_payments_run_is_of_one_moment() {
    let world = Arc::new(World::new());
    world.store_version(1);
    let is_over = Arc::new(AtomicBool::new(false));
    let paying = {
        let (world, is_over) = (Arc::clone(&world), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut version = 1;
            while !is_over.load(Ordering::Relaxed) {
                version += 1;
                world.store_version(version);
                let memo = [version as u8; 32];
                world.history.note_memo(memo, "more");
            }
            version
        })
    };
    for _ in 0..5 {
        let before = newest(&world.store);
        let backup = world.backup();
        let after = newest(&world.store);
        let data = world.elsewhere();
        restore(&backup, &data).unwrap();
        {
            let database = session(&data).join("database");
            let store = FileStore::open(&database, &identity()).unwrap();
            let newest = newest(&store);
            assert!(
                (before..=after).contains(&newest),
                "{before} {newest} {after}"
            );
            let payments = store
                .payments(&channel(), Version::INITIAL, usize::MAX)
                .unwrap();
            let versions: Vec<_> = payments
                .iter()
                .map(|stored| stored.version.number())
                .collect();
            assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
            History::open(&session(&data)).unwrap();
        }
        fs::remove_dir_all(&data).unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    assert!(paying.join().unwrap() > 1);
}

#[test]
fn a_session_that_is_not_open_is_copied_and_kept_closed_meanwhile() {
    let world = World::new();
    world.store_version(7);
    world.store.close().unwrap();
    let backup = world.scratch.path().join("backup.tar");
    let live = &world.live()[1..];
    write::write(&world.data, &[], live, fs::File::create(&backup).unwrap()).unwrap();
    restore(&backup, &world.elsewhere()).unwrap();
    let database = session(&world.elsewhere()).join("database");
    assert_eq!(newest(&FileStore::open(&database, &identity()).unwrap()), 7);
    // If somebody opens it, the backup is refused.
    let database = session(&world.data).join("database");
    let _open = FileStore::open(&database, &identity()).unwrap();
    let refused = write::write(&world.data, &[], live, Vec::new());
    assert!(
        matches!(refused, Err(Error::FailedPrecondition { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_session_that_lies_elsewhere_is_put_among_the_others() {
    let world = World::new();
    let bob = world.scratch.path().join("users/bob");
    fs::create_dir_all(&bob).unwrap();
    fs::write(bob.join("session.yaml"), SESSION).unwrap();
    let live = [Live::new(bob.join("database"), |to| {
        fs::create_dir(to).unwrap();
        fs::write(to.join("index"), "1").unwrap();
        Ok(())
    })];
    let backup = world.scratch.path().join("backup.tar");
    world.store.close().unwrap();
    let write = || {
        let elsewhere = std::slice::from_ref(&bob);
        let file = fs::File::create(&backup).unwrap();
        write::write(&world.data, elsewhere, &live, file)
    };
    write().unwrap();
    restore(&backup, &world.elsewhere()).unwrap();
    let restored = world.elsewhere().join("sessions/bob");
    for name in ["session.yaml", "database/index", RESTORED] {
        assert!(restored.join(name).is_file(), "{name}");
    }
    // Another one of this name.
    fs::create_dir(world.data.join("sessions/bob")).unwrap();
    let refused = write();
    assert!(
        matches!(refused, Err(Error::FailedPrecondition { .. })),
        "{refused:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_session_to_which_a_link_leads_is_in_the_backup() {
    let world = World::new();
    let carol = world.scratch.path().join("carol");
    fs::create_dir_all(&carol).unwrap();
    fs::write(carol.join("session.yaml"), SESSION).unwrap();
    std::os::unix::fs::symlink(&carol, world.data.join("sessions/carol")).unwrap();
    std::os::unix::fs::symlink("/", world.data.join("all")).unwrap();
    restore(&world.backup(), &world.elsewhere()).unwrap();
    let restored = world.elsewhere().join("sessions/carol");
    assert!(restored.join("session.yaml").is_file() && restored.join(RESTORED).is_file());
    assert!(!world.elsewhere().join("all").exists());
}

#[test]
fn tokens_are_copied_while_they_are_used() {
    let scratch = Scratch::new();
    let tokens = Tokens::open(&scratch.path().join("tokens.redb")).unwrap();
    tokens
        .create_first(&scratch.path().join("admin.token"))
        .unwrap();
    let copy = scratch.path().join("copy.redb");
    tokens.copy_to(&copy).unwrap();
    let names = |tokens: &Tokens| -> Vec<String> {
        tokens.list().into_iter().map(|token| token.id).collect()
    };
    assert_eq!(names(&Tokens::open(&copy).unwrap()), names(&tokens));
    assert_eq!(names(&tokens).len(), 1);
}
