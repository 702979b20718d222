//! At rest: when the calls are over and their transactions have run out, nothing is left.

use crate::calls::call;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::Site;

/// Timers B, D, H, L and M take 32 s.
#[test]
fn calls_of_every_kind_leave_nothing_behind() {
    let mut site = Site::new();
    let first = site.buyer("first");
    let second = site.buyer("second");
    let edge = Edge::start(&site);
    let carrier = |scenario| call(&site, scenario).start(site.folder());
    let buyer = |scenario, address| Sipp::buyer(scenario, address).start(site.folder());

    let mut answers = buyer("buyer_answers", first);
    carrier("carrier_call").passes();
    answers.passes();
    let mut rings = buyer("buyer_rings", first);
    carrier("carrier_cancels").passes();
    rings.passes();
    let mut late = buyer("buyer_answers_cancel", first);
    carrier("carrier_cancels").passes();
    late.passes();
    let mut refuses = Sipp::buyer("buyer_refuses", first)
        .blank("status", 500)
        .start(site.folder());
    let mut ends = buyer("buyer_hangs_up", second);
    carrier("carrier_call_ended").passes();
    refuses.passes();
    ends.passes();
    call(&site, "carrier_refused")
        .blank("status", 603)
        .start(site.folder())
        .passes();

    edge.records(5);
    edge.comes_to_rest();
}
