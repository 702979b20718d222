//! What one sees: metrics, log lines, call records.
