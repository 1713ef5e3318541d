-- name: finished
-- Which of these messages have an outcome at the stage.
SELECT message
FROM ledger.work
WHERE message = ANY(%(messages)s::uuid[]) AND stage = %(stage)s AND finished_at IS NOT NULL;

-- name: outcomes
-- What became of these messages at the stage.
SELECT message, code
FROM ledger.work
WHERE message = ANY(%(messages)s::uuid[]) AND stage = %(stage)s AND finished_at IS NOT NULL;

-- name: originals
-- Of these contents, the documents that others may be duplicates of.
SELECT content, array_agg(id) AS documents
FROM ledger.documents
WHERE job = %(job)s AND content = ANY(%(contents)s::text[])
    AND (met OR met_before) AND NOT archive AND code IS NULL AND same_as IS NULL
GROUP BY content;

-- name: counted
-- The job's units that counted something.
SELECT stage, document, counts
FROM ledger.work
WHERE job = %(job)s AND counts IS NOT NULL
ORDER BY stage COLLATE "C", document COLLATE "C" NULLS FIRST, message;

-- name: work
-- The job's units.
SELECT message, stage, document, source IS NOT NULL AS opened, finished_at IS NOT NULL AS finished, code
FROM ledger.work
WHERE job = %(job)s
ORDER BY stage COLLATE "C", message;

-- name: open_units
-- The job's units that are opened and not finished.
SELECT message, stage, document, true AS opened, false AS finished, code
FROM ledger.work
WHERE job = %(job)s AND source IS NOT NULL AND finished_at IS NULL
ORDER BY stage COLLATE "C", message;

-- name: running
-- What is open at each stage of the running jobs. Counted by document first, which needs no sort of all units.
SELECT open.job, jobs.customer, open.stage, count(open.document) AS open_documents, sum(open.units)::bigint AS open_units
FROM (SELECT job, stage, document, count(*) AS units
      FROM ledger.work
      WHERE source IS NOT NULL AND finished_at IS NULL
      GROUP BY job, stage, document) AS open
JOIN ledger.jobs ON jobs.id = open.job
WHERE jobs.state IN ('open', 'processing')
GROUP BY open.job, jobs.customer, open.stage
ORDER BY open.job, open.stage COLLATE "C";

-- name: discarded
-- Which of these dead letters were dealt with.
SELECT letter
FROM ledger.discarded
WHERE letter = ANY(%(letters)s::uuid[]);

-- name: erased_jobs
-- Which of these jobs take no further records.
SELECT id
FROM ledger.jobs
WHERE id = ANY(%(jobs)s::uuid[]) AND state IN ('erased', 'cancelled');

-- name: announcements
-- What is to be published, oldest first.
SELECT outbox.job, jobs.customer, outbox.generation
FROM ledger.outbox
JOIN ledger.jobs ON jobs.id = outbox.job
ORDER BY outbox.completed_at, outbox.job, outbox.generation;

-- name: due_for_erasure
-- Jobs whose retention is over, oldest first; those at work once the longest time for that is over too, cancelled ones
-- at once.
SELECT id
FROM ledger.jobs
WHERE erased_at IS NULL
    AND (state = 'cancelled'
         OR retain_until <= %(now)s AND (state NOT IN ('processing', 'complete') OR opened_at <= %(opened_before)s))
ORDER BY retain_until, id;

-- name: open_documents
-- How many documents of the customer's running jobs have open work.
SELECT count(*) AS documents
FROM ledger.jobs
JOIN ledger.documents ON documents.job = jobs.id AND documents.open_work > 0
WHERE jobs.customer = %(customer)s AND jobs.state IN ('open', 'processing');

-- name: job
-- One job as it stands.
SELECT view.*, more.extends, more.version, more.duplicates, more.unit_counts, more.image_counts
FROM ledger.job_views AS view
JOIN ledger.job_details AS more USING (id)
WHERE id = %(job)s;

-- name: jobs
-- The newest jobs.
SELECT view.*, more.extends, more.version, more.duplicates, more.unit_counts, more.image_counts
FROM ledger.job_views AS view
JOIN ledger.job_details AS more USING (id)
ORDER BY view.opened_at DESC, id
LIMIT %(limit)s;

-- name: jobs_of_customer
-- The customer's newest jobs.
SELECT view.*, more.extends, more.version, more.duplicates, more.unit_counts, more.image_counts
FROM ledger.job_views AS view
JOIN ledger.job_details AS more USING (id)
WHERE view.customer = %(customer)s
ORDER BY view.opened_at DESC, id
LIMIT %(limit)s;

-- name: documents
-- The documents that the job has met.
SELECT id, state, sealed_path, stage, code, member, content, same_as
FROM ledger.documents
WHERE job = %(job)s AND state IS NOT NULL
ORDER BY id;

-- name: awaited
-- The documents that the job is to meet again.
SELECT id, sealed_path, stage, code, member, content, same_as
FROM ledger.documents
WHERE job = %(job)s AND NOT met AND met_before
ORDER BY id;

-- name: ping
-- Whether the tables are there.
SELECT 1
FROM ledger.jobs
LIMIT 1;
