"""A Florence-2 of transformers' real classes with few, random weights: what it writes has the form, and no meaning."""

from pathlib import Path
from typing import Final

SEED: Final = 4
"""With which it finds lines on the pages of the tests."""


def write(folder: Path) -> Path:
    """The model's folder, as a hub would give it."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
        PreTrainedTokenizerFast,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate([*special, *letters])}, merges=[], unk_token="<unk>")
    )
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.add_tokens([AddedToken(f"<loc_{i}>", normalized=False) for i in range(1000)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )
    pictures = CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    pictures.image_seq_length = 5
    config = Florence2Config(
        text_config={
            "model_type": "bart",
            "vocab_size": len(tokenizer),
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "max_position_embeddings": 64,
            "init_std": 1.0,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": 2,
        },
        vision_config={
            "depths": (1, 1, 1, 1),
            "embed_dim": (8, 16, 16, 32),
            "num_heads": (1, 2, 2, 4),
            "num_groups": (1, 2, 2, 4),
            "window_size": 4,
            "projection_dim": 32,
        },
        image_token_id=tokenizer.image_token_id,
    )
    torch.manual_seed(SEED)
    Florence2ForConditionalGeneration(config).save_pretrained(folder)
    Florence2Processor(pictures, tokenizer).save_pretrained(folder)
    return folder
