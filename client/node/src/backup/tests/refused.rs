//! What is not restored.

use std::io::Write as _;

use super::super::manifest::NAME;
use super::*;

fn refusal(backup: &Path, data: &Path) -> String {
    match restore(backup, data) {
        Err(Error::InvalidConfig { name, reason, .. }) => {
            assert_eq!(name, "backup");
            reason
        }
        other => panic!("{other:?}"),
    }
}

/// The contents of a backup, in order.
fn unpack(backup: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(backup).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

/// Which files a backup has, where, and how long.
fn places(backup: &Path) -> Vec<(String, usize, usize)> {
    let mut archive = tar::Archive::new(fs::File::open(backup).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let place = usize::try_from(entry.raw_file_position()).unwrap();
        (name, place, usize::try_from(entry.size()).unwrap())
    });
    // The manifest is checked by what it says.
    entries
        .filter(|(name, _, length)| name != NAME && *length > 0)
        .collect()
}

fn pack(backup: &Path, files: &[(String, Vec<u8>)]) {
    let mut tar = tar::Builder::new(fs::File::create(backup).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        // The builder does not write such paths by itself.
        let name_field = &mut header.as_mut_bytes()[..100];
        name_field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, &bytes[..]).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn what_cannot_be_restored_leaves_nothing_behind() {
    let world = World::new();
    let backup = world.backup();
    let whole = fs::read(&backup).unwrap();
    fs::write(&backup, &whole[..whole.len() / 2]).unwrap();
    let before = fs::read_dir(world.scratch.path()).unwrap().count();
    refusal(&backup, &world.scratch.path().join("new/folders/data"));
    assert_eq!(fs::read_dir(world.scratch.path()).unwrap().count(), before);
}

#[test]
fn nothing_is_restored_over_what_is_there() {
    let world = World::new();
    let backup = world.backup();
    let before = fs::read_dir(world.scratch.path()).unwrap().count();
    let refused = restore(&backup, &world.data);
    assert!(
        matches!(refused, Err(Error::FailedPrecondition { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(world.scratch.path()).unwrap().count(), before);
    assert!(!session(&world.data).join(RESTORED).exists());
    fs::create_dir(world.elsewhere()).unwrap();
    restore(&backup, &world.elsewhere()).unwrap();
}

#[test]
fn a_damaged_backup_is_refused_by_the_name_of_the_file() {
    let world = World::new();
    world.store_version(1);
    let backup = world.backup();
    let files = unpack(&backup);
    let (manifest_name, _) = files.last().unwrap();
    assert_eq!(manifest_name, NAME);
    let bad = world.scratch.path().join("bad.tar");
    let data = world.elsewhere();
    for index in 0..files.len() - 1 {
        let name = &files[index].0;
        let mut changed = files.clone();
        match changed[index].1.last_mut() {
            Some(byte) => *byte ^= 1,
            None => changed[index].1.push(1),
        }
        pack(&bad, &changed);
        assert_eq!(
            refusal(&bad, &data),
            format!("{name} is damaged: it is not what was backed up")
        );
        let mut missing = files.clone();
        missing.remove(index);
        pack(&bad, &missing);
        assert_eq!(refusal(&bad, &data), format!("{name} is missing"));
    }
    let with = |index: usize, name: &str, bytes: &[u8]| {
        let mut changed = files.clone();
        changed.insert(index, (name.to_owned(), bytes.to_vec()));
        pack(&bad, &changed);
        refusal(&bad, &data)
    };
    assert_eq!(with(0, "more", b"1"), "more was not backed up");
    for name in ["../outside", "/outside", "a/../../outside"] {
        assert!(
            with(0, name, b"1").contains("no place in a data folder"),
            "{name}"
        );
    }
    assert_eq!(
        with(files.len(), "more", b"1"),
        "more is behind the manifest"
    );
    assert!(!world.scratch.path().join("outside").exists());
    pack(&bad, &files[..files.len() - 1]);
    assert!(refusal(&bad, &data).contains("not whole"));
    let mut changed = files.clone();
    changed.last_mut().unwrap().1[10] ^= 1;
    pack(&bad, &changed);
    assert!(refusal(&bad, &data).contains(NAME) || refusal(&bad, &data).contains("format"));
    // Nothing is left of any of it.
    assert!(!data.exists());
    let names: Vec<_> = fs::read_dir(world.scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("restoring"))
        .collect();
    assert_eq!(names, Vec::<String>::new());
    // It was all right before.
    pack(&bad, &files);
    restore(&bad, &data).unwrap();
}

#[test]
fn a_backup_that_was_cut_or_flipped_anywhere_is_refused() {
    let world = World::new();
    let backup = world.backup();
    let whole = fs::read(&backup).unwrap();
    let data = world.elsewhere();
    let bad = world.scratch.path().join("bad.tar");
    // Two empty blocks at the end say only that there is no more.
    let end = whole.len() - 1024;
    for part in 0..40 {
        let length = end * part / 40;
        fs::write(&bad, &whole[..length]).unwrap();
        refusal(&bad, &data);
    }
    for (name, place, length) in places(&backup) {
        let mut flipped = whole.clone();
        flipped[place + length / 2] ^= 0x40;
        fs::write(&bad, &flipped).unwrap();
        let refusal = refusal(&bad, &data);
        assert!(refusal.contains(&name), "{name}: {refusal}");
    }
    let nothing = world.scratch.path().join("nothing.tar");
    refusal(&nothing, &data);
    let mut file = fs::File::create(&bad).unwrap();
    file.write_all(b"no tar at all").unwrap();
    refusal(&bad, &data);
    assert!(!data.exists());
}
