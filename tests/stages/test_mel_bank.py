"""The stored bank is the one that librosa makes."""

import torch
from articulate.models_hub.stages.mel_bank import make_mel_bank, mel_bank


def test_stored_bank_is_librosas():
    assert torch.equal(mel_bank(), make_mel_bank())
