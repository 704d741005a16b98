//! A whole world on one machine, to try things on.
//!
//! ```text
//!  perun demo ── embedded Internet Computer (ledger, adjudicator), on loopback
//!     │  ├───── perund: this program again, as a process of its own
//!     │  └───── alice and bob, who have 1000 ICP each
//!     └ run: each step of the story is `perun …`, as a process of its own
//! ```

mod story;
mod wasm;
mod world;

use std::future::Future;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{DemoCommand, Failure};
use world::World;

/// `perun demo up` and `perun demo run`.
pub(crate) async fn run(command: DemoCommand, is_json: bool) -> Result<(), Failure> {
    let (DemoCommand::Up(args) | DemoCommand::Run(args)) = &command;
    let mut world = unless_interrupted(World::start(args)).await?;
    let done = match command {
        DemoCommand::Up(_) => up(&mut world, is_json).await,
        DemoCommand::Run(_) => unless_interrupted(story::tell(&world)).await,
    };
    world.stop().await;
    done
}

/// Does something until Ctrl-C, or until it is told to end: what it has started ends with it.
async fn unless_interrupted<T>(
    doing: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| Failure::own("signals", error))?;
    tokio::select! {
        done = doing => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        _ = terminated.recv() => Err(Failure::Interrupted),
    }
}

async fn up(world: &mut World, is_json: bool) -> Result<(), Failure> {
    unless_interrupted(world.introduce()).await?;
    if is_json {
        let users = world
            .users()
            .map(|user| json!({ "name": user.name, "session": user.session }));
        let object = json!({
            "data": world.data(),
            "chain": world.chain_url(),
            "adjudicator": world.adjudicator(),
            "ledger": world.ledger(),
            "users": users.collect::<Vec<_>>(),
        });
        println!("{object}");
    } else {
        let data = world.data().display();
        println!(
            "An Internet Computer runs at {chain}, with a ledger of ICP and an adjudicator.\n\
             A node runs too, with two users: alice and bob. They have 1000 ICP each, know each other, \
             and their sessions are open.\n\n\
             In two other terminals, type\n\n\
             \x20   export PERUND_DATA={data}\n\
             \x20   perun --session alice shell\n\n\
             and the same for bob. Then, for example, alice: `channel open bob 10 5`, bob: \
             `channel accept alice`, alice: `pay bob 1`, and so on; docs/tutorial.md tells all of it.\n\
             `perun top --session alice` shows a screen.\n\n\
             Ctrl-C here stops everything{gone}.",
            chain = world.chain_url(),
            gone = if world.is_kept() {
                ""
            } else {
                " and removes it"
            },
        );
    }
    match unless_interrupted(world.until_node_ends()).await {
        Err(Failure::Interrupted) => Ok(()),
        ended => ended,
    }
}
