-- Variables of the service in a compose file that scripts see which fill the database: JSON, sealed.
ALTER TABLE databases ADD COLUMN init_env_sealed BLOB;
