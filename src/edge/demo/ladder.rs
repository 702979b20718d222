//! Draws messages as a ladder: a column per party, an arrow per message, time goes down.

use crate::edge::demo::trace::{Party, Seen};

/// Draws the heading and one line per message.
pub(super) fn draw(messages: &[Seen]) -> Vec<String> {
    let mut lines = vec![heading()];
    lines.extend(messages.iter().map(row));
    lines
}

fn heading() -> String {
    let mut line = format!("{:>TIME_WIDTH$}", "ms");
    for party in Party::ALL {
        let label = party.label();
        let start = column(party) - label.len() / 2;
        line = format!("{line:<start$}{label}");
    }
    line
}

fn row(seen: &Seen) -> String {
    let (left, right) = (
        column(seen.from.min(seen.to)),
        column(seen.from.max(seen.to)),
    );
    let label = label(&seen.what, right - left - 1);
    let label_start = left + 1 + (right - left - 1 - label.len()) / 2;
    let head = if seen.from < seen.to {
        (right - 1, '>')
    } else {
        (left + 1, '<')
    };
    let glyph = |at: usize| {
        let in_label = at
            .checked_sub(label_start)
            .and_then(|place| label.as_bytes().get(place));
        match in_label {
            _ if at == head.0 => head.1,
            Some(byte) => char::from(*byte),
            None if (left + 1..right).contains(&at) => '-',
            None if Party::ALL.iter().any(|party| column(*party) == at) => '|',
            None => ' ',
        }
    };
    let drawing: String = (TIME_WIDTH..=column(Party::BuyerTwo)).map(glyph).collect();
    let time = format!("{:.1}", seen.at.as_secs_f64() * 1000.0);
    format!("{time:>TIME_WIDTH$}{drawing}")
}

/// The words on an arrow of `width`, which leave a dash and the head to be seen.
fn label(what: &str, width: usize) -> String {
    let printable = what.chars().map(|c| match c {
        ' '..='~' => c,
        _ => '?',
    });
    let room = width.saturating_sub(4);
    format!(" {} ", printable.take(room).collect::<String>())
}

/// Where the party's line stands.
fn column(party: Party) -> usize {
    match party {
        Party::Carrier => FIRST_COLUMN,
        Party::Edge => FIRST_COLUMN + SPACING,
        Party::BuyerOne => FIRST_COLUMN + 2 * SPACING,
        Party::BuyerTwo => FIRST_COLUMN + 3 * SPACING,
    }
}

const TIME_WIDTH: usize = 6;
const FIRST_COLUMN: usize = 11;
/// With this the widest line has 98 characters.
const SPACING: usize = 28;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_arrow_per_message_points_from_its_sender_to_its_receiver() {
        let seen = |micros, from, to, what: &str| Seen {
            at: Duration::from_micros(micros),
            from,
            to,
            what: what.to_owned(),
        };

        let lines = draw(&[
            seen(0, Party::Carrier, Party::Edge, "INVITE + credentials"),
            seen(1_260, Party::Edge, Party::BuyerTwo, "INVITE"),
            seen(99_940, Party::BuyerOne, Party::Edge, "486 Busy Here"),
        ]);

        let expected = [
            "    ms  carrier                      edge                       buyer 1                     buyer 2",
            "   0.0     |-- INVITE + credentials -->|                           |                           |",
            "   1.3     |                           |----------------------- INVITE ----------------------->|",
            "  99.9     |                           |<----- 486 Busy Here ------|                           |",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn long_words_and_foreign_characters_stay_within_the_page() {
        let lines = draw(&[Seen {
            at: Duration::from_secs(3),
            from: Party::BuyerTwo,
            to: Party::Edge,
            what: "407 Prüfung\n".repeat(20),
        }]);

        assert!(
            lines
                .iter()
                .all(|line| line.is_ascii() && line.len() <= 100)
        );
    }
}
