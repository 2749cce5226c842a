-- Letters that are done or dropped are deleted after a while, oldest first.
CREATE INDEX dead_letters_closed ON dead_letters (resolved_at) WHERE status IN ('done', 'dropped');
