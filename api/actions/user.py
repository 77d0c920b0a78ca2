"""Actions on users."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, field_validator, model_validator

from api.actions.envelope import ActionResponse, Answer, Context, Description, UserRequest
from api.auth.passwords import hash_password
from api.auth.roles import require
from api.domain import users
from api.errors import Malformed, NotAllowed, NotProven
from api.states import Role
from api.store.session import reading, writing
from api.store.users import find_users, matches

UserId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
RoleName = Literal["viewer", "operator", "admin"]
# As long as PASSWORD may be: the passwords in these fields are encrypted like it.
Sealed = Annotated[str, StringConstraints(min_length=1, max_length=8192)]
SEALED = "The new password, encrypted like PASSWORD (compact JWE)."


class UserView(BaseModel):
    """A user, as shown."""

    user_id: str
    role: RoleName
    description: str
    create_time: str
    update_time: str


class DescribeUsersRequest(UserRequest):
    """Which users to show; the filters combine with AND."""

    user_ids: list[UserId] | None = Field(None, max_length=1000)
    role: RoleName | None = None
    limit: int | None = Field(None, ge=1, le=100_000, description="Most entries in the answer.")
    offset: int = Field(0, ge=0, le=2**62, description="Entries to pass over.")
    sort_key: Literal["user_id", "role", "create_time", "update_time"] = "user_id"
    reverse: bool = Field(False, description="Sort downwards.")
    search_word: Description | None = Field(None, description="Part of an id or description.")


class DescribeUsersResponse(ActionResponse):
    """The users found."""

    user_set: list[UserView]
    total_count: int


def describe_users(context: Context, request: DescribeUsersRequest) -> Answer:
    """Show users and their roles."""
    conditions = matches(
        user_ids=request.user_ids, role=request.role, search_word=request.search_word
    )
    with reading(context.engine) as connection:
        total, rows = find_users(
            connection,
            conditions,
            sort_key=request.sort_key,
            reverse=request.reverse,
            limit=request.limit,
            offset=request.offset,
        )
    return {"user_set": [users.view(row) for row in rows], "total_count": total}


class CreateUserRequest(UserRequest):
    """A new user."""

    user_id: UserId
    password: Sealed = Field(description=SEALED)
    role: RoleName = "viewer"
    description: Description = ""


class CreateUserResponse(ActionResponse):
    """The new user."""

    user_id: str


def create_user(context: Context, request: CreateUserRequest) -> Answer:
    """Add a user who may log in with a password."""
    # Hashing is slow on purpose: no other writer waits for it.
    password_hash = _new_hash(context, request.password)
    with writing(context.engine) as connection:
        users.create(
            connection,
            user_id=request.user_id,
            password_hash=password_hash,
            role=Role(request.role),
            description=request.description,
        )
    context.callers.forget(request.user_id)
    return {"user_id": request.user_id}


class ModifyUserAttributesRequest(UserRequest):
    """Attributes to set. Who is not admin may change their own password, and nothing else."""

    user_id: UserId
    role: RoleName | None = None
    password: Sealed | None = Field(None, description=SEALED)
    description: Description | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ModifyUserAttributesRequest":
        if self.role is None and self.password is None and self.description is None:
            raise ValueError("nothing to change was given")
        return self


class ModifyUserAttributesResponse(ActionResponse):
    """Done."""

    user_id: str


def modify_user_attributes(context: Context, request: ModifyUserAttributesRequest) -> Answer:
    """Change a user's role, password or description."""
    _may_modify(context, request)
    password_hash = None if request.password is None else _new_hash(context, request.password)
    with writing(context.engine) as connection:
        users.change(
            connection,
            request.user_id,
            role=None if request.role is None else Role(request.role),
            password_hash=password_hash,
            description=request.description,
        )
    context.callers.forget(request.user_id)
    return {"user_id": request.user_id}


class DeleteUsersRequest(UserRequest):
    """Users to delete, all or nothing."""

    user_ids: list[UserId] = Field(min_length=1, max_length=1000)

    @field_validator("user_ids")
    @classmethod
    def _once_each(cls, user_ids: list[str]) -> list[str]:
        return list(dict.fromkeys(user_ids))


class DeleteUsersResponse(ActionResponse):
    """The users that are gone."""

    user_ids: list[str]
    total_count: int


def delete_users(context: Context, request: DeleteUsersRequest) -> Answer:
    """Delete users and their tokens; not oneself, and not the last admin."""
    with writing(context.engine) as connection:
        users.delete(connection, request.user_ids, caller_id=context.caller.user_id)
    for user_id in request.user_ids:
        context.callers.forget(user_id)
    return {"user_ids": request.user_ids, "total_count": len(request.user_ids)}


def _may_modify(context: Context, request: ModifyUserAttributesRequest) -> None:
    caller = context.caller
    if caller.role == Role.ADMIN:
        return
    if request.user_id != caller.user_id:
        require(caller, Role.ADMIN)
    if request.role is not None or request.description is not None:
        raise NotAllowed(
            f"User {caller.user_id} with the role {caller.role} may change their own password; "
            f"role and description need the role {Role.ADMIN}."
        )


def _new_hash(context: Context, sealed: str) -> str:
    """What to store of a new password. The caller is proven: what is wrong here is the field."""
    try:
        password = context.callers.open_password(sealed)
    except NotProven:
        raise Malformed.field(
            "password", "cannot be opened; encrypt it for the key at GET /api/public-key"
        ) from None
    return hash_password(password)
