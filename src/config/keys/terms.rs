//! Keys of what calls are decided by: exits, limits, groups, lists.

use crate::config::raw::Shape;

pub(in crate::config) const CAMPAIGN_EXITS: Shape = Shape {
    name: "campaign.exits",
    keys: &[
        "all_closed",
        "all_capped",
        "no_match",
        "no_answer",
        "suppressed",
    ],
};

/// One of them.
pub(in crate::config) const CAMPAIGN_EXIT: Shape = Shape {
    name: "campaign.exits",
    keys: &[
        "buyers", "groups", "campaign", "reject", "reason", "suppress",
    ],
};

pub(in crate::config) const CAMPAIGN_REPEAT: Shape = Shape {
    name: "campaign.repeat",
    keys: &["policy", "after", "within"],
};

pub(in crate::config) const CALLER_LIST: Shape = Shape {
    name: "caller_list",
    keys: &["id", "numbers", "file", "ttl", "fill", "campaigns"],
};

pub(in crate::config) const BUYER_CAPS: Shape = Shape {
    name: "buyer.caps",
    keys: WINDOWS,
};

pub(in crate::config) const BUYER_GROUP_CAPS: Shape = Shape {
    name: "buyer_group.caps",
    keys: WINDOWS,
};

pub(in crate::config) const NUMBER_CAPS: Shape = Shape {
    name: "number.caps",
    keys: WINDOWS,
};

pub(in crate::config) const BUYER_DUPLICATE: Shape = Shape {
    name: "buyer.duplicate",
    keys: &["within", "after"],
};

pub(in crate::config) const BUYER_GROUP: Shape = Shape {
    name: "buyer_group",
    keys: &[
        "id",
        "company",
        "name",
        "members",
        "dial",
        "priority",
        "weight",
        "max_calls",
        "max_cps",
        "caps",
        "cap_on",
        "time_zone",
    ],
};

const WINDOWS: &[&str] = &["hour", "day", "month", "total"];

pub(in crate::config) const POSTBACK_KEY: Shape = Shape {
    name: "postback_key",
    keys: &[
        "id",
        "company",
        "campaigns",
        "may",
        "secret",
        "rate",
        "keep",
    ],
};

pub(in crate::config) const CONVERSION_GROUP: Shape = Shape {
    name: "conversion_group",
    keys: &[
        "id",
        "campaign",
        "matches",
        "criterion",
        "after",
        "wait",
        "payout",
        "revenue",
        "dedupe",
        "payout_dedupe",
        "revenue_dedupe",
        "tier",
    ],
};

pub(in crate::config) const CONVERSION_TIER: Shape = Shape {
    name: "conversion_group.tier",
    keys: &["after", "payout", "revenue"],
};
