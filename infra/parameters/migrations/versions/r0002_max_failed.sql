ALTER TABLE parameters.customers
    ADD COLUMN max_failed text CHECK (length(max_failed) BETWEEN 1 AND 16);
