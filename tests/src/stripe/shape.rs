//! Which parameters each endpoint takes and what they may hold, after Stripe's `OpenAPI` file; anything else is refused.

use super::endpoint::Endpoint;
use super::error::Refusal;
use super::params::{Params, segments};
use super::rules;

/// What a parameter may hold.
#[derive(Clone, Copy)]
enum Kind {
    Text(usize),
    Url,
    Email,
    Currency,
    Int(i64, i64),
    Bool,
    OneOf(&'static [&'static str]),
    Metadata,
}

/// A parameter: `#` in the pattern stands for a list index, `*` for any key.
struct Field(&'static str, Kind);

const AMOUNT: Kind = Kind::Int(1, 99_999_999);
const TIME: Kind = Kind::Int(0, i64::MAX);

const CREATE_SESSION: &[Field] = &[
    Field("mode", Kind::OneOf(&["payment"])),
    Field("success_url", Kind::Url),
    Field("cancel_url", Kind::Url),
    Field("client_reference_id", Kind::Text(200)),
    Field("customer_email", Kind::Email),
    Field("expires_at", TIME),
    Field("metadata[*]", Kind::Metadata),
    Field("line_items[#][quantity]", Kind::Int(1, 999_999)),
    Field("line_items[#][price_data][currency]", Kind::Currency),
    Field("line_items[#][price_data][unit_amount]", Kind::Int(0, 99_999_999)),
    Field("line_items[#][price_data][product_data][name]", Kind::Text(5000)),
    Field("line_items[#][price_data][product_data][description]", Kind::Text(40_000)),
    Field("line_items[#][price_data][product_data][metadata][*]", Kind::Metadata),
    Field("payment_intent_data[metadata][*]", Kind::Metadata),
    Field("payment_intent_data[description]", Kind::Text(1000)),
    Field("payment_intent_data[receipt_email]", Kind::Email),
    Field("payment_method_types[#]", Kind::OneOf(&["card", "sepa_debit", "paypal", "link"])),
    Field("locale", Kind::OneOf(&["auto", "de", "en", "es", "fr", "it", "ja", "nl", "pt"])),
    Field("submit_type", Kind::OneOf(&["auto", "book", "donate", "pay", "subscribe"])),
    Field("customer_creation", Kind::OneOf(&["always", "if_required"])),
    Field("billing_address_collection", Kind::OneOf(&["auto", "required"])),
    Field("allow_promotion_codes", Kind::Bool),
    Field("expand[#]", Kind::Text(5000)),
];

const LIST_SESSIONS: &[Field] = &[
    Field("limit", Kind::Int(1, 100)),
    Field("starting_after", Kind::Text(66)),
    Field("ending_before", Kind::Text(66)),
    Field("status", Kind::OneOf(&["open", "complete", "expired"])),
    Field("payment_intent", Kind::Text(5000)),
    Field("customer_details[email]", Kind::Text(800)),
    Field("created", TIME),
    Field("created[gt]", TIME),
    Field("created[gte]", TIME),
    Field("created[lt]", TIME),
    Field("created[lte]", TIME),
    Field("expand[#]", Kind::Text(5000)),
];

const CREATE_REFUND: &[Field] = &[
    Field("payment_intent", Kind::Text(5000)),
    Field("charge", Kind::Text(5000)),
    Field("amount", AMOUNT),
    Field("reason", Kind::OneOf(&["duplicate", "fraudulent", "requested_by_customer"])),
    Field("metadata[*]", Kind::Metadata),
    Field("instructions_email", Kind::Email),
    Field("expand[#]", Kind::Text(5000)),
];

const LIST_REFUNDS: &[Field] = &[
    Field("limit", Kind::Int(1, 100)),
    Field("starting_after", Kind::Text(5000)),
    Field("ending_before", Kind::Text(5000)),
    Field("payment_intent", Kind::Text(5000)),
    Field("charge", Kind::Text(5000)),
    Field("created", TIME),
    Field("created[gt]", TIME),
    Field("created[gte]", TIME),
    Field("created[lt]", TIME),
    Field("created[lte]", TIME),
    Field("expand[#]", Kind::Text(5000)),
];

const ONLY_EXPAND: &[Field] = &[Field("expand[#]", Kind::Text(5000))];

fn fields(endpoint: Endpoint) -> &'static [Field] {
    match endpoint {
        Endpoint::CreateSession => CREATE_SESSION,
        Endpoint::ListSessions => LIST_SESSIONS,
        Endpoint::CreateRefund => CREATE_REFUND,
        Endpoint::ListRefunds => LIST_REFUNDS,
        Endpoint::GetSession
        | Endpoint::ExpireSession
        | Endpoint::GetRefund
        | Endpoint::GetPaymentIntent
        | Endpoint::Balance
        | Endpoint::Account => ONLY_EXPAND,
    }
}

/// Everything that Stripe refuses before it begins to execute. `now` is Stripe's clock in Unix seconds.
pub(super) fn validate(endpoint: Endpoint, params: &Params, now: i64) -> Result<(), Refusal> {
    let fields = fields(endpoint);
    for (name, value) in params.iter() {
        let field = find(fields, name)?;
        check(field.1, name, value)?;
    }
    match endpoint {
        Endpoint::CreateSession => rules::create_session(params, now),
        Endpoint::CreateRefund => rules::create_refund(params),
        _ => Ok(()),
    }
}

fn find<'a>(fields: &'a [Field], name: &str) -> Result<&'a Field, Refusal> {
    let parts = segments(name).unwrap_or_default();
    if let Some(field) = fields.iter().find(|field| fits(field.0, &parts, true)) {
        return Ok(field);
    }
    if fields.iter().any(|field| fits(field.0, &parts, false)) {
        return Err(Refusal::invalid("Invalid object").param(name));
    }
    Err(Refusal::invalid(format!("Received unknown parameter: {name}")).code("parameter_unknown").param(name))
}

/// Whether a name is the pattern's, or (`whole` false) the beginning of it, as in `metadata=x`.
fn fits(pattern: &str, parts: &[&str], whole: bool) -> bool {
    let pattern = segments(pattern).unwrap_or_default();
    let length = if whole { parts.len() == pattern.len() } else { parts.len() < pattern.len() };
    length
        && pattern.iter().zip(parts).all(|(want, got)| match *want {
            "*" => true,
            "#" => got.bytes().all(|byte| byte.is_ascii_digit()),
            want => want == *got,
        })
}

fn check(kind: Kind, name: &str, value: &str) -> Result<(), Refusal> {
    if value.is_empty() && !matches!(kind, Kind::Metadata) {
        let message = format!(
            "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; \
             however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
        );
        return Err(Refusal::invalid(message).code("parameter_invalid_empty").param(name));
    }
    let refused = match kind {
        Kind::Text(max) => too_long(value, max),
        Kind::Url => {
            let sound = reqwest::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            too_long(value, 5000).or((!sound).then(|| Refusal::invalid("Not a valid URL").code("url_invalid")))
        }
        Kind::Email => (!is_email(value))
            .then(|| Refusal::invalid(format!("Invalid email address: {value}")).code("email_invalid")),
        Kind::Currency => (rules::minimum(value).is_none()).then(|| {
            Refusal::invalid(format!("Invalid currency: {value}. Stripe currently supports these currencies: usd, …"))
        }),
        Kind::Int(min, max) => integer(value, min, max),
        Kind::Bool => {
            (!matches!(value, "true" | "false")).then(|| Refusal::invalid(format!("Invalid boolean: {value}")))
        }
        Kind::OneOf(values) => (!values.contains(&value))
            .then(|| Refusal::invalid(format!("Invalid {name}: must be one of {}", values.join(", ")))),
        Kind::Metadata => metadata(name, value),
    };
    refused.map_or(Ok(()), |refusal| Err(refusal.param(name)))
}

fn too_long(value: &str, max: usize) -> Option<Refusal> {
    (value.chars().count() > max)
        .then(|| Refusal::invalid(format!("Invalid string: {value}; must be at most {max} characters")))
}

fn integer(value: &str, min: i64, max: i64) -> Option<Refusal> {
    let Ok(number) = value.parse::<i64>() else {
        return Some(Refusal::invalid(format!("Invalid integer: {value}")).code("parameter_invalid_integer"));
    };
    let bound = match number {
        n if n < min => format!("This value must be greater than or equal to {min}."),
        n if n > max => format!("This value must be less than or equal to {max}."),
        _ => return None,
    };
    Some(Refusal::invalid(bound).code("parameter_invalid_integer"))
}

fn metadata(name: &str, value: &str) -> Option<Refusal> {
    let key = segments(name).and_then(|parts| parts.last().map(|key| key.chars().count())).unwrap_or(0);
    let length = value.chars().count();
    let message = if key > 40 {
        format!("Metadata keys can have up to 40 characters, but you passed in a key that is {key} characters.")
    } else if length > 500 {
        format!("Metadata values can have up to 500 characters, but you passed in a value that is {length} characters.")
    } else {
        return None;
    };
    Some(Refusal::invalid(message))
}

fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.rsplit_once('@') else { return false };
    let plain = value.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let labels = domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-'));
    plain && value.len() <= 800 && !local.is_empty() && !local.contains('@') && domain.contains('.') && labels
}
