//! Campaigns at work: webhooks of every kind, fired by a real call to a real HTTP server, and buyers chosen by what it said.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::calls::call;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::Site;
use crate::web::Told;
use crate::web::Web;

#[test]
fn every_trigger_fires_at_its_moment_in_order_with_its_tokens_filled_in() {
    let mut site = Site::new();
    let first = site.buyer("first");
    let web = Web::start(site.buyers_proxy(), vec![says("/start", r#"{"age": 66}"#)]);
    let base = web.url();
    let mut more = allow();
    for (trigger, query, extra) in [
        ("always", "d=[call_duration]&u=[call_uuid]&r=[reason]", ""),
        ("conversion", "p=[payout]&r=[revenue]", ""),
        ("non-conversion", "", ""),
        ("connect", "b=[buyer_id]&h=[hung_up_by]", ""),
        ("timer", "a=[age]", "after = \"1s\""),
        ("answered", "b=[buyer_id]", ""),
        ("selected", "b=[buyer_id]&n=[attempt]", "hold_call = true"),
        ("start", "from=[caller_number]&to=[called_number]", ""),
    ] {
        hook(
            &mut more,
            trigger,
            &format!("{base}/{trigger}?{query}"),
            extra,
        );
    }
    more += r#"
[[conversion_group]]
id = "paid"
campaign = "sales"
criterion = "timer"
after = "1s"
payout = "12.50"
revenue = "20"
"#;
    site.more = more;
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", first).start(site.folder());
    let mut carrier = call(&site, "carrier_call")
        .talks(Duration::from_millis(2200))
        .start(site.folder());
    carrier.passes();
    buyer.passes();

    let asked = web.awaits(7);
    let targets: Vec<&str> = asked.iter().map(|one| one.target.as_str()).collect();
    let uuid = buyer.received("INVITE")[0]
        .one("X-PH-RetreaverUUID")
        .to_owned();
    assert_eq!(
        targets,
        [
            "/start?from=%2B12125550142&to=%2B18885550100",
            "/selected?b=first&n=1",
            "/answered?b=first",
            "/timer?a=66",
            "/connect?b=first&h=caller",
            "/conversion?p=12.50&r=20.00",
            &format!("/always?d=2&u={uuid}&r=completed"),
        ]
    );
    let since_answer = asked[3].at - asked[2].at;
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(3)).contains(&since_answer),
        "{since_answer:?}"
    );
    let deliveries: Vec<_> = asked
        .iter()
        .map(|one| one.header("x-strowger-delivery").expect("its name"))
        .collect();
    let distinct: HashSet<_> = deliveries.iter().collect();
    assert_eq!(
        distinct.len(),
        deliveries.len(),
        "each delivery has a name of its own"
    );
    let record = edge.record();
    let routing = &record["routing"];
    assert_eq!(routing["tags"][0]["key"], "age");
    assert_eq!(routing["tags"][0]["origin"], "hook");
    assert_eq!(routing["conversion"]["verdict"], "converted");
    assert_eq!(routing["conversion"]["converted"]["payout"], "12.50");
    let log = record.to_string();
    assert!(!log.contains("key_secret"), "{log}");
}

#[test]
fn what_a_start_ping_says_decides_which_buyer_is_called() {
    let mut site = Site::new();
    let first = picky(&mut site, "first", "tags = [\"product:loan\"]");
    let second = picky(
        &mut site,
        "second",
        "tags = [\"product:car\", \"geo:us-ny\"]",
    );
    let body = r#"{"product": ["car", "boat"], "geo": "us-10101"}"#;
    let web = Web::start(site.buyers_proxy(), vec![says("/start", body)]);
    let mut more = allow();
    hook(&mut more, "start", &format!("{}/start", web.url()), "");
    site.more = more;
    let edge = Edge::start(&site);

    let mut refused = Sipp::buyer("buyer_answers", first).start(site.folder());
    let mut buyer = Sipp::buyer("buyer_answers", second).start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    buyer.passes();
    assert!(refused.is_running(), "nobody called it");
    refused.stop();

    let record = edge.record();
    let verdicts = &record["routing"]["decisions"][0]["looks"][0]["buyers"];
    assert_eq!(verdicts[0]["verdict"], "tag_mismatch");
    assert_eq!(verdicts[0]["want"], "product:==loan");
    assert_eq!(verdicts[1]["verdict"], "fits");
    assert_eq!(record["attempts"][0]["buyer"], "second");
}

#[test]
fn a_ping_of_4_9_seconds_counts_and_one_of_5_1_does_not_and_the_call_goes_on() {
    // The margin is a tenth of a second, so a machine that pauses is no judge.
    let mut tries = (0..3).map(|_| call_with_ping_of(4_900));
    let in_time = tries.find(|call| call.reached == "second" || !call.is_late);
    assert!(
        in_time.is_some_and(|call| call.reached == "second"),
        "4.9 s did not count"
    );
    assert_eq!(call_with_ping_of(5_100).reached, "first", "5.1 s counted");
}

/// How a call went whose ping took its time.
struct Pinged {
    /// The buyer that was called.
    reached: String,
    /// Whether the answer to the ping was sent later than it should have been, or somebody may have had to wait for a turn.
    is_late: bool,
}

/// A call that the second buyer gets if the answer to its ping counts, and the first if not.
fn call_with_ping_of(millis: u64) -> Pinged {
    let mut site = Site::new();
    let first = picky(&mut site, "first", "tags = [\"product:!=car\"]");
    let second = site.buyer("second");
    let told = Told {
        after: Duration::from_millis(millis),
        ..says("/start", r#"{"product": "car"}"#)
    };
    let web = Web::start(site.buyers_proxy(), vec![told]);
    let mut more = allow();
    hook(&mut more, "start", &format!("{}/start", web.url()), "");
    site.more = more;
    let edge = Edge::start(&site);

    let mut one = Sipp::buyer("buyer_answers", first).start(site.folder());
    let mut two = Sipp::buyer("buyer_answers", second).start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    let mut longest_wait = Duration::ZERO;
    while carrier.is_running() {
        let before = Instant::now();
        thread::sleep(Duration::from_millis(5));
        longest_wait = longest_wait.max(before.elapsed());
    }
    carrier.passes();
    one.stop();
    two.stop();

    let asked = web.asked()[0].at;
    let took = web.answered().first().map(|sent| *sent - asked);
    let slack = Duration::from_millis(30);
    let record = edge.record();
    Pinged {
        reached: record["attempts"][0]["buyer"]
            .as_str()
            .expect("a buyer")
            .to_owned(),
        is_late: longest_wait > slack
            || took.is_none_or(|took| took > Duration::from_millis(millis) + slack),
    }
}

/// A buyer that does not take every call.
fn picky(site: &mut Site, id: &str, rules: &'static str) -> Ipv4Addr {
    let address = site.next_buyer();
    site.buyer_with(id, address, |buyer| buyer.rules = rules);
    address
}

/// Loopback addresses are private: they are allowed by name.
fn allow() -> String {
    "\n[http_client]\nallow = [\"127.0.0.0/8\"]\n".to_owned()
}

fn hook(more: &mut String, trigger: &str, url: &str, extra: &str) {
    write!(
        more,
        "\n[[webhook]]\nid = \"{trigger}\"\ncampaign = \"sales\"\ntrigger = \"{trigger}\"\nurl = \"{url}\"\n{extra}\n"
    )
    .expect("a text takes everything");
}

fn says(path: &'static str, body: &'static str) -> Told {
    Told {
        path,
        status: 200,
        body,
        after: Duration::ZERO,
    }
}
