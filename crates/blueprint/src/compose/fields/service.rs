//! The fields of a service.

use super::Inside::{Each, Map, Own};
use super::{Field, Inside, Place, row};
use crate::catalog::Treatment::{
    self, Equivalent as Same, Later, NotApplicable as None_, Translated as Near,
};

const fn s(name: &'static str, inside: Inside, treatment: Treatment, why: &'static str) -> Field {
    row(Place::Service, name, inside, treatment, why)
}

const CGROUP: &str =
    "cgroups are Gable's own; `cpus` and `mem_limit` say how much an instance may use";
const CPU_SHARE: &str = "instances have a limit of processor time (`cpus`) instead of weights";
const DEVICES: &str = "devices of the host are not given to instances";
const NAMESPACE: &str = "every instance has namespaces of its own and shares none with the host";
const DNS: &str =
    "Gable answers names inside instances, and asks the host's own servers for the rest";
const LOGS: &str = "Gable keeps the logs of every instance itself (`gable logs`)";
const WINDOWS: &str = "it exists on Windows only";

/// Every field of `services.*`.
pub(super) const FIELDS: &[Field] = &[
    s("annotations", Own, None_, "no other tool reads annotations of Gable's instances"),
    s("attach", Own, None_, "`gable up` shows the logs of all services"),
    s("blkio_config", Own, None_, "instances have no limits of disk throughput"),
    s("build", Map(Place::Build), Same, "how its image is built"),
    s("cap_add", Own, Same, "capabilities on top of the usual ones"),
    s("cap_drop", Own, Same, "capabilities taken away"),
    s("cgroup", Own, None_, NAMESPACE),
    s("cgroup_parent", Own, None_, CGROUP),
    s("command", Own, Same, "replaces the image's command"),
    s("configs", Each(Place::FileUse), Same, "small files in its containers"),
    s(
        "container_name",
        Own,
        Near,
        "one more name in the private network; instances have names of their own, because two run side by side during a deploy",
    ),
    s("cpu_count", Own, Near, "the limit of processor time, in cores"),
    s("cpu_percent", Own, None_, WINDOWS),
    s("cpu_period", Own, None_, CPU_SHARE),
    s("cpu_quota", Own, None_, CPU_SHARE),
    s("cpu_rt_period", Own, None_, "instances have no real-time processes"),
    s("cpu_rt_runtime", Own, None_, "instances have no real-time processes"),
    s("cpu_shares", Own, None_, CPU_SHARE),
    s("cpus", Own, Same, "the limit of processor time, in cores"),
    s("cpuset", Own, None_, "instances are not bound to cores"),
    s("credential_spec", Own, None_, WINDOWS),
    s("depends_on", Each(Place::Dependency), Same, "what has to be there before it starts"),
    s("deploy", Map(Place::Deploy), Same, "how many instances there are, and how large"),
    s(
        "develop",
        Own,
        None_,
        "`gable up` deploys the working tree; files are not copied into running instances",
    ),
    s("device_cgroup_rules", Own, None_, DEVICES),
    s("devices", Own, None_, DEVICES),
    s("dns", Own, None_, DNS),
    s("dns_opt", Own, None_, DNS),
    s("dns_search", Own, None_, DNS),
    s("domainname", Own, None_, "instances have a host name and no domain"),
    s("entrypoint", Own, Same, "replaces the image's entrypoint"),
    s("env_file", Each(Place::EnvFile), Same, "files with variables"),
    s("environment", Own, Same, "the environment of its instances"),
    s("expose", Own, Same, "ports that it listens on in the private network"),
    s("extends", Map(Place::Extends), Same, "takes what another service says"),
    s("external_links", Own, None_, "containers outside the project do not exist here"),
    s("extra_hosts", Own, Same, "lines of `/etc/hosts`"),
    s("gpus", Own, None_, DEVICES),
    s("group_add", Own, Same, "additional groups"),
    s(
        "healthcheck",
        Map(Place::Health),
        Same,
        "a command that says whether an instance is healthy; deploys wait for it",
    ),
    s("hostname", Own, Same, "the host name inside"),
    s("image", Own, Same, "the image that it runs; with `build`, only the name of what is built"),
    s(
        "init",
        Own,
        Near,
        "every instance has a shim that reaps its processes and passes signals on",
    ),
    s("ipc", Own, None_, NAMESPACE),
    s("isolation", Own, None_, WINDOWS),
    s("label_file", Own, None_, "no other tool reads labels of Gable's instances"),
    s(
        "labels",
        Own,
        None_,
        "no other tool reads labels of Gable's instances; routes are Gable's own (`x-gable`)",
    ),
    s(
        "links",
        Own,
        Near,
        "all services of a project reach each other by name; an alias becomes one more name",
    ),
    s("logging", Map(Place::Logging), None_, LOGS),
    s("mac_address", Own, None_, "instances have addresses of Gable's own"),
    s("mem_limit", Own, Same, "the memory limit of each instance"),
    s("mem_reservation", Own, None_, "memory is limited, not reserved"),
    s("mem_swappiness", Own, None_, CGROUP),
    s("memswap_limit", Own, None_, "swap is the host's matter"),
    s("models", Own, None_, "Gable runs no models"),
    s(
        "network_mode",
        Own,
        Near,
        "every instance has a network namespace of its own, in the network of its environment",
    ),
    s(
        "networks",
        Each(Place::Connection),
        Near,
        "all services of a project share one private network; aliases become names in it",
    ),
    s(
        "oom_kill_disable",
        Own,
        None_,
        "an instance that passes its memory limit ends, and is started again",
    ),
    s("oom_score_adj", Own, None_, CGROUP),
    s("pid", Own, None_, NAMESPACE),
    s("pids_limit", Own, Same, "most processes and threads"),
    s("platform", Own, Same, "the platform of its image"),
    s(
        "ports",
        Each(Place::Port),
        Near,
        "HTTP goes through Gable's edge, so that a deploy drops no request; other TCP ports are listened on for the service",
    ),
    s("post_start", Own, Later, "hooks of containers are not run yet"),
    s(
        "pre_start",
        Each(Place::PreStart),
        Near,
        "each runs to its end before the service starts, as a service of its own that completes",
    ),
    s("pre_stop", Own, Later, "hooks of containers are not run yet"),
    s("privileged", Own, Same, "refused where it is true: no instance gets the rights of the host"),
    s("profiles", Own, Same, "it runs only when one of its profiles is asked for"),
    s("provider", Own, None_, "Gable starts no providers"),
    s(
        "pull_policy",
        Own,
        Near,
        "an image is pulled once and its digest kept with the release; a deploy asks again",
    ),
    s("pull_refresh_after", Own, None_, "a deploy asks for the image again"),
    s("read_only", Own, Same, "its root cannot be written to"),
    s("restart", Own, Same, "what happens when its main process ends"),
    s("runtime", Own, None_, "instances are started by Gable's own runtime"),
    s("scale", Own, Same, "how many instances there are"),
    s("secrets", Each(Place::FileUse), Same, "small files in its containers"),
    s(
        "security_opt",
        Own,
        Near,
        "instances always run without new privileges; profiles of SELinux, AppArmor and seccomp are the host's matter",
    ),
    s("shm_size", Own, Same, "size of `/dev/shm`"),
    s("stdin_open", Own, None_, "instances have no terminal to read from"),
    s("stop_grace_period", Own, Same, "time between the stop signal and KILL"),
    s("stop_signal", Own, Same, "the signal that asks it to end"),
    s("storage_opt", Own, None_, "instances have no limits of disk space"),
    s("sysctls", Own, Same, "kernel settings of its own namespaces"),
    s("tmpfs", Own, Same, "memory that ends with the instance"),
    s("tty", Own, None_, "instances have no terminal; logs are read from pipes"),
    s("ulimits", Each(Place::Ulimit), Same, "limits of its processes"),
    s("use_api_socket", Own, None_, "there is no Docker daemon to talk to"),
    s("user", Own, Same, "replaces the image's user"),
    s("userns_mode", Own, None_, NAMESPACE),
    s("uts", Own, None_, NAMESPACE),
    s("volumes", Each(Place::Volume), Same, "what is mounted on top of the image"),
    s("volumes_from", Own, Near, "what the other service mounts is mounted here too"),
    s("working_dir", Own, Same, "replaces the image's working directory"),
    s(
        "x-gable",
        Map(Place::Gable),
        Same,
        "what only Gable knows: routes, health, pre-deploy command",
    ),
];
