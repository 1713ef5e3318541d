CREATE TABLE parameters.customers (
    id           text PRIMARY KEY,
    recipient    text,
    roots        text[] NOT NULL DEFAULT '{}',
    open_window  integer NOT NULL,
    retain_hours integer NOT NULL
);

CREATE TABLE parameters.versions (
    customer   text NOT NULL REFERENCES parameters.customers,
    number     integer NOT NULL CHECK (number >= 1),
    sha256     text NOT NULL,
    content    jsonb NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer, number)
);

CREATE FUNCTION parameters.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version of Installation Parameters never changes; add the next one'
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER versions_never_change
    BEFORE UPDATE OR DELETE ON parameters.versions
    FOR EACH ROW EXECUTE FUNCTION parameters.refuse_change();

CREATE TRIGGER versions_are_never_emptied
    BEFORE TRUNCATE ON parameters.versions
    FOR EACH STATEMENT EXECUTE FUNCTION parameters.refuse_change();
