//! Finds the placeholders that Ray shows instead of secrets. They must not be deployed.

use serde_json::{Map, Value};

/// Ray 2.60 shows this to browsers instead of every value of `env_vars` in a `runtime_env`, at any
/// depth. Measured, and the same in its `runtime_env_redaction.py`.
const REDACTED: &str = "<redacted>";

/// Returns the name of an environment variable whose value is the placeholder.
pub(super) fn redacted_env_var(config: &Map<String, Value>) -> Option<&str> {
    let env_vars = config.get("runtime_env").and_then(|it| it.get("env_vars"));
    let mut env_vars = env_vars.and_then(Value::as_object).into_iter().flatten();
    match env_vars.find(|(_, value)| *value == REDACTED) {
        Some((name, _)) => Some(name),
        None => config.values().find_map(in_value),
    }
}

fn in_value(value: &Value) -> Option<&str> {
    match value {
        Value::Object(members) => redacted_env_var(members),
        Value::Array(items) => items.iter().find_map(in_value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn redacted_environment_variables_are_found_at_any_depth() {
        let secret = json!({"runtime_env": {"env_vars": {"A": "1", "TOKEN": "<redacted>"}}});
        assert_eq!(in_value(&secret), Some("TOKEN"));
        let nested = json!({"deployments": [{}, {"ray_actor_options": secret}]});
        assert_eq!(in_value(&nested), Some("TOKEN"));
        for other in [
            json!({"user_config": {"A": "<redacted>"}, "env_vars": {"A": "<redacted>"}}),
            json!({"runtime_env": {"env_vars": {"A": "redacted"}, "working_dir": "<redacted>"}}),
            json!({"runtime_env": null}),
        ] {
            assert_eq!(in_value(&other), None, "{other}");
        }
    }
}
