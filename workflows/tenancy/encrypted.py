"""The model field for secrets: encrypted in the database, a `Secret` in Python, in no form and in no export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from workflows.lib.encryption import Secret

if TYPE_CHECKING:
    _Text = models.TextField[str | Secret, Secret]
else:
    _Text = models.TextField


class SecretField(_Text):
    """Write-only text. Give it a plain text or a `Secret`; it reads as a `Secret`, whose `reveal()` opens it."""

    if TYPE_CHECKING:
        _pyi_private_set_type: str | Secret  # type: ignore[assignment]
        _pyi_private_get_type: Secret  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        kwargs.setdefault("blank", True)
        kwargs.setdefault("default", "")
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        return name, path, args, kwargs

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Secret:
        return Secret(value or "")

    def to_python(self, value: Any) -> Secret:
        return value if isinstance(value, Secret) else Secret.of(str(value or ""))

    def get_prep_value(self, value: Any) -> str:
        return self.to_python(value).token

    def value_to_string(self, obj: models.Model) -> str:
        """What dumpdata writes: nothing, since a secret leaves the database in no form."""
        return ""
