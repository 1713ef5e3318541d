"""What computes: extraction, tokenizer, embedding. Engines know documents and texts, not jobs or topics."""
