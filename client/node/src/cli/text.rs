//! Times, limits and passwords as they are typed, and times as they are shown.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};
use zeroize::Zeroizing;

use super::decimal::Decimal;
use super::failure::Failure;

/// A length of time: 30s, 15m, 2h, 7d.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time; one is written like 30s, 15m, 2h or 7d");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let seconds = number.checked_mul(unit_s).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

/// A day (its beginning, in UTC) or an instant, in milliseconds since 1970.
pub fn instant_ms(text: &str) -> Result<i64, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_millisecond());
    }
    let day: civil::Date = text.parse().map_err(|_| {
        format!("{text:?} is no time; one is written like 2026-05-01 or 2026-05-01T12:00:00Z")
    })?;
    let start = day
        .to_zoned(TimeZone::UTC)
        .map_err(|error| error.to_string())?;
    Ok(start.timestamp().as_millisecond())
}

/// SYMBOL=AMOUNT.
pub fn limit(text: &str) -> Result<(String, String), String> {
    let (currency, amount) = text
        .split_once('=')
        .filter(|(currency, _)| !currency.is_empty())
        .ok_or_else(|| format!("{text:?} is no limit; one is written like ICP=1.5"))?;
    let _: Decimal = amount.parse().map_err(|error| format!("{error}"))?;
    Ok((currency.to_owned(), amount.to_owned()))
}

/// An instant as people read it, in UTC: the same everywhere.
pub fn instant_s(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |instant| instant.to_string())
}

/// The same, of milliseconds.
pub fn instant_of_ms(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(
        |_| milliseconds.to_string(),
        |instant| format!("{instant:.3}"),
    )
}

/// What is left of time, in words.
pub fn left(expiry_s: i64, now_s: i64) -> String {
    match expiry_s - now_s {
        left if left <= 0 => "expired".into(),
        left => format!("expires in {left} s"),
    }
}

/// The seconds since 1970 on this machine.
pub fn now_s() -> i64 {
    crate::clock::seconds()
}

/// A password: from a file, or the environment, or asked for twice or once.
pub fn password(
    file: Option<&Path>,
    prompt: &str,
    twice: bool,
) -> Result<Zeroizing<String>, Failure> {
    if let Some(file) = file {
        let text =
            std::fs::read_to_string(file).map_err(|error| Failure::own(file.display(), error))?;
        let mut text = Zeroizing::new(text);
        let kept = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(kept);
        return Ok(text);
    }
    if let Ok(text) = std::env::var("PERUN_PASSWORD") {
        return Ok(Zeroizing::new(text));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "a password is needed: name a file by --password-file, or set PERUN_PASSWORD".into(),
        ));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .map_err(|error| Failure::own("the terminal", error))
    };
    let first = ask(&format!("{prompt}: "))?;
    if twice && *first != *ask("Once more: ")? {
        return Err(Failure::Usage("the two passwords differ".into()));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for text in [
            "",
            "s",
            "5",
            "5 m",
            "5w",
            "-5s",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        assert_eq!(instant_ms("1970-01-02"), Ok(86_400_000));
        assert_eq!(instant_ms("1970-01-01T00:00:01Z"), Ok(1000));
        assert!(instant_ms("yesterday").is_err());
    }

    #[test]
    fn limits_are_read() {
        assert_eq!(limit("ICP=1.5"), Ok(("ICP".into(), "1.5".into())));
        for text in ["ICP", "=1", "ICP=", "ICP=much"] {
            assert!(limit(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_shown() {
        assert_eq!(instant_s(0), "1970-01-01T00:00:00Z");
        assert_eq!(instant_of_ms(1), "1970-01-01T00:00:00.001Z");
        assert_eq!(left(10, 7), "expires in 3 s");
        assert_eq!(left(10, 10), "expired");
    }
}
