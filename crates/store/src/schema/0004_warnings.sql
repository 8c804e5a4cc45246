-- What a person should know of a deploy that succeeded: a problem as JSON.
ALTER TABLE deploys ADD COLUMN warning TEXT;
