"""Who gets in at an internal port."""

import pytest

from lift.errors import CredentialMissing, CredentialWrong
from lift.serving.node_token import NodeToken


async def test_the_node_token_lets_nodes_in_and_nobody_else() -> None:
    token = NodeToken("token")
    await token.admit("Bearer token")
    await token.admit("bearer token")
    with pytest.raises(CredentialWrong):
        await token.admit("Bearer tokem")
    with pytest.raises(CredentialMissing):
        await token.admit("")
    with pytest.raises(CredentialMissing):
        await token.admit("Basic token")
    await NodeToken("").admit("")
