//! Which traces are recorded: OpenTelemetry's own variables, `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.

use opentelemetry_sdk::trace::Sampler;

use crate::env::{ConfigError, Env};

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// The sampler that the environment asks for; without a word, every trace that its caller does not want unrecorded.
pub(super) fn from_env(env: &Env) -> Result<Sampler, ConfigError> {
    let name = env.optional(SAMPLER)?.unwrap_or_else(|| "parentbased_always_on".to_owned());
    let ratio = env.parse(ARGUMENT, 1.0)?;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(ConfigError::new(ARGUMENT, "must be a number from 0 to 1"));
    }
    let (base, by_parent) = match name.strip_prefix("parentbased_") {
        Some(base) => (base, true),
        None => (name.as_str(), false),
    };
    let root = match base {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(ratio),
        _ => {
            return Err(ConfigError::new(
                SAMPLER,
                "use always_on, always_off or traceidratio, each also behind parentbased_",
            ));
        }
    };
    Ok(if by_parent { Sampler::ParentBased(Box::new(root)) } else { root })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(pairs: &[(&str, &str)]) -> Result<String, String> {
        let env = Env::from_pairs(pairs.iter().copied());
        from_env(&env).map(|sampler| format!("{sampler:?}")).map_err(|error| error.variable().to_owned())
    }

    #[test]
    fn the_usual_names_mean_the_usual_things() {
        assert_eq!(sampler(&[]), Ok("ParentBased(AlwaysOn)".to_owned()));
        assert_eq!(sampler(&[(SAMPLER, "always_off")]), Ok("AlwaysOff".to_owned()));
        let tenth = [(SAMPLER, "parentbased_traceidratio"), (ARGUMENT, "0.1")];
        assert_eq!(sampler(&tenth), Ok("ParentBased(TraceIdRatioBased(0.1))".to_owned()));
        for wrong in ["sometimes", "parentbased_", "parentbased_jaeger_remote", ""] {
            let expected =
                if wrong.is_empty() { Ok("ParentBased(AlwaysOn)".to_owned()) } else { Err(SAMPLER.to_owned()) };
            assert_eq!(sampler(&[(SAMPLER, wrong)]), expected, "{wrong}");
        }
        for wrong in ["2", "-1", "NaN", "half"] {
            assert_eq!(sampler(&[(ARGUMENT, wrong)]), Err(ARGUMENT.to_owned()), "{wrong}");
        }
    }
}
