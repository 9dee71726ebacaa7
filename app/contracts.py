"""The Pydantic models of the active contracts: agrawal@1.

Generated from them: what is enforced is the contract, not this file. To change one, write the next version in
`contracts/agrawal/` and activate it: `assay activate agrawal N`. A field with a default may be missing; it may be
null only where its type says `| None`.
"""

from typing import Annotated

from assay.types import Event, Integer, Number


class Agrawal(Event):
    salary: Annotated[float, Number()]
    commission: Annotated[float, Number()]
    age: Annotated[int, Integer()]
    elevel: Annotated[int, Integer()]
    car: Annotated[int, Integer()]
    zipcode: Annotated[int, Integer()]
    hvalue: Annotated[float, Number()]
    hyears: Annotated[int, Integer()]
    loan: Annotated[float, Number()]
    label: Annotated[int, Integer()]


MODELS = {
    "agrawal": Agrawal,
}
# assay:seal 3df624f4b81b785b
