-- Rows whose counters move often leave room in their page, so that an update touches no index.

CREATE TABLE ledger.jobs (
    id           uuid PRIMARY KEY,
    customer     text NOT NULL,
    reference    text NOT NULL,
    parameters   integer NOT NULL,
    fingerprint  text NOT NULL,
    parent       uuid,
    state        text NOT NULL DEFAULT 'open' CHECK (state IN
                     ('open', 'processing', 'complete', 'baked', 'packaged', 'erased', 'failed', 'cancelled')),
    reason       text,
    generation   integer NOT NULL DEFAULT 0,
    manifest     integer,
    sources      integer NOT NULL DEFAULT 0,  -- documents met that are no members: what the manifest counts
    total        integer NOT NULL DEFAULT 0,  -- documents met that are no archives
    done         integer NOT NULL DEFAULT 0,
    failed       integer NOT NULL DEFAULT 0,
    open_work    integer NOT NULL DEFAULT 0 CHECK (open_work >= 0),
    image        text,
    chunks       integer,
    merkle       jsonb NOT NULL DEFAULT '{}',
    opened_at    timestamptz NOT NULL,
    completed_at timestamptz,
    baked_at     timestamptz,
    erased_at    timestamptz,
    retain_until timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX jobs_newest ON ledger.jobs (opened_at DESC, id);
CREATE INDEX jobs_newest_of_customer ON ledger.jobs (customer, opened_at DESC, id);
CREATE INDEX jobs_running ON ledger.jobs (customer) WHERE state IN ('open', 'processing');
CREATE INDEX jobs_to_erase ON ledger.jobs (retain_until) WHERE state <> 'erased';

-- A document's state is never set: it follows from what is known of the document.
CREATE TABLE ledger.documents (
    job         uuid NOT NULL REFERENCES ledger.jobs,
    id          text NOT NULL,
    met         boolean NOT NULL DEFAULT false,  -- false: only its messages are known, which ran ahead of its admission
    sealed_path bytea NOT NULL DEFAULT '',
    member      boolean NOT NULL DEFAULT false,
    archive     boolean NOT NULL DEFAULT false,
    code        text,
    stage       text,
    open_work   integer NOT NULL DEFAULT 0 CHECK (open_work >= 0),
    state       text GENERATED ALWAYS AS (CASE
                    WHEN NOT met THEN NULL
                    WHEN archive THEN 'expanded'
                    WHEN code IS NOT NULL THEN 'failed'
                    WHEN open_work > 0 THEN 'open'
                    ELSE 'done'
                END) STORED,
    PRIMARY KEY (job, id)
);

CREATE INDEX documents_with_open_work ON ledger.documents (job) WHERE open_work > 0;

-- A unit of work: a message at a stage that reads it. Opened by the outcome of `source`, finished by its own.
-- Only what is opened and not finished is open. What no stage made (a submission, an announcement) is never opened.
CREATE TABLE ledger.work (
    message     uuid NOT NULL,
    stage       text NOT NULL,
    job         uuid NOT NULL,
    document    text,
    source      uuid,         -- null: not opened
    finished_at timestamptz,  -- null: not finished
    items       integer NOT NULL DEFAULT 0,
    code        text,
    PRIMARY KEY (message, stage)
) WITH (fillfactor = 80);

CREATE TABLE ledger.progress (
    job      uuid NOT NULL REFERENCES ledger.jobs,
    stage    text NOT NULL,
    outcomes bigint NOT NULL,
    items    bigint NOT NULL,
    PRIMARY KEY (job, stage)
) WITH (fillfactor = 50);

CREATE TABLE ledger.outbox (
    job          uuid NOT NULL REFERENCES ledger.jobs,
    generation   integer NOT NULL,
    completed_at timestamptz NOT NULL,
    PRIMARY KEY (job, generation)
);

CREATE VIEW ledger.job_views AS
SELECT id, customer, reference, state, parameters, fingerprint, parent, generation, manifest, total, done, failed,
       open_work, items, outcomes, reason, image, merkle, opened_at, completed_at, baked_at, erased_at, retain_until,
       chunks
FROM ledger.jobs
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(stage, items) FILTER (WHERE items > 0), '{}') AS items,
           coalesce(jsonb_object_agg(stage, outcomes), '{}') AS outcomes
    FROM ledger.progress
    WHERE progress.job = jobs.id
) AS made;
