//! `perun backup FILE`

use std::path::Path;

use serde_json::json;

use crate::api::v1;
use crate::cli::answer::Answer;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::new_file::NewFile;

pub async fn run(context: &mut Context, file: &Path) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let mut out = NewFile::create(file)?;
    let progress = context.progress("copying");
    let chunks = node.operations().backup(v1::BackupRequest {}).await?;
    let mut chunks = chunks.into_inner();
    while let Some(chunk) = chunks.message().await? {
        out.write(&chunk.chunk)?;
    }
    let bytes = out.finish()?;
    drop(progress);
    let shown = file.display().to_string();
    let text = format!(
        "{shown} has {bytes} bytes. Keep it secret: it has the users' keys, encrypted by their passwords, \
             and in clear the node's own, for TLS and for devices."
    );
    Ok(Answer::new(json!({ "file": shown, "bytes": bytes }), text))
}
