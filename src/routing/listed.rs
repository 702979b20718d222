//! The buyers of a number's campaign as they are configured: number -> line -> campaign -> buyers. What a call without a clock
//! of the wall goes by; [`screen`](crate::routing::screen) and [`decide`](crate::routing::decide) look at more.

use std::sync::Arc;

use crate::routing::buyer::Buyer;
use crate::routing::campaign::Campaign;
use crate::routing::directory::{Directory, Source};
use crate::routing::trunk::Trunk;
use crate::types::number::{NotANumber, Number};

/// To whom a call is offered.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'d> {
    /// The campaign of the number dialled.
    pub campaign: &'d Arc<Campaign>,
    /// Who sent the caller.
    pub source: &'d Source,
    /// Its buyers in the order in which they are tried; at least one.
    pub buyers: &'d Arc<[Arc<Buyer>]>,
}

/// Why a call is offered to nobody.
#[derive(Debug, Clone, Copy)]
pub enum Refusal<'d> {
    /// What was dialled is not a number.
    NotANumber(NotANumber),
    /// The number has no campaign, or none that this trunk's company owns: the two are not told
    /// apart, so that a carrier cannot learn what other companies own.
    NumberUnknown,
    /// The campaign has nobody to offer it to.
    NoBuyer {
        /// The campaign, for the record.
        campaign: &'d Arc<Campaign>,
        /// Who sent the caller, for the record.
        source: &'d Source,
    },
}

/// Looks up to whom the call that `trunk` brings for `dialled` is offered.
pub fn listed<'d>(
    directory: &'d Directory,
    trunk: &Trunk,
    dialled: Result<Number, NotANumber>,
) -> Result<Listed<'d>, Refusal<'d>> {
    let number = dialled.map_err(Refusal::NotANumber)?;
    let line = directory.numbers.get(&number);
    let (campaign, source) = line
        .and_then(|line| {
            let campaign = directory.campaigns.get(line.campaign.0 as usize)?;
            Some((campaign, directory.sources.get(line.source.0 as usize)?))
        })
        .filter(|(campaign, _)| campaign.company == trunk.company)
        .ok_or(Refusal::NumberUnknown)?;
    if campaign.route.buyers().is_empty() {
        return Err(Refusal::NoBuyer { campaign, source });
    }
    Ok(Listed {
        campaign,
        source,
        buyers: campaign.route.buyers(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::buyer::Gateway;
    use crate::routing::callers::Lists;
    use crate::routing::directory::{CampaignId, Company, Line, SourceId, TermsId};
    use crate::routing::trunk::CompanyId;
    use crate::types::secret::Secret;

    #[test]
    fn a_known_number_is_offered_to_the_buyers_of_its_campaign_in_their_order() {
        let directory = directory();

        let decision = listed(&directory, &trunk(0), number("+12125550101")).expect("offered");

        let buyers: Vec<&str> = decision.buyers.iter().map(|buyer| &*buyer.id).collect();
        assert_eq!(&*decision.campaign.id, "solar");
        assert_eq!(&*decision.source.afid, "bright-leads");
        assert_eq!(decision.source.sid.as_deref(), Some("tv"));
        assert_eq!(buyers, ["first", "second"]);
    }

    #[test]
    fn a_number_that_is_nobodys_is_unknown() {
        let directory = directory();

        let refusal = listed(&directory, &trunk(0), number("+12125550199"));

        assert!(matches!(refusal, Err(Refusal::NumberUnknown)));
    }

    #[test]
    fn a_number_of_another_company_is_unknown_too() {
        let directory = directory();

        let refusal = listed(&directory, &trunk(1), number("+12125550101"));

        assert!(matches!(refusal, Err(Refusal::NumberUnknown)));
    }

    #[test]
    fn a_campaign_without_buyers_refuses_and_still_names_itself_for_the_record() {
        let directory = directory();

        let refusal = listed(&directory, &trunk(0), number("+12125550102"));

        let Err(Refusal::NoBuyer { campaign, source }) = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!(&*campaign.id, "paused");
        assert_eq!(&*source.afid, "bright-leads");
    }

    #[test]
    fn what_is_no_number_is_refused_as_the_reader_found_it() {
        let directory = directory();

        for fault in [NotANumber::TooShort, NotANumber::Invalid] {
            let refusal = listed(&directory, &trunk(0), Err(fault));
            assert!(matches!(refusal, Err(Refusal::NotANumber(found)) if found == fault));
        }
    }

    fn number(text: &str) -> Result<Number, NotANumber> {
        Number::from_e164(text.as_bytes()).ok_or(NotANumber::Invalid)
    }

    fn trunk(company: u16) -> Trunk {
        Trunk::new("carrier", CompanyId(company))
    }

    fn directory() -> Directory {
        let line = |campaign| Line {
            campaign: CampaignId(campaign),
            source: SourceId(0),
            terms: TermsId::default(),
        };
        let campaign = |id: &str, buyers| Arc::new(Campaign::new(id, CompanyId(0), buyers));
        Directory {
            companies: vec![Company {
                id: "acme".into(),
                key_secret: Secret::new(*b"0123456789abcdef"),
                callers: Lists::default(),
            }],
            campaigns: vec![
                campaign("solar", vec![buyer("first"), buyer("second")]),
                campaign("paused", Vec::new()),
            ],
            sources: vec![Source {
                afid: "bright-leads".into(),
                sid: Some("tv".into()),
            }],
            numbers: [("+12125550101", line(0)), ("+12125550102", line(1))]
                .into_iter()
                .map(|(text, line)| (number(text).expect("a number"), line))
                .collect(),
            ..Directory::default()
        }
    }

    fn buyer(id: &str) -> Arc<Buyer> {
        let address = "192.0.2.9:5060".parse().expect("an address");
        let gateway = Gateway::udp("sip:sales@192.0.2.9", "192.0.2.9", address);
        Arc::new(Buyer::new(id, vec![Arc::new(gateway)]))
    }
}
