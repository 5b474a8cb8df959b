"""A method's way from pictures to a run folder, and from a run folder to the groups of new pictures."""
