-- The view stays as it is: workers of the release before take each of its columns for a field that they know.
ALTER TABLE ledger.jobs
    ADD COLUMN extends text,  -- the version that this job updates; null: a full job
    ADD COLUMN version text;  -- what its newest image was packaged as
