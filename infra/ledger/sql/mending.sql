-- name: lock_job
-- Locks a job that is to be mended. `ready`: nothing is left to do before it is baked.
SELECT state, erased_at, generation,
       coalesce(sources >= manifest AND open_work = 0, false) AS ready,
       done = 0 AND (extends IS NULL OR total > 0) OR coalesce(failed > coalesce(max_failed_count, max_failed_share * total), false) AS refused
FROM ledger.jobs
WHERE id = %(job)s
FOR UPDATE;

-- name: unit
-- One unit as it stands.
SELECT document, items, counts, code, source IS NOT NULL AS opened, finished_at IS NOT NULL AS finished
FROM ledger.work
WHERE message = %(message)s AND stage = %(stage)s
FOR UPDATE;

-- name: reopen_unit
-- Opens a unit that failed, or that nobody opened, or of which nobody heard.
INSERT INTO ledger.work AS unit (message, stage, job, document, source)
VALUES (%(message)s, %(stage)s, %(job)s, %(document)s, %(message)s)
ON CONFLICT (message, stage) DO UPDATE
    SET source = coalesce(unit.source, excluded.source), document = coalesce(unit.document, excluded.document),
        finished_at = NULL, items = 0, code = NULL, counts = NULL;

-- name: reopen_document
-- The document has one open unit more. A failure that was this unit's goes; another unit's takes its place, if there is
-- one, the first of them.
WITH failure AS (
    SELECT stage, code
    FROM ledger.work
    WHERE job = %(job)s AND document = %(document)s AND finished_at IS NOT NULL AND code IS NOT NULL
    ORDER BY finished_at, message
    LIMIT 1
), changed AS (
    UPDATE ledger.documents AS document
    SET open_work = document.open_work + 1,
        (stage, code) = (
            SELECT CASE WHEN mine THEN failure.stage ELSE document.stage END,
                   CASE WHEN mine THEN failure.code ELSE document.code END
            FROM (SELECT document.stage = %(stage)s AND document.code = %(code)s) AS told (mine)
            LEFT JOIN failure ON true
        )
    FROM ledger.documents AS before
    WHERE document.job = %(job)s AND document.id = %(document)s AND before.job = document.job AND before.id = document.id
    RETURNING before.state AS old, document.state AS new
)
SELECT count(*) FILTER (WHERE new = 'done') - count(*) FILTER (WHERE old = 'done') AS done,
       count(*) FILTER (WHERE new = 'failed') - count(*) FILTER (WHERE old = 'failed') AS failed
FROM changed;

-- name: drop_unit
-- Forgets a failed outcome of no job's counters.
DELETE FROM ledger.work
WHERE message = %(message)s AND stage = %(stage)s;

-- name: drop_units
-- Forgets all units of these documents, and takes what they made off the display. Returns how many were open.
WITH dropped AS (
    DELETE FROM ledger.work
    WHERE job = %(job)s AND document = ANY(%(documents)s::text[])
    RETURNING stage, items, counts,
              finished_at IS NOT NULL AS finished, source IS NOT NULL AND finished_at IS NULL AS open
), counted AS (
    SELECT name, sum(number::bigint) AS number
    FROM dropped CROSS JOIN LATERAL jsonb_each_text(counts) AS each (name, number)
    GROUP BY name
), taken_back AS (
    UPDATE ledger.counts
    SET number = counts.number - counted.number
    FROM counted
    WHERE counts.job = %(job)s AND counts.name = counted.name
), uncounted AS (
    UPDATE ledger.progress
    SET outcomes = progress.outcomes - made.outcomes, items = progress.items - made.items
    FROM (SELECT stage, count(*) FILTER (WHERE finished) AS outcomes, sum(items) AS items
          FROM dropped
          GROUP BY stage) AS made
    WHERE progress.job = %(job)s AND progress.stage = made.stage
)
SELECT count(*) FILTER (WHERE open) AS open
FROM dropped;

-- name: forget_documents
-- These documents are to be met again. Returns by how much the job's counts of documents change; one that is forgotten
-- twice changes nothing.
WITH changed AS (
    UPDATE ledger.documents AS document
    SET met = false, met_before = document.met OR document.met_before, archive = false, stage = NULL, code = NULL,
        open_work = 0
    FROM ledger.documents AS before
    WHERE document.job = %(job)s AND document.id = ANY(%(documents)s::text[])
        AND before.job = document.job AND before.id = document.id
    RETURNING before.state AS old
)
SELECT -count(old) AS sources,
       -count(*) FILTER (WHERE old <> 'expanded') AS total,
       -count(*) FILTER (WHERE old = 'done') AS done,
       -count(*) FILTER (WHERE old = 'failed') AS failed,
       -count(*) FILTER (WHERE old = 'duplicate') AS duplicates
FROM changed;

-- name: resume_job
-- The job is at work again.
UPDATE ledger.jobs
SET state = CASE WHEN manifest IS NULL THEN 'open' ELSE 'processing' END,
    reason = NULL,
    version = NULL,
    sources = sources + %(sources)s,
    total = total + %(total)s,
    done = done + %(done)s,
    failed = failed + %(failed)s,
    duplicates = duplicates + %(duplicates)s,
    open_work = open_work + %(open_work)s
WHERE id = %(job)s;

-- name: complete_again
-- The job is to be baked after all, as the generation that it was announced as.
UPDATE ledger.jobs
SET state = 'complete', reason = NULL
WHERE id = %(job)s;

-- name: uncount
-- Takes one outcome off the display: it will be counted again.
UPDATE ledger.progress
SET outcomes = outcomes - 1, items = items - %(items)s
WHERE job = %(job)s AND stage = %(stage)s;

-- name: discard
-- Dead letters that an operator has dealt with; the first time counts.
INSERT INTO ledger.discarded (letter, discarded_at)
SELECT letter, %(now)s
FROM unnest(%(letters)s::uuid[]) AS dealt_with (letter)
ORDER BY letter
ON CONFLICT (letter) DO NOTHING;

-- name: old_jobs
-- Jobs that were erased before then.
SELECT id
FROM ledger.jobs
WHERE erased_at < %(before)s
ORDER BY id
FOR UPDATE;

-- name: forget_work
-- Units of these jobs, and old outcomes of jobs that the ledger does not know.
DELETE FROM ledger.work
WHERE job = ANY(%(jobs)s::uuid[])
    OR finished_at < %(before)s AND NOT EXISTS (SELECT FROM ledger.jobs WHERE jobs.id = work.job);

-- name: forget_all_documents
-- Documents of these jobs.
DELETE FROM ledger.documents
WHERE job = ANY(%(jobs)s::uuid[]);

-- name: forget_progress
-- Progress of these jobs.
DELETE FROM ledger.progress
WHERE job = ANY(%(jobs)s::uuid[]);

-- name: forget_counts
-- What was counted of these jobs.
DELETE FROM ledger.counts
WHERE job = ANY(%(jobs)s::uuid[]);

-- name: forget_outbox
-- Announcements of these jobs, which an erased job has none of.
DELETE FROM ledger.outbox
WHERE job = ANY(%(jobs)s::uuid[]);

-- name: forget_jobs
-- The jobs themselves, last.
DELETE FROM ledger.jobs
WHERE id = ANY(%(jobs)s::uuid[]);

-- name: forget_in_hand
-- What a worker had in hand that died, and nobody finished.
DELETE FROM ledger.in_hand
WHERE since IS NULL OR since < %(before)s;

-- name: forget_discarded
-- Letters that were dealt with long ago.
DELETE FROM ledger.discarded
WHERE discarded_at < %(before)s;
