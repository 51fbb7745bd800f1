"""Seeds of shards and steps."""

from cgwgan_core.workflow.seeds import derive_seed


def test_seeds_differ_by_step_and_shard() -> None:
    seeds = {derive_seed(1, "templates", i) for i in range(100)} | {
        derive_seed(2, "templates", 0),
        derive_seed(1, "train"),
    }
    assert len(seeds) == 102
    assert all(0 <= s < 2**63 for s in seeds)
