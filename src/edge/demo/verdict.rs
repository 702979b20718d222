//! Compares what was seen with what must be: every difference, in words.

use std::fmt::Debug;

use crate::call::record::Record;
use crate::edge::demo::phone::session;
use crate::edge::demo::scene::{self, Expected};
use crate::edge::demo::stage::Played;
use crate::edge::demo::trace::{Party, Seen};

/// Everything that differs; empty: the call went as expected.
pub(super) fn differences(
    expected: &Expected,
    played: &Played,
    record: Option<&Record>,
) -> Vec<String> {
    let mut found = Differences(Vec::new());
    let [one, two] = expected.buyers;
    found.conversation(Party::Carrier, expected.carrier, &played.messages);
    found.conversation(Party::BuyerOne, one, &played.messages);
    found.conversation(Party::BuyerTwo, two, &played.messages);
    found.turns(&played.messages);
    if !played.is_complete {
        found.note("somebody was still waiting for an answer when the time was over");
    }
    match record {
        Some(record) => {
            found.record(&expected.record, record);
            found.legs(played, record);
            found.x_ph(&expected.record, played, record);
        }
        None => found.note("no call record came"),
    }
    found.sessions(expected, played);
    found.0
}

struct Differences(Vec<String>);

impl Differences {
    fn note(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    fn compare<T: PartialEq + Debug>(&mut self, what: &str, expected: T, seen: T) {
        if expected != seen {
            self.note(format!("{what}: expected {expected:?}, saw {seen:?}"));
        }
    }

    /// All that `party` says and hears, in order.
    fn conversation(&mut self, party: Party, expected: &[&str], messages: &[Seen]) {
        let seen: Vec<String> = messages
            .iter()
            .filter_map(|message| {
                let sign = match (message.from == party, message.to == party) {
                    (true, _) => '>',
                    (false, true) => '<',
                    (false, false) => return None,
                };
                Some(format!("{sign} {}", message.what))
            })
            .collect();
        let count = expected.len().max(seen.len());
        for place in 0..count {
            let (want, have) = (expected.get(place).copied(), seen.get(place));
            let have = have.map(String::as_str);
            if want != have {
                let (want, have) = (want.unwrap_or("nothing"), have.unwrap_or("nothing"));
                let (party, place) = (party.label(), place + 1);
                self.note(format!(
                    "{party}, message {place}: expected {want}, saw {have}"
                ));
                return;
            }
        }
    }

    /// A buyer is called only when the one before it has said no.
    fn turns(&mut self, messages: &[Seen]) {
        let first = |from, to| {
            messages
                .iter()
                .position(|message| (message.from, message.to) == (from, to))
        };
        let second_called = first(Party::Edge, Party::BuyerTwo);
        let first_said_no = first(Party::BuyerOne, Party::Edge);
        if second_called.is_some_and(|called| first_said_no.is_none_or(|no| called < no)) {
            self.note("buyer 2 was called before buyer 1 had said no");
        }
    }

    fn record(&mut self, expected: &scene::Record, record: &Record) {
        let text = |value: &Option<std::sync::Arc<str>>| value.as_deref().map(str::to_owned);
        let owned = |value: Option<&str>| value.map(str::to_owned);
        self.compare("record, trunk", expected.trunk, &*record.trunk);
        self.compare("record, user", owned(expected.user), text(&record.user));
        let dialled = record.dialled.map(|number| number.to_string());
        self.compare(
            "record, dialled",
            Some(expected.dialled.to_owned()),
            dialled,
        );
        let campaign = text(&record.campaign);
        self.compare("record, campaign", owned(expected.campaign), campaign);
        self.compare("record, afid", owned(expected.afid), text(&record.afid));
        self.compare("record, sid", owned(expected.sid), text(&record.sid));
        self.compare("record, outcome", expected.outcome, record.outcome);
        self.compare("record, status", expected.status, record.status);
        self.compare("record, hung_up_by", expected.hung_up_by, record.hung_up_by);
        let attempts: Vec<_> = record
            .attempts
            .iter()
            .map(|attempt| (&*attempt.buyer.id, attempt.status, attempt.result))
            .collect();
        self.compare("record, attempts", expected.attempts, &attempts[..]);
    }

    /// Each leg has a Call-ID of its own, and the record has them all.
    fn legs(&mut self, played: &Played, record: &Record) {
        self.compare(
            "record, call_id",
            played.call_id.as_bytes(),
            &*record.call_id,
        );
        let [one, two] = &played.invites;
        let mut offered: Vec<&[u8]> = one
            .iter()
            .chain(two)
            .map(|invite| &invite.call_id[..])
            .collect();
        offered.dedup();
        let attempts: Vec<&[u8]> = record
            .attempts
            .iter()
            .map(|attempt| &*attempt.call_id)
            .collect();
        if offered != attempts || offered.contains(&played.call_id.as_bytes()) {
            self.note("Call-IDs: not one of its own for each buyer, or not those of the record");
        }
    }

    /// Every INVITE that a buyer got has the headers once, spelled exactly so.
    fn x_ph(&mut self, expected: &scene::Record, played: &Played, record: &Record) {
        let [one, two] = &played.invites;
        let invites = || one.iter().chain(two);
        let key = invites()
            .flat_map(|invite| &invite.x_ph)
            .find(|(name, _)| name == KEY)
            .map_or("", |(_, key)| key);
        if invites().next().is_some() && !is_call_key(key) {
            self.note(format!("{KEY} is not 26 characters of base32"));
        }
        let mut wanted = vec![
            (UUID.to_owned(), record.uuid.to_string()),
            (KEY.to_owned(), key.to_owned()),
            (
                AFID.to_owned(),
                expected.afid.unwrap_or_default().to_owned(),
            ),
        ];
        wanted.extend(expected.sid.map(|sid| (SID.to_owned(), sid.to_owned())));
        for (place, invite) in invites().enumerate() {
            if invite.x_ph != wanted {
                let what = format!("X-PH headers of INVITE {} to a buyer", place + 1);
                self.compare(&what, masked(&wanted), masked(&invite.x_ph));
            }
        }
    }

    /// Session descriptions pass unchanged both ways.
    fn sessions(&mut self, expected: &Expected, played: &Played) {
        let offer = session("carrier");
        let [one, two] = &played.invites;
        if one
            .iter()
            .chain(two)
            .any(|invite| invite.body != offer.as_bytes())
        {
            self.note("a buyer got another session description than the carrier sent");
        }
        let is_answered = expected.carrier.contains(&"< 200 OK");
        let answer = if is_answered {
            session("buyer")
        } else {
            String::new()
        };
        if played.answer != answer.as_bytes() {
            self.note("the carrier got another session description than the buyer sent");
        }
    }
}

/// Headers with the key made unreadable but for its first characters: it is a secret.
pub(super) fn masked(headers: &[(String, String)]) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = if name.to_ascii_lowercase().contains("key") {
                mask(value)
            } else {
                value.clone()
            };
            (name.clone(), value)
        })
        .collect()
}

fn mask(key: &str) -> String {
    key.chars()
        .enumerate()
        .map(|(place, c)| if place < 4 { c } else { '*' })
        .collect()
}

/// Base32 (RFC 4648 §6) of the first 130 bits of a MAC.
fn is_call_key(key: &str) -> bool {
    key.len() == 26 && key.bytes().all(|c| matches!(c, b'A'..=b'Z' | b'2'..=b'7'))
}

const UUID: &str = "X-PH-RetreaverUUID";
const KEY: &str = "X-PH-RetreaverKey";
const AFID: &str = "X-PH-RetreaverAFID";
const SID: &str = "X-PH-RetreaverSID";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::edge::demo::buyer::Invite;
    use crate::edge::demo::scene::SCENES;
    use crate::net::clock;
    use crate::types::ids::{CallUuid, Entropy};
    use crate::types::number::Number;

    #[test]
    fn a_call_that_went_as_it_should_differs_in_nothing() {
        let (played, record) = unknown_number();

        assert_eq!(judge(&played, Some(&record)), [""; 0]);
    }

    #[test]
    fn each_difference_is_named() {
        let (mut played, mut record) = unknown_number();
        played.messages[2].what = "603 Decline".to_owned();
        record.status = 603;
        let differences = judge(&played, Some(&record));
        assert_eq!(
            differences,
            [
                "carrier, message 3: expected < 404 Not Found, saw < 603 Decline",
                "record, status: expected 404, saw 603",
            ]
        );

        let (mut played, _) = unknown_number();
        played.messages.pop();
        played.is_complete = false;
        let differences = judge(&played, None);
        assert_eq!(
            differences,
            [
                "carrier, message 4: expected > ACK, saw nothing",
                "somebody was still waiting for an answer when the time was over",
                "no call record came",
            ]
        );
    }

    #[test]
    fn headers_that_are_missing_doubled_or_spelled_otherwise_are_differences() {
        let right = |record: &Record| {
            vec![
                (UUID.to_owned(), record.uuid.to_string()),
                (KEY.to_owned(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ".to_owned()),
                (AFID.to_owned(), String::new()),
            ]
        };
        let seen = |change: fn(&mut Vec<(String, String)>)| {
            let (mut played, record) = unknown_number();
            let mut x_ph = right(&record);
            change(&mut x_ph);
            played.invites[0].push(Invite {
                call_id: Vec::new(),
                x_ph,
                body: Vec::new(),
            });
            let mut found = Differences(Vec::new());
            found.x_ph(&SCENES[2].expected.record, &played, &record);
            found.0
        };

        assert_eq!(seen(|_| {}), [""; 0]);
        assert_eq!(seen(|x_ph| drop(x_ph.pop())).len(), 1);
        assert_eq!(seen(|x_ph| x_ph.push(x_ph[2].clone())).len(), 1);
        assert_eq!(seen(|x_ph| x_ph[2].0.make_ascii_lowercase()).len(), 1);
        assert_eq!(seen(|x_ph| x_ph[0].1.push('0')).len(), 1);
        assert_eq!(seen(|x_ph| x_ph.push((SID.into(), "7".into()))).len(), 1);
        let doubled = seen(|x_ph| x_ph.push(x_ph[1].clone()));
        assert!(!doubled[0].contains("ABCDE"), "{doubled:?}");
    }

    fn judge(played: &Played, record: Option<&Record>) -> Vec<String> {
        differences(&SCENES[2].expected, played, record)
    }

    /// The third call, as it should be.
    fn unknown_number() -> (Played, Record) {
        let said = |from, to, what: &str| Seen {
            at: Duration::ZERO,
            from,
            to,
            what: what.to_owned(),
        };
        let played = Played {
            messages: vec![
                said(Party::Carrier, Party::Edge, "INVITE"),
                said(Party::Edge, Party::Carrier, "100 Trying"),
                said(Party::Edge, Party::Carrier, "404 Not Found"),
                said(Party::Carrier, Party::Edge, "ACK"),
            ],
            call_id: "a84b4c76e66710".to_owned(),
            answer: Vec::new(),
            invites: [Vec::new(), Vec::new()],
            is_complete: true,
        };
        let now = clock::now();
        let record = Record {
            uuid: CallUuid::new(&mut Entropy::from_seed([7; 32])),
            generation: 1,
            trunk: "carrier-by-address".into(),
            user: None,
            dialled: Number::from_e164(b"+12125550199"),
            caller: None,
            campaign: None,
            afid: None,
            sid: None,
            call_id: Box::from(played.call_id.as_bytes()),
            attempts: Vec::new(),
            media: None,
            figures: None,
            story: None,
            counted: Vec::new(),
            skipped: Vec::new(),
            began: now,
            rang: None,
            answered: None,
            ended: now,
            outcome: crate::call::record::Outcome::NumberUnknown,
            status: 404,
            hung_up_by: crate::call::record::Side::Edge,
        };
        (played, record)
    }
}
