"""Theory measured: every theorem of the catalogue checked by algebra, over random cases, and by certificates."""
