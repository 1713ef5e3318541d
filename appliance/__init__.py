"""The program inside the image: it answers questions over the data baked beside it. Imports nothing else of ours."""
