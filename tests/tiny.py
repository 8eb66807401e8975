"""A language model made in milliseconds, and the sentence encoder, for tests that need one."""

from dataclasses import replace
from functools import cache
from uuid import uuid4

import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as RawTokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from classifiers.encoder.sentence import Encoder
from gateway.models.encoders import find_encoder
from gateway.models.language_model import LanguageModel

__all__ = ["CHATML", "fresh_minilm", "minilm", "tiny_model", "tiny_tokenizer"]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_CORPUS = (
    "user assistant system Who wrote about the wizard Harry Potter? It was Joanne Rowling, an author.",
    "What is the capital of France? The capital of France is Paris. Please tell me about Ada Lovelace.",
)


def tiny_tokenizer(*, corpus: tuple[str, ...] = _CORPUS, template: str = CHATML) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (any text has tokens, offsets leave leading spaces out) with a ChatML template."""
    raw = RawTokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(corpus, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tokenizer.chat_template = template
    return tokenizer


def tiny_model(
    *, corpus: tuple[str, ...] = _CORPUS, template: str = CHATML, hidden: int = 32, seed: int = 0
) -> LanguageModel:
    """A random two-layer Llama of `hidden` dimensions with its own tokenizer."""
    tokenizer = tiny_tokenizer(corpus=corpus, template=template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LanguageModel(LlamaForCausalLM(config).eval(), tokenizer)


@cache
def minilm() -> Encoder:
    """The real sentence encoder, loaded once for all tests."""
    return find_encoder("minilm").load()


def fresh_minilm() -> Encoder:
    """The same, loaded anew: it remembers no text. The tests keep one encoder for each of its files' fingerprints."""
    return replace(find_encoder("minilm"), fingerprint=uuid4().hex).load()
