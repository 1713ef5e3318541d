-- name: take
-- Notes that the worker has these messages in hand, less those that have an outcome. Returns these, and the suspects:
-- what another worker had in hand, or killed a process before. Rows are locked in order of their ids.
WITH finished AS (
    SELECT message
    FROM ledger.work
    WHERE message = ANY(%(messages)s::uuid[]) AND stage = %(stage)s AND finished_at IS NOT NULL
), held AS (
    SELECT message, strikes
    FROM ledger.in_hand
    WHERE message = ANY(%(messages)s::uuid[]) AND stage = %(stage)s AND (worker <> %(worker)s OR strikes > 0)
), taken AS (
    INSERT INTO ledger.in_hand (message, stage, worker, since)
    SELECT message, %(stage)s, %(worker)s, %(now)s
    FROM (SELECT unnest(%(messages)s::uuid[]) EXCEPT SELECT message FROM finished) AS wanted (message)
    ORDER BY message
    ON CONFLICT (message, stage) DO UPDATE SET worker = excluded.worker, since = excluded.since
)
SELECT message, true AS finished, 0 AS strikes
FROM finished
UNION ALL
SELECT message, false, strikes
FROM held
WHERE message NOT IN (SELECT message FROM finished);

-- name: put_down
-- The worker has let go of these messages. Those with strikes are kept.
WITH held AS (
    SELECT message, strikes
    FROM ledger.in_hand
    WHERE message = ANY(%(messages)s::uuid[]) AND stage = %(stage)s AND worker = %(worker)s
    ORDER BY message
    FOR UPDATE
), kept AS (
    UPDATE ledger.in_hand
    SET worker = NULL
    FROM held
    WHERE in_hand.message = held.message AND in_hand.stage = %(stage)s AND held.strikes > 0
)
DELETE FROM ledger.in_hand
USING held
WHERE in_hand.message = held.message AND in_hand.stage = %(stage)s AND held.strikes = 0;

-- name: strike
-- The message was alone in a process that died.
INSERT INTO ledger.in_hand AS held (message, stage, strikes)
VALUES (%(message)s, %(stage)s, 1)
ON CONFLICT (message, stage) DO UPDATE SET strikes = held.strikes + 1
RETURNING strikes;
