-- Times are microseconds since 1970. Ids are texts with their prefix. `sealed` columns hold what
-- `secrets` makes of a text; everything else is readable.

CREATE TABLE seal (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- A known text: tells a foreign key from a damaged value.
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL
) STRICT;

CREATE TABLE environments (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (project_id, name)
) STRICT;

-- Every name of a private network, whatever it belongs to: no two things answer to one name.
CREATE TABLE hostnames (
    environment_id TEXT NOT NULL REFERENCES environments ON DELETE CASCADE,
    label TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    PRIMARY KEY (environment_id, label)
) STRICT;
CREATE INDEX hostnames_by_owner ON hostnames (owner_id);

CREATE TABLE services (
    id TEXT PRIMARY KEY,
    environment_id TEXT NOT NULL REFERENCES environments ON DELETE CASCADE,
    name TEXT NOT NULL,
    definition_sealed BLOB NOT NULL,
    slug TEXT NOT NULL,
    public_host TEXT UNIQUE,
    uid INTEGER NOT NULL UNIQUE,
    port_hint INTEGER NOT NULL UNIQUE,
    hook_done INTEGER NOT NULL DEFAULT 0,
    suspended INTEGER NOT NULL DEFAULT 0,
    blueprint_hash TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (environment_id, name)
) STRICT;

CREATE TABLE databases (
    id TEXT PRIMARY KEY,
    environment_id TEXT NOT NULL REFERENCES environments ON DELETE CASCADE,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    slug TEXT NOT NULL,
    uid INTEGER NOT NULL UNIQUE,
    port_hint INTEGER NOT NULL UNIQUE,
    instance_id TEXT,
    password_sealed BLOB NOT NULL,
    superuser_password_sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (environment_id, name)
) STRICT;

CREATE TABLE key_values (
    id TEXT PRIMARY KEY,
    environment_id TEXT NOT NULL REFERENCES environments ON DELETE CASCADE,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    slug TEXT NOT NULL,
    uid INTEGER NOT NULL UNIQUE,
    port_hint INTEGER NOT NULL UNIQUE,
    instance_id TEXT,
    password_sealed BLOB NOT NULL,
    superuser_password_sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (environment_id, name)
) STRICT;

CREATE TABLE env_values (
    environment_id TEXT NOT NULL REFERENCES environments ON DELETE CASCADE,
    owner_kind TEXT NOT NULL CHECK (owner_kind IN ('service', 'group')),
    owner_name TEXT NOT NULL,
    key TEXT NOT NULL,
    value_sealed BLOB NOT NULL,
    origin TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (environment_id, owner_kind, owner_name, key)
) STRICT;

CREATE TABLE builds (
    id TEXT PRIMARY KEY,
    artifact_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('in_progress', 'succeeded', 'failed')),
    failure TEXT,
    started_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX builds_by_artifact ON builds (artifact_id);
-- The same inputs are never built twice at the same time.
CREATE UNIQUE INDEX builds_in_progress ON builds (artifact_id) WHERE status = 'in_progress';

CREATE TABLE artifacts (
    id TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE releases (
    id TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    commit_json TEXT NOT NULL,
    -- No reference: an old artifact may be thrown away while its release stays in the history.
    artifact_id TEXT,
    service_sealed BLOB NOT NULL,
    env_sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (service_id, revision)
) STRICT;
CREATE INDEX releases_by_artifact ON releases (artifact_id);

CREATE TABLE deploys (
    id TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services ON DELETE CASCADE,
    release_id TEXT NOT NULL REFERENCES releases ON DELETE CASCADE,
    build_id TEXT,
    status TEXT NOT NULL,
    deploy_trigger TEXT NOT NULL,
    failure TEXT,
    proof TEXT,
    created_at INTEGER NOT NULL,
    status_since INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX deploys_by_service ON deploys (service_id, id);
CREATE INDEX deploys_by_release ON deploys (release_id);
CREATE INDEX deploys_in_progress ON deploys (id) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX deploys_live ON deploys (service_id) WHERE status = 'live';

-- No references: an instance is forgotten only when the engine has removed it, and its service may
-- be gone by then.
CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    deploy_id TEXT,
    ordinal INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    not_before INTEGER,
    exit TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX instances_by_owner ON instances (owner_id);
CREATE INDEX instances_by_deploy ON instances (deploy_id);

CREATE TABLE cron_runs (
    instance_id TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services ON DELETE CASCADE,
    release_id TEXT NOT NULL,
    -- The minute of the schedule; NULL when a person asked for the run.
    scheduled_at INTEGER,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    exit TEXT,
    UNIQUE (service_id, scheduled_at)
) STRICT;
CREATE INDEX cron_runs_by_service ON cron_runs (service_id, instance_id);
-- Never two at once.
CREATE UNIQUE INDEX cron_runs_in_progress ON cron_runs (service_id) WHERE finished_at IS NULL;

CREATE TABLE jobs (
    instance_id TEXT PRIMARY KEY,
    service_id TEXT NOT NULL REFERENCES services ON DELETE CASCADE,
    release_id TEXT NOT NULL,
    command_sealed BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    exit TEXT
) STRICT;
CREATE INDEX jobs_by_service ON jobs (service_id, instance_id);

CREATE TABLE events (
    -- AUTOINCREMENT: a number is never used again, so that a reader's place stays meaningful.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    environment_id TEXT,
    service_id TEXT,
    deploy_id TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_service ON events (service_id, sequence);
CREATE INDEX events_by_environment ON events (environment_id, sequence);

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
