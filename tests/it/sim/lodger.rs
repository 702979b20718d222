//! Media that goes through an rtpengine, which takes its time: what waits for it, and what does not.

use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::output::Event;
use strowger::call::policy::Media;
use strowger::call::record::MediaAt;
use strowger::media::ng::ask::{Ask, Failure, Rtpengine, Terms};
use strowger::media::ng::{Exchange, Request, Scope};
use strowger::media::session::Srtp;

use super::desk::{
    Desk, Said, Talk, answer, buyer, buyer_request, caller_request, cancel, find, invite, ladder,
    specs,
};
use super::distant::{Distant, KEY, MEDIA, PLACE};
use super::policy::{CARRIER, PolicySpec, addr};
use super::text::Msg;

/// Every call's media goes through one rtpengine.
pub(crate) fn far() -> Media {
    Media {
        rtpengine: Terms {
            rtpengines: vec![Rtpengine {
                address: addr(PLACE),
                weight: 1,
            }],
            ..Terms::default()
        },
        ..Media::default()
    }
}

/// An engine, and the rtpengine that it asks.
struct Bench {
    desk: Desk,
    distant: Distant,
}

impl Bench {
    fn new(buyers: usize) -> Self {
        Self::with(&PolicySpec {
            lines: vec![specs(buyers)],
            media: far(),
            ..PolicySpec::default()
        })
    }

    fn with(spec: &PolicySpec) -> Self {
        Self {
            desk: Desk::with(spec),
            distant: Distant::default(),
        }
    }

    /// The one question that is open.
    fn asked(&mut self) -> Ask {
        let asks = std::mem::take(&mut self.desk.asks);
        let [ask] = asks.try_into().expect("one question");
        ask
    }

    /// rtpengine answers all that it was asked.
    fn answers(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        for ask in std::mem::take(&mut self.desk.asks) {
            let told = self.distant.answer(&ask);
            said.extend(self.desk.tell(Input::MediaTold(told)));
        }
        assert_eq!(self.distant.faults, [""; 0]);
        said
    }

    /// rtpengine does not answer the one question.
    fn fails(&mut self, failure: Failure) -> Vec<Said> {
        let ask = self.asked();
        let told = Distant::silence(&ask, failure);
        self.desk.tell(Input::MediaTold(told))
    }

    /// The caller's INVITE, and the buyer's after rtpengine has answered.
    fn offered(&mut self, invite: &Msg) -> Msg {
        let said = self.desk.say(CARRIER, invite);
        assert_eq!(ladder(&said), ["carrier 100 INVITE"]);
        find(&self.answers(), "b0 INVITE")
    }

    /// All is over, here and there.
    fn ends(&mut self) {
        for record in &self.desk.records {
            self.distant.end(record);
        }
        let gauges = self.desk.rest();
        assert_eq!(gauges.calls_talking + gauges.calls_ringing, 0);
        assert_eq!(self.distant.left(), [""; 0]);
    }
}

fn sdp(who: &str, media: &str, attributes: &str) -> String {
    let media = addr(media);
    format!(
        "v=0\r\no={who} 7 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 8\r\n{attributes}",
        ip = media.ip(),
        port = media.port(),
    )
}

const CALLER_MEDIA: &str = "192.0.2.10:30000";

fn offer() -> Msg {
    invite().with_sdp(&sdp("ann", CALLER_MEDIA, ""))
}

fn answered(offered: &Msg, status: u16, place: usize) -> Msg {
    let media = format!("198.51.100.{}:4000{place}", 10 + place);
    answer(offered, status, "bob").with_sdp(&sdp("bob", &media, ""))
}

/// Where a description says that audio is heard.
fn heard_at(sdp: &str) -> String {
    let line = |key: &str| sdp.lines().find_map(|line| line.strip_prefix(key));
    let ip = line("c=IN IP4 ").unwrap_or_else(|| panic!("no address in {sdp}"));
    let port = line("m=audio ").and_then(|rest| rest.split(' ').next());
    format!("{ip}:{}", port.expect("a port"))
}

/// What was offered or answered there.
fn exchange(ask: &Ask) -> &Exchange {
    match &ask.request {
        Request::Offer(exchange) | Request::Answer(exchange) => exchange,
        Request::Ping | Request::Delete(..) | Request::Query(_) => panic!("{ask:?}"),
    }
}

/// A call that is up.
fn talk() -> (Bench, Talk) {
    let mut bench = Bench::new(1);
    let invite = offer();
    let offered = bench.offered(&invite);
    let said = bench.desk.say_from(buyer(0), &answered(&offered, 200, 0));
    assert_eq!(ladder(&said), [""; 0], "it waits");
    let said = bench.answers();
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");
    bench
        .desk
        .say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    let desk = std::mem::replace(&mut bench.desk, Desk::new(0));
    let talk = Talk {
        desk,
        invite,
        ok,
        offered,
    };
    (bench, talk)
}

/// Puts the desk of a call that is up to its rtpengine.
fn joined() -> (Bench, Talk) {
    let (mut bench, mut talk) = talk();
    std::mem::swap(&mut bench.desk, &mut talk.desk);
    (bench, talk)
}

#[test]
fn each_side_is_told_of_rtpengine_and_the_record_says_where_the_call_was() {
    let (mut bench, talk) = joined();

    for (told, others) in [
        (&talk.offered.body, "192.0.2.10"),
        (&talk.ok.body, "198.51.100.10"),
    ] {
        assert!(heard_at(told).starts_with(MEDIA), "{told}");
        assert!(!told.contains(others), "{told}");
        assert!(told.contains("\r\no=- "), "{told}");
    }
    assert_ne!(heard_at(&talk.offered.body), heard_at(&talk.ok.body));
    assert!(bench.desk.plans.is_empty(), "our own relay does nothing");
    bench.desk.say(CARRIER, &talk.caller("BYE", 2));

    let record = &bench.desk.records[0];
    let Some(MediaAt::Rtpengine(lodging)) = &record.media else {
        panic!("{:?}", record.media);
    };
    assert_eq!(lodging.place, addr(PLACE));
    assert_eq!(*lodging.names.call, record.uuid.to_string());
    assert!(bench.desk.asks.is_empty(), "the record ends it");
    bench.ends();
}

#[test]
fn what_comes_again_meanwhile_is_neither_lost_nor_said_twice() {
    let mut bench = Bench::new(1);
    let invite = offer();
    bench.desk.say(CARRIER, &invite);
    let said = bench.desk.say(CARRIER, &invite);
    assert_eq!(ladder(&said), ["carrier 100 INVITE"], "the same, again");
    let offered = find(&bench.answers(), "b0 INVITE");

    let ok = answered(&offered, 200, 0);
    assert_eq!(ladder(&bench.desk.say_from(buyer(0), &ok)), [""; 0]);
    assert_eq!(ladder(&bench.desk.say_from(buyer(0), &ok)), [""; 0]);
    // No clock of ours ends the call meanwhile.
    assert_eq!(ladder(&bench.desk.pass_millis(1500)), [""; 0]);
    let said = bench.answers();

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    assert_eq!(ladder(&bench.desk.say_from(buyer(0), &ok)), ["b0 ACK"]);
    let ok = find(&said, "carrier 200 INVITE");
    bench
        .desk
        .say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    bench
        .desk
        .say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
    bench.ends();
}

#[test]
fn without_an_rtpengine_the_caller_gets_503_and_no_buyer_is_called() {
    for (failure, why) in [
        (Failure::Silent, "rtpengine_silent"),
        (Failure::Unreachable, "rtpengine_unreachable"),
        (Failure::Nowhere, "rtpengine_nowhere"),
        (Failure::Busy, "rtpengine_busy"),
    ] {
        let mut bench = Bench::new(2);
        bench.desk.say(CARRIER, &offer());

        let said = bench.fails(failure);
        bench.answers();

        assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
        let reason = said[0].message.value("Reason");
        assert!(reason.contains("no_media"), "{reason}");
        assert_eq!(bench.desk.recorded(), "no_media 503 by edge: ");
        let is_told =
            |event: &Event| matches!(event, Event::MediaUnfit { why: told, .. } if *told == why);
        assert!(bench.desk.events.iter().any(is_told), "{why}");
        bench.ends();
    }
}

#[test]
fn an_answer_that_never_comes_is_given_up_in_time() {
    let mut bench = Bench::new(1);
    bench.desk.say(CARRIER, &offer());
    let ask = bench.asked();

    assert_eq!(ladder(&bench.desk.pass_millis(1999)), [""; 0]);
    let said = bench.desk.pass_millis(1);

    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    // It was taken all the same, and is ended there.
    let told = bench.distant.answer(&ask);
    assert_eq!(ladder(&bench.desk.tell(Input::MediaTold(told))), [""; 0]);
    bench.answers();
    bench.ends();
}

#[test]
fn who_hangs_up_meanwhile_is_answered_and_the_call_is_ended_there() {
    let mut bench = Bench::new(1);
    let invite = offer();
    bench.desk.say(CARRIER, &invite);
    let ask = bench.asked();

    let said = bench.desk.say(CARRIER, &cancel(&invite));

    assert_eq!(ladder(&said), ["carrier 200 CANCEL", "carrier 487 INVITE"]);
    assert_eq!(bench.desk.recorded(), "caller_hung_up 487 by caller: ");
    let told = bench.distant.answer(&ask);
    assert_eq!(ladder(&bench.desk.tell(Input::MediaTold(told))), [""; 0]);
    let ask = bench.asked();
    let Request::Delete(names, Scope::Call) = &ask.request else {
        panic!("{ask:?}");
    };
    assert_eq!(*names.call, bench.desk.records[0].uuid.to_string());
    assert_eq!((ask.place, ask.ticket.round), (Some(addr(PLACE)), 0));
    bench.distant.answer(&ask);
    bench.ends();
}

#[test]
fn who_hangs_up_while_the_answer_is_asked_about_leaves_nobody_on_the_line() {
    let mut bench = Bench::new(1);
    let invite = offer();
    let offered = bench.offered(&invite);
    bench.desk.say_from(buyer(0), &answered(&offered, 200, 0));

    let said = bench.desk.say(CARRIER, &cancel(&invite));

    let mut said = ladder(&said);
    said.sort();
    assert_eq!(
        said,
        [
            "b0 ACK",
            "b0 BYE",
            "carrier 200 CANCEL",
            "carrier 487 INVITE"
        ]
    );
    assert_eq!(ladder(&bench.answers()), [""; 0]);
    bench.answers();
    bench.ends();
}

#[test]
fn an_answer_waits_for_the_early_one_before_it() {
    let mut bench = Bench::new(1);
    let invite = offer();
    let offered = bench.offered(&invite);

    let said = bench.desk.say_from(buyer(0), &answered(&offered, 183, 0));
    assert_eq!(ladder(&said), [""; 0]);
    let ringing = answer(&offered, 180, "bob");
    let said = bench.desk.say_from(buyer(0), &ringing);
    assert_eq!(
        ladder(&said),
        ["carrier 180 INVITE"],
        "it has nothing to wait for"
    );
    let said = bench.desk.say_from(buyer(0), &answered(&offered, 200, 0));
    assert_eq!(ladder(&said), [""; 0]);
    let said = bench.answers();

    // The 200 says what the 183 said, so nothing more has to be asked.
    assert_eq!(
        ladder(&said),
        ["carrier 183 INVITE", "b0 ACK", "carrier 200 INVITE"]
    );
    let early = find(&said, "carrier 183 INVITE");
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(early.body, ok.body);
    bench
        .desk
        .say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    bench
        .desk
        .say_from(buyer(0), &buyer_request("BYE", 1, &offered, "bob"));
    bench.ends();
}

#[test]
fn a_buyer_that_refuses_meanwhile_is_followed_by_the_next() {
    let mut bench = Bench::new(2);
    let offered = bench.offered(&offer());
    bench.desk.say_from(buyer(0), &answered(&offered, 183, 0));
    let late = bench.asked();

    bench.desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    let next = bench.asked();
    let told = bench.distant.answer(&late);
    assert_eq!(ladder(&bench.desk.tell(Input::MediaTold(told))), [""; 0]);
    let told = bench.distant.answer(&next);
    let said = bench.desk.tell(Input::MediaTold(told));

    assert_eq!(ladder(&said), ["b1 INVITE"]);
    assert_ne!(exchange(&late).names.buyer, exchange(&next).names.buyer);
    let second = find(&said, "b1 INVITE");
    bench.desk.say_from(buyer(1), &answer(&second, 486, "eve"));
    assert_eq!(bench.desk.recorded(), "all_busy 486 by edge: busy, busy");
    bench.answers();
    bench.ends();
}

/// Trap 14: the caller's answer stays what it was, and what the next buyer is offered fits it.
#[test]
fn trap_14_the_caller_keeps_its_answer_when_the_next_buyer_takes_over() {
    let mut bench = Bench::new(2);
    let invite = offer();
    let first = bench.offered(&invite);
    let early = answered(&first, 183, 0);
    let early = early
        .clone()
        .with_sdp(&early.body.replace("AVP 0 8", "AVP 8"));
    bench.desk.say_from(buyer(0), &early);
    let told = find(&bench.answers(), "carrier 183 INVITE");
    bench.desk.say_from(buyer(0), &answer(&first, 486, "bob"));

    let said = bench.answers();
    let second = find(&said, "b1 INVITE");
    // Only now the first attempt is over there, so that the caller's port stays.
    bench.answers();
    let call = bench.distant.left()[0].to_owned();
    assert_eq!(bench.distant.attempts(&call), ["buyer-2"]);
    assert!(second.body.contains("AVP 8\r\n"), "{}", second.body);
    assert_ne!(heard_at(&first.body), heard_at(&second.body));

    let ok = answer(&second, 200, "eve").with_sdp(&sdp("eve", "198.51.100.11:41000", ""));
    bench.desk.say_from(buyer(1), &ok);
    let said = bench.answers();
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(ok.body, told.body);
    bench
        .desk
        .say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    bench
        .desk
        .say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
    assert_eq!(
        bench.desk.recorded(),
        "completed 200 by caller: busy, answered"
    );
    bench.ends();
}

#[test]
fn an_answer_that_does_not_fit_what_the_caller_was_told_is_left_for_the_next_buyer() {
    let mut bench = Bench::new(2);
    let first = bench.offered(&offer());
    let early = answered(&first, 183, 0);
    let early = early
        .clone()
        .with_sdp(&early.body.replace("AVP 0 8", "AVP 8"));
    bench.desk.say_from(buyer(0), &early);
    bench.answers();
    let other = answered(&first, 200, 0);
    let other = other
        .clone()
        .with_sdp(&other.body.replace("AVP 0 8", "AVP 0"));
    bench.desk.say_from(buyer(0), &other);

    let said = bench.answers();

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    let said = bench.answers();
    find(&said, "b1 INVITE");
    let second = find(&said, "b1 INVITE");
    bench.desk.say_from(buyer(1), &answer(&second, 603, "eve"));
    assert_eq!(
        bench.desk.recorded(),
        "no_answer 603 by edge: media_mismatch, declined"
    );
    bench.answers();
    bench.ends();
}

#[test]
fn the_next_buyer_is_offered_the_call_through_another_rtpengine() {
    let mut bench = Bench::new(2);
    let invite = offer();
    let first = bench.offered(&invite);
    let before = bench.distant.left()[0].to_owned();
    bench.desk.say_from(buyer(0), &answer(&first, 486, "bob"));

    let said = bench.fails(Failure::Silent);

    assert_eq!(ladder(&said), [""; 0]);
    let [old, new] = &bench.desk.asks[..] else {
        panic!("{:?}", bench.desk.asks);
    };
    assert!(matches!(&old.request, Request::Delete(names, Scope::Call) if *names.call == before));
    assert_eq!(new.place, None, "any may take it");
    assert_eq!(*exchange(new).names.call, format!("{before}_1"));
    find(&bench.answers(), "b1 INVITE");
    bench.desk.say(CARRIER, &cancel(&invite));
    bench.ends();
}

#[test]
fn once_the_caller_was_told_a_call_goes_down_with_its_rtpengine() {
    let mut bench = Bench::new(2);
    let first = bench.offered(&offer());
    bench.desk.say_from(buyer(0), &answered(&first, 183, 0));
    find(&bench.answers(), "carrier 183 INVITE");
    bench.desk.say_from(buyer(0), &answer(&first, 486, "bob"));

    let said = bench.fails(Failure::Unreachable);

    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    assert_eq!(bench.desk.recorded(), "no_media 503 by edge: busy");
    bench.ends();
}

#[test]
fn a_buyer_whose_answer_nobody_takes_is_hung_up_and_the_next_is_tried() {
    let mut bench = Bench::new(2);
    let invite = offer();
    let first = bench.offered(&invite);
    bench.desk.say_from(buyer(0), &answered(&first, 200, 0));

    let said = bench.fails(Failure::Silent);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    let second = find(&bench.answers(), "b1 INVITE");
    bench.desk.say_from(buyer(1), &answer(&second, 486, "eve"));
    assert_eq!(
        bench.desk.recorded(),
        "no_answer 603 by edge: media_failed, busy"
    );
    bench.answers();
    bench.ends();
}

#[test]
fn hold_and_resume_pass() {
    let (mut bench, talk) = joined();
    for (cseq, direction, mirrored) in [(2, "sendonly", "recvonly"), (3, "sendrecv", "sendrecv")] {
        let version = format!("ann 7 {cseq}");
        let body = sdp("ann", CALLER_MEDIA, &format!("a={direction}\r\n"));
        let asks = talk
            .caller("INVITE", cseq)
            .with_sdp(&body.replace("ann 7 1", &version));

        let said = bench.desk.say(CARRIER, &asks);
        assert_eq!(ladder(&said), ["carrier 100 INVITE"]);
        let asked = find(&bench.answers(), "b0 INVITE");
        assert!(asked.body.contains(direction), "{}", asked.body);
        assert_eq!(heard_at(&asked.body), heard_at(&talk.offered.body));
        let body = sdp("bob", "198.51.100.10:40000", &format!("a={mirrored}\r\n"));
        let agrees = answer(&asked, 200, "bob").with_sdp(&body);
        assert_eq!(ladder(&bench.desk.say_from(buyer(0), &agrees)), [""; 0]);
        let said = bench.answers();
        assert_eq!(ladder(&said), ["carrier 200 INVITE", "b0 ACK"]);
        let ok = find(&said, "carrier 200 INVITE");
        assert!(ok.body.contains(mirrored), "{}", ok.body);
        assert_eq!(heard_at(&ok.body), heard_at(&talk.ok.body));
        bench.desk.say(CARRIER, &talk.caller("ACK", cseq));
    }
    bench.desk.say_from(buyer(0), &talk.buyer("BYE", 1));
    bench.ends();
}

#[test]
fn a_change_that_waits_can_be_taken_back_and_bars_others() {
    let (mut bench, talk) = joined();
    let hold = talk
        .caller("INVITE", 2)
        .with_sdp(&sdp("ann", CALLER_MEDIA, "a=sendonly\r\n"));
    bench.desk.say(CARRIER, &hold);
    let late = bench.asked();

    let others = talk
        .buyer("INVITE", 1)
        .with_sdp(&sdp("bob", "198.51.100.10:40000", ""));
    let said = bench.desk.say_from(buyer(0), &others);
    assert_eq!(ladder(&said), ["b0 100 INVITE", "b0 491 INVITE"]);
    let own = talk
        .caller("UPDATE", 3)
        .with_sdp(&sdp("ann", CALLER_MEDIA, ""));
    assert_eq!(
        ladder(&bench.desk.say(CARRIER, &own)),
        ["carrier 500 UPDATE"]
    );
    let said = bench.desk.say(CARRIER, &cancel(&hold));
    assert_eq!(ladder(&said), ["carrier 200 CANCEL", "carrier 487 INVITE"]);
    let said = bench.desk.say_from(
        buyer(0),
        &others.clone().set("CSeq", "2 INVITE").set(
            "Via",
            format!("SIP/2.0/UDP {};branch=z9hG4bK-soon", buyer(0)),
        ),
    );
    assert_eq!(
        ladder(&said),
        ["b0 100 INVITE", "b0 491 INVITE"],
        "rtpengine must not hear of it before"
    );
    let told = bench.distant.answer(&late);
    assert_eq!(ladder(&bench.desk.tell(Input::MediaTold(told))), [""; 0]);

    // The next one is not barred any more.
    let again = talk
        .caller("INVITE", 4)
        .with_sdp(&sdp("ann", CALLER_MEDIA, "a=sendonly\r\n"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-again;rport"),
        );
    bench.desk.say(CARRIER, &again);
    find(&bench.answers(), "b0 INVITE");
    let said = bench.desk.say(CARRIER, &talk.caller("BYE", 5));
    let mut said = ladder(&said);
    said.sort();
    assert_eq!(said[..2], ["b0 BYE", "carrier 200 BYE"]);
    bench.ends();
}

#[test]
fn who_hangs_up_while_a_change_waits_is_heard() {
    let (mut bench, talk) = joined();
    let hold = talk
        .caller("INVITE", 2)
        .with_sdp(&sdp("ann", CALLER_MEDIA, "a=sendonly\r\n"));
    bench.desk.say(CARRIER, &hold);

    let said = bench.desk.say_from(buyer(0), &talk.buyer("BYE", 1));

    let mut said = ladder(&said);
    said.sort();
    assert_eq!(said, ["b0 200 BYE", "carrier 487 INVITE", "carrier BYE"]);
    assert_eq!(ladder(&bench.answers()), [""; 0]);
    bench.answers();
    bench.ends();
}

#[test]
fn a_change_that_rtpengine_does_not_take_is_refused_and_the_call_goes_on() {
    let (mut bench, talk) = joined();
    let hold = talk
        .caller("INVITE", 2)
        .with_sdp(&sdp("ann", CALLER_MEDIA, "a=sendonly\r\n"));
    bench.desk.say(CARRIER, &hold);

    let said = bench.fails(Failure::Silent);

    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    assert!(bench.desk.records.is_empty());
    bench.desk.say(CARRIER, &talk.caller("BYE", 3));
    bench.ends();
}

#[test]
fn a_late_offer_is_answered_by_the_ack_which_waits() {
    let mut bench = Bench::new(1);
    let mut invite = invite().without("Content-Type");
    invite.body.clear();
    let said = bench.desk.say(CARRIER, &invite);
    let offered = find(&said, "b0 INVITE");
    assert_eq!(
        ladder(&bench.desk.say_from(buyer(0), &answered(&offered, 200, 0))),
        [""; 0]
    );
    let said = bench.answers();
    assert_eq!(ladder(&said), ["carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");
    assert!(heard_at(&ok.body).starts_with(MEDIA));

    let ack = caller_request("ACK", 1, &invite, &ok).with_sdp(&sdp("ann", CALLER_MEDIA, ""));
    assert_eq!(ladder(&bench.desk.say(CARRIER, &ack)), [""; 0]);
    assert_eq!(
        ladder(&bench.desk.say(CARRIER, &ack)),
        [""; 0],
        "the same again"
    );
    let said = bench.answers();

    let acked = find(&said, "b0 ACK");
    assert!(heard_at(&acked.body).starts_with(MEDIA), "{}", acked.body);
    bench
        .desk
        .say_from(buyer(0), &buyer_request("BYE", 1, &offered, "bob"));
    assert_eq!(bench.desk.recorded(), "completed 200 by buyer: answered");
    bench.ends();
}

#[test]
fn srtp_is_offered_and_taken_as_each_side_wants_it() {
    let mut buyers = specs(1);
    buyers[0].media.terms.srtp = Srtp::Require;
    let mut bench = Bench::with(&PolicySpec {
        lines: vec![buyers],
        media: far(),
        ..PolicySpec::default()
    });
    let invite = offer();
    let offered = bench.offered(&invite);
    assert!(offered.body.contains("RTP/SAVP 0 8"), "{}", offered.body);

    let body = sdp("bob", "198.51.100.10:40000", &format!("{KEY}\r\n"));
    let secure = answer(&offered, 200, "bob").with_sdp(&body.replace("RTP/AVP", "RTP/SAVP"));
    bench.desk.say_from(buyer(0), &secure);
    let ok = find(&bench.answers(), "carrier 200 INVITE");

    assert!(ok.body.contains("RTP/AVP 0 8"), "{}", ok.body);
    assert!(!ok.body.contains("a=crypto"), "{}", ok.body);
    bench
        .desk
        .say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    bench
        .desk
        .say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
    bench.ends();
}

#[test]
fn who_offers_srtp_where_it_is_refused_reaches_nobody() {
    let mut bench = Bench::new(1);
    let body = sdp("ann", CALLER_MEDIA, &format!("{KEY}\r\n")).replace("RTP/AVP", "RTP/SAVP");

    let said = bench.desk.say(CARRIER, &invite().with_sdp(&body));

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 603 INVITE"]);
    assert!(bench.desk.asks.is_empty());
    assert_eq!(
        bench.desk.recorded(),
        "no_answer 603 by edge: media_mismatch"
    );
}

#[test]
fn calls_that_go_another_way_ask_nobody() {
    for media in [Media::default(), super::media::open(20_000, 20_099)] {
        let mut desk = Desk::with(&PolicySpec {
            lines: vec![specs(1)],
            media,
            ..PolicySpec::default()
        });
        let offered = find(&desk.say(CARRIER, &offer()), "b0 INVITE");
        let said = desk.say_from(buyer(0), &answered(&offered, 200, 0));
        find(&said, "carrier 200 INVITE");
        assert!(desk.asks.is_empty());
    }
}

#[test]
fn a_buyer_rings_on_though_nobody_says_what_its_early_answer_becomes() {
    let mut bench = Bench::new(1);
    let offered = bench.offered(&offer());
    bench.desk.say_from(buyer(0), &answered(&offered, 183, 0));
    let ask = bench.asked();

    // It is not held up by what nobody answers: the caller hears ringing, and of the early answer no more.
    let said = bench.desk.pass(Duration::from_secs(2));
    assert_eq!(ladder(&said), ["carrier 180 INVITE"]);
    let told = Distant::silence(&ask, Failure::Silent);
    assert_eq!(ladder(&bench.desk.tell(Input::MediaTold(told))), [""; 0]);
    let said = bench.desk.say_from(buyer(0), &answered(&offered, 200, 0));
    assert_eq!(ladder(&said), [""; 0]);
    let said = bench.answers();
    find(&said, "carrier 200 INVITE");
}

/// The offer of a reliable 183, and the answer in the PRACK, wait both.
#[test]
fn a_reliable_offer_is_answered_by_a_prack_which_waits() {
    let mut bench = Bench::new(1);
    let mut invite = invite().without("Content-Type").with("Supported", "100rel");
    invite.body.clear();
    let offered = find(&bench.desk.say(CARRIER, &invite), "b0 INVITE");
    let reliably = |message: Msg| message.with("Require", "100rel").with("RSeq", "5");
    let said = bench
        .desk
        .say_from(buyer(0), &reliably(answered(&offered, 183, 0)));
    assert_eq!(ladder(&said), [""; 0]);
    let ringing = find(&bench.answers(), "carrier 183 INVITE");
    assert!(heard_at(&ringing.body).starts_with(MEDIA));
    let rack = format!("{} 1 INVITE", ringing.value("RSeq"));
    let prack = caller_request("PRACK", 2, &invite, &ringing).with("RAck", rack);

    let said = bench
        .desk
        .say(CARRIER, &prack.with_sdp(&sdp("ann", CALLER_MEDIA, "")));
    assert_eq!(ladder(&said), ["carrier 200 PRACK"]);
    let said = bench.answers();

    assert_eq!(ladder(&said), ["b0 PRACK"]);
    assert!(heard_at(&said[0].message.body).starts_with(MEDIA));
    let said = bench.desk.say_from(buyer(0), &answer(&offered, 200, "bob"));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(ok.body, "");
    bench
        .desk
        .say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    bench
        .desk
        .say_from(buyer(0), &buyer_request("BYE", 1, &offered, "bob"));
    bench.ends();
}
