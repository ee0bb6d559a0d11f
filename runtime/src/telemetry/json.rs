//! One JSON object a line, with the fields of the event and of the spans around it side by side: a name has one place,
//! whoever it comes from.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes such lines.
pub(super) struct Json;

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let mut fields = vec![("timestamp", Value::from(timestamp)), ("level", metadata.level().as_str().into())];
        fields.extend(own.0);
        let mut around = Vec::new();
        for span in context.event_scope().into_iter().flatten() {
            if let Some(formatted) = span.extensions().get::<FormattedFields<JsonFields>>() {
                around.push(serde_json::from_str::<Map<String, Value>>(&formatted.fields).unwrap_or_default());
            }
        }
        let mut line = Line { writer: &mut writer, written: Vec::new() };
        for (name, value) in fields {
            line.field(name, &value)?;
        }
        // The nearest first: what is said closer to the event counts.
        for (name, value) in around.iter().flatten() {
            line.field(name, value)?;
        }
        line.field("target", &metadata.target().into())?;
        writer.write_str("}\n")
    }
}

/// The fields of an event, in their order.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// A line under way.
struct Line<'w, 'a, 'n> {
    writer: &'w mut Writer<'a>,
    written: Vec<&'n str>,
}

impl<'n> Line<'_, '_, 'n> {
    fn field(&mut self, name: &'n str, value: &Value) -> fmt::Result {
        if self.written.contains(&name) {
            return Ok(());
        }
        let start = if self.written.is_empty() { '{' } else { ',' };
        self.written.push(name);
        write!(self.writer, "{start}{}:{value}", Value::from(name))
    }
}
