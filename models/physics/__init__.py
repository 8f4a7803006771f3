"""Numbers of radiotherapy geometry: surfaces of masks and the distances between them."""
