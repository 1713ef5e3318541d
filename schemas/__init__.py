"""What travels and what is agreed: messages, ids, errors, sealing. Pure: no I/O, no clock, no entropy of its own."""
