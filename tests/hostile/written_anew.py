"""The rows of the table whose inputs are written anew by generators that know the format."""

from arrays import numpy_array, plain_array
from configs import WEIGHTS_OF_THE_PLAIN, config, plain_configs
from json_floods import flood, flood_of_a_config
from parser_row import generated
from pickles import pickled, plain_files
from reading import judge_model, numbers_of_archive, numbers_of_layer, read_tokens_of
from tensor_tables import plain_tables, tensor_table
from zips import numpy_zip, plain_layer, torch_zip

WRITTEN_ANEW = (
    generated("torch: pickle", "model.pt", plain_files(), pickled, numbers_of_archive, share=6),
    generated("torch: zip", "model.pt", plain_files(), torch_zip, numbers_of_archive, share=4),
    generated("npz: zip", "layer.npz", (plain_layer(),), numpy_zip, numbers_of_layer, share=3),
    generated("npy: header", "x0.npy", (plain_array(),), numpy_array, read_tokens_of, share=2),
    generated("tensor tables", "model.safetensors", plain_tables(), tensor_table, judge_model, share=5),
    generated(
        "configs", "config.json", plain_configs(), config, judge_model,
        beside=(("model.safetensors", WEIGHTS_OF_THE_PLAIN),), share=4,
    ),
    generated("floods of JSON", "model.safetensors", plain_tables(), flood, numbers_of_archive, share=0.01),
    generated(
        "floods in configs", "config.json", plain_configs(), flood_of_a_config, judge_model,
        beside=(("model.safetensors", WEIGHTS_OF_THE_PLAIN),), share=0.005,
    ),
)  # fmt: skip
