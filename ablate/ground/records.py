"""Records: what a JSON file holds, checked when it is read.

They are files: a full disk, a careless edit or another version can leave anything in them. What is checked
when a record is read, whoever uses it need not check again.
"""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ablate.ground.errors import brief


def _plausible(number: float) -> float:
    """Losses can be infinite or no number at all, but none is larger than what can be drawn."""
    if math.isfinite(number) and abs(number) > LARGEST:
        raise ValueError(f"larger than {LARGEST:g}")
    return number


LARGEST = 1e30
LARGEST_INTEGER = 10**30  # that a setting can be
MOST_TOLD = 3  # problems of one record

Text = str  # `files.read_json` has seen that it can be written
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Measured = Annotated[float, AfterValidator(_plausible)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Moment = Annotated[float, Field(ge=0, le=1e11)]  # seconds since the epoch
Level = (
    Text
    | bool
    | Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    | Annotated[float, Field(allow_inf_nan=False)]
    | None
)
Condition = dict[Text, Level]
FileName = Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]{0,200}$")]  # a plain one


class Record(BaseModel):
    """A file's content, each value of the type that it is to have."""

    model_config = ConfigDict(strict=True, defer_build=True)  # a command reads few kinds of records


def require(kind: type[BaseModel], content: Any) -> Any:
    """``content`` as it is. Raises ValueError with a short line when it is no record of this kind."""
    try:
        kind.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:MOST_TOLD]
        raise ValueError("; ".join(brief(_line(each["loc"], each["msg"])) for each in found)) from None
    return content


def _line(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place))}: {message}" if place else message
