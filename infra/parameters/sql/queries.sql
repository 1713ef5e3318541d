-- name: put_customer
-- Adds the customer, or replaces all but its id.
INSERT INTO parameters.customers (id, recipient, roots, open_window, retain_hours, max_failed)
VALUES (%(id)s, %(recipient)s, %(roots)s::text[], %(window)s, %(retain_hours)s, %(max_failed)s)
ON CONFLICT (id) DO UPDATE
    SET recipient = excluded.recipient, roots = excluded.roots, open_window = excluded.open_window,
        retain_hours = excluded.retain_hours, max_failed = excluded.max_failed;

-- name: customer
-- One customer.
SELECT id, recipient, roots, open_window AS window, retain_hours, max_failed
FROM parameters.customers
WHERE id = %(id)s;

-- name: customers
-- All customers. Ids compare by their bytes, whatever the database's locale.
SELECT id, recipient, roots, open_window AS window, retain_hours, max_failed
FROM parameters.customers
ORDER BY id COLLATE "C";

-- name: lock_customer
-- Lets versions of one customer be added one after another.
SELECT id
FROM parameters.customers
WHERE id = %(customer)s
FOR UPDATE;

-- name: add_version
-- Stores a version under its number.
INSERT INTO parameters.versions (customer, number, sha256, content)
VALUES (%(customer)s, %(number)s, %(sha256)s, %(content)s::jsonb);

-- name: newest_version
-- The customer's version of the highest number.
SELECT number, content::text AS content
FROM parameters.versions
WHERE customer = %(customer)s
ORDER BY number DESC
LIMIT 1;

-- name: version
-- One version of the customer.
SELECT number, content::text AS content
FROM parameters.versions
WHERE customer = %(customer)s AND number = %(number)s;

-- name: ping
-- Whether the tables are there.
SELECT 1
FROM parameters.customers
LIMIT 1;
