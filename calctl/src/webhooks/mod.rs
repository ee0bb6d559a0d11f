//! `calctl webhooks`: Calendly's subscriptions to our webhook.

mod args;
mod key;
mod show;

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use calendly::{
    ApiConfig, Calendly, EVENTS, Manner, NewSubscription, Outcome, ScopeChoice, Subject, SubscriptionId, Wish,
    callback_url, ensure, preview,
};
use runtime::env::{ConfigError, Env};

use self::args::{Ensure, Subscribe};
pub(crate) use self::args::{WebhooksCommand, Whose};
use self::key::KeySource;
use self::show::{Deleted, Done};
use crate::output::Printer;

pub(crate) async fn run(env: &Env, printer: &Printer, command: WebhooksCommand) -> anyhow::Result<()> {
    let config = ApiConfig::from_env(env)?.ok_or_else(|| missing("CALENDLY_TOKEN"))?;
    let client = Calendly::new(&config).context("the HTTP client cannot be built")?;
    match command {
        WebhooksCommand::List { whose } => list(env, printer, &client, whose).await,
        WebhooksCommand::Register { subscribe } => register(env, printer, &client, subscribe).await,
        WebhooksCommand::Delete { uri, dry_run } => delete(printer, &client, &uri, dry_run).await,
        WebhooksCommand::Ensure(arguments) => keep(env, printer, &client, arguments).await,
    }
}

async fn list(env: &Env, printer: &Printer, client: &Calendly, whose: Whose) -> anyhow::Result<()> {
    let subject = subject(env, client, whose).await?;
    let found = client.subscriptions(&subject).await?;
    printer.print(&found, |found| show::list(found))
}

/// Makes one, whatever there is already.
async fn register(env: &Env, printer: &Printer, client: &Calendly, subscribe: Subscribe) -> anyhow::Result<()> {
    let (dry_run, source) = (subscribe.dry_run, KeySource::new(env, subscribe.signing_key_file.as_deref())?);
    let wish = wish(env, client, subscribe).await?;
    if dry_run {
        return printer.print(&Done::planned(&wish, Outcome::Created), Done::text);
    }
    let key = source.take()?;
    let new = NewSubscription::new(&wish.url, &wish.events, &wish.subject, key.secret());
    let made = client.create_subscription(&new).await?;
    let mut done = Done::planned(&wish, Outcome::Created);
    done.is_done(&made, &key);
    printer.print(&done, Done::text)
}

async fn delete(printer: &Printer, client: &Calendly, uri: &SubscriptionId, dry_run: bool) -> anyhow::Result<()> {
    let found = client.subscription(uri).await?;
    if !dry_run {
        client.delete_subscription(uri).await?;
    }
    printer.print(&Deleted { uri: found.uri, callback_url: found.callback_url, dry_run }, Deleted::text)
}

async fn keep(env: &Env, printer: &Printer, client: &Calendly, arguments: Ensure) -> anyhow::Result<()> {
    let Ensure { subscribe, renew } = arguments;
    let (dry_run, source) = (subscribe.dry_run, KeySource::new(env, subscribe.signing_key_file.as_deref())?);
    let wish = wish(env, client, subscribe).await?;
    let planned = preview(client, &wish, renew).await?;
    let mut done = Done::planned(&wish, planned.outcome);
    done.deleted = planned.deleted;
    done.subscription = planned.subscription;
    if dry_run {
        return printer.print(&done, Done::text);
    }
    let needs_key = done.outcome != Outcome::Unchanged;
    if !needs_key && done.deleted.is_empty() {
        done.dry_run = false;
        return printer.print(&done, Done::text);
    }
    let key = source.take()?;
    let ensured = ensure(client, &wish, key.secret(), Manner { renew, ..Manner::default() }).await?;
    done.outcome = ensured.outcome;
    done.deleted = ensured.deleted;
    match (&ensured.subscription, ensured.outcome) {
        (Some(made), Outcome::Created | Outcome::Replaced) => done.is_done(made, &key),
        (found, _) => {
            done.dry_run = false;
            done.subscription.clone_from(found);
        }
    }
    printer.print(&done, Done::text)?;
    // Said last: the key above is shown this once.
    match ensured.left.first() {
        None => Ok(()),
        Some(left) => bail!("{} is there still and delivers as well: {}", left.uri, left.error),
    }
}

async fn wish(env: &Env, client: &Calendly, subscribe: Subscribe) -> anyhow::Result<Wish> {
    let url = match subscribe.url {
        Some(url) => url,
        None => callback_url(env)?.ok_or_else(|| missing("PUBLIC_URL"))?,
    };
    let events: BTreeSet<String> = if subscribe.events.is_empty() {
        EVENTS.map(str::to_owned).into()
    } else {
        subscribe.events.into_iter().collect()
    };
    Ok(Wish { url, subject: subject(env, client, subscribe.whose).await?, events })
}

pub(crate) async fn subject(env: &Env, client: &Calendly, whose: Whose) -> anyhow::Result<Subject> {
    let choice = ScopeChoice::choose(env, whose.scope, whose.user, whose.group)?;
    Ok(choice.resolve(client).await?)
}

pub(crate) fn missing(variable: &str) -> ConfigError {
    ConfigError::new(variable, format!("is missing or empty; set {variable} or {variable}_FILE"))
}
