"""What a job leaves behind: the data layer, and the image around it."""
