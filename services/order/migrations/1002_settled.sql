-- The name stays for those who read or write it; what it says is said here.
COMMENT ON COLUMN orders.paid_minor IS
    'Total of the invoices on which nothing is due any more: paid, credited or written off. Not the money received.';
