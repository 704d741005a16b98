//! The tutorial of perun-node, played and checked: a figure that does not add up ends it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::world::World;
use crate::cli::{Decimal, Failure};

/// How long the other side has to see what has happened.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many transfers a channel costs a user at most: a deposit, a payout, and what goes with them.
const MOST_FEES: usize = 4;

/// Plays it.
pub async fn tell(world: &World) -> Result<(), Failure> {
    let told = Instant::now();
    let story = Story { world };
    say("Alice and Bob are users of a node. Both have 1000 ICP.");
    story.does("alice", &["chain", "balance"]).await?;
    let before = story.wealth().await?;

    say("They become contacts: each gives the other what `contact card` prints.");
    for (name, other) in [("alice", "bob"), ("bob", "alice")] {
        let card = story.does(other, &["contact", "card"]).await?;
        let mut words = card.split_whitespace().skip(4);
        let (identity, address) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        story
            .does(name, &["contact", "add", other, identity, address])
            .await?;
    }
    story.does("alice", &["contact", "get", "bob"]).await?;

    say(
        "Alice proposes a channel in which she has 10 ICP and Bob 5. Bob accepts, and both deposit.",
    );
    story
        .together(
            ("alice", &["channel", "open", "bob", "10", "5"]),
            ("bob", &["channel", "requests"]),
            ("bob", &["channel", "accept", "alice"]),
            |waiting| waiting["kind"] == "proposal",
        )
        .await?;
    story.channel_is("10", "5").await?;

    say(
        "Alice pays Bob, and Bob pays a part of it back. That costs nothing and takes milliseconds.",
    );
    story
        .does(
            "alice",
            &["payment", "send", "bob", "2.5", "--memo", "for the concert"],
        )
        .await?;
    story.channel_is("7.5", "7.5").await?;
    story
        .does("bob", &["payment", "send", "alice", "0.75"])
        .await?;
    story.channel_is("8.25", "6.75").await?;

    say("Bob asks Alice to pay, and she does.");
    story
        .together(
            ("bob", &["payment", "request", "alice", "1.25"]),
            ("alice", &["channel", "requests"]),
            ("alice", &["payment", "accept", "bob"]),
            |waiting| waiting["kind"] == "update",
        )
        .await?;
    story.channel_is("7", "8").await?;

    say("Or he gives her a payment request as text, or as a QR code.");
    let request = story
        .does("bob", &["request", "make", "0.5", "--memo", "tea"])
        .await?;
    let request = request.trim().to_owned();
    story.does("alice", &["pay", &request, "--yes"]).await?;
    story.channel_is("6.5", "8.5").await?;
    story.does("alice", &["history", "list"]).await?;

    say("They close the channel. Everybody is paid out what was his in the end.");
    story.does("alice", &["channel", "close", "bob"]).await?;
    story.no_channels().await?;
    story.does("alice", &["chain", "balance"]).await?;
    story.does("bob", &["chain", "balance"]).await?;
    let after = story
        .settled(&before, [("10", "6.5"), ("5", "8.5")])
        .await?;

    let [alice, bob] = after;
    say(&format!(
        "All figures add up: Alice has 3.5 ICP less than before and Bob 3.5 more, but for the fees of \
         the ledger ({alice} and {bob}). Told in {:.1} s.",
        told.elapsed().as_secs_f64()
    ));
    Ok(())
}

struct Story<'a> {
    world: &'a World,
}

fn say(text: &str) {
    println!("\n{text}\n");
}

impl Story<'_> {
    /// A user types a command; what it prints is shown.
    async fn does(&self, user: &str, arguments: &[&str]) -> Result<String, Failure> {
        println!("{user}$ perun {}", typed(arguments));
        let done = self.world.command(user, arguments).output().await;
        let done = done.map_err(|error| Failure::own("perun", error))?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        print!("{text}");
        if done.status.success() {
            return Ok(text);
        }
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        Err(Failure::Own(format!(
            "{user}: perun {}: {said}",
            typed(arguments)
        )))
    }

    /// The first waits for what the other answers, once it sees it.
    async fn together(
        &self,
        (one, asks): (&str, &[&str]),
        (_, looks): (&str, &[&str]),
        (other, answers): (&str, &[&str]),
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        println!("{one}$ perun {}        (waits for {other})", typed(asks));
        let asking = self
            .world
            .command(one, asks)
            .stdout(std::process::Stdio::piped())
            .spawn();
        let asking = asking.map_err(|error| Failure::own("perun", error))?;
        self.until(&format!("{other} sees it"), async || {
            let waiting = self.world.ask(other, looks).await?;
            Ok(waiting.iter().any(&is_it))
        })
        .await?;
        self.does(other, looks).await?;
        self.does(other, answers).await?;
        let asked = asking.wait_with_output().await;
        let asked = asked.map_err(|error| Failure::own("perun", error))?;
        println!(
            "{one}: {}",
            String::from_utf8_lossy(&asked.stdout).trim_end()
        );
        if asked.status.success() {
            Ok(())
        } else {
            Err(Failure::Own(format!(
                "{one}: perun {}: {}",
                typed(asks),
                asked.status
            )))
        }
    }

    /// Both sides see these balances.
    async fn channel_is(&self, alice: &str, bob: &str) -> Result<(), Failure> {
        for (name, own, peer) in [("alice", alice, bob), ("bob", bob, alice)] {
            self.until(
                &format!("{name} has {own} ICP in the channel, and the peer {peer}"),
                async || {
                    let channels = self.world.ask(name, &["channel", "list"]).await?;
                    let [channel] = &channels[..] else {
                        return Ok(false);
                    };
                    let balance = &channel["balances"][0];
                    Ok(balance["own"] == own && balance["peer"] == peer)
                },
            )
            .await?;
        }
        Ok(())
    }

    async fn no_channels(&self) -> Result<(), Failure> {
        for name in ["alice", "bob"] {
            self.until(&format!("{name} has no channel any more"), async || {
                Ok(self.world.ask(name, &["channel", "list"]).await?.is_empty())
            })
            .await?;
        }
        Ok(())
    }

    /// What both have on the ledger.
    async fn wealth(&self) -> Result<[Decimal; 2], Failure> {
        Ok([self.balance("alice").await?, self.balance("bob").await?])
    }

    async fn balance(&self, name: &str) -> Result<Decimal, Failure> {
        let answer = self.world.ask(name, &["chain", "balance"]).await?;
        decimal(&answer, |answer| &answer["balances"][0]["amount"])
    }

    /// Both have what they had, less deposits and fees, and what was theirs in the end. Answers the
    /// fees of both.
    async fn settled(
        &self,
        before: &[Decimal; 2],
        channel: [(&str, &str); 2],
    ) -> Result<[Decimal; 2], Failure> {
        let info = self.world.ask("alice", &["node", "info"]).await?;
        let fee = decimal(&info, |info| &info["currencies"][0]["fee"])?;
        let most = (1..MOST_FEES).fold(fee.clone(), |sum, _| sum.plus(&fee));
        let number = |text: &str| text.parse::<Decimal>().expect("a number of the story");
        let mut fees = Vec::new();
        for ((name, before), (given, got)) in ["alice", "bob"].iter().zip(before).zip(channel) {
            let expected = before.plus(&number(got)).minus(&number(given));
            let expected = expected.ok_or_else(|| off(name, "more", "less"))?;
            let mut paid = None;
            self.until(
                &format!("{name} has {expected} ICP on the ledger, less fees"),
                async || {
                    let missing = expected.minus(&self.balance(name).await?);
                    paid = missing.filter(|missing| *missing <= most);
                    Ok(paid.is_some())
                },
            )
            .await?;
            fees.extend(paid);
        }
        let [alice, bob]: [Decimal; 2] =
            fees.try_into().map_err(|_| off("both", "2", "another"))?;
        Ok([alice, bob])
    }

    async fn until(
        &self,
        what: &str,
        mut is_so: impl AsyncFnMut() -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        while !is_so().await? {
            if begun.elapsed() > PATIENCE {
                return Err(Failure::Own(format!(
                    "it does not add up: it is not so that {what}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

fn off(whose: &str, expected: &str, found: &str) -> Failure {
    Failure::Own(format!(
        "it does not add up: {whose} should have {expected}, and has {found}"
    ))
}

fn decimal(answer: &[Value], field: impl Fn(&Value) -> &Value) -> Result<Decimal, Failure> {
    let text = answer
        .first()
        .map(|answer| field(answer).as_str().unwrap_or(""))
        .unwrap_or("");
    text.parse()
        .map_err(|error| Failure::own("a balance", error))
}

/// As it would be typed.
fn typed(arguments: &[&str]) -> String {
    let quoted = |word: &&str| match word.contains(' ') {
        true => format!("'{word}'"),
        false => (*word).to_owned(),
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
