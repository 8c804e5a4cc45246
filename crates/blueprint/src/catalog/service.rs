//! The fields of a service, of every type.

use super::{Field, Place, Shapes, Treatment};

const S: Shapes = Shapes::SERVER;
const ST: Shapes = S.and(Shapes::STATIC);
const SC: Shapes = S.and(Shapes::CRON);
const STC: Shapes = ST.and(Shapes::CRON);
const BUILT: Shapes = STC.and(Shapes::WORKFLOW);
const T: Shapes = Shapes::STATIC;
const K: Shapes = Shapes::KEY_VALUE;
const NONE: Shapes = Shapes::NONE;

use Treatment::{Equivalent, Later, NotApplicable, Translated};

const fn field(
    name: &'static str,
    shapes: Shapes,
    treatment: Treatment,
    why: &'static str,
    spellings: &'static [&'static str],
) -> Field {
    Field { place: Place::Service, name, shapes, treatment, why, spellings }
}

/// In the order of Render's reference.
#[rustfmt::skip]
pub(super) const FIELDS: &[Field] = &[
    field("type", Shapes::ALL, Equivalent, "decides what the service is", &["kind", "serviceType"]),
    field("name", Shapes::ALL, Equivalent, "the identity of the service and its name in the private network", &["serviceName"]),
    field("runtime", BUILT, Equivalent, "which tools the build and the service find", &["language"]),
    field("env", BUILT, Equivalent, "the old spelling of `runtime`", &[]),
    field("plan", SC.and(K), Translated, "gives each instance its memory and processor limit; nothing is billed", &["instanceType", "size"]),
    field("region", SC.and(K), NotApplicable, "everything runs on this machine", &[]),
    field("repo", BUILT, Translated, "this repository is built; another one would have to be cloned", &["repository", "gitRepo", "repoUrl"]),
    field("branch", BUILT, Translated, "this branch is built if the repository has it; deploys by push do not follow it yet", &[]),
    field("rootDir", BUILT, Equivalent, "the directory that commands run in", &["rootDirectory", "root", "workingDirectory", "workDir", "directory"]),
    field("buildCommand", BUILT, Equivalent, "runs in an instance of its own, in one shell", &["build", "buildScript"]),
    field("startCommand", BUILT, Equivalent, "runs in each instance", &["command", "start", "runCommand", "entrypoint"]),
    field("preDeployCommand", STC, Equivalent, "runs once between build and start", &["releaseCommand", "preDeploy", "migrateCommand"]),
    field("initialDeployHook", S, Equivalent, "runs once, after the first successful deploy", &["afterFirstDeployCommand"]),
    field("schedule", Shapes::CRON, Equivalent, "when the job runs, in UTC", &["cron", "cronSchedule", "cronExpression"]),
    field("autoDeployTrigger", BUILT, Later, "decides about deploys by push; `gable up` deploys when it is called", &[]),
    field("autoDeploy", BUILT, Later, "the old spelling of `autoDeployTrigger`", &[]),
    field("envVars", BUILT, Equivalent, "the environment of build and instances", &["environmentVariables", "environment", "envs", "variables", "vars"]),
    field("buildFilter", BUILT, Later, "decides which pushes deploy", &["buildFilters"]),
    field("domains", ST, Equivalent, "the edge answers for these host names; pointing them here is up to you", &["customDomains"]),
    field("domain", ST, Equivalent, "a single custom domain", &["customDomain"]),
    field("renderSubdomainPolicy", S, Later, "whether the service also answers under its own name", &[]),
    field("healthCheckPath", S, Equivalent, "must answer 2xx or 3xx before requests are sent", &["healthCheck", "httpHealthCheckPath", "healthPath", "healthCheckUrl", "healthcheckEndpoint"]),
    field("maxShutdownDelaySeconds", S, Equivalent, "the time between TERM and KILL", &["shutdownDelaySeconds"]),
    field("maintenanceMode", S, Later, "a page instead of the service", &[]),
    field("ipAllowList", ST.and(K), Later, "the edge listens on this machine only unless told otherwise", &["ipWhitelist", "allowList"]),
    field("disk", S, Translated, "a directory that outlives instances; the size is shown, not enforced", &["disks", "volume", "volumes"]),
    field("numInstances", S, Equivalent, "how many instances run", &["instances", "replicas", "instanceCount"]),
    field("scaling", S, Translated, "`minInstances` run; the number does not follow the load yet", &["autoscaling"]),
    field("previews", ST.and(K).and(Shapes::CRON), Later, "previews of pull requests", &["preview"]),
    field("previewPlan", SC.and(K), Later, "the size of instances in previews", &[]),
    field("pullRequestPreviewsEnabled", ST, Later, "the old spelling of `previews.generation`", &[]),
    field("image", SC, Equivalent, "runs an image that exists already", &["dockerImage"]),
    field("registryCredential", SC, Translated, "names a credential of `registries.json`", &["registryCredentials"]),
    field("dockerfilePath", SC, Equivalent, "the Dockerfile that the image is built from", &["dockerfile"]),
    field("dockerContext", SC, Equivalent, "the directory that the image is built from", &["dockerBuildContext", "buildContext"]),
    field("dockerCommand", SC, Equivalent, "replaces the command of the image", &["dockerCmd"]),
    field("staticPublishPath", T, Equivalent, "the directory that the edge serves", &["publishPath", "publishDir", "publishDirectory", "staticDir", "outputDirectory", "publish"]),
    field("headers", T, Equivalent, "response headers that the edge adds", &["customHeaders"]),
    field("routes", T, Equivalent, "redirects and rewrites at the edge", &["redirects", "rewrites"]),
    field("maxmemoryPolicy", K, Equivalent, "what is dropped when memory is full", &["maxMemory", "evictionPolicy"]),
    field("persistenceMode", K, Equivalent, "what survives a restart", &["persistence"]),
    field("buildSource", BUILT, Later, "one build for several services", &[]),
    field("port", NONE, Translated, "Render has no such field; the first guess of the port that the service listens on", &["ports", "containerPort", "internalPort"]),
    field("nodeVersion", NONE, Translated, "Render has no such field; read as the variable NODE_VERSION", &[]),
    field("pythonVersion", NONE, Translated, "Render has no such field; read as the variable PYTHON_VERSION", &[]),
    field("rubyVersion", NONE, Translated, "Render has no such field; read as the variable RUBY_VERSION", &[]),
    field("goVersion", NONE, Translated, "Render has no such field; read as the variable GO_VERSION", &[]),
    field("previewsEnabled", NONE, Later, "Render has it at the root only; read as the previews of this service", &[]),
    field("postDeployCommand", NONE, NotApplicable, "neither Render nor Gable has such a step", &["postDeploy"]),
    field("files", NONE, NotApplicable, "secret files cannot be written in a Blueprint", &["secretFiles"]),
    field("dependsOn", NONE, NotApplicable, "services start together and wait by their health checks", &["depends_on"]),
    field("description", NONE, NotApplicable, "Render has no such field; a comment does the same", &["notes"]),
    field("databaseName", NONE, Translated, "belongs to `databases`", &[]),
    field("user", NONE, Translated, "belongs to `databases`", &[]),
    field("postgresMajorVersion", NONE, Translated, "belongs to `databases`", &[]),
    field("diskSizeGB", NONE, Translated, "belongs to `databases`", &[]),
];
