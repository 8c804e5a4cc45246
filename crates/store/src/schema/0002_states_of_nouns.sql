-- What was remembered under text keys is a column of the noun that it belongs to, and goes with it.

-- The route that the edge was last given, as JSON.
ALTER TABLE services ADD COLUMN route TEXT;
-- The port that it was last seen on.
ALTER TABLE services ADD COLUMN seen_port INTEGER;
-- Where the edge's counters stood when the rollout began, as JSON; NULL once there is a proof.
ALTER TABLE deploys ADD COLUMN baseline TEXT;
-- Whether a person stopped it.
ALTER TABLE environments ADD COLUMN is_stopped INTEGER NOT NULL DEFAULT 0;
-- What it was last applied with, as JSON.
ALTER TABLE projects ADD COLUMN applied TEXT;
-- The instance whose log tells of it. No reference: logs outlive instances.
ALTER TABLE builds ADD COLUMN instance_id TEXT;

UPDATE services SET
    route = (SELECT value FROM settings WHERE key = 'route/' || services.id),
    seen_port = (SELECT CAST(value AS INTEGER) FROM settings WHERE key = 'port/' || services.id);
UPDATE deploys SET baseline = (SELECT value FROM settings WHERE key = 'proof/' || deploys.id);
UPDATE environments SET is_stopped = 1
    WHERE EXISTS (SELECT 1 FROM settings WHERE key = 'stopped/' || environments.id AND value = 'true');
UPDATE projects SET applied = (SELECT value FROM settings WHERE key = 'applied/' || projects.name);
UPDATE builds SET instance_id =
    (SELECT trim(value, '"') FROM settings WHERE key = 'build-instance/' || builds.id);

-- Nothing else was kept there but a key that is derived now.
DROP TABLE settings;
