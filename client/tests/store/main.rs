//! The store: what it promises, on disks that are slow, fail, crash and rot.

mod commits;
mod copies;
mod crashes;
mod damage;
mod disk;
mod folder;
mod history;
mod kills;
mod memory;
mod world;
