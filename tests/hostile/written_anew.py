"""The rows of the table whose inputs are written anew by generators that know the format."""

from parser_row import generated
from pickles import pickled, plain_files
from reading import numbers_of_archive, numbers_of_layer
from zips import numpy_zip, plain_layer, torch_zip

WRITTEN_ANEW = (
    generated("torch: pickle", "model.pt", plain_files(), pickled, numbers_of_archive, share=6),
    generated("torch: zip", "model.pt", plain_files(), torch_zip, numbers_of_archive, share=4),
    generated("npz: zip", "layer.npz", (plain_layer(),), numpy_zip, numbers_of_layer, share=3),
)
