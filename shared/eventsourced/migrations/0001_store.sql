-- The store of one service: facts, how far it has spoken and heard, and what could not be processed.

-- Columns originator_id … notification_id are those of the eventsourcing library, so that its recorder can read us.
CREATE TABLE events (
    originator_id      text COLLATE "C" NOT NULL,
    originator_version bigint           NOT NULL,
    topic              text             NOT NULL,
    state              bytea            NOT NULL,
    notification_id    bigserial        NOT NULL,
    lane               smallint,        -- public facts only: the lane of the message key
    sequence           bigint,          -- public facts only: 1, 2, 3 … without gaps in the lane
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX events_notification_id ON events (notification_id);
ALTER TABLE events SET (autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.2);

-- How far this service has spoken in each lane.
CREATE TABLE lanes (
    lane smallint PRIMARY KEY,
    head bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO lanes (lane) SELECT generate_series(0, 47);

-- How far this service has heard each speaker in each lane.
CREATE TABLE positions (
    speaker  text     NOT NULL,
    lane     smallint NOT NULL,
    sequence bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (speaker, lane)
) WITH (fillfactor = 20);

-- How far the relay has published, by notification_id; one row.
CREATE TABLE relay (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    cursor   bigint NOT NULL DEFAULT 0,
    letters  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO relay DEFAULT VALUES;

-- Folded states of long streams. A snapshot is a cache: it may be deleted at any time.
CREATE TABLE snapshots (
    originator_id      text COLLATE "C" PRIMARY KEY,
    originator_version bigint NOT NULL,
    topic              text   NOT NULL,
    state              bytea  NOT NULL
);

-- The last number taken of each series of documents.
CREATE TABLE number_series (
    series text   PRIMARY KEY,
    last   bigint NOT NULL
);

-- Messages that could not be processed (parked), and those of the same stream behind them (waiting).
CREATE TABLE dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest      bytea       NOT NULL UNIQUE,
    status      text        NOT NULL CHECK (status IN ('parked', 'waiting', 'done', 'dropped')),
    message_id  text        NOT NULL,
    type        text        NOT NULL,
    stream      text        NOT NULL,   -- the speaker's stream; '' when messages do not depend on each other
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    record_offset bigint    NOT NULL,
    headers     jsonb       NOT NULL,
    key         bytea,
    body        bytea       NOT NULL,
    code        text        NOT NULL,
    reason      text        NOT NULL,
    attempts    integer     NOT NULL DEFAULT 1,
    parked_at   timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);
CREATE INDEX dead_letters_open ON dead_letters (stream, id) WHERE status IN ('parked', 'waiting');

-- One writer at a time per service, from here to its commit: notification ids become visible in their order,
-- sequences have no gaps, and no two transactions wait for each other's rows.
CREATE FUNCTION lock_store() RETURNS void LANGUAGE sql AS $$ SELECT pg_advisory_xact_lock(7_201_926) $$;

-- Takes the next sequences of lanes, and the store's lock: (lane, count) → (lane, head before).
CREATE FUNCTION take_sequences(in_lanes smallint[], counts bigint[])
RETURNS TABLE (taken_lane smallint, before bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_store();
    RETURN QUERY
        UPDATE lanes SET head = head + n.count
        FROM unnest(in_lanes, counts) AS n (lane, count)
        WHERE lanes.lane = n.lane
        RETURNING lanes.lane, lanes.head - n.count;
END $$;
