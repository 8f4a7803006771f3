"""Run models that were trained elsewhere: MONAI bundle, nnU-Net v2, ONNX, TorchScript.

Read next: `description.py`.
"""
