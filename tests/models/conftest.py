import torch

# Tensors here are small: more threads only wait for each other, minutes long on a busy machine.
torch.set_num_threads(1)
