//! An explanation as people read it.

use std::fmt;

use crate::call::explain::Explanation;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        writeln!(f, "call      {} at {}", self.uuid, self.at)?;
        writeln!(
            f,
            "from      {} by trunk {}",
            or_none(&self.caller),
            self.trunk
        )?;
        writeln!(f, "to        {}", or_none(&self.dialled))?;
        writeln!(
            f,
            "campaign  {}, publisher {}, sub id {}",
            or_none(&self.campaign),
            or_none(&self.afid),
            or_none(&self.sid)
        )?;
        for tag in &self.tags {
            writeln!(f, "tag       {}:{} ({})", tag.key, tag.value, tag.origin)?;
        }
        for call in self.past.iter().flatten() {
            write!(f, "past      {}", call.campaign)?;
            if let (Some(buyer), Some(at)) = (&call.buyer, &call.answered) {
                write!(f, ", {buyer} at {at}")?;
            }
            match &call.converted {
                Some(at) => writeln!(f, ", converted at {at}")?,
                None => writeln!(f)?,
            }
        }
        if self.past.as_ref().is_some_and(Vec::is_empty) {
            writeln!(
                f,
                "past      none (earlier calls count here: give them by --past)"
            )?;
        }
        for hook in &self.start_webhooks {
            writeln!(
                f,
                "asks      {} {} ({})",
                hook.method, hook.url, hook.webhook
            )?;
        }
        for look in &self.looks {
            match &look.exit {
                None => writeln!(f, "\ncampaign {}", look.campaign)?,
                Some(exit) => writeln!(f, "\ncampaign {}, exit {exit}", look.campaign)?,
            }
            for one in &look.buyers {
                write!(f, "  {:<20} {}", one.buyer, one.verdict)?;
                match (&one.want, &one.have) {
                    (Some(want), Some(have)) => writeln!(f, ": wants {want}, has {have}")?,
                    _ => writeln!(f)?,
                }
            }
        }
        for one in &self.passed {
            let (want, have) = (or_none(&one.want), or_none(&one.have));
            writeln!(
                f,
                "\n   {} {}: wants {want}, has {have}",
                one.buyer, one.verdict
            )?;
        }
        for buyer in &self.order {
            let mut peers = self.order.iter().filter(|one| one.step == buyer.step);
            let together = match peers.nth(1) {
                Some(_) => ", together with others",
                None => "",
            };
            writeln!(f, "\n{}. {}{together}", buyer.step, buyer.buyer)?;
            for uri in &buyer.uris {
                writeln!(f, "   INVITE {uri}")?;
            }
            for header in &buyer.headers {
                writeln!(f, "   {header}")?;
            }
            for hook in &buyer.webhooks {
                writeln!(
                    f,
                    "   tells {} {} ({})",
                    hook.method, hook.url, hook.webhook
                )?;
            }
        }
        match &self.refused {
            Some(refused) => write!(f, "\nrefused   {} {}", refused.status, refused.reason),
            None => Ok(()),
        }
    }
}
