//! A list of Calendly's, read page by page, so that a long one need not fit into memory.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::client::Calendly;
use crate::error::CalendlyError;
use crate::objects::Page;

/// The most that Calendly puts on a page.
const PER_PAGE: &str = "100";
/// A list that goes on beyond this is a server that does not stop.
const MAX_PAGES: usize = 1000;

/// What of a list was not read yet.
pub struct Pages<T> {
    client: Calendly,
    operation: &'static str,
    path: Vec<String>,
    filter: Vec<(&'static str, String)>,
    /// None at the end.
    next: Option<Start>,
    read: usize,
    what: PhantomData<fn() -> T>,
}

enum Start {
    Begin,
    Token(String),
}

impl<T: DeserializeOwned> Pages<T> {
    pub(crate) fn new(
        client: &Calendly,
        operation: &'static str,
        path: &[&str],
        filter: Vec<(&'static str, String)>,
    ) -> Self {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        Self { client: client.clone(), operation, path, filter, next: Some(Start::Begin), read: 0, what: PhantomData }
    }

    /// The next page; none after the last one. After an error the same page is asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, CalendlyError> {
        let Some(start) = &self.next else { return Ok(None) };
        if self.read == MAX_PAGES {
            return Err(CalendlyError::Unreadable { operation: self.operation, problem: "the list does not end" });
        }
        let mut query = self.filter.clone();
        query.push(("count", PER_PAGE.to_owned()));
        if let Start::Token(token) = start {
            query.push(("page_token", token.clone()));
        }
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let page: Page<T> = self.client.get(self.operation, &path, &query).await?;
        self.read += 1;
        self.next = page.pagination.next_page_token.filter(|token| !token.is_empty()).map(Start::Token);
        Ok(Some(page.collection))
    }

    /// All that is left, for lists that are known to be short.
    pub async fn all(mut self) -> Result<Vec<T>, CalendlyError> {
        let mut all = Vec::new();
        while let Some(page) = self.next().await? {
            all.extend(page);
        }
        Ok(all)
    }
}
