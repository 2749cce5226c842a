-- When we heard of money that pays nothing: its day of value may be years back. What is here already counts from now
-- until `o2c rebuild receivables`.
ALTER TABLE unapplied ADD COLUMN recorded_at timestamptz DEFAULT now();
