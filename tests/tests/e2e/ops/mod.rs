//! What lies in `ops/`: rules, configurations, dashboards.

mod dashboards;
mod expressions;
mod live;
mod rules;
