"""Find a galaxy in a catalogue, and see its posterior."""
