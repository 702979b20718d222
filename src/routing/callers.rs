//! Lists of callers: who is let through, and who is not.

use std::sync::Arc;

use crate::types::number::Number;
use crate::types::range::NumberSet;

/// A list of numbers that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerList {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// Who is on it.
    pub numbers: NumberSet,
}

/// The lists of a company, a campaign or a buyer.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// If there is one, a caller must be on one of them, and have a number.
    pub accepted: Vec<Arc<CallerList>>,
    /// A caller must be on none of them.
    pub suppressed: Vec<Arc<CallerList>>,
}

/// Which list keeps a caller out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// It is on this one.
    Suppressed(Arc<CallerList>),
    /// It is on none of those that are accepted.
    NotAccepted,
}

impl Lists {
    /// Whether `caller` may pass; `None` is one that withholds its number.
    pub fn check(&self, caller: Option<Number>) -> Result<(), Barred> {
        let holds =
            |list: &&Arc<CallerList>| caller.is_some_and(|caller| list.numbers.contains(caller));
        if let Some(list) = self.suppressed.iter().find(holds) {
            return Err(Barred::Suppressed(Arc::clone(list)));
        }
        if self.accepted.is_empty() || self.accepted.iter().any(|list| holds(&list)) {
            Ok(())
        } else {
            Err(Barred::NotAccepted)
        }
    }

    /// Whether there is none, so that everybody passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.suppressed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_passes_if_it_is_accepted_and_not_suppressed() {
        let list = |id: &str, text: &str| {
            let mut numbers = NumberSet::default();
            assert!(numbers.insert(text));
            Arc::new(CallerList {
                id: id.into(),
                numbers,
            })
        };
        let pests = list("pests", "+12125550100");
        let lists = Lists {
            accepted: vec![list("york", "+1212*"), list("jersey", "+1201*")],
            suppressed: vec![Arc::clone(&pests)],
        };
        let check = |lists: &Lists, caller: &str| lists.check(Number::from_e164(caller.as_bytes()));

        assert_eq!(check(&lists, "+12125550101"), Ok(()));
        assert_eq!(check(&lists, "+12015550101"), Ok(()));
        assert_eq!(
            check(&lists, "+12125550100"),
            Err(Barred::Suppressed(pests))
        );
        assert_eq!(check(&lists, "+13125550101"), Err(Barred::NotAccepted));
        assert_eq!(check(&lists, "anonymous"), Err(Barred::NotAccepted));
        assert!(!lists.is_empty());

        let open = Lists::default();
        assert_eq!(check(&open, "anonymous"), Ok(()));
        assert!(open.is_empty());
    }
}
