//! `healthcheck`.

use model::HealthCheck;

use crate::code::Code;

use super::node::View;
use super::reader::Reader;

impl Reader<'_> {
    /// The check of a service; without a command where the image's own is switched off.
    pub(crate) fn health_check(&mut self, service: &View<'_>) -> Option<HealthCheck> {
        let view = service.get("healthcheck")?;
        let off = || Some(HealthCheck::of(Vec::new()));
        if view.node.map().is_none() {
            self.shape(&view, "a mapping");
            return None;
        }
        if let Some(disable) = view.get("disable")
            && self.boolean(&disable) == Some(true)
        {
            return off();
        }
        let Some(test) = view.get("test") else {
            let message = "`healthcheck`: without `test`, times are those of the image's own check";
            self.group(Code::FieldTranslated, &view.node.at, &view.path, message.to_owned());
            return None;
        };
        let command = self.test(&test)?;
        if command.is_empty() {
            return off();
        }
        let mut check = HealthCheck::of(command);
        let mut time = |key: &str, slot: &mut u64| {
            let value = view.get(key).and_then(|view| self.milliseconds(&view));
            if let Some(value) = value.filter(|value| *value > 0) {
                *slot = value;
            }
        };
        time("interval", &mut check.interval_ms);
        time("timeout", &mut check.timeout_ms);
        time("start_period", &mut check.start_period_ms);
        time("start_interval", &mut check.start_interval_ms);
        if let Some(retries) = view.get("retries").and_then(|view| self.number(&view, 0..=10_000)) {
            check.retries = u32::try_from(retries).unwrap_or(u32::MAX).max(1);
        }
        Some(check)
    }

    /// The command of a check; empty for `NONE`.
    fn test(&mut self, view: &View<'_>) -> Option<Vec<String>> {
        let in_shell = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
        if view.node.list().is_none() {
            return self.text(view).map(|text| in_shell(&text));
        }
        let words = self.texts(view);
        match words.split_first() {
            None => Some(Vec::new()),
            Some((first, _)) if first == "NONE" => Some(Vec::new()),
            Some((first, rest)) if first == "CMD" => Some(rest.to_vec()),
            Some((first, rest)) if first == "CMD-SHELL" => Some(in_shell(&rest.join(" "))),
            Some(_) => {
                let message = "a `test` begins with `CMD`, `CMD-SHELL` or `NONE`; read as `CMD`";
                self.add(Code::ValueSpelling, &view.node.at, &view.path, message.to_owned())
                    .hint("write `[\"CMD\", …]`");
                Some(words)
            }
        }
    }
}
