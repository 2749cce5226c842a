-- Who may read the schema `analytics`: roles that the operator makes, since roles belong to the whole cluster and a
-- service's own role may not make any. `analytics_admits` gives one the right to read this schema and nothing else.

CREATE FUNCTION analytics_admits(analyst text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA analytics TO %I', analyst);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO %I', analyst);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT SELECT ON TABLES TO %I', analyst);
END $$;
COMMENT ON FUNCTION analytics_admits IS 'Lets a role that exists read the schema analytics. Called by its owner.';

-- Everybody may by default use the schema public (its functions take the store's lock) and make temporary tables.
-- A role that does not own the database cannot revoke that; then its owner should.
DO $$
BEGIN
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'not the owner of this database: PUBLIC keeps its defaults';
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'o2c_analyst') THEN
        PERFORM analytics_admits('o2c_analyst');
    END IF;
END $$;
