-- name: open_job
-- Records a job unless it is known. What stages made of its messages before was counted nowhere, and opened nothing: it
-- is to be done again. That an event was refused before stays known.
WITH opened AS (
    INSERT INTO ledger.jobs (id, customer, reference, parameters, fingerprint, parent, opened_at, retain_until,
                             max_failed_count, max_failed_share, extends)
    VALUES (%(id)s, %(customer)s, %(reference)s, %(parameters)s, %(fingerprint)s, %(parent)s, %(opened_at)s,
            %(retain_until)s, %(max_failed_count)s, %(max_failed_share)s, %(extends)s)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
DELETE FROM ledger.work
USING opened
WHERE work.job = opened.id AND work.stage <> %(admit)s;

-- name: bake_job
-- The complete job has the image of its newest announcement.
UPDATE ledger.jobs
SET state = 'baked', image = %(image)s, chunks = %(chunks)s, merkle = %(merkle)s, baked_at = %(baked_at)s,
    retain_until = %(retain_until)s, counts = %(counts)s
WHERE id = %(job)s AND generation = %(generation)s AND state = 'complete';

-- name: package_job
-- The baked job's newest image is that version.
UPDATE ledger.jobs
SET state = 'packaged', version = %(version)s
WHERE id = %(job)s AND generation = %(generation)s AND state = 'baked';

-- name: fail_job
-- An unfinished job fails as a whole; on behalf of a generation only while that is complete and not baked.
UPDATE ledger.jobs
SET state = 'failed', reason = %(reason)s
WHERE id = %(job)s
    AND state IN ('open', 'processing', 'complete')
    AND (%(generation)s::integer IS NULL OR state = 'complete' AND generation = %(generation)s);

-- name: withdraw_announcements
-- Only a complete job has something to bake.
DELETE FROM ledger.outbox
USING ledger.jobs
WHERE outbox.job = %(job)s AND jobs.id = outbox.job AND jobs.state <> 'complete';

-- name: announce_again
-- Puts a complete job's announcement back.
INSERT INTO ledger.outbox (job, generation, completed_at)
SELECT id, generation, completed_at
FROM ledger.jobs
WHERE id = %(job)s AND state = 'complete'
FOR UPDATE
ON CONFLICT (job, generation) DO UPDATE SET completed_at = excluded.completed_at
RETURNING job;

-- name: cancel_job
-- The job is cancelled, unless it is erased.
UPDATE ledger.jobs
SET state = 'cancelled', reason = 'job.cancelled'
WHERE id = %(job)s AND state NOT IN ('cancelled', 'erased');

-- name: erase_job
-- The job is erased; the first time counts. A cancelled one stays cancelled.
UPDATE ledger.jobs
SET state = CASE state WHEN 'cancelled' THEN state ELSE 'erased' END, erased_at = coalesce(erased_at, %(now)s)
WHERE id = %(job)s;

-- name: drop_paths
-- Forgets the sealed paths of an erased job's documents.
UPDATE ledger.documents
SET sealed_path = ''
WHERE job = %(job)s AND sealed_path <> '';

-- name: take_announcement
-- Takes one announcement out of the outbox.
DELETE FROM ledger.outbox
WHERE job = %(job)s AND generation = %(generation)s;
