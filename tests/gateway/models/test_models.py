"""A model as it is loaded."""

import torch

from gateway.models.language_model import LanguageModel


@torch.no_grad()
def test_the_last_position_is_projected_in_one_piece(language_model: LanguageModel) -> None:
    """As a slice of a batch it takes a CPU many times as long, and answers twice."""
    seen = []
    head = language_model.model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    ids = torch.arange(24).reshape(2, 12)
    last = language_model.model(input_ids=ids, logits_to_keep=1).logits
    hook.remove()
    assert [(one.shape[:2], one.is_contiguous()) for one in seen] == [((2, 1), True)]
    torch.testing.assert_close(last, language_model.model(input_ids=ids).logits[:, -1:])
