//! `perun session …`

use std::fs;

use serde_json::json;
use zeroize::Zeroizing;

use super::success;
use crate::api::{pb, v1};
use crate::cli::answer::{Answer, Block};
use crate::cli::args::{SessionCommand, SessionCommand as Do};
use crate::cli::channels::Channel;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::text::password;

pub async fn run(context: &mut Context, command: SessionCommand) -> Result<Answer, Failure> {
    match command {
        Do::Create { .. } => create(context, command).await,
        Do::Open { name, password } => open(context, name, password.password_file).await,
        Do::List => list(context).await,
        Do::Close { force, how } => close(context, force || how.as_deref() == Some("force")).await,
    }
}

async fn create(context: &mut Context, command: SessionCommand) -> Result<Answer, Failure> {
    let Do::Create {
        name,
        address,
        password: source,
        words_file,
        identity,
    } = command
    else {
        unreachable!("called for this command only");
    };
    let read = |file: Option<std::path::PathBuf>| -> Result<Zeroizing<String>, Failure> {
        let Some(file) = file else {
            return Ok(Zeroizing::default());
        };
        let text =
            fs::read_to_string(&file).map_err(|error| Failure::own(file.display(), error))?;
        Ok(Zeroizing::new(text))
    };
    let words = read(words_file)?;
    let pem = read(identity)?;
    let prompt = format!("A password for {name}'s keys");
    let password = password(source.password_file.as_deref(), &prompt, true)?;
    let node = context.node().await?;
    let request = v1::CreateSessionRequest {
        name: name.clone(),
        password: password.to_string(),
        comm_address: address,
        recovery_words: words.trim().to_owned(),
        identity_pem: pem.to_string(),
    };
    let answer = node.sessions().create(request).await?.into_inner();
    let object = json!({
        "name": name,
        "recoveryWords": answer.recovery_words,
        "offChainAddress": answer.off_chain_address,
        "onChainAddress": answer.on_chain_address,
    });
    let mut shown = Answer::new(
        object,
        format!(
            "{name} is made.\noff-chain address: {}\non-chain address: {}",
            answer.off_chain_address, answer.on_chain_address
        ),
    );
    if !answer.recovery_words.is_empty() {
        shown = shown.with(Block::Text(format!(
            "\nThese words are {name}'s keys. Write them down: they are shown this once.\n\n  {}\n",
            answer.recovery_words
        )));
    }
    Ok(shown.with(Block::Text(format!(
        "`perun session open {name}` opens its session."
    ))))
}

async fn open(
    context: &mut Context,
    name: String,
    password_file: Option<std::path::PathBuf>,
) -> Result<Answer, Failure> {
    // As perunnodecli has it.
    let is_file = name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml");
    let is_file = is_file || context.is_plaintext();
    let is_given = password_file.is_some() || std::env::var_os("PERUN_PASSWORD").is_some();
    let prompt = format!("The password of {name}'s keys (empty if the node has it)");
    let password = match (is_file, is_given || context.may_ask) {
        (false, true) => password(password_file.as_deref(), &prompt, false)?.to_string(),
        _ => String::new(),
    };
    let node = context.node().await?;
    let progress = context.progress("opening the session");
    let (session_id, restored, user) = if is_file {
        let request = pb::OpenSessionReq {
            config_file: name.clone(),
        };
        let answer = node.payment_api().open_session(request).await?;
        let opened = success!(answer, open_session_resp)?;
        let known = Context::name_of(&node, &opened.session_id).await?;
        (opened.session_id, opened.restored_chs, known)
    } else {
        let request = v1::OpenSessionRequest {
            name: name.clone(),
            password,
        };
        let opened = node.sessions().open(request).await?.into_inner();
        (opened.session_id, opened.restored, name)
    };
    drop(progress);
    let user = context.enter(&node, session_id, user);
    let restored: Vec<_> = {
        let mut names = user.names();
        restored
            .into_iter()
            .map(|info| Channel::new(&mut names, info, None))
            .collect()
    };
    let object = json!({
        "session": user.session_id,
        "name": user.name,
        "restored": restored.iter().map(Channel::to_json).collect::<Vec<_>>(),
    });
    let mut answer = Answer::new(
        object,
        format!("Session of {} opened: {}", user.name, user.session_id),
    );
    for channel in &restored {
        answer = answer.with(Block::Text(format!("  restored {}", channel.line())));
    }
    Ok(answer)
}

async fn list(context: &mut Context) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let sessions = node.all_sessions().await?;
    let objects = sessions.iter().map(|session| {
        json!({
            "name": session.name,
            "session": session.session_id,
            "isOpen": !session.session_id.is_empty(),
            "offChainAddress": session.off_chain_address,
            "channels": session.channels,
        })
    });
    let rows = sessions.iter().map(|session| {
        let is_open = if session.session_id.is_empty() {
            "closed"
        } else {
            "open"
        };
        vec![
            session.name.clone(),
            is_open.into(),
            session.channels.to_string(),
            session.off_chain_address.clone(),
        ]
    });
    let answer = Answer {
        objects: objects.collect(),
        blocks: Vec::new(),
    };
    Ok(answer.with_rows(
        &["Name", "Session", "Channels", "Off-chain address"],
        rows.collect(),
        "There are no users.",
    ))
}

async fn close(context: &mut Context, force: bool) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let user = context.user().await?;
    let request = pb::CloseSessionReq {
        session_id: user.session_id.clone(),
        force,
    };
    let closed = node.payment_api().close_session(request).await?;
    let left = success!(closed, close_session_resp)?.open_pay_chs_info;
    let left: Vec<_> = {
        let mut names = user.names();
        left.into_iter()
            .map(|info| Channel::new(&mut names, info, None))
            .collect()
    };
    context.leave();
    let object = json!({
        "session": user.session_id,
        "name": user.name,
        "open": left.iter().map(Channel::to_json).collect::<Vec<_>>(),
    });
    let mut answer = Answer::new(object, format!("Session of {} closed.", user.name));
    for channel in &left {
        answer = answer.with(Block::Text(format!("  stays open: {}", channel.line())));
    }
    Ok(answer)
}
