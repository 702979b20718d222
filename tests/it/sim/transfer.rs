//! Transfers that the edge carries out itself: whoever is asked for by REFER is called, and joined to the side that stays.

use std::net::SocketAddr;

use strowger::call::input::{Input, Which};
use strowger::call::output::{Event, Gauges};
use strowger::routing::caps::Caps;
use strowger::routing::trunk::Refer;

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, answer, buyer, buyer_request, find, ladder, specs,
};
use super::dice::Dice;
use super::policy::{BuyerSpec, CARRIER, EDGE, PolicySpec, addr, number};
use super::text::Msg;

const HERS: &str = "v=0\r\no=eve 1 1 IN IP4 198.51.100.11\r\ns=-\r\n";

/// A call with the one buyer of line 0, by whose REFER, or by the caller's, the one of line 1 is called.
fn talk(caller: Refer, of_buyer: Refer) -> Talk {
    let mut first = specs(1);
    first[0].refer = of_buyer;
    first[0].caps.max_calls = Some(1);
    let mut second = BuyerSpec::new("c1b0", buyer(1));
    second.caps = Caps {
        max_calls: Some(1),
        max_cps: None,
    };
    let mut talk = Talk::unacknowledged(Desk::with(&PolicySpec {
        lines: vec![first, vec![second]],
        refer: caller,
        caps: Caps {
            max_calls: Some(1),
            max_cps: None,
        },
        ..PolicySpec::default()
    }));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    talk
}

fn by_buyer() -> Talk {
    talk(Refer::Refuse, Refer::Terminate)
}

/// Where line 1 is.
fn target() -> String {
    format!("<sip:{}@ip.example.com>", number(1))
}

/// The buyer's REFER, and all that is said to it.
fn refer(talk: &mut Talk, to: &str) -> Vec<Said> {
    let asked = talk.buyer("REFER", 1).with("Refer-To", to);
    talk.buyer_says(&asked)
}

/// The other party's 200, with its offer.
fn picks_up(invite: &Msg) -> Msg {
    answer(invite, 200, "eve")
        .set("Contact", format!("<sip:eve@{}>", buyer(1)))
        .with_sdp(HERS)
}

/// What a NOTIFY tells.
fn told(said: &[Said], name: &str) -> (String, String) {
    let notify = find(said, name);
    assert_eq!(notify.value("Event"), "refer;id=1");
    assert_eq!(notify.value("Content-Type"), "message/sipfrag;version=2.0");
    let state = notify.value("Subscription-State").to_owned();
    (notify.body.trim_end().to_owned(), state)
}

/// Whose places are taken.
fn places(talk: &Talk) -> Vec<String> {
    let taken = talk.desk.ledger.taken();
    let mut names: Vec<_> = taken
        .keys()
        .map(|party| format!("{} {}", party.kind(), party.id()))
        .collect();
    names.sort();
    names
}

fn outcomes(talk: &Talk) -> Vec<String> {
    let records = talk.desk.records.iter();
    let each = records.map(|one| {
        let results = one.attempts.iter().map(|attempt| attempt.result.label());
        let (outcome, by) = (one.outcome.label(), one.hung_up_by.label());
        format!(
            "{outcome} by {by}: {}",
            results.collect::<Vec<_>>().join(", ")
        )
    });
    each.collect()
}

#[test]
fn the_other_party_is_called_and_joined_and_the_referrer_goes() {
    let mut talk = by_buyer();
    let allows = |msg: &Msg| msg.all("Allow").any(|allow| allow == "REFER");
    assert!(allows(&talk.offered) && !allows(&talk.ok));

    let said = refer(&mut talk, &target());

    assert_eq!(ladder(&said), ["b0 202 REFER", "b0 NOTIFY", "b1 INVITE"]);
    let trying = (
        "SIP/2.0 100 Trying".to_owned(),
        "active;expires=300".to_owned(),
    );
    assert_eq!(told(&said, "b0 NOTIFY"), trying);
    talk.buyer_says(&find(&said, "b0 NOTIFY").reply(200, "bob"));
    let invite = find(&said, "b1 INVITE");
    // It is a call like any other, but nobody has an offer for it yet.
    assert_eq!(invite.body, "");
    assert!(invite.value("From").contains("+15555550199"));
    assert_ne!(
        invite.value("X-PH-RetreaverUUID"),
        talk.offered.value("X-PH-RetreaverUUID")
    );
    talk.desk.say_from(buyer(1), &answer(&invite, 180, "eve"));
    // Until she answers, the two talk.
    let info = talk.caller("INFO", 2);
    let said = talk.caller_says(&info);
    talk.buyer_says(&find(&said, "b0 INFO").reply(200, "bob"));

    let said = talk.desk.say_from(buyer(1), &picks_up(&invite));
    assert_eq!(ladder(&said), ["carrier INVITE"]);
    let asked = find(&said, "carrier INVITE");
    assert_eq!(
        (asked.body.as_str(), asked.value("CSeq")),
        (HERS, "1 INVITE")
    );
    let said = talk.caller_says(&asked.reply(200, "ann").with_sdp(ANSWER));

    assert_eq!(
        ladder(&said),
        ["carrier ACK", "b1 ACK", "b0 NOTIFY", "b0 BYE"]
    );
    assert_eq!(find(&said, "b1 ACK").body, ANSWER);
    assert_eq!(
        find(&said, "b1 ACK").value("Content-Type"),
        "application/sdp"
    );
    let done = (
        "SIP/2.0 200 OK".to_owned(),
        "terminated;reason=noresource".to_owned(),
    );
    assert_eq!(told(&said, "b0 NOTIFY"), done);
    for name in ["b0 NOTIFY", "b0 BYE"] {
        talk.buyer_says(&find(&said, name).reply(200, "bob"));
    }
    assert_eq!(places(&talk), ["buyer c1b0", "trunk carrier"]);
    // Her dialog is a whole one, and so is the caller's.
    let hold = talk.caller("INVITE", 3).with_sdp(OFFER);
    let said = talk.caller_says(&hold);
    let asked = find(&said, "b1 INVITE");
    assert_eq!(asked.value("CSeq"), "2 INVITE");
    let said = talk.desk.say_from(buyer(1), &picks_up(&asked));
    assert_eq!(ladder(&said), ["carrier 200 INVITE", "b1 ACK"]);
    talk.caller_says(&talk.caller("ACK", 3));
    let bye = buyer_request("BYE", 1, &invite, "eve");
    let said = talk.desk.say_from(buyer(1), &bye);
    assert_eq!(ladder(&said), ["b1 200 BYE", "carrier BYE"]);
    talk.caller_says(&find(&said, "carrier BYE").reply(200, "ann"));
    assert_eq!(talk.desk.rest(), Gauges::default());
    assert_eq!(
        outcomes(&talk),
        [
            "completed by buyer: answered",
            "completed by buyer: answered"
        ]
    );
    let [first, second] = &talk.desk.records[..] else {
        panic!("two records");
    };
    assert_eq!(second.campaign.as_deref(), Some("campaign-1"));
    assert_eq!(
        (&first.call_id, first.caller),
        (&second.call_id, second.caller)
    );
}

/// No open relay: only numbers that the directory knows, at a host of ours, and nothing besides.
#[test]
fn a_refer_to_somebody_elses_number_or_host_is_refused() {
    let wanted = number(1);
    for to in [
        format!("<sip:{wanted}@elsewhere.example.com>"),
        format!("<sip:{wanted}@{}>", buyer(1)),
        format!("<sip:{wanted}@ip.example.com?Replaces=a%3Bto-tag%3Db>"),
        format!("<sip:{wanted}@ip.example.com;method=BYE>"),
        "<sip:eve@ip.example.com>".to_owned(),
        "<https://ip.example.com>".to_owned(),
        "nonsense <".to_owned(),
    ] {
        let mut talk = by_buyer();

        let said = refer(&mut talk, &to);

        assert_eq!(ladder(&said), ["b0 603 REFER"], "{to}");
        assert_eq!(talk.desk.gauges().calls_talking, 1);
    }
    let mut talk = by_buyer();
    let twice = talk.buyer("REFER", 1).with("Refer-To", target());
    let said = talk.buyer_says(&twice.with("Refer-To", target()));
    assert_eq!(ladder(&said), ["b0 603 REFER"]);
    let said = talk.buyer_says(&talk.buyer("REFER", 2));
    assert_eq!(ladder(&said), ["b0 603 REFER"]);
    // A number that has no campaign: nobody is called.
    let mut talk = by_buyer();
    let said = refer(&mut talk, "<sip:+12125559999@ip.example.com>");
    assert_eq!(ladder(&said), ["b0 202 REFER", "b0 NOTIFY", "b0 NOTIFY"]);
    assert_eq!(said[2].message.body, "SIP/2.0 404 Not Found\r\n");
    for host in [EDGE, "IP.example.com"] {
        let mut talk = by_buyer();
        let said = refer(&mut talk, &format!("<sip:{wanted}@{host}>"));
        assert_eq!(ladder(&said).last().map(String::as_str), Some("b1 INVITE"));
    }
    let mut talk = by_buyer();
    let said = refer(&mut talk, &format!("<tel:{wanted}>"));
    assert_eq!(ladder(&said).last().map(String::as_str), Some("b1 INVITE"));
}

#[test]
fn where_nobody_answers_the_call_goes_on_and_the_next_transfer_may_work() {
    let mut talk = by_buyer();
    let invite = find(&refer(&mut talk, &target()), "b1 INVITE");
    // One at a time.
    let again = talk.buyer("REFER", 2).with("Refer-To", target());
    assert_eq!(ladder(&talk.buyer_says(&again)), ["b0 500 REFER"]);

    let said = talk.desk.say_from(buyer(1), &answer(&invite, 486, "eve"));

    assert_eq!(ladder(&said), ["b1 ACK", "b0 NOTIFY"]);
    let (body, state) = told(&said, "b0 NOTIFY");
    assert_eq!(body, "SIP/2.0 486 Busy Here");
    assert_eq!(state, "terminated;reason=noresource");
    let info = talk.caller("INFO", 2);
    assert_eq!(ladder(&talk.caller_says(&info)), ["b0 INFO"]);
    let again = talk.buyer("REFER", 3).with("Refer-To", target());
    let said = talk.buyer_says(&again);
    assert_eq!(ladder(&said), ["b0 202 REFER", "b0 NOTIFY", "b1 INVITE"]);
    assert_eq!(find(&said, "b0 NOTIFY").value("Event"), "refer;id=3");
}

#[test]
fn a_referrer_that_hangs_up_at_once_leaves_the_other_side_waiting() {
    for is_found in [true, false] {
        let mut talk = by_buyer();
        let invite = find(&refer(&mut talk, &target()), "b1 INVITE");
        let bye = talk.buyer("BYE", 2);
        assert_eq!(ladder(&talk.buyer_says(&bye)), ["b0 200 BYE"]);
        let info = talk.caller("INFO", 2);
        assert_eq!(ladder(&talk.caller_says(&info)), ["carrier 500 INFO"]);

        if is_found {
            let said = talk.desk.say_from(buyer(1), &picks_up(&invite));
            let asked = find(&said, "carrier INVITE");
            let said = talk.caller_says(&asked.reply(200, "ann").with_sdp(ANSWER));
            assert_eq!(ladder(&said), ["carrier ACK", "b1 ACK"]);
            let bye = talk.caller("BYE", 3);
            let said = talk.caller_says(&bye);
            assert_eq!(ladder(&said), ["carrier 200 BYE", "b1 BYE"]);
            talk.desk
                .say_from(buyer(1), &find(&said, "b1 BYE").reply(200, "eve"));
        } else {
            let said = talk.desk.say_from(buyer(1), &answer(&invite, 486, "eve"));
            assert_eq!(ladder(&said), ["b1 ACK", "carrier BYE"]);
            talk.caller_says(&find(&said, "carrier BYE").reply(200, "ann"));
        }
        assert_eq!(talk.desk.rest(), Gauges::default());
        assert_eq!(talk.desk.records.len(), 2);
    }
}

#[test]
fn a_caller_that_hangs_up_meanwhile_takes_all_down() {
    for is_answered in [false, true] {
        let mut talk = by_buyer();
        let invite = find(&refer(&mut talk, &target()), "b1 INVITE");
        talk.desk.say_from(buyer(1), &answer(&invite, 180, "eve"));
        let asked = is_answered.then(|| {
            let said = talk.desk.say_from(buyer(1), &picks_up(&invite));
            find(&said, "carrier INVITE")
        });
        let bye = talk.caller("BYE", 2);

        let said = talk.caller_says(&bye);

        let lines = ladder(&said);
        assert!(lines.contains(&"b0 BYE".to_owned()), "{lines:?}");
        if let Some(asked) = asked {
            assert!(lines.contains(&"b1 ACK".to_owned()), "{lines:?}");
            assert!(lines.contains(&"b1 BYE".to_owned()), "{lines:?}");
            talk.caller_says(&asked.reply(487, "ann"));
            talk.desk
                .say_from(buyer(1), &find(&said, "b1 BYE").reply(200, "eve"));
        } else {
            assert!(lines.contains(&"b1 CANCEL".to_owned()), "{lines:?}");
            talk.desk.say_from(buyer(1), &answer(&invite, 487, "eve"));
        }
        talk.buyer_says(&find(&said, "b0 BYE").reply(200, "bob"));
        assert_eq!(talk.desk.rest(), Gauges::default());
        assert_eq!(talk.desk.records.len(), 2);
    }
}

#[test]
fn where_the_other_side_does_not_agree_the_call_stays_as_it_was() {
    let mut talk = by_buyer();
    let invite = find(&refer(&mut talk, &target()), "b1 INVITE");
    let said = talk.desk.say_from(buyer(1), &picks_up(&invite));
    let asked = find(&said, "carrier INVITE");

    let said = talk.caller_says(&asked.reply(488, "ann"));

    assert_eq!(
        ladder(&said),
        ["carrier ACK", "b1 ACK", "b1 BYE", "b0 NOTIFY"]
    );
    assert_eq!(
        told(&said, "b0 NOTIFY").0,
        "SIP/2.0 503 Service Unavailable"
    );
    let info = talk.caller("INFO", 2);
    assert_eq!(ladder(&talk.caller_says(&info)), ["b0 INFO"]);
}

/// An answer without an offer can be joined to nobody, and neither can one while another exchange is under way.
#[test]
fn what_cannot_be_joined_is_ended() {
    for has_offer in [false, true] {
        let mut talk = by_buyer();
        let invite = find(&refer(&mut talk, &target()), "b1 INVITE");
        let mut ok = picks_up(&invite);
        if has_offer {
            let hold = talk.caller("INVITE", 2).with_sdp(OFFER);
            talk.caller_says(&hold);
        } else {
            ok = ok.without("Content-Type");
            ok.body.clear();
        }

        let said = talk.desk.say_from(buyer(1), &ok);

        assert_eq!(ladder(&said), ["b1 ACK", "b1 BYE", "b0 NOTIFY"]);
        assert_eq!(talk.desk.gauges().calls_talking, 1);
    }
}

/// The other way round: the caller goes, and two buyers talk.
#[test]
fn a_caller_may_transfer_its_buyer() {
    let mut talk = talk(Refer::Terminate, Refer::Refuse);
    let asked = talk.caller("REFER", 2).with("Refer-To", target());
    let asked = asked.with("Refer-Sub", "false");

    let said = talk.caller_says(&asked);

    // It does not want to be told.
    assert_eq!(ladder(&said), ["carrier 202 REFER", "b1 INVITE"]);
    assert_eq!(said[0].message.value("Refer-Sub"), "false");
    let invite = find(&said, "b1 INVITE");
    let said = talk.desk.say_from(buyer(1), &picks_up(&invite));
    assert_eq!(ladder(&said), ["b0 INVITE"]);
    let asked = find(&said, "b0 INVITE");
    let said = talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["b0 ACK", "b1 ACK", "carrier BYE"]);
    talk.desk
        .say(CARRIER, &find(&said, "carrier BYE").reply(200, "ann"));
    let both = ["buyer c0b0", "buyer c1b0", "trunk carrier"];
    assert_eq!(places(&talk), both);
    let info = talk.buyer("INFO", 1);
    let said = talk.buyer_says(&info);
    assert_eq!(ladder(&said), ["b1 INFO"]);
    talk.desk
        .say_from(buyer(1), &said[0].message.reply(200, "eve"));
    let bye = buyer_request("BYE", 1, &invite, "eve");
    let said = talk.desk.say_from(buyer(1), &bye);
    assert_eq!(ladder(&said), ["b1 200 BYE", "b0 BYE"]);
    talk.buyer_says(&find(&said, "b0 BYE").reply(200, "bob"));
    assert_eq!(talk.desk.rest(), Gauges::default());
    assert_eq!(talk.desk.records.len(), 2);
}

/// Whoever withholds its number goes on doing so.
#[test]
fn a_withheld_caller_stays_so() {
    let mut first = specs(1);
    first[0].refer = Refer::Terminate;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![first, vec![BuyerSpec::new("c1b0", buyer(1))]],
        ..PolicySpec::default()
    });
    let invite = super::desk::invite().with("Privacy", "id");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(
        CARRIER,
        &super::desk::caller_request("ACK", 1, &invite, &ok),
    );
    let asked = buyer_request("REFER", 1, &offered, "bob").with("Refer-To", target());

    let said = desk.say_from(buyer(0), &asked);

    let text = format!("{:?}", find(&said, "b1 INVITE"));
    assert!(text.contains("anonymous.invalid"), "{text}");
    assert!(!text.contains("5555550199"), "{text}");
}

/// Whatever comes in whatever order: nothing is left behind, and each call that began has its record.
#[test]
fn many_courses_of_transfers_leave_nothing_behind() {
    let mut joined = 0;
    for seed in 0..1000 {
        let mut course = Course::new(seed);
        for _ in 0..24 {
            course.step();
        }
        joined += course.end();
    }

    assert!(joined > 100, "{joined} transfers came off");
}

/// One course of events that a seed stands for.
struct Course {
    dice: Dice,
    talk: Talk,
    /// Requests of the edge's that nobody has answered.
    open: Vec<Said>,
    cseq: u32,
}

impl Course {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let by_caller = dice.chance(30);
        let talk = if by_caller {
            talk(Refer::Terminate, Refer::Refuse)
        } else {
            by_buyer()
        };
        let mut course = Self {
            dice,
            talk,
            open: Vec::new(),
            cseq: 10,
        };
        let method = "REFER";
        let asked = if by_caller {
            course.talk.caller(method, 9)
        } else {
            course.talk.buyer(method, 9)
        };
        let from = if by_caller { addr(CARRIER) } else { buyer(0) };
        course.say(from, &asked.with("Refer-To", target()));
        course
    }

    fn say(&mut self, from: SocketAddr, message: &Msg) {
        let said = self.talk.desk.say_from(from, message);
        self.hear(said);
    }

    /// Requests wait for their answers; what is answered by 2xx is acknowledged.
    fn hear(&mut self, said: Vec<Said>) {
        for one in said {
            let (message, to) = (&one.message, one.to);
            if message.is_request() {
                let is_new = self.open.iter().all(|open| open.bytes != one.bytes);
                if message.method() != "ACK" && is_new {
                    self.open.push(one);
                }
            } else if message.method() == "INVITE" && message.status() == 200 {
                let ack = if to == addr(CARRIER) {
                    self.talk.caller("ACK", message.cseq())
                } else {
                    self.talk.buyer("ACK", message.cseq())
                };
                self.talk.desk.say_from(to, &ack);
            }
        }
    }

    fn step(&mut self) {
        self.cseq += 1;
        let cseq = self.cseq;
        match self.dice.below(12) {
            0..7 if !self.open.is_empty() => {
                let at = self.dice.below(self.open.len() as u64) as usize;
                self.answer(at);
            }
            7 if self.dice.chance(30) => self.say(addr(CARRIER), &self.talk.caller("BYE", cseq)),
            8 if self.dice.chance(30) => self.say(buyer(0), &self.talk.buyer("BYE", cseq)),
            9 => {
                let hold = self.talk.caller("INVITE", cseq).with_sdp(OFFER);
                self.say(addr(CARRIER), &hold);
            }
            10 if self.dice.chance(20) => {
                let said = self.talk.desk.tell(Input::Hangup(Which::All));
                self.hear(said);
            }
            11 => {
                let asked = self.talk.buyer("REFER", cseq).with("Refer-To", target());
                self.say(buyer(0), &asked);
            }
            _ => {
                let millis = self.dice.pick(&[1, 600, 5000]);
                let said = self.talk.desk.pass_millis(millis);
                self.hear(said);
            }
        }
    }

    fn answer(&mut self, at: usize) {
        let one = self.open.swap_remove(at);
        let (tag, place) = if one.to == addr(CARRIER) {
            ("ann", CARRIER.to_owned())
        } else if one.to == buyer(0) {
            ("bob", one.to.to_string())
        } else {
            ("eve", one.to.to_string())
        };
        let status = match one.message.method() {
            "INVITE" => self.dice.pick(&[180, 200, 200, 200, 486, 488, 491, 481]),
            "BYE" | "CANCEL" => 200,
            _ => self.dice.pick(&[200, 200, 200, 481]),
        };
        let mut reply = one.message.reply(status, tag);
        if status < 300 && one.message.method() == "INVITE" {
            reply = reply.with("Contact", format!("<sip:{tag}@{place}>"));
        }
        if status == 180 {
            self.open.push(one.clone());
        } else if status == 200 && one.message.method() == "INVITE" {
            reply = reply.with_sdp(HERS);
        }
        self.say(one.to, &reply);
    }

    /// Lets all come to rest, and gives how many transfers came off.
    fn end(mut self) -> usize {
        let said = self.talk.desk.tell(Input::Hangup(Which::All));
        self.hear(said);
        assert_eq!(self.talk.desk.rest(), Gauges::default());
        let started = self.talk.desk.events.iter();
        let started = started.filter(|one| matches!(one, Event::Started { .. }));
        let (started, records) = (started.count(), &self.talk.desk.records);
        assert_eq!(started, records.len());
        let answered = records.iter().filter(|one| one.answered.is_some());
        answered.count() - 1
    }
}
