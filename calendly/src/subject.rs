//! Whose happenings a subscription tells of.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;
use runtime::env::{ConfigError, Env};
use serde::{Deserialize, Serialize};

use crate::client::Calendly;
use crate::error::CalendlyError;

/// `CALENDLY_SCOPE`: how far a subscription reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everybody in the organization. The token's owner has to be its owner or an administrator.
    #[default]
    Organization,
    /// One user.
    User,
    /// One group of users. The token's owner has to administer it.
    Group,
}

impl Scope {
    /// As Calendly writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Organization, Self::User, Self::Group];
        known.into_iter().find(|scope| scope.as_str() == text).ok_or("must be organization, user or group")
    }
}

/// The URI by which Calendly names a thing, such as `https://api.calendly.com/users/AAAA`. An identity: what it names is
/// always asked of `CALENDLY_API_BASE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceUri(String);

impl ResourceUri {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceUri {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Url::parse(text) {
            Ok(url) if url.has_host() && url.path().len() > 1 => Ok(Self(text.to_owned())),
            _ => Err("must be a URI of Calendly's such as https://api.calendly.com/users/AAAAAAAAAAAAAAAA"),
        }
    }
}

/// A scope with what it needs to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The organization.
    Organization {
        /// Which one.
        organization: ResourceUri,
    },
    /// A user of the organization.
    User {
        /// Where.
        organization: ResourceUri,
        /// Who.
        user: ResourceUri,
    },
    /// A group of the organization.
    Group {
        /// Where.
        organization: ResourceUri,
        /// Which one.
        group: ResourceUri,
    },
}

impl Subject {
    /// How far it reaches.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Organization { .. } => Scope::Organization,
            Self::User { .. } => Scope::User,
            Self::Group { .. } => Scope::Group,
        }
    }

    /// The organization that it is in.
    pub fn organization(&self) -> &ResourceUri {
        match self {
            Self::Organization { organization }
            | Self::User { organization, .. }
            | Self::Group { organization, .. } => organization,
        }
    }

    /// The user, if it is one.
    pub fn user(&self) -> Option<&ResourceUri> {
        if let Self::User { user, .. } = self { Some(user) } else { None }
    }

    /// The group, if it is one.
    pub fn group(&self) -> Option<&ResourceUri> {
        if let Self::Group { group, .. } = self { Some(group) } else { None }
    }
}

/// What is chosen of a [`Subject`]; the token's owner completes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeChoice {
    /// The organization of the token's owner.
    Organization,
    /// This user, or the token's owner.
    User(Option<ResourceUri>),
    /// This group.
    Group(ResourceUri),
}

impl ScopeChoice {
    /// `CALENDLY_SCOPE`, and `CALENDLY_GROUP` where it is `group`.
    pub fn from_env(env: &Env) -> Result<Self, ConfigError> {
        Self::choose(env, None, None, None)
    }

    /// The same, where what is given takes the place of the variables. A user or a group implies its scope.
    pub fn choose(
        env: &Env,
        scope: Option<Scope>,
        user: Option<ResourceUri>,
        group: Option<ResourceUri>,
    ) -> Result<Self, ConfigError> {
        let implied = user.as_ref().map(|_| Scope::User).or(group.as_ref().map(|_| Scope::Group));
        let scope = match scope.or(implied) {
            Some(scope) => scope,
            None => env.parse("CALENDLY_SCOPE", Scope::default())?,
        };
        Ok(match scope {
            Scope::Organization => Self::Organization,
            Scope::User => Self::User(user),
            Scope::Group => {
                let problem = "is missing; the scope group needs the group's URI";
                let group = group.map_or_else(|| env.parse_optional("CALENDLY_GROUP"), |group| Ok(Some(group)))?;
                Self::Group(group.ok_or_else(|| ConfigError::new("CALENDLY_GROUP", problem))?)
            }
        })
    }

    /// Asks Calendly whose the token is, and completes the choice.
    pub async fn resolve(&self, client: &Calendly) -> Result<Subject, CalendlyError> {
        let me = client.me().await?;
        let organization = me.current_organization;
        Ok(match self {
            Self::Organization => Subject::Organization { organization },
            Self::User(user) => Subject::User { organization, user: user.clone().unwrap_or(me.uri) },
            Self::Group(group) => Subject::Group { organization, group: group.clone() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "https://api.calendly.com/groups/A";

    #[test]
    fn a_scope_has_what_it_needs() {
        let env = |pairs: &[(&str, &str)]| Env::from_pairs(pairs.iter().map(|(name, value)| (*name, *value)));
        let group: ResourceUri = GROUP.parse().unwrap();
        assert_eq!(ScopeChoice::from_env(&env(&[])).unwrap(), ScopeChoice::Organization);
        let user = env(&[("CALENDLY_SCOPE", "user"), ("CALENDLY_GROUP", GROUP)]);
        assert_eq!(ScopeChoice::from_env(&user).unwrap(), ScopeChoice::User(None));
        let chosen = env(&[("CALENDLY_SCOPE", "group"), ("CALENDLY_GROUP", GROUP)]);
        assert_eq!(ScopeChoice::from_env(&chosen).unwrap(), ScopeChoice::Group(group.clone()));
        assert_eq!(
            ScopeChoice::choose(&user, None, None, Some(group.clone())).unwrap(),
            ScopeChoice::Group(group.clone())
        );
        for (wrong, variable) in [
            (env(&[("CALENDLY_SCOPE", "everybody")]), "CALENDLY_SCOPE"),
            (env(&[("CALENDLY_SCOPE", "group")]), "CALENDLY_GROUP"),
            (env(&[("CALENDLY_SCOPE", "group"), ("CALENDLY_GROUP", "A")]), "CALENDLY_GROUP"),
        ] {
            assert_eq!(ScopeChoice::from_env(&wrong).unwrap_err().variable(), variable);
        }
    }
}
