//! Compiles the descriptions in `proto/`, without `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;

/// Folders of descriptions; they import each other by file name.
const FOLDERS: [&str; 2] = ["proto/pb", "proto/perun/v1"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        for entry in fs::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    files.sort();
    let descriptions = protox::compile(files, FOLDERS)?;
    // Reflection serves them.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptions"), descriptions.encode_to_vec())?;
    tonic_prost_build::configure()
        .include_file(Path::new("packages.rs"))
        .compile_fds(descriptions)?;
    Ok(())
}
