"""What agents, verifiers and a strict broker find in their environment."""

from __future__ import annotations

import pytest

from swarmd.agents.environment import for_models, for_workers

KEPT = {
    "PATH": "/bin",
    "HOME": "/root",
    "LC_ALL": "C",
    "SWARMD_HOME": "/h",
    "PYTHONPATH": "/p",
    "TMPDIR": "/t",
}
SECRET = {
    **dict.fromkeys(
        ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_API_KEY", "HF_TOKEN", "GITHUB_TOKEN"), "s"
    ),
    **dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "GPG_AGENT_INFO", "PGPASSWORD", "X"), "s"),
    **dict.fromkeys(("HTTP_PROXY", "https_proxy", "GIT_CONFIG_VALUE_0", "GIT_ASKPASS", "DATABASE_URL"), "s"),
}


def test_workers_get_what_is_known_to_be_harmless_and_nothing_else() -> None:
    assert for_workers({**KEPT, **SECRET}) == KEPT


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "GGML_VK_DEVICE"])
def test_engines_get_what_chooses_their_device_too(name: str) -> None:
    assert for_models({**KEPT, **SECRET, name: "1"}) == {**KEPT, name: "1"}
    assert name not in for_workers({name: "1"})
