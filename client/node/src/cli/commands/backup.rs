//! `perun backup FILE`

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use super::history::new_file;
use crate::api::v1;
use crate::cli::answer::Answer;
use crate::cli::context::Context;
use crate::cli::failure::Failure;

pub async fn run(context: &mut Context, file: &Path) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let mut out = new_file(file)?;
    private(&out).map_err(|error| Failure::own(file.display(), error))?;
    let progress = context.progress("copying");
    let copied = copy(&node, &mut out, file).await;
    drop(progress);
    // Half a backup must not be taken for one.
    let bytes = copied.inspect_err(|_| {
        let _ = fs::remove_file(file);
    })?;
    let shown = file.display().to_string();
    let text = format!(
        "{shown} has {bytes} bytes. Keep it secret: it has the users' keys, encrypted by their passwords, \
             and in clear the node's own, for TLS and for devices."
    );
    Ok(Answer::new(json!({ "file": shown, "bytes": bytes }), text))
}

async fn copy(
    node: &crate::cli::connect::Node,
    out: &mut fs::File,
    file: &Path,
) -> Result<usize, Failure> {
    let mut chunks = node
        .operations()
        .backup(v1::BackupRequest {})
        .await?
        .into_inner();
    let mut bytes = 0;
    while let Some(chunk) = chunks.message().await? {
        bytes += chunk.chunk.len();
        out.write_all(&chunk.chunk)
            .map_err(|error| Failure::own(file.display(), error))?;
    }
    out.sync_all()
        .map_err(|error| Failure::own(file.display(), error))?;
    Ok(bytes)
}

#[cfg(unix)]
fn private(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn private(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}
