//! A call record read again: what is still to come of a call goes by what its record tells.

use std::time::Duration;

use serde::Deserialize;

use crate::call::late::{Remains, Talk};
use crate::call::record::{AttemptResult, Side};
use crate::types::ids::CallUuid;
use crate::types::number::Number;
use crate::types::tag::{Origin, Tag};

/// Reads the line of a record; `None`: it is none of a call with a campaign.
#[must_use]
pub fn read_line(line: &str) -> Option<Remains> {
    let line: Line = serde_json::from_str(line).ok()?;
    let answered = AttemptResult::Answered.label();
    let attempt = line.attempts.iter().rev();
    let attempt = attempt.clone().find(|one| *one.result == *answered);
    let talk = attempt.zip(line.setup_ms).map(|(attempt, setup)| Talk {
        buyer: attempt.buyer.clone(),
        chosen: millis(attempt.at_ms.unwrap_or(setup)),
        answered: millis(setup),
        time: millis(line.talk_ms.unwrap_or_default()),
    });
    let (company, tags) = match line.routing {
        Some(routing) => (Some(routing.company), routing.tags),
        None => (None, Vec::new()),
    };
    let tags = tags.into_iter().filter_map(|tag| {
        Some(Tag {
            key: tag.key.into(),
            value: tag.value.into(),
            origin: Origin::parse(&tag.origin)?,
        })
    });
    let sides = [Side::Caller, Side::Buyer, Side::Edge];
    let mut sides = sides.iter().map(|side| side.label());
    let number = |text: &str| Number::from_e164(text.as_bytes());
    Some(Remains {
        uuid: CallUuid::parse(&line.uuid)?,
        began: line.began.parse().ok()?,
        generation: line.generation,
        trunk: line.trunk,
        dialled: number(&line.dialled?)?,
        caller: line.caller.and_then(|caller| number(&caller)),
        company,
        campaign: line.campaign?,
        afid: line.afid?,
        sid: line.sid,
        tags: tags.collect(),
        tried: line.attempts.into_iter().map(|one| one.buyer).collect(),
        talk,
        is_cut_off: line.total_ms.is_none(),
        outcome: line.outcome,
        status: line.status,
        hung_up_by: sides.find(|side| **side == *line.hung_up_by),
        total: line.total_ms.map(millis),
        rang: line.post_dial_delay_ms.map(millis),
    })
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[derive(Deserialize)]
struct Line {
    uuid: Box<str>,
    began: Box<str>,
    outcome: Box<str>,
    status: Option<u16>,
    hung_up_by: Box<str>,
    trunk: Box<str>,
    dialled: Option<Box<str>>,
    caller: Option<Box<str>>,
    campaign: Option<Box<str>>,
    afid: Option<Box<str>>,
    sid: Option<Box<str>>,
    post_dial_delay_ms: Option<u64>,
    setup_ms: Option<u64>,
    talk_ms: Option<u64>,
    total_ms: Option<u64>,
    attempts: Vec<Attempt>,
    routing: Option<Routing>,
    generation: u64,
}

#[derive(Deserialize)]
struct Attempt {
    buyer: Box<str>,
    at_ms: Option<u64>,
    result: Box<str>,
}

#[derive(Deserialize)]
struct Routing {
    company: Box<str>,
    tags: Vec<ToldTag>,
}

#[derive(Deserialize)]
struct ToldTag {
    key: Box<str>,
    value: Box<str>,
    origin: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::record::tests::line_of_sample;
    use crate::telemetry::record::{CutOff, write_cut_off};
    use crate::types::moment::Moment;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (line, record) = line_of_sample();

        let remains = read_line(&line).expect("a record");

        assert_eq!(remains.uuid, record.uuid);
        assert_eq!(Some(remains.dialled), record.dialled);
        assert_eq!(remains.caller, record.caller);
        assert_eq!(Some(&*remains.campaign), record.campaign.as_deref());
        assert_eq!(Some(&*remains.afid), record.afid.as_deref());
        assert_eq!(remains.hung_up_by, Some(record.hung_up_by.label()));
        assert_eq!(remains.tried.len(), record.attempts.len());
        let (talk, answered) = (remains.talk.expect("a talk"), record.answered.unwrap());
        let near = |one: Duration, other: Duration| one.abs_diff(other) < millis(1);
        assert!(near(talk.time, record.ended - answered));
        assert!(near(talk.answered, answered - record.began));
        assert!(!remains.is_cut_off);
    }

    #[test]
    fn so_is_that_of_a_call_that_was_cut_off() {
        let began = Moment::from_millis(1_767_323_044_500);
        let call = CutOff {
            uuid: CallUuid::from_bytes([7; 16]),
            began,
            generation: 4,
            trunk: "carrier",
            user: None,
            dialled: Some("+12125550101"),
            caller: None,
            campaign: Some("solar"),
            afid: Some("bright-leads"),
            sid: None,
            call_id: b"1@192.0.2.1",
            answered: Some((began.after(millis(2500)), "first")),
            ended: began.after(millis(9500)),
            company: Some("acme"),
            tags: &[("age", "66", "hook")],
        };
        let mut line = Vec::new();
        write_cut_off(&mut line, "edge-1", &call);

        let remains = read_line(std::str::from_utf8(&line).unwrap()).expect("a record");

        assert!(!remains.is_cut_off, "it ended when the edge did");
        assert_eq!(remains.began, began);
        assert_eq!(remains.company.as_deref(), Some("acme"));
        assert_eq!(&*remains.tags[0].value, "66");
        let talk = remains.talk.expect("a talk");
        assert_eq!((&*talk.buyer, talk.answered), ("first", millis(2500)));
        assert_eq!(talk.time, millis(7000));
        assert_eq!(read_line("{}"), None);
    }
}
