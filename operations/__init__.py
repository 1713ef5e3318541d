"""What a person asks for, one use case a file. What a use case needs is passed in."""
