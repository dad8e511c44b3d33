"""Every network by the configuration that a bundle stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bioner_fast.models.base import Network
from bioner_fast.models.idcnn.network import IdcnnConfig, IdcnnNetwork
from bioner_fast.models.windowed.network import NetworkConfig, TaggingNetwork


def build_network(config: Mapping[str, Any]) -> Network:
    """The network of a ``config`` (see :attr:`Network.config`); its weights are not set.

    Raises:
        ValueError: the configuration is incomplete or contradicts itself.
    """
    if config.get("arch") == "idcnn":
        return IdcnnNetwork(IdcnnConfig.from_json(config))
    return TaggingNetwork(NetworkConfig.from_json(config))
