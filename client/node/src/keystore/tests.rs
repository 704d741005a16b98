use std::fs;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::Error;
use crate::scratch::Scratch;

const PASSWORD: &str = "correct horse";

/// An Ed25519 key of 32 sevens, as `dfx identity export` writes it.
const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n\
    -----END PRIVATE KEY-----\n";

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

fn create(folder: &Path, words: Option<&str>, pem: Option<&str>) -> Result<Created, KeystoreError> {
    let (words, pem) = (words.map(secret), pem.map(secret));
    Keystore::create_at_cost(
        folder,
        &secret(PASSWORD),
        words.as_ref(),
        pem.as_ref(),
        Cost::LEAST,
    )
}

/// Changes the file, and makes its checksum right again, as somebody would who means to.
fn tamper(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join(FILE);
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut file["keys"]);
    // Field by field, in the order of the program.
    let keys = &file["keys"];
    let kdf = &keys["argon2id"];
    let text = format!(
        r#"{{"off_chain":{},"principal":{},"argon2id":{{"memory_kib":{},"passes":{},"lanes":{},"salt":{}}},"nonce":{},"sealed":{}}}"#,
        keys["off_chain"],
        keys["principal"],
        kdf["memory_kib"],
        kdf["passes"],
        kdf["lanes"],
        kdf["salt"],
        keys["nonce"],
        keys["sealed"]
    );
    file["checksum"] = hex::encode(Sha256::digest(text)).into();
    fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
}

#[test]
fn who_has_the_password_has_the_keys() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("keystore");
    let created = create(&folder, None, None).unwrap();
    let keystore = Keystore::open(&folder).unwrap();
    assert_eq!(*keystore.public(), created.public);
    let keys = keystore.unlock(&secret(PASSWORD)).unwrap();
    assert_eq!(keys.public(), created.public);
    let words = keystore.words(&secret(PASSWORD)).unwrap();
    assert_eq!(words.expose(), created.words.expose());

    let wrong = keystore.unlock(&secret("correct house")).unwrap_err();
    assert!(matches!(wrong, KeystoreError::WrongPassword { .. }));
    assert!(wrong.to_string().contains("wrong password"));
    let text = Error::from(wrong).to_string();
    assert!(!text.contains("correct house"), "{text}");
}

#[test]
fn what_lies_on_the_disk_tells_no_secret() {
    let scratch = Scratch::new();
    let created = create(scratch.path(), None, Some(ED25519_PEM)).unwrap();
    let file = fs::read_to_string(scratch.path().join(FILE)).unwrap();
    let entropy = Phrase::read(&created.words).unwrap();
    for secret in [hex::encode(entropy.entropy()), hex::encode([7; 32])] {
        assert!(!file.contains(&secret));
    }
    for word in created.words.expose().split(' ') {
        assert!(!file.contains(&format!("{word} ")), "{word}");
    }
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new();
    create(scratch.path(), None, None).unwrap();
    let mut keystore = Keystore::open(scratch.path()).unwrap();
    let mode = || {
        let metadata = fs::metadata(scratch.path().join(FILE)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(), 0o600);
    let (old, new) = (secret(PASSWORD), secret("battery staple"));
    keystore.change_password(&old, &new).unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn words_bring_the_keys_back() {
    let scratch = Scratch::new();
    let first = create(&scratch.path().join("first"), None, None).unwrap();
    let words = Some(first.words.expose());
    let second = create(&scratch.path().join("second"), words, None).unwrap();
    assert_eq!(first.public, second.public);
    let other = create(&scratch.path().join("other"), None, None).unwrap();
    assert_ne!(first.public.off_chain, other.public.off_chain);
    assert_ne!(first.public.principal, other.public.principal);
}

#[test]
fn an_imported_identity_takes_the_place_of_the_derived_one() {
    let scratch = Scratch::new();
    let derived = create(&scratch.path().join("derived"), None, None).unwrap();
    let folder = scratch.path().join("imported");
    let words = Some(derived.words.expose());
    let imported = create(&folder, words, Some(ED25519_PEM)).unwrap();
    let expected = ic_agent::identity::BasicIdentity::from_raw_key(&[7; 32]);
    assert_eq!(imported.public.principal, expected.sender().unwrap());
    assert_eq!(imported.public.off_chain, derived.public.off_chain);
    let keystore = Keystore::open(&folder).unwrap();
    let keys = keystore.unlock(&secret(PASSWORD)).unwrap();
    assert_eq!(keys.public(), imported.public);
}

#[test]
fn keys_are_never_overwritten() {
    let scratch = Scratch::new();
    let first = create(scratch.path(), None, None).unwrap();
    let again = create(scratch.path(), None, None).unwrap_err();
    assert!(matches!(again, KeystoreError::Exists { .. }));
    assert!(matches!(again.into(), Error::Exists { .. }));
    let keystore = Keystore::open(scratch.path()).unwrap();
    assert_eq!(*keystore.public(), first.public);
}

#[test]
fn a_password_can_be_changed() {
    let scratch = Scratch::new();
    let created = create(scratch.path(), None, Some(ED25519_PEM)).unwrap();
    let mut keystore = Keystore::open(scratch.path()).unwrap();
    let (old, new) = (secret(PASSWORD), secret("battery staple"));
    let refused = keystore.change_password(&new, &old).unwrap_err();
    assert!(matches!(refused, KeystoreError::WrongPassword { .. }));
    keystore.change_password(&old, &new).unwrap();
    for keystore in [keystore, Keystore::open(scratch.path()).unwrap()] {
        let refused = keystore.unlock(&old).unwrap_err();
        assert!(matches!(refused, KeystoreError::WrongPassword { .. }));
        assert_eq!(keystore.unlock(&new).unwrap().public(), created.public);
    }
}

#[test]
fn what_makes_no_keys_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("keystore");
    let short = Keystore::create(&folder, &secret("short"), None, None).unwrap_err();
    assert!(matches!(short, KeystoreError::PasswordTooShort));
    let words = create(&folder, Some("abandon"), None).unwrap_err();
    assert!(matches!(words, KeystoreError::Words { .. }));
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let long = "\n".repeat(20_000) + ED25519_PEM;
    for pem in ["", "nonsense", certificate, &long] {
        let error = create(&folder, None, Some(pem)).unwrap_err();
        assert!(matches!(error, KeystoreError::Pem), "{pem}");
    }
    assert!(!folder.exists());
}

#[test]
fn a_damaged_file_is_called_so() {
    let scratch = Scratch::new();
    create(scratch.path(), None, None).unwrap();
    let path = scratch.path().join(FILE);
    let good = fs::read_to_string(&path).unwrap();
    let opened = |text: &str| {
        fs::write(&path, text).unwrap();
        Keystore::open(scratch.path())
    };
    assert!(opened(&good).is_ok());
    // Wherever a digit changes.
    let digits = good.char_indices().filter(|(_, c)| c.is_ascii_digit());
    for (index, digit) in digits {
        let other = if digit == '1' { "2" } else { "1" };
        let mut text = good.clone();
        text.replace_range(index..=index, other);
        let error = opened(&text).expect_err(&text);
        let is_called_so = matches!(
            error,
            KeystoreError::Damaged { .. } | KeystoreError::UnknownVersion { .. }
        );
        assert!(is_called_so, "{error}\n{text}");
    }
    for text in ["", "{}", "[]", &good[..good.len() / 2], "\u{0}"] {
        let error = opened(text).unwrap_err();
        assert!(matches!(error, KeystoreError::Damaged { .. }), "{error}");
    }
    assert!(matches!(
        opened(&" ".repeat(70_000)).unwrap_err(),
        KeystoreError::Io { .. }
    ));
    fs::remove_file(&path).unwrap();
    let missing = Keystore::open(scratch.path()).unwrap_err();
    assert!(matches!(missing, KeystoreError::Missing { .. }));
}

#[test]
fn a_later_version_asks_for_an_update() {
    let scratch = Scratch::new();
    let path = scratch.path().join(FILE);
    fs::write(&path, r#"{"version": 2, "chest": {}}"#).unwrap();
    let error = Keystore::open(scratch.path()).unwrap_err();
    assert!(matches!(
        error,
        KeystoreError::UnknownVersion { found: 2, .. }
    ));
    assert!(error.to_string().contains("update"), "{error}");
}

#[test]
fn a_file_that_wants_all_memory_is_refused() {
    let scratch = Scratch::new();
    for (field, value) in [
        ("memory_kib", u32::MAX),
        ("passes", 1_000_000),
        ("lanes", 0xff_ffff),
    ] {
        let folder = scratch.path().join(field);
        create(&folder, None, None).unwrap();
        tamper(&folder, |keys| keys["argon2id"][field] = value.into());
        let error = Keystore::open(&folder).unwrap_err();
        assert!(matches!(error, KeystoreError::TooCostly { .. }), "{error}");
    }
    let folder = scratch.path().join("none");
    create(&folder, None, None).unwrap();
    tamper(&folder, |keys| keys["argon2id"]["passes"] = 0.into());
    let error = Keystore::open(&folder).unwrap_err();
    assert!(matches!(error, KeystoreError::Damaged { .. }), "{error}");
}

#[test]
fn whoever_changes_the_file_on_purpose_is_found_out() {
    let scratch = Scratch::new();
    let other = create(&scratch.path().join("other"), None, None).unwrap();
    let changed = |name: &str, change: fn(&mut Value, &PublicKeys)| {
        let folder = scratch.path().join(name);
        create(&folder, None, None).unwrap();
        tamper(&folder, |keys| change(keys, &other.public));
        let keystore = Keystore::open(&folder).unwrap();
        keystore.unlock(&secret(PASSWORD)).unwrap_err()
    };
    let key = changed("key", |keys, other| {
        keys["off_chain"] = hex::encode(other.off_chain.as_bytes()).into();
    });
    assert!(
        matches!(key, KeystoreError::PublicKeysChanged { .. }),
        "{key}"
    );
    let principal = changed("principal", |keys, other| {
        keys["principal"] = other.principal.to_text().into();
    });
    assert!(
        matches!(principal, KeystoreError::PublicKeysChanged { .. }),
        "{principal}"
    );
    let sealed = changed("sealed", |keys, _| {
        let text = keys["sealed"].as_str().unwrap().to_owned();
        let first = if text.starts_with('0') { "1" } else { "0" };
        keys["sealed"] = format!("{first}{}", &text[1..]).into();
    });
    assert!(
        matches!(sealed, KeystoreError::WrongPassword { .. }),
        "{sealed}"
    );
}

#[test]
fn the_default_cost_is_what_the_documentation_says() {
    let scratch = Scratch::new();
    Keystore::create(scratch.path(), &secret(PASSWORD), None, None).unwrap();
    let file = fs::read_to_string(scratch.path().join(FILE)).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let kdf = &file["keys"]["argon2id"];
    assert_eq!(
        (&kdf["memory_kib"], &kdf["passes"]),
        (&65536.into(), &3.into())
    );
    let keystore = Keystore::open(scratch.path()).unwrap();
    keystore.unlock(&secret(PASSWORD)).unwrap();
}
