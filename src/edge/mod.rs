//! Puts it together: shards, effects, reload, drain, admin, demo.
