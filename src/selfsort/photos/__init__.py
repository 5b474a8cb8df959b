"""What an organizer of one's own pictures needs beyond groups: getting them out of a run, and back again."""
