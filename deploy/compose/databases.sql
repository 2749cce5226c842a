-- One database and one role per service, for docker compose. Run once by the image, when the cluster is new; names and
-- passwords are for this machine only. `ON_ERROR_STOP` is set by the image.
\set services '{order,credit,fulfillment,billing,receivables,analytics}'

SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', 'o2c_' || name, 'o2c_' || name) FROM unnest(:'services'::text[]) AS s (name) \gexec
SELECT format('CREATE DATABASE %I OWNER %I', 'o2c_' || name, 'o2c_' || name) FROM unnest(:'services'::text[]) AS s (name) \gexec
-- By default everybody may connect to every database.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', 'o2c_' || name) FROM unnest(:'services'::text[]) AS s (name) \gexec

-- Who asks in SQL: the migrations of analytics let this role read the schema `analytics`.
CREATE ROLE o2c_analyst LOGIN PASSWORD 'o2c_analyst' CONNECTION LIMIT 10;
ALTER ROLE o2c_analyst SET default_transaction_read_only = 'on';
ALTER ROLE o2c_analyst SET statement_timeout = '60s';
ALTER ROLE o2c_analyst SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE o2c_analyst SET search_path = 'analytics';
ALTER ROLE o2c_analyst SET timezone = 'UTC';
GRANT CONNECT ON DATABASE o2c_analytics TO o2c_analyst;
