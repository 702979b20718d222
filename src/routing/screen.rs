//! What the number dialled stands for, and whether this caller may call it.

use std::sync::Arc;

use crate::routing::callers::Barred;
use crate::routing::campaign::{Campaign, Cause};
use crate::routing::directory::{Directory, Source, Terms};
use crate::routing::rules::Schedule;
use crate::routing::trunk::CompanyId;
use crate::types::moment::Moment;
use crate::types::number::{NotANumber, Number};

/// A call for a number that somebody has.
#[derive(Debug, Clone)]
pub struct Admitted<'d> {
    /// The campaign of the number dialled.
    pub campaign: &'d Arc<Campaign>,
    /// Who sent the caller.
    pub source: &'d Source,
    /// What else the number says: its tags are the call's first.
    pub terms: &'d Terms,
    /// What keeps it from the buyers of the campaign; the campaign's exit for its cause decides. `None`: nothing.
    pub kept: Option<Kept>,
}

/// Why a call is not even looked at by the buyers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// The number is not open now.
    NumberClosed,
    /// Company or campaign do not take this caller.
    Barred(Barred),
}

impl Kept {
    /// The cause that it is, for the exits of the campaign.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::NumberClosed => Cause::AllClosed,
            Self::Barred(_) => Cause::Suppressed,
        }
    }

    /// The stable name, for records, logs and labels.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NumberClosed => "number_closed",
            Self::Barred(Barred::Suppressed(_)) => "caller_suppressed",
            Self::Barred(Barred::NotAccepted) => "caller_not_accepted",
        }
    }
}

/// Why a call is nobody's.
#[derive(Debug, Clone, Copy)]
pub enum Refusal<'d> {
    /// What was dialled is not a number.
    NotANumber(NotANumber),
    /// The number has no campaign, or none that this trunk's company owns: the two are not told
    /// apart, so that a carrier cannot learn what other companies own.
    NumberUnknown,
    /// The number is switched off.
    NumberDisabled {
        /// The campaign, for the record.
        campaign: &'d Arc<Campaign>,
        /// Who sent the caller, for the record.
        source: &'d Source,
    },
    /// The campaign has nobody to offer it to: it is switched off.
    NoBuyer {
        /// The campaign, for the record.
        campaign: &'d Arc<Campaign>,
        /// Who sent the caller, for the record.
        source: &'d Source,
    },
}

/// Finds out whose the call is that comes to `company` for `dialled`, and whether `caller` (`None`: withheld) may call there now.
pub fn screen<'d>(
    directory: &'d Directory,
    company: CompanyId,
    dialled: Result<Number, NotANumber>,
    caller: Option<Number>,
    now: Moment,
) -> Result<Admitted<'d>, Refusal<'d>> {
    let number = dialled.map_err(Refusal::NotANumber)?;
    let line = directory.numbers.get(&number);
    let (campaign, source, terms) = line
        .and_then(|line| {
            let campaign = directory.campaigns.get(line.campaign.0 as usize)?;
            let source = directory.sources.get(line.source.0 as usize)?;
            Some((campaign, source, directory.terms(line.terms)))
        })
        .filter(|(campaign, ..)| campaign.company == company)
        .ok_or(Refusal::NumberUnknown)?;
    if !terms.is_enabled {
        return Err(Refusal::NumberDisabled { campaign, source });
    }
    if campaign.route.buyers().is_empty() {
        return Err(Refusal::NoBuyer { campaign, source });
    }
    let is_closed = |open: &Schedule| !open.hours.is_open(open.zone.local(now));
    let kept = if terms.hours.as_ref().is_some_and(is_closed) {
        Some(Kept::NumberClosed)
    } else {
        let company = directory.companies.get(usize::from(campaign.company.0));
        let of_company = company.map_or(Ok(()), |company| company.callers.check_number(caller));
        let barred = of_company.and_then(|()| campaign.callers.check_number(caller));
        barred.err().map(Kept::Barred)
    };
    Ok(Admitted {
        campaign,
        source,
        terms,
        kept,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::buyer::{Buyer, Gateway};
    use crate::routing::callers::{CallerList, Lists};
    use crate::routing::directory::{CampaignId, Company, Line, SourceId, TermsId};
    use crate::routing::hours::{Blocks, Hours};
    use crate::routing::zone::Zone;
    use crate::types::range::NumberSet;
    use crate::types::secret::Secret;
    use crate::types::tag::{Origin, Tags};

    #[test]
    fn a_known_number_stands_for_its_campaign_and_what_it_says() {
        let directory = directory();

        let admitted = screen_for(&directory, 0, "+12125550101", "+13125550100").expect("admitted");

        assert_eq!(&*admitted.campaign.id, "solar");
        assert_eq!(&*admitted.source.afid, "bright-leads");
        assert_eq!(admitted.terms.tags.values("product").next(), Some("solar"));
        assert_eq!(admitted.kept, None);
    }

    #[test]
    fn a_number_of_nobody_of_another_company_or_switched_off_is_refused() {
        let directory = directory();
        let refusal = |company, number: &str| {
            screen_for(&directory, company, number, "+13125550100").expect_err("refused")
        };

        assert!(matches!(refusal(0, "+12125550199"), Refusal::NumberUnknown));
        assert!(matches!(refusal(1, "+12125550101"), Refusal::NumberUnknown));
        assert!(matches!(refusal(1, "+12125550103"), Refusal::NumberUnknown));
        assert!(matches!(
            refusal(0, "+12125550103"),
            Refusal::NumberDisabled { campaign, .. } if &*campaign.id == "solar"
        ));
        assert!(matches!(
            refusal(0, "+12125550104"),
            Refusal::NoBuyer { campaign, .. } if &*campaign.id == "off"
        ));
        assert!(matches!(
            refusal(0, "sales"),
            Refusal::NotANumber(NotANumber::Invalid)
        ));
    }

    #[test]
    fn a_number_has_hours_and_company_and_campaign_have_lists() {
        let mut directory = directory();
        directory.companies[0].callers.suppressed = vec![list("pests", "+1900*")];
        let kept = |directory: &Directory, number: &str, caller: &str| {
            let admitted = screen_for(directory, 0, number, caller).expect("admitted");
            admitted.kept.map(|kept| (kept.label(), kept.cause()))
        };

        assert_eq!(
            kept(&directory, "+12125550102", "+13125550100"),
            Some(("number_closed", Cause::AllClosed))
        );
        assert_eq!(
            kept(&directory, "+12125550101", "+19005550100"),
            Some(("caller_suppressed", Cause::Suppressed))
        );
        let campaign = Arc::get_mut(&mut directory.campaigns[0]).expect("nobody else's");
        campaign.callers.accepted = vec![list("york", "+1212*")];
        assert_eq!(
            kept(&directory, "+12125550101", "anonymous"),
            Some(("caller_not_accepted", Cause::Suppressed))
        );
        assert_eq!(kept(&directory, "+12125550101", "+12125550100"), None);
    }

    fn screen_for<'d>(
        directory: &'d Directory,
        company: u16,
        dialled: &str,
        caller: &str,
    ) -> Result<Admitted<'d>, Refusal<'d>> {
        let dialled = Number::from_e164(dialled.as_bytes()).ok_or(NotANumber::Invalid);
        let caller = Number::from_e164(caller.as_bytes());
        // A Monday.
        let now = "2024-11-04T14:00:00Z".parse().expect("a moment");
        screen(directory, CompanyId(company), dialled, caller, now)
    }

    fn list(id: &str, numbers: &str) -> Arc<CallerList> {
        let mut set = NumberSet::default();
        assert!(set.insert(numbers));
        Arc::new(CallerList {
            id: id.into(),
            numbers: set,
            guests: None,
        })
    }

    fn directory() -> Directory {
        let company = |id: &str| Company {
            id: id.into(),
            key_secret: Secret::new(*b"0123456789abcdef"),
            callers: Lists::default(),
        };
        let address = "192.0.2.9:5060".parse().expect("an address");
        let gateway = Gateway::udp("sip:sales@192.0.2.9", "192.0.2.9", address);
        let buyer = Arc::new(Buyer::new("first", vec![Arc::new(gateway)]));
        let campaign = |id: &str, buyers| Arc::new(Campaign::new(id, CompanyId(0), buyers));
        let mut tags = Tags::default();
        tags.add("product", "solar", Origin::Number).expect("a tag");
        let saturday: Blocks = "sat 09:00-12:00".parse().expect("hours");
        let line = |campaign, terms| Line {
            campaign: CampaignId(campaign),
            source: SourceId(0),
            terms: TermsId(terms),
        };
        Directory {
            companies: vec![company("acme"), company("other")],
            campaigns: vec![campaign("solar", vec![buyer]), campaign("off", Vec::new())],
            sources: vec![Source {
                afid: "bright-leads".into(),
                sid: None,
            }],
            terms: vec![
                Terms {
                    tags,
                    ..Terms::USUAL
                },
                Terms {
                    hours: Hours::of(&saturday.0).map(|hours| Schedule {
                        hours,
                        zone: Zone::utc(),
                    }),
                    ..Terms::USUAL
                },
                Terms {
                    is_enabled: false,
                    ..Terms::USUAL
                },
            ],
            numbers: [
                ("+12125550101", line(0, 1)),
                ("+12125550102", line(0, 2)),
                ("+12125550103", line(0, 3)),
                ("+12125550104", line(1, 0)),
            ]
            .into_iter()
            .filter_map(|(text, line)| Some((Number::from_e164(text.as_bytes())?, line)))
            .collect(),
            ..Directory::default()
        }
    }
}
