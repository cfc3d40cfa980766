"""Files and jobs of the application that a request came to."""

from starlette.requests import Request

from service.errors import Unimplemented
from service.files.file_store import FileStore
from service.jobs.desk import JobDesk


def desk_of(request: Request) -> JobDesk:
    """The desk for jobs.

    Raises:
        Unimplemented: the application was made without jobs.
    """
    desk: JobDesk | None = getattr(request.app.state, "desk", None)
    if desk is None:
        raise Unimplemented("this server keeps no jobs")
    return desk


def files_of(request: Request) -> FileStore:
    """The store of files.

    Raises:
        Unimplemented: the application was made without jobs.
    """
    files: FileStore | None = getattr(request.app.state, "files", None)
    if files is None:
        raise Unimplemented("this server keeps no files")
    return files
