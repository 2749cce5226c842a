-- Who appends takes the ids of its facts together with their sequences, so that it can hand them to the relay as
-- soon as they are committed, and the relay need not read them again.

DROP FUNCTION take_sequences(smallint[], bigint[]);

-- Takes the store's lock, the next `facts` notification ids, and the next sequences of lanes: (lane, count) →
-- (lane, head before), and one row without a lane for the notification id before the first.
CREATE FUNCTION take_places(in_lanes smallint[], counts bigint[], facts bigint)
RETURNS TABLE (taken_lane smallint, before bigint) LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
BEGIN
    PERFORM lock_store();
    first := nextval('events_notification_id_seq');
    PERFORM setval('events_notification_id_seq', first + facts - 1);
    RETURN QUERY SELECT NULL::smallint, first - 1;
    RETURN QUERY
        UPDATE lanes SET head = head + n.count
        FROM unnest(in_lanes, counts) AS n (lane, count)
        WHERE lanes.lane = n.lane
        RETURNING lanes.lane, lanes.head - n.count;
END $$;
