"""Every read model, by hand: a new one adds its line here."""

from projections.engine.read_model import ReadModel

READ_MODELS: tuple[ReadModel, ...] = ()


def read_model(name: str) -> ReadModel:
    """The read model of that name; raises `KeyError`."""
    return {model.name: model for model in READ_MODELS}[name]
