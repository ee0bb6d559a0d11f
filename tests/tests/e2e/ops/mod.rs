//! What lies in `ops/`: rules, configurations, dashboards.

mod rules;
