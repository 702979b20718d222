//! The way in: an INVITE of somebody who may call is checked for loops, and becomes a call.

use bytes::Bytes;

use crate::auth::gate::Gate;
use crate::auth::source::Source;
use crate::call::a_leg::{Early, write_reason};
use crate::call::authenticate::{Caller, Rejected};
use crate::call::call::Call;
use crate::call::core::{CallKey, Core, Owner};
use crate::call::facts::{Hop, read_hop};
use crate::call::guest::Guest;
use crate::call::half_open::{Bounds, Reached};
use crate::call::headers;
use crate::call::identity::{asks_too_much, judge};
use crate::call::output::{Event, Refusal};
use crate::call::provisional::Provisional;
use crate::call::refuse::Arriving;
use crate::call::registry::{Arrival, Registry};
use crate::call::rescue::tripwire;
use crate::call::route::{Brief, Dialling};
use crate::dialog::session_timer::{Asked as SessionAsked, TooShort};
use crate::sip::message::Name;
use crate::transaction::key::ServerKey;
use crate::types::ids::{CallUuid, Mark, ShardId};
use crate::types::number::{NotANumber, Number};

/// An INVITE that was let in.
struct Newcomer {
    caller: Caller,
    arrival: Arrival,
    dialled: Result<Number, NotANumber>,
    hops: u8,
    early: Early,
    guest: Option<Guest>,
}

impl Arriving<'_, '_> {
    /// A new INVITE: authenticated, it becomes a call. `Some`: that shard must judge it.
    pub(crate) fn admit(
        &self,
        core: &mut Core,
        gate: &mut Gate,
        registry: &mut Registry,
        key: ServerKey,
        closed: Option<Refusal>,
        bytes: &[u8],
    ) -> Option<ShardId> {
        let caller = match self.authenticate(core, gate) {
            Ok(caller) => caller,
            Err(Rejected::Refused) => return None,
            Err(Rejected::Elsewhere(shard)) => return Some(shard),
        };
        self.welcome()
            .begin_for(core, registry, key, closed, bytes, caller);
        None
    }

    /// Somebody who was let in: its INVITE becomes a call, or is refused for another reason.
    fn begin_for(
        &self,
        core: &mut Core,
        registry: &mut Registry,
        key: ServerKey,
        closed: Option<Refusal>,
        bytes: &[u8],
        caller: Caller,
    ) {
        if let Some(why) = closed {
            self.refuse_known(core, key, why, 503);
            return;
        }
        let from_tag = self.essentials.from.tag().unwrap_or_default();
        let arrival = Arrival::new(self.essentials.call_id, from_tag, self.essentials.cseq);
        if registry.knows(&arrival) {
            self.refuse_known(core, key, Refusal::Merged, 482);
            return;
        }
        let raw = self.essentials.uri.dialled().unwrap_or_default();
        let dialled = caller.trunk.plan.normalize(raw);
        let hop = read_hop(
            &self.policy.hop_secret,
            self.request
                .head
                .fields()
                .iter()
                .filter(|field| field.name == Name::Other)
                .filter(|field| {
                    self.request
                        .head
                        .raw_name(field)
                        .eq_ignore_ascii_case(headers::HOP.as_bytes())
                })
                .map(|field| self.request.head.value(field)),
            dialled.as_ref().ok().copied(),
        );
        let Hop::Goes(hops) = hop else {
            self.refuse_known(core, key, Refusal::Loop, 482);
            return;
        };
        let guest = match self.guest(core, &caller.trunk, dialled) {
            Ok(guest) => guest,
            Err(why) => {
                self.refuse_known(core, key, why, 403);
                return;
            }
        };
        // It is meant to take a call over. We match none (RFC 3891 §3), and it must not become one more that somebody pays for.
        if self.request.head.first(Name::Replaces).is_some() {
            let why = Refusal::Replaces;
            self.refuse_known_with(core, key, why, 481, |writer| {
                write_reason(writer, 481, why.label());
            });
            return;
        }
        if asks_too_much(&self.request.head) {
            let why = Refusal::Privacy;
            self.refuse_known_with(core, key, why, 500, |writer| {
                write_reason(writer, 500, why.label());
            });
            return;
        }
        let asked = SessionAsked::of(&self.request.head);
        let terms = self.policy.session;
        if let Some(Err(TooShort { min })) = terms.map(|terms| terms.answer(&asked, None)) {
            let why = Refusal::SessionInterval;
            self.refuse_known_with(core, key, why, 422, |writer| {
                writer.number("Min-SE", min);
            });
            return;
        }
        if registry.is_full() {
            core.event(Event::TableFull { table: "calls" });
            self.refuse_known(core, key, Refusal::Overload, 503);
            return;
        }
        if core.gates.is_short(self.now) {
            core.event(Event::TableFull {
                table: "media_ports",
            });
            self.refuse_known(core, key, Refusal::Overload, 503);
            return;
        }
        if core.layer.is_crowded() {
            core.event(Event::TableFull {
                table: "transactions",
            });
            self.refuse(core, Refusal::Overload, 503);
            return;
        }
        let bounds = self.half_open_bounds(&caller);
        if let Err(reached) = core.half_open.check(self.now, key, &bounds) {
            let why = match reached {
                Reached::Source => Refusal::HalfOpen,
                Reached::Trunk => Refusal::TrunkHalfOpen,
            };
            // Nothing is kept of it: what is kept is what there is too much of.
            self.refuse(core, why, 503);
            return;
        }
        let call_key = registry.next_key();
        let owner = Owner::Caller(call_key);
        let Some(server) = core.accept(self.now, key, self.flow, true, owner) else {
            self.refuse(core, Refusal::Overload, 503);
            return;
        };
        core.begun = Some(server);
        if core.half_open.open(server, bounds) {
            core.layer.watch(server);
        }
        let mark = core.mark(call_key.slot);
        let invite = (self.request, self.essentials);
        let early = Early {
            server: Some(server),
            provisional: Provisional::wanted(core, self.request, self.essentials),
            ..Early::new(
                invite,
                asked,
                Bytes::copy_from_slice(bytes),
                self.flow,
                mark,
            )
        };
        core.answer_early(self.now, server, &early.reply);
        let newcomer = Newcomer {
            caller,
            arrival,
            dialled,
            hops,
            early,
            guest,
        };
        tripwire("invite");
        if let Some(call) = self.begin(core, (call_key, mark), newcomer) {
            registry.insert(self.now, Box::new(call));
        }
        core.begun = None;
    }

    /// Who may leave how many INVITEs open, of those who send this one.
    fn half_open_bounds(&self, caller: &Caller) -> Bounds {
        let address = self.flow.remote.ip();
        let most = self.policy.guard.half_open;
        // Who is let in by its address or its certificate is somebody whom the configuration names.
        let is_counted =
            most > 0 && caller.user.is_some() && self.policy.known.longest_match(address).is_none();
        let trunk = caller.trunk.half_open;
        Bounds {
            source: is_counted.then(|| (Source::of(address), most)),
            trunk: trunk.map(|most| (caller.trunk.id.clone(), most)),
        }
    }

    /// Makes the call, and lets it begin. `None`: it ended at once, and is recorded.
    fn begin(
        &self,
        core: &mut Core,
        (key, mark): (CallKey, Mark),
        newcomer: Newcomer,
    ) -> Option<Call> {
        let Newcomer {
            caller: Caller { trunk, user },
            arrival,
            dialled,
            hops,
            early,
            guest,
        } = newcomer;
        let guest = guest.as_ref();
        let uuid = match guest {
            Some(guest) => CallUuid::from_bytes(guest.uuid()),
            None => CallUuid::new(&mut core.entropy),
        };
        let (caller_number, is_refused) = match guest {
            Some(guest) => (guest.caller(), false),
            None => judge(&trunk, &self.request.head, self.essentials),
        };
        if is_refused {
            core.event(Event::CallerRefused {
                trunk: trunk.id.clone(),
                flow: self.flow,
            });
        }
        let dialling = Dialling {
            uuid,
            policy: self.policy,
            trunk: &trunk,
            company: guest.map_or(trunk.company, |guest| guest.company),
            dialled,
            caller: caller_number,
            moment: core.moment(self.now),
            guest,
        };
        let screened = dialling.screen();
        let (record, plan) = dialling.open(self.now, user, self.essentials.call_id, screened);
        let trunk = trunk.clone();
        let name = (key, mark);
        let mut call = Call::new(name, key.slot, (arrival, self.policy, trunk), record);
        let plan = plan.map(|kept| {
            Box::new(Brief {
                max_forwards: self.essentials.max_forwards.unwrap_or(70).saturating_sub(1),
                hops,
                sender: self.flow.remote.ip(),
                kept,
            })
        });
        let asked = (self.request, self.essentials);
        let pass = guest.map(Guest::pass);
        call.begin(self.now, core, (early, pass), plan, asked);
        (!call.is_gone()).then_some(call)
    }
}
