"""HTTP apps over the engines and the operations. None stands yet."""
