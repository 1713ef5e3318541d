-- name: lock_jobs
-- Locks the jobs in order of their ids, so that two polls never wait for each other. What follows sees all that was
-- recorded before, because each statement takes its own snapshot. Returns the jobs that exist.
SELECT id, erased_at
FROM ledger.jobs
WHERE id = ANY(%(jobs)s::uuid[])
ORDER BY id
FOR UPDATE;

-- name: finish_work
-- Stores outcomes that are not known yet; returns those alone, with what the unit said when it was opened. Whoever had
-- the messages in hand has put them down.
WITH held AS (
    SELECT message
    FROM ledger.in_hand
    WHERE message = ANY(%(messages)s::uuid[]) AND stage = %(stage)s
    ORDER BY message
    FOR UPDATE
), put_down AS (
    DELETE FROM ledger.in_hand
    USING held
    WHERE in_hand.message = held.message AND in_hand.stage = %(stage)s
)
INSERT INTO ledger.work AS unit (message, stage, job, document, finished_at, items, code, counts)
SELECT message, %(stage)s, job, document, %(now)s, items, code, counts
FROM unnest(%(messages)s::uuid[], %(jobs)s::uuid[], %(documents)s::text[], %(items)s::integer[], %(codes)s::text[],
            %(counts)s::jsonb[])
    AS outcome (message, job, document, items, code, counts)
ORDER BY message
ON CONFLICT (message, stage) DO UPDATE
    SET finished_at = excluded.finished_at, items = excluded.items, code = excluded.code, counts = excluded.counts
    WHERE unit.finished_at IS NULL
RETURNING message, document, source IS NOT NULL AS opened;

-- name: open_work
-- Opens units that are not opened yet; returns those that are open now, and not those finished ahead of it.
WITH opened AS (
    INSERT INTO ledger.work AS unit (message, stage, job, document, source)
    SELECT message, stage, job, document, source
    FROM unnest(%(messages)s::uuid[], %(stages)s::text[], %(jobs)s::uuid[], %(documents)s::text[], %(sources)s::uuid[])
        AS output (message, stage, job, document, source)
    ORDER BY message, stage
    ON CONFLICT (message, stage) DO UPDATE
        SET source = excluded.source
        WHERE unit.source IS NULL
    RETURNING job, document, finished_at
)
SELECT job, document FROM opened WHERE finished_at IS NULL;

-- name: hear_of_documents
-- Makes a row for documents that were never mentioned, so that they can be counted before they are met.
INSERT INTO ledger.documents (job, id)
SELECT job, id
FROM unnest(%(jobs)s::uuid[], %(ids)s::text[]) AS document (job, id)
ORDER BY job, id
ON CONFLICT (job, id) DO NOTHING;

-- name: move_documents
-- Introduces documents (the first introduction counts), marks failures (the first counts) and moves open work.
-- Returns by how much each job's counts of documents change. A document that nobody has met has no state. What a
-- document was met as first stays, member or source.
WITH changed AS (
    UPDATE ledger.documents AS document
    SET met = document.met OR move.introduced,
        sealed_path = CASE WHEN move.introduced AND NOT document.met THEN move.sealed_path ELSE document.sealed_path END,
        member = CASE WHEN document.met OR document.met_before THEN document.member ELSE move.member END,
        archive = CASE WHEN document.met THEN document.archive ELSE move.archive END,
        code = coalesce(document.code, CASE WHEN NOT document.met THEN move.refusal END, move.failure),
        stage = CASE
            WHEN document.code IS NULL AND (move.failure IS NOT NULL OR move.refusal IS NOT NULL AND NOT document.met)
            THEN %(stage)s ELSE document.stage
        END,
        open_work = document.open_work + move.open_work,
        content = CASE WHEN move.introduced AND NOT document.met THEN move.content ELSE document.content END,
        same_as = CASE WHEN move.introduced AND NOT document.met THEN move.same_as ELSE document.same_as END
    FROM unnest(%(jobs)s::uuid[], %(ids)s::text[], %(introduced)s::boolean[], %(sealed_paths)s::bytea[],
                %(members)s::boolean[], %(archives)s::boolean[], %(refusals)s::text[], %(failures)s::text[],
                %(open_work)s::integer[], %(contents)s::text[], %(originals)s::text[])
            AS move (job, id, introduced, sealed_path, member, archive, refusal, failure, open_work, content, same_as)
        JOIN ledger.documents AS before USING (job, id)
    WHERE document.job = move.job AND document.id = move.id
    RETURNING document.job,
              document.member AND NOT document.met_before AS uncounted,
              before.state AS old,
              document.state AS new
)
SELECT job,
       count(*) FILTER (WHERE old IS NULL AND new IS NOT NULL AND NOT uncounted) AS sources,
       count(*) FILTER (WHERE old IS NULL AND new <> 'expanded') AS total,
       count(*) FILTER (WHERE new = 'done') - count(*) FILTER (WHERE old = 'done') AS done,
       count(*) FILTER (WHERE new = 'failed') - count(*) FILTER (WHERE old = 'failed') AS failed,
       count(*) FILTER (WHERE new = 'duplicate') - count(*) FILTER (WHERE old = 'duplicate') AS duplicates
FROM changed
GROUP BY job;

-- name: follow_originals
-- Duplicates that are among these documents or are of one among them fail as their originals do, or no longer. Returns
-- by how much each job's counts of documents change.
WITH changed AS (
    UPDATE ledger.documents AS document
    SET stage = original.stage, code = original.code
    FROM unnest(%(jobs)s::uuid[], %(ids)s::text[]) AS moved (job, id)
        JOIN ledger.documents AS before
            ON before.job = moved.job AND before.met AND (before.id = moved.id OR before.same_as = moved.id)
        JOIN ledger.documents AS original ON original.job = before.job AND original.id = before.same_as
    WHERE document.job = before.job AND document.id = before.id
        AND (document.stage, document.code) IS DISTINCT FROM (original.stage, original.code)
    RETURNING document.job, before.state AS old, document.state AS new
)
SELECT job,
       count(*) FILTER (WHERE new = 'failed') - count(*) FILTER (WHERE old = 'failed') AS failed,
       count(*) FILTER (WHERE new = 'duplicate') - count(*) FILTER (WHERE old = 'duplicate') AS duplicates
FROM changed
GROUP BY job;

-- name: move_jobs
-- Moves the jobs' counters, lets those without open work complete, and puts their announcements into the outbox.
WITH moved AS (
    SELECT job.id,
           job.state,
           job.extends,
           coalesce(job.manifest, move.manifest) AS manifest,
           job.sources + move.sources AS sources,
           job.total + move.total AS total,
           job.done + move.done AS done,
           job.failed + move.failed AS failed,
           job.duplicates + move.duplicates AS duplicates,
           job.open_work + move.open_work AS open_work,
           coalesce(job.max_failed_count, job.max_failed_share * (job.total + move.total)) AS most_failed
    FROM ledger.jobs AS job
    JOIN unnest(%(jobs)s::uuid[], %(manifests)s::integer[], %(sources)s::integer[], %(total)s::integer[],
                %(done)s::integer[], %(failed)s::integer[], %(duplicates)s::integer[], %(open_work)s::integer[])
        AS move (id, manifest, sources, total, done, failed, duplicates, open_work) USING (id)
), ended AS (
    SELECT id,
           coalesce(state IN ('open', 'processing') AND sources >= manifest AND open_work = 0, false) AS now,
           CASE
               WHEN done = 0 AND (extends IS NULL OR total > 0) THEN 'job.empty'  -- an update may only remove
               WHEN failed > most_failed THEN 'job.too-many-failed'
           END AS reason
    FROM moved
), settled AS (
    UPDATE ledger.jobs AS job
    SET manifest = moved.manifest,
        sources = moved.sources,
        total = moved.total,
        done = moved.done,
        failed = moved.failed,
        duplicates = moved.duplicates,
        open_work = moved.open_work,
        state = CASE
            WHEN ended.now AND ended.reason IS NULL THEN 'complete'
            WHEN ended.now THEN 'failed'
            WHEN moved.state = 'open' AND moved.manifest IS NOT NULL THEN 'processing'
            ELSE moved.state
        END,
        reason = CASE WHEN ended.now THEN ended.reason ELSE job.reason END,
        generation = job.generation + (ended.now AND ended.reason IS NULL)::integer,
        completed_at = CASE WHEN ended.now THEN %(now)s ELSE job.completed_at END,
        first_done_at = coalesce(job.first_done_at, CASE WHEN moved.done > 0 THEN %(now)s::timestamptz END),
        last_done_at = CASE
            WHEN moved.done > 0 AND moved.done + moved.failed > job.done + job.failed THEN %(now)s ELSE job.last_done_at
        END,
        first_done = CASE
            WHEN job.first_done_at IS NULL AND moved.done > 0 THEN moved.done + moved.failed ELSE job.first_done
        END
    FROM moved JOIN ended USING (id)
    WHERE job.id = moved.id
    RETURNING job.id, job.generation, ended.now AND ended.reason IS NULL AS completed
)
INSERT INTO ledger.outbox (job, generation, completed_at)
SELECT id, generation, %(now)s
FROM settled
WHERE completed;

-- name: add_progress
-- Counts outcomes and what they made, by job and stage, for display.
INSERT INTO ledger.progress AS progress (job, stage, outcomes, items)
SELECT job, %(stage)s, outcomes, items
FROM unnest(%(jobs)s::uuid[], %(outcomes)s::bigint[], %(items)s::bigint[]) AS made (job, outcomes, items)
ON CONFLICT (job, stage) DO UPDATE
    SET outcomes = progress.outcomes + excluded.outcomes, items = progress.items + excluded.items;

-- name: add_counts
-- Counts what outcomes counted, by job and name.
INSERT INTO ledger.counts AS counts (job, name, number)
SELECT job, name, number
FROM unnest(%(jobs)s::uuid[], %(names)s::text[], %(numbers)s::bigint[]) AS counted (job, name, number)
ORDER BY job, name
ON CONFLICT (job, name) DO UPDATE SET number = counts.number + excluded.number;
