-- A batch is written by one statement: the store's lock is held for as long as the server works, not for as long as
-- questions and answers travel. `take_places` stays for replicas of the version before, while they are replaced.

-- Takes the store's lock, proves what a batch was decided on, and appends its facts.
--   streams … counted   one element a fact, in order. `places`: of its lane among `spoken`, `counted`: its number among
--                       those of this batch in that lane, from 1; both NULL for a private fact
--   spoken, counts      lanes of public facts, and how many each gets
--   speakers … afters   positions: from `befores` to `afters`, else O2C01
--   numbered … lasts    series of document numbers: the last taken is `firsts` (0: none yet) and becomes `lasts`, else O2C03, with
--                       the last of every series as its detail
--   concerned, waiting  streams of the batch, and those of them with an open letter, in their order, else O2C02
-- Returns the notification id before the first fact, and the head of each lane of `spoken` before this batch.
CREATE FUNCTION write_batch(
    streams text[], versions bigint[], topics text[], states bytea[], places integer[], counted bigint[],
    spoken smallint[], counts bigint[],
    speakers text[], heard smallint[], befores bigint[], afters bigint[],
    numbered text[], firsts bigint[], lasts bigint[],
    concerned text[], waiting text[],
    OUT after bigint, OUT heads bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    facts  bigint := cardinality(streams);
    proven bigint;
BEGIN
    PERFORM lock_store();
    IF cardinality(speakers) > 0 THEN
        UPDATE positions p SET sequence = u.after
        FROM unnest(speakers, heard, befores, afters) AS u (speaker, lane, before, after)
        WHERE p.speaker = u.speaker AND p.lane = u.lane AND p.sequence = u.before;
        GET DIAGNOSTICS proven = ROW_COUNT;
        IF proven <> cardinality(speakers) THEN
            RAISE EXCEPTION 'another consumer has advanced these positions' USING ERRCODE = 'O2C01';
        END IF;
    END IF;
    -- Stream by stream, whatever the planner thinks of how many letters are open.
    IF cardinality(concerned) > 0 AND waiting IS DISTINCT FROM ARRAY(
        SELECT c.stream FROM unnest(concerned) WITH ORDINALITY AS c (stream, place)
        CROSS JOIN LATERAL (
            SELECT FROM dead_letters d WHERE d.stream = c.stream AND d.status IN ('parked', 'waiting') LIMIT 1
        ) AS open ORDER BY c.place
    ) THEN
        RAISE EXCEPTION 'other streams have open letters than it was decided with' USING ERRCODE = 'O2C02';
    END IF;
    IF cardinality(numbered) > 0 THEN
        IF EXISTS (
            SELECT FROM unnest(numbered, firsts) AS u (series, first)
            LEFT JOIN number_series n ON n.series = u.series WHERE coalesce(n.last, 0) <> u.first
        ) THEN
            RAISE EXCEPTION 'another writer has taken these numbers' USING ERRCODE = 'O2C03',
                DETAIL = (SELECT coalesce(jsonb_object_agg(n.series, n.last), '{}') FROM number_series n);
        END IF;
        INSERT INTO number_series (series, last) SELECT * FROM unnest(numbered, lasts)
        ON CONFLICT (series) DO UPDATE SET last = excluded.last;
    END IF;
    IF facts > 0 THEN
        after := nextval('events_notification_id_seq') - 1;
        PERFORM setval('events_notification_id_seq', after + facts);
        WITH taken AS (
            UPDATE lanes SET head = head + u.count
            FROM unnest(spoken, counts) WITH ORDINALITY AS u (lane, count, place)
            WHERE lanes.lane = u.lane
            RETURNING u.place, lanes.head - u.count AS before
        )
        SELECT array_agg(t.before ORDER BY t.place) INTO heads FROM taken t;
        INSERT INTO events (originator_id, originator_version, topic, state, notification_id, lane, sequence)
        SELECT f.stream, f.version, f.topic, f.state, after + f.number, spoken[f.place], heads[f.place] + f.counted
        FROM unnest(streams, versions, topics, states, places, counted) WITH ORDINALITY
            AS f (stream, version, topic, state, place, counted, number);
    END IF;
END $$;
