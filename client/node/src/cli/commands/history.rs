//! `perun history …`

mod rows;

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::Path;

use serde_json::json;

use self::rows::Sheet;
use crate::api::v1;
use crate::cli::answer::Answer;
use crate::cli::args::{Direction, FilterArgs, HistoryCommand, HistoryCommand as Do};
use crate::cli::channels;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::new_file::NewFile;
use crate::{Error, history};

/// How many a page has.
const PAGE: u32 = 1000;

pub async fn run(context: &mut Context, command: HistoryCommand) -> Result<Answer, Failure> {
    match command {
        Do::List(filter) => list(context, filter).await,
        Do::Csv(filter) => csv(context, filter).await,
        Do::Json(filter) => {
            let mut out = io::stdout();
            let write = |payment: &v1::PaymentRecord| writeln!(out, "{}", rows::object(payment));
            each(context, filter, u32::MAX, write).await?;
            Ok(Answer::default())
        }
        Do::Export { channel, out } => export(context, &channel, out.as_deref()).await,
        Do::Verify { file } => verify(&file),
    }
}

async fn list(context: &mut Context, filter: FilterArgs) -> Result<Answer, Failure> {
    let mut payments = Vec::new();
    let keep = |payment: &v1::PaymentRecord| {
        payments.push(payment.clone());
        Ok(())
    };
    each(context, filter, 100, keep).await?;
    let answer = Answer {
        objects: payments.iter().map(rows::object).collect(),
        blocks: Vec::new(),
    };
    let rows = payments.iter().map(rows::cells).collect();
    Ok(answer.with_rows(&rows::HEADINGS, rows, "Nothing was paid."))
}

async fn csv(context: &mut Context, filter: FilterArgs) -> Result<Answer, Failure> {
    let failed = |error| Failure::own("the output", error);
    let mut sheet = Sheet::begin(io::stdout()).map_err(failed)?;
    each(context, filter, u32::MAX, |payment| sheet.write(payment)).await?;
    sheet.end().map_err(failed)?;
    Ok(Answer::default())
}

/// All payments that a filter lets through, page by page.
async fn each(
    context: &mut Context,
    filter: FilterArgs,
    default_limit: u32,
    mut each: impl FnMut(&v1::PaymentRecord) -> io::Result<()>,
) -> Result<(), Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let mut left = filter.limit.unwrap_or(default_limit);
    let mut request = v1::ListHistoryRequest {
        session_id,
        channel: channel_id(context, filter.channel.as_deref()).await?,
        peer_alias: filter.peer.unwrap_or_default(),
        currency: filter.currency.unwrap_or_default(),
        direction: match filter.direction {
            None => v1::Direction::Both,
            Some(Direction::Sent) => v1::Direction::Sent,
            Some(Direction::Received) => v1::Direction::Received,
        }
        .into(),
        from_ms: filter.since.unwrap_or(0),
        before_ms: filter.before.unwrap_or(0),
        limit: 0,
        page_token: String::new(),
    };
    while left > 0 {
        request.limit = left.min(PAGE);
        let page = node.history().list(request.clone()).await?.into_inner();
        for payment in page.payments.iter().take(left as usize) {
            each(payment).map_err(|error| Failure::own("the output", error))?;
        }
        left = left.saturating_sub(u32::try_from(page.payments.len()).unwrap_or(u32::MAX));
        if page.next_page_token.is_empty() || page.next_page_token == request.page_token {
            break;
        }
        request.page_token = page.next_page_token;
    }
    Ok(())
}

/// A channel's id, also of one that is over: those have aliases, but are not listed.
async fn channel_id(context: &mut Context, text: Option<&str>) -> Result<String, Failure> {
    let Some(text) = text else {
        return Ok(String::new());
    };
    let user = context.user().await?;
    let by_alias = user.names().channel(text).map(str::to_owned);
    if let Some(id) = by_alias {
        return Ok(id);
    }
    if text.len() == 64 {
        return Ok(text.to_owned());
    }
    Ok(channels::named(context, text).await?.info.ch_id)
}

async fn export(
    context: &mut Context,
    channel: &str,
    out: Option<&Path>,
) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    let channel = channel_id(context, Some(channel)).await?;
    let request = v1::ExportHistoryRequest {
        session_id,
        channel: channel.clone(),
    };
    let mut chunks = node.history().export(request).await?.into_inner();
    let Some(file) = out else {
        let mut out = io::stdout();
        while let Some(chunk) = chunks.message().await? {
            out.write_all(&chunk.chunk)
                .map_err(|error| Failure::own("the output", error))?;
        }
        out.flush()
            .map_err(|error| Failure::own("the output", error))?;
        return Ok(Answer::default());
    };
    let mut written = NewFile::create(file)?;
    while let Some(chunk) = chunks.message().await? {
        written.write(&chunk.chunk)?;
    }
    let bytes = written.finish()?;
    let shown = file.display().to_string();
    let text = format!("{shown} has {bytes} bytes; `perun history verify {shown}` checks it.");
    Ok(Answer::new(
        json!({ "channel": channel, "file": shown, "bytes": bytes }),
        text,
    ))
}

fn verify(file: &Path) -> Result<Answer, Failure> {
    let opened = File::open(file).map_err(|error| Failure::own(file.display(), error))?;
    let shown = file.display().to_string();
    let verified = history::verify(BufReader::new(opened)).map_err(|unproven| {
        let wrong = Error::invalid("export", &shown, unproven.to_string());
        Failure::from(wrong.to_message())
    })?;
    let channel = verified.channel.to_string();
    let channel = channel.trim_start_matches("0x");
    let (payments, version) = (verified.payments, verified.version.number());
    let object = json!({ "channel": channel, "version": version, "payments": payments });
    let text = format!(
        "{shown} is proven: {payments} payments, by the state of version {version} that both have signed."
    );
    Ok(Answer::new(object, text))
}
