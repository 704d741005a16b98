//! `perun contact …`

use serde_json::{Value, json};

use super::success;
use crate::api::{pb, v1};
use crate::cli::answer::Answer;
use crate::cli::args::{ContactCommand, ContactCommand as Do};
use crate::cli::context::Context;
use crate::cli::failure::Failure;

pub async fn run(context: &mut Context, command: ContactCommand) -> Result<Answer, Failure> {
    let node = context.node().await?;
    let session_id = context.user().await?.session_id;
    match command {
        Do::Add {
            alias,
            identity,
            address,
            comm_type,
        } => {
            let peer = pb::PeerId {
                alias: alias.clone(),
                off_chain_address: identity,
                comm_address: address,
                comm_type,
            };
            let request = pb::AddPeerIdReq {
                session_id,
                peer_id: Some(peer.clone()),
            };
            let answer = node.payment_api().add_peer_id(request).await?;
            success!(answer, add_peer_id_resp)?;
            Ok(Answer::new(
                object(&peer),
                format!("{alias} is a contact now."),
            ))
        }
        Do::Get { peer } => {
            let request = pb::GetPeerIdReq {
                session_id,
                alias: peer,
            };
            let answer = node.payment_api().get_peer_id(request).await?;
            let found = success!(answer, get_peer_id_resp)?;
            let peer = found.peer_id.ok_or_else(super::no_answer)?;
            let text = format!(
                "{}\noff-chain address: {}\nlistens at: {} ({})",
                peer.alias, peer.off_chain_address, peer.comm_address, peer.comm_type
            );
            Ok(Answer::new(object(&peer), text))
        }
        Do::List => {
            let answer = node
                .sessions()
                .list_contacts(v1::ListContactsRequest { session_id })
                .await?;
            let contacts = answer.into_inner().contacts;
            let row = |peer: &pb::PeerId| {
                vec![
                    peer.alias.clone(),
                    peer.comm_address.clone(),
                    peer.off_chain_address.clone(),
                ]
            };
            let answer = Answer {
                objects: contacts.iter().map(object).collect(),
                blocks: Vec::new(),
            };
            let rows = contacts.iter().map(row).collect();
            Ok(answer.with_rows(
                &["Alias", "Listens at", "Off-chain address"],
                rows,
                "No contacts.",
            ))
        }
        Do::Remove { peer } => {
            let request = v1::RemoveContactRequest {
                session_id,
                alias: peer.clone(),
            };
            node.sessions().remove_contact(request).await?;
            Ok(Answer::new(
                json!({ "removed": peer }),
                format!("{peer} is no contact any more."),
            ))
        }
        Do::Card => {
            let answer = node
                .sessions()
                .card(v1::CardRequest { session_id })
                .await?
                .into_inner();
            let card = answer.card.ok_or_else(super::no_answer)?;
            let text = format!(
                "perun contact add {} {} {}",
                card.alias, card.off_chain_address, card.comm_address
            );
            Ok(Answer::new(object(&card), text))
        }
    }
}

fn object(peer: &pb::PeerId) -> Value {
    json!({
        "alias": peer.alias,
        "offChainAddress": peer.off_chain_address,
        "commAddress": peer.comm_address,
        "commType": peer.comm_type,
    })
}
