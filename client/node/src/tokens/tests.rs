use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::scratch::Scratch;

const START_S: u64 = 1_700_000_000;

/// Tokens in a folder, and a clock that is moved by hand.
struct World {
    scratch: Scratch,
    now_s: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        Self {
            scratch: Scratch::new(),
            now_s: Arc::new(AtomicU64::new(START_S)),
        }
    }

    fn open(&self) -> Tokens {
        self.try_open("tokens.redb").unwrap()
    }

    fn try_open(&self, name: &str) -> Result<Tokens, Error> {
        let now_s = self.now_s.clone();
        let clock = Box::new(move || now_s.load(Ordering::Relaxed));
        Tokens::open_with_clock(&self.scratch.path().join(name), clock)
    }

    fn wait(&self, seconds: u64) {
        self.now_s.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn ledger() -> Principal {
    Principal::from_slice(&[1, 2, 3])
}

fn amount(units: u128) -> [(Principal, Amount); 1] {
    [(ledger(), Amount::new(units))]
}

fn token(scope: Scope) -> NewToken {
    NewToken {
        label: "test".into(),
        scope,
        session: None,
        limits: Vec::new(),
        valid_s: None,
    }
}

fn spender(limit: u128) -> NewToken {
    NewToken {
        limits: amount(limit).into(),
        ..token(Scope::Spend)
    }
}

fn unauthenticated(error: &Error) -> bool {
    matches!(error, Error::Unauthenticated { .. })
}

#[test]
fn a_secret_is_known_by_its_hash_and_over_restarts() {
    let world = World::new();
    let tokens = world.open();
    let (id, secret) = tokens.create(token(Scope::Read)).unwrap();
    assert!(secret.expose().starts_with("perun_"));
    assert_eq!(
        tokens.authenticate(secret.expose()).unwrap().id(),
        Some(&*id)
    );
    drop(tokens);
    let file = fs::read(world.scratch.path().join("tokens.redb")).unwrap();
    let holds = |text: &str| {
        file.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(holds(&id));
    assert!(!holds(&secret.expose()["perun_".len()..]));

    let tokens = world.open();
    assert_eq!(
        tokens.authenticate(secret.expose()).unwrap().id(),
        Some(&*id)
    );
    let wrong = format!("{}0", &secret.expose()[..secret.expose().len() - 1]);
    let wrong = if wrong == secret.expose() {
        "perun_1"
    } else {
        &wrong
    };
    for secret in [wrong, "", "perun_", &id, "Ω"] {
        assert!(unauthenticated(&tokens.authenticate(secret).unwrap_err()));
    }
}

#[test]
fn a_scope_includes_those_below() {
    let world = World::new();
    let tokens = world.open();
    let scopes = [Scope::Read, Scope::Receive, Scope::Spend, Scope::Admin];
    for (i, has) in scopes.into_iter().enumerate() {
        let (_, secret) = tokens.create(token(has)).unwrap();
        let caller = tokens.authenticate(secret.expose()).unwrap();
        for (j, needs) in scopes.into_iter().enumerate() {
            let result = caller.require(needs);
            assert_eq!(result.is_ok(), j <= i, "{has} {needs}");
            if let Err(error) = result {
                assert!(matches!(error, Error::PermissionDenied { .. }));
            }
        }
    }
}

#[test]
fn a_token_can_be_for_one_session() {
    let world = World::new();
    let tokens = world.open();
    let new = NewToken {
        session: Some("alice".into()),
        ..token(Scope::Read)
    };
    let (_, secret) = tokens.create(new).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    caller.may_use("alice").unwrap();
    assert!(caller.may_use("bob").is_err());
    let (_, secret) = tokens.create(token(Scope::Read)).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    caller.may_use("bob").unwrap();
}

#[test]
fn a_token_expires() {
    let world = World::new();
    let tokens = world.open();
    let new = NewToken {
        valid_s: Some(60),
        ..token(Scope::Admin)
    };
    let (_, secret) = tokens.create(new).unwrap();
    world.wait(59);
    let caller = tokens.authenticate(secret.expose()).unwrap();
    caller.require(Scope::Admin).unwrap();
    world.wait(1);
    let error = tokens.authenticate(secret.expose()).unwrap_err();
    assert!(unauthenticated(&error) && error.to_string().contains("expired"));
    // Whoever was let in before learns it too.
    assert!(unauthenticated(&caller.require(Scope::Read).unwrap_err()));
}

#[test]
fn a_token_is_revoked_at_once_and_for_ever() {
    let world = World::new();
    let tokens = world.open();
    let (id, secret) = tokens.create(token(Scope::Admin)).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    // Nobody locks himself out.
    let last = tokens.revoke(&id).unwrap_err();
    assert!(matches!(last, Error::FailedPrecondition { .. }));
    tokens.create(token(Scope::Admin)).unwrap();
    tokens.revoke(&id).unwrap();
    assert!(unauthenticated(&caller.require(Scope::Read).unwrap_err()));
    let error = tokens.authenticate(secret.expose()).unwrap_err();
    assert!(error.to_string().contains("revoked"), "{error}");
    let unknown = tokens.revoke("0000").unwrap_err();
    assert!(matches!(unknown, Error::NotFound { .. }));
    drop((tokens, caller));
    let tokens = world.open();
    tokens.authenticate(secret.expose()).unwrap_err();
    assert_eq!(
        tokens
            .list()
            .iter()
            .filter(|token| token.is_revoked)
            .count(),
        1
    );
}

#[test]
fn nobody_spends_more_than_the_limit() {
    let world = World::new();
    let tokens = world.open();
    let (_, secret) = tokens.create(spender(100)).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    let _ = caller.spend(&amount(60)).unwrap();
    let refused = caller.spend(&amount(41)).unwrap_err();
    assert!(matches!(refused, Error::PermissionDenied { .. }));
    caller.spend(&amount(40)).unwrap().refund();
    let _ = caller.spend(&amount(40)).unwrap();
    assert_eq!(tokens.list()[0].spent, amount(100));
    // Another call with the same token is the same spender.
    let caller = tokens.authenticate(secret.expose()).unwrap();
    assert!(caller.spend(&amount(1)).is_err());
    world.wait(24 * 3600 + 60);
    let _ = caller.spend(&amount(100)).unwrap();

    let (_, secret) = tokens.create(token(Scope::Spend)).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    assert!(caller.spend(&amount(1)).is_err(), "no limit named");
    let (_, secret) = tokens.create(token(Scope::Receive)).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    assert!(caller.spend(&[]).is_err(), "not of scope spend");
    let (_, secret) = tokens.create(token(Scope::Admin)).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    let _ = caller.spend(&amount(u128::MAX)).unwrap();
    let _ = Caller::unrestricted().spend(&amount(u128::MAX)).unwrap();
}

#[test]
fn a_kill_forgets_no_spending() {
    let world = World::new();
    let tokens = world.open();
    let (_, secret) = tokens.create(spender(1_000_000)).unwrap();
    let caller = tokens.authenticate(secret.expose()).unwrap();
    for spending in 1..=200_u128 {
        let _ = caller.spend(&amount(1000)).unwrap();
        if spending % 50 == 7 {
            // The file as it lies there now, with the process still running.
            let from = world.scratch.path().join("tokens.redb");
            fs::copy(from, world.scratch.path().join("killed.redb")).unwrap();
            let killed = world.try_open("killed.redb").unwrap();
            let spent = killed.list()[0].spent[0].1.units();
            let range = spending * 1000..=spending * 1000 + 1_000_000 / 256;
            assert!(range.contains(&spent), "{spent} of {range:?}");
            let caller = killed.authenticate(secret.expose()).unwrap();
            assert!(caller.spend(&amount(1_000_001 - spending * 1000)).is_err());
        }
    }
}

#[test]
fn threads_together_spend_no_more_than_one() {
    let world = World::new();
    let tokens = world.open();
    let (_, secret) = tokens.create(spender(1000)).unwrap();
    let paid = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let caller = tokens.authenticate(secret.expose()).unwrap();
                for _ in 0..300 {
                    let spent = caller.spend(&amount(1)).is_ok();
                    paid.fetch_add(u64::from(spent), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(paid.into_inner(), 1000);
}

#[test]
fn tokens_that_make_no_sense_are_refused() {
    let world = World::new();
    let tokens = world.open();
    let refused = |new: NewToken| {
        let error = tokens.create(new).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
    };
    let plain = || token(Scope::Spend);
    refused(NewToken {
        label: "x".repeat(65),
        ..plain()
    });
    refused(NewToken {
        label: "two\nlines".into(),
        ..plain()
    });
    refused(NewToken {
        session: Some("alice".into()),
        ..token(Scope::Admin)
    });
    for session in ["", "a/b", "..", &"x".repeat(65)] {
        refused(NewToken {
            session: Some(session.into()),
            ..plain()
        });
    }
    refused(NewToken {
        limits: amount(1).into(),
        ..token(Scope::Receive)
    });
    refused(NewToken {
        limits: [amount(1), amount(2)].concat(),
        ..plain()
    });
    refused(NewToken {
        valid_s: Some(u64::MAX),
        ..plain()
    });
    assert!(tokens.list().is_empty());
}

#[test]
fn the_first_administrator_is_made_once() {
    let world = World::new();
    let tokens = world.open();
    let path = world.scratch.path().join("admin.token");
    assert!(tokens.create_first(&path).unwrap());
    assert!(!crate::private_file::is_readable_by_others(&path));
    let secret = fs::read_to_string(&path).unwrap();
    let caller = tokens.authenticate(secret.trim()).unwrap();
    caller.require(Scope::Admin).unwrap();
    assert!(!tokens.create_first(&path).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), secret);

    // Where the secret can't be written, there is no token that nobody has.
    let other = World::new();
    let tokens = other.open();
    let nowhere = other.scratch.path().join("no/such/folder");
    tokens.create_first(&nowhere).unwrap_err();
    assert!(tokens.list().is_empty());
}

#[test]
fn tokens_are_bounded_and_those_that_are_over_make_room() {
    let world = World::new();
    let tokens = world.open();
    let (first, _) = tokens.create(token(Scope::Read)).unwrap();
    // Not through the disk, which would take long.
    for number in 1..MAX_TOKENS as u64 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let id = number.to_string();
        let record = Record::new(token(Scope::Read), id, hash, START_S + 1).unwrap();
        let token = Token::new(record, Windows::new(&[], []));
        tokens.write().insert(hash, Arc::new(token));
    }
    let full = tokens.create(token(Scope::Read)).unwrap_err();
    assert!(matches!(full, Error::ResourceExhausted { .. }));
    tokens.revoke(&first).unwrap();
    tokens.create(token(Scope::Read)).unwrap();
    let ids = tokens.list().into_iter().map(|token| token.id);
    assert!(!ids.collect::<Vec<_>>().contains(&first));
}

#[test]
fn what_is_no_token_file_is_named() {
    let world = World::new();
    let _tokens = world.open();
    let twice = world.try_open("tokens.redb").unwrap_err();
    assert!(twice.to_string().contains("another process"), "{twice}");
    let path = world.scratch.path().join("garbage.redb");
    fs::write(&path, [7; 10_000]).unwrap();
    let garbage = world.try_open("garbage.redb").unwrap_err();
    assert!(garbage.to_string().contains("garbage.redb"), "{garbage}");
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only() {
    let world = World::new();
    let _tokens = world.open();
    let path = world.scratch.path().join("tokens.redb");
    assert!(!crate::private_file::is_readable_by_others(&path));
}
