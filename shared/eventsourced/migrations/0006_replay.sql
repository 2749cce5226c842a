-- How often somebody asked for everything to be said again, and how often that was done: in the store, so that it is
-- done whoever leads, and also when Kafka was away or has just come back empty.
ALTER TABLE relay
    ADD COLUMN replays_asked bigint NOT NULL DEFAULT 0,
    ADD COLUMN replays_done bigint NOT NULL DEFAULT 0;
