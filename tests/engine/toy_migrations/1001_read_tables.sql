CREATE TABLE jars (customer_id text PRIMARY KEY, total_minor bigint, coins bigint, size text, size_at timestamptz);
CREATE TABLE coins (order_id text PRIMARY KEY, customer_id text, amount_minor bigint);
CREATE TABLE noted (customer_id text PRIMARY KEY, messages bigint, amount_minor bigint);
