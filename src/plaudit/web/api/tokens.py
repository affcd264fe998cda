"""API tokens of a user: list, create, revoke."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session as Db

from plaudit.feedback.store.account_tables import ApiToken
from plaudit.feedback.store.errors import NotFound
from plaudit.feedback.store.judgement_form import Plain
from plaudit.web.api.auth import Anyone
from plaudit.web.request_body import Guarded

router = APIRouter(prefix="/api", tags=["signing in"], route_class=Guarded)


class TokenIn(BaseModel):
    name: Plain = Field(max_length=80)
    scopes: list[str]
    days: int | None = Field(90, ge=1, le=3650)


class TokenOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    scopes: list[str]
    last4: str
    created: float
    expires: float | None
    last_used: float | None
    token: str | None = Field(None, description="shown once, when it is made")


@router.get("/me/tokens")
def get_tokens(asker: Anyone) -> list[TokenOut]:
    """One's API tokens; what they are is not kept, only how they end."""

    def work(db: Db) -> list[TokenOut]:
        mine = select(ApiToken).where(ApiToken.user_id == asker.user.id, ApiToken.revoked_at.is_(None))
        return [_token_out(t) for t in db.scalars(mine.order_by(ApiToken.created, ApiToken.id))]

    return asker.server.database.read(work)


@router.post("/me/tokens", status_code=201)
def make_token(body: TokenIn, asker: Anyone) -> TokenOut:
    """A new API token for a program. It is shown this once."""

    def work(db: Db) -> TokenOut:
        made, token = asker.server.people.make_token(
            db, asker.user, name=body.name, scopes=body.scopes, now=asker.now, days=body.days
        )
        asker.note(db, "made token", target=made.name, scopes=made.scopes)
        return _token_out(made, token)

    return asker.server.database.write(work)


@router.delete("/me/tokens/{token}", status_code=204)
def revoke_token(token: str, asker: Anyone) -> None:
    """End a token at once."""

    def work(db: Db) -> None:
        found = db.get(ApiToken, token)
        if found is None or found.user_id != asker.user.id:
            raise NotFound("token")
        found.revoked_at = found.revoked_at or asker.now
        asker.note(db, "revoked token", target=found.name)

    asker.server.database.write(work)


def _token_out(token: ApiToken, secret: str | None = None) -> TokenOut:
    return TokenOut.model_validate(token).model_copy(update={"token": secret})
