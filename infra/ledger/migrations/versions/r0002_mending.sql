-- At most one of the two is set; neither: all but one document may fail.
ALTER TABLE ledger.jobs
    ADD COLUMN max_failed_count integer,
    ADD COLUMN max_failed_share double precision,
    ADD CHECK (max_failed_count IS NULL OR max_failed_share IS NULL);

-- When documents first and last were done, and how many were done or failed the first time: a rate can be told of them.
ALTER TABLE ledger.jobs
    ADD COLUMN first_done_at timestamptz,
    ADD COLUMN last_done_at timestamptz,
    ADD COLUMN first_done integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN ledger.jobs.sources IS
    'documents met that are no members, less the members to be met again: what the manifest counts';

-- A cancelled job has a time of its erasure as well, so that alone tells which are erased.
DROP INDEX ledger.jobs_to_erase;
CREATE INDEX jobs_to_erase ON ledger.jobs (retain_until) WHERE erased_at IS NULL;
CREATE INDEX jobs_erased ON ledger.jobs (erased_at) WHERE erased_at IS NOT NULL;

-- Met, and then forgotten to be admitted anew: its kind stays (`member`), and the job waits for it while `met` is false.
ALTER TABLE ledger.documents ADD COLUMN met_before boolean NOT NULL DEFAULT false;

CREATE INDEX work_of_job ON ledger.work (job, document);
CREATE INDEX work_open ON ledger.work (job, stage) WHERE source IS NOT NULL AND finished_at IS NULL;

-- Messages that a worker has taken, and how often each killed a process in which it was alone. A crash of the server
-- empties it, which costs nothing but a suspicion; in return taking and putting down waits for no disk.
CREATE UNLOGGED TABLE ledger.in_hand (
    message uuid NOT NULL,
    stage   text NOT NULL,
    worker  uuid,               -- null: put down, and kept for its strikes
    since   timestamptz,
    strikes integer NOT NULL DEFAULT 0,
    PRIMARY KEY (message, stage)
) WITH (fillfactor = 80);

-- Dead letters that an operator has dealt with.
CREATE TABLE ledger.discarded (
    letter       uuid PRIMARY KEY,
    discarded_at timestamptz NOT NULL
);

CREATE OR REPLACE VIEW ledger.job_views AS
SELECT id, customer, reference, state, parameters, fingerprint, parent, generation, manifest, total, done, failed,
       open_work, items, outcomes, reason, image, merkle, opened_at, completed_at, baked_at, erased_at, retain_until,
       chunks, max_failed_count, max_failed_share, first_done_at, first_done, last_done_at
FROM ledger.jobs
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(stage, items) FILTER (WHERE items > 0), '{}') AS items,
           coalesce(jsonb_object_agg(stage, outcomes) FILTER (WHERE outcomes > 0), '{}') AS outcomes
    FROM ledger.progress
    WHERE progress.job = jobs.id
) AS made;
