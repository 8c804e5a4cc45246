//! What a plan says beside its changes: what a file asks for and nothing here gives.

use model::Service;

use super::read::Found;

/// Capabilities that a service asks for and no instance gets.
pub(super) fn refused_capabilities(service: &Service) -> Vec<String> {
    let name = &service.name;
    let asked = service.container.cap_add.iter();
    let refused = asked.filter_map(|one| Some((one, engine::spec::refused_capability(one)?)));
    refused
        .map(|(one, why)| format!("{name} will not start: the capability {one} is refused: {why}"))
        .collect()
}

/// Fields of a compose file that have no effect here, each reason once: who wrote `devices` counts
/// on them, and hears of it before anything runs.
pub(super) fn without_effect(found: &Found) -> Vec<String> {
    const SHOWN_MAX: usize = 6;
    let mut said: Vec<String> = Vec::new();
    let findings = found.understood.problems.iter().filter(|_| found.is_compose);
    for finding in findings.filter(|one| one.code == blueprint::Code::FieldNotApplicable) {
        let text = format!("no effect here: {}", finding.message);
        if !said.contains(&text) {
            said.push(text);
        }
    }
    let more = said.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        said.truncate(SHOWN_MAX);
        said.push(format!("{more} more have no effect here: `gable blueprint explain` names them"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_that_no_instance_gets_is_told_before_anything_runs() {
        let mut service = crate::testing::definition("web");
        service.container.cap_add = vec!["SYS_ADMIN".to_owned(), "NET_ADMIN".to_owned()];
        let notes = refused_capabilities(&service);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("web will not start: the capability SYS_ADMIN is refused"));
    }
}
