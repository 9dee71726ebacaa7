"""The collection service: `uvicorn app.api:app`, or `assay serve`."""

from assay.assemble import application

app = application()
