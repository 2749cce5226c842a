-- Where this store lives, as PostgreSQL knows it, and why its service must not write, if it must not.

-- A copy or a restored backup lives elsewhere than the store that its service has spoken from: see restoring.py.
CREATE TABLE origin (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    cluster  text NOT NULL,
    database oid  NOT NULL,
    problem  text NOT NULL DEFAULT ''
);
