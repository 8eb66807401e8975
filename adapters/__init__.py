"""Soft prompts (SPUL) and unlearning LoRAs (O3): the artifacts that the gateway serves, and their training.

`soft_prompt` and `lora` hold one method each: `model` has the artifact that a pack carries, `training` learns it.
`weights` holds the methods that change a model's own weights: only the comparison uses them.
"""
