-- Workers of the release before go on meanwhile: they leave all of this out, and never see a duplicate of a job that
-- they admitted.

-- A duplicate is listed, and worked on under another document's name. Its failure is that one's.
ALTER TABLE ledger.documents
    DROP COLUMN state,
    ADD COLUMN content text,  -- the bytes' name within the job
    ADD COLUMN same_as text;  -- of a duplicate: the document that is worked on for it
ALTER TABLE ledger.documents
    ADD COLUMN state text GENERATED ALWAYS AS (CASE
                    WHEN NOT met THEN NULL
                    WHEN archive THEN 'expanded'
                    WHEN code IS NOT NULL THEN 'failed'
                    WHEN same_as IS NOT NULL THEN 'duplicate'
                    WHEN open_work > 0 THEN 'open'
                    ELSE 'done'
                END) STORED;

CREATE INDEX documents_by_content ON ledger.documents (job, content) WHERE content IS NOT NULL;
CREATE INDEX documents_by_original ON ledger.documents (job, same_as) WHERE same_as IS NOT NULL;

-- By name, such as how many pages are doubtful: what each unit counted, their sums a job, and what its image counted.
ALTER TABLE ledger.work ADD COLUMN counts jsonb;  -- null: nothing
ALTER TABLE ledger.jobs
    ADD COLUMN duplicates integer NOT NULL DEFAULT 0,
    ADD COLUMN counts jsonb NOT NULL DEFAULT '{}';  -- the newest image's

CREATE INDEX work_that_counted ON ledger.work (job) WHERE counts IS NOT NULL;

CREATE TABLE ledger.counts (
    job    uuid NOT NULL REFERENCES ledger.jobs,
    name   text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (job, name)
) WITH (fillfactor = 50);

-- What `job_views` lacks, which stays as it is for the release before. Whoever reads it names the columns.
CREATE VIEW ledger.job_details AS
SELECT id, extends, version, duplicates,
       coalesce((SELECT jsonb_object_agg(name, number) FROM ledger.counts WHERE job = jobs.id), '{}') AS unit_counts,
       counts AS image_counts
FROM ledger.jobs;
