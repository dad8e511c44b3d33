"""``bioner-fast serve``: an HTTP service and a page."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from bioner_fast.cli.grouped import grouped

_MODEL_HELP = "Model folder, or the name of an installed model."
_THREADS_HELP = "CPU threads; all cores by default."
_BODY_HELP = "Largest body of a request, in MiB."
_CHARACTERS_HELP = "Most characters of a request."
_SECONDS_HELP = "Seconds for a body to come and an answer to be made."
_CORS_HELP = "Origin of another page that may call the service (https://example.org); may be repeated."
_TOKEN = "BIONER_SERVE_TOKEN"
_GROUPS = {
    "Model": ("model", "device", "threads"),
    "Network": ("host", "port", "cors_origin"),
    "Limits": ("max_body_mb", "max_characters", "timeout"),
}


def register(app: typer.Typer) -> None:
    """Add the command ``serve``."""

    @app.command(cls=grouped(_GROUPS))
    def serve(
        model: Annotated[str | None, typer.Option("--model", "-m", help=_MODEL_HELP)] = None,
        host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at.")] = 8000,
        threads: Annotated[int | None, typer.Option(min=1, help=_THREADS_HELP)] = None,
        device: Annotated[
            str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")
        ] = "auto",
        max_body_mb: Annotated[int, typer.Option(min=1, help=_BODY_HELP)] = 16,
        max_characters: Annotated[int, typer.Option(min=1, help=_CHARACTERS_HELP)] = 4_000_000,
        timeout: Annotated[float, typer.Option(min=0.1, help=_SECONDS_HELP)] = 60.0,
        cors_origin: Annotated[list[str] | None, typer.Option(metavar="ORIGIN", help=_CORS_HELP)] = None,
    ) -> None:
        """Serve a model over HTTP: POST /tag takes {"texts": [...]}, and / is a page for pasted text.

        \b
        Example: bioner-fast serve --port 8000
                 curl localhost:8000/tag -H 'Content-Type: application/json' -d '{"text": "TP53 in cancer"}'

        It listens at 127.0.0.1 unless told otherwise. Where the variable BIONER_SERVE_TOKEN is set, requests
        need the header "Authorization: Bearer TOKEN". SIGTERM ends it once the requests at work are answered.
        """
        from bioner_fast.errors import UsageError

        try:
            import uvicorn

            from bioner_fast.serve import ServeSettings, create_app
        except ImportError as error:
            raise UsageError(f"serve needs {error.name}: pip install 'bioner-fast[serve]'") from None
        from bioner_fast.installation import available_threads
        from bioner_fast.tagging.tagger import Tagger

        token = os.environ.get(_TOKEN)
        if token is not None and not token.strip():
            raise UsageError(f"{_TOKEN} is empty; set a token, or unset it to let everybody in")
        settings = ServeSettings(
            max_body=max_body_mb << 20,
            max_characters=max_characters,
            seconds=timeout,
            token=None if token is None else token.strip(),
            origins=tuple(cors_origin or ()),
        )
        # As in tagging files: a batch is one thread's work.
        tagger = Tagger.load(model, device, 1)
        application = create_app(tagger, settings, lanes=threads or available_threads())
        uvicorn.run(
            application,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=1024,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(int(timeout), 1),
            h11_max_incomplete_event_size=64 << 10,
        )
