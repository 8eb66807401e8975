"""Soft prompts (SPUL) and unlearning LoRAs (O3): the artifacts that the gateway serves, and how each is learned.

`soft_prompt` and `lora` hold one method each: `model` is what a pack carries, `training` is how it is learned.
`weights` holds the methods that change a model's own weights: only the comparison uses them.
"""
