"""ClientSession: what is asked for, redirects, cookies, credentials. A plain request never comes
here: it is C from beginning to end (_core.ClientSession); what is not plain goes by _request(),
which makes each hop by C's _exchange().

Source: https://docs.aiohttp.org/en/stable/client_reference.html#client-session
"""

from __future__ import annotations

import asyncio
import functools
import json as json_module
import ssl as ssl_module
import sys
import traceback
import warnings
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, istr
from yarl import URL, Query

from .. import _core
from . import _support
from ._sessioncookies import cookie_field, cookies_for, kept_cookies, store_cookies
from .abc import AbstractCookieJar
from .call import REDIRECTS, Call, check_status, is_host
from .connector import BaseConnector, TCPConnector
from .cookiejar import CookieJar
from .exceptions import (
    ClientError,
    ClientHttpProxyError,
    ClientOSError,
    InvalidUrlClientError,
    InvalidUrlRedirectClientError,
    NonHttpUrlClientError,
)
from .exchange import send, warm_up
from .helpers import BasicAuth, _Sentinel, deprecated, sentinel, strip_auth_from_url
from .middlewares import ClientMiddlewareType, build_client_middlewares
from .proxy import asks_environment, choose_proxy
from .reqrep import ConnectionKey, HttpVersion, HttpVersion11, SSLArgument, merge_ssl_params
from .request import AUTO_HEADERS, ClientRequest, bodies, merge_headers, parse_version
from .response import ClientResponse
from .timeouts import (
    ClientTimeout,
    Expiry,
    deadline,
    is_timeout,
    request_timeout,
    session_timeout,
)
from .tracing import TraceConfig, Traces
from .typedefs import (
    CharsetResolver,
    JSONBytesEncoder,
    JSONEncoder,
    LooseCookies,
    LooseHeaders,
    RaiseForStatus,
    StrOrURL,
)
from .upload import UploadTracker

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .typedefs import RequestOptions

# ClientRequest as well: with `from .request import` in uvolt.http, pyright would take the name
# uvolt.http.request for the module.
__all__ = ("ClientRequest", "ClientSession", "request")


class ClientSession(_core.ClientSession):
    """Makes requests; keeps connections, cookies and what all requests have in common.

    base_url: of relative URLs; its path ends in "/". connector: where connections come from, closed
    with the session unless connector_owner is false. cookies, headers, auth, timeout,
    raise_for_status (True, or an async function of the response), auto_decompress: of every request
    that says nothing else. cookie_jar: keeps the cookies. json_serialize (to str) and
    json_serialize_bytes: of json=. read_bufsize: bytes of a body that are read ahead.
    max_line_size, max_field_size (bytes), max_headers: of a response's head.
    fallback_charset_resolver: of text() where the response does not say. requote_redirect_url:
    whether the URLs of redirects are requoted. ws_response_class: aiohttp's, without effect here.
    proxy (http, https, socks5 or socks5h; "": none) and
    proxy_auth: of requests that name none. trust_env: proxies of the environment, credentials of
    ~/.netrc. trace_configs: are told of each step. middlewares: are called around each request,
    which is a request_class. retry: whether an idempotent request is sent again on a new connection
    when the server has closed the kept one. timings: whether responses have theirs.

    Raises RuntimeError outside a uvolt loop, ValueError for a base_url that does not end in "/".
    """

    _connector: BaseConnector | None
    _base_url: URL | None
    _cookie_jar: AbstractCookieJar
    _timeout: ClientTimeout
    _skip_auto_headers: frozenset[istr]
    _json_serialize: JSONEncoder
    _raise_for_status: RaiseForStatus
    _request_class: type[ClientRequest] = ClientRequest
    _middlewares: Sequence[ClientMiddlewareType] = ()
    _trace_configs: Sequence[TraceConfig] = ()
    _source_traceback: traceback.StackSummary | None = None
    _instead: Any = None  # does all requests, if there is one (uvolt.swap)
    _upgrades: Any = None  # the same for those with an Upgrade field: a function that gives it
    _default_proxy: StrOrURL | None = None
    _default_proxy_auth: BasicAuth | None = None
    # What __init__() without arguments would set: C makes such a session without it.
    _base_origin: URL | None = None
    _default_auth: BasicAuth | None = None
    _version: HttpVersion = HttpVersion11
    _trust_env = False
    _requote_redirect_url = True

    def __init__(
        self,
        base_url: StrOrURL | None = None,
        *,
        connector: BaseConnector | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        cookies: LooseCookies | None = None,
        headers: LooseHeaders | None = None,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        auth: BasicAuth | None = None,
        json_serialize: JSONEncoder = json_module.dumps,
        json_serialize_bytes: JSONBytesEncoder | None = None,
        request_class: type[ClientRequest] = ClientRequest,
        response_class: type[ClientResponse] = ClientResponse,
        ws_response_class: Any = None,
        version: HttpVersion | str = HttpVersion11,
        cookie_jar: AbstractCookieJar | None = None,
        connector_owner: bool = True,
        raise_for_status: RaiseForStatus = False,
        read_timeout: float | None | _Sentinel = sentinel,
        conn_timeout: float | None = None,
        timeout: ClientTimeout | None | _Sentinel = sentinel,
        auto_decompress: bool = True,
        trust_env: bool = False,
        requote_redirect_url: bool = True,
        trace_configs: Sequence[TraceConfig] | None = None,
        read_bufsize: int = 2**18,
        max_line_size: int = 8190,
        max_field_size: int = 8190,
        max_headers: int = 128,
        fallback_charset_resolver: CharsetResolver | None = None,
        middlewares: Sequence[ClientMiddlewareType] = (),
        ssl_shutdown_timeout: float | None | _Sentinel = sentinel,
        retry: bool = True,
        timings: bool = False,
    ) -> None:
        self._connector = None  # for __del__, whatever fails
        self._cookies_kept: Any = None
        if loop is None:
            loop = asyncio.get_running_loop() if connector is None else connector._loop
        self._loop: Any = loop
        if not isinstance(loop, _core.Loop):
            raise _support.wrong_loop()
        self._base_url = None if base_url is None else URL(base_url)
        self._base_origin = None if self._base_url is None else self._base_url.origin()
        if self._base_url is not None and not self._base_url.path.endswith("/"):
            raise ValueError("base_url must have a trailing '/'")
        self._timeout = session_timeout(timeout, read_timeout, conn_timeout)
        if ssl_shutdown_timeout is not sentinel:
            deprecated("The ssl_shutdown_timeout parameter is deprecated and has no effect")
        if connector is None:
            connector = TCPConnector(loop=self._loop)
        if connector._loop is not loop:
            raise RuntimeError("Session and connector has to use same event loop")
        if loop.get_debug():
            self._source_traceback = traceback.extract_stack(sys._getframe(1))

        self._cookie_jar = CookieJar(loop=loop) if cookie_jar is None else cookie_jar
        if cookies:
            self._cookie_jar.update_cookies(cookies)
        self._cookies_kept = kept_cookies(self._cookie_jar)
        self._connector_owner = connector_owner
        self._default_auth = auth
        self._version = parse_version(version)
        self._json_serialize = json_serialize
        self._json_serialize_bytes = json_serialize_bytes
        self._raise_for_status = raise_for_status
        self._auto_decompress = auto_decompress
        self._trust_env = trust_env
        self._default_proxy = proxy
        self._default_proxy_auth = proxy_auth
        self._requote_redirect_url = requote_redirect_url
        self._read_bufsize = read_bufsize
        self._max_line_size = max_line_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._resolve_charset = fallback_charset_resolver
        self._default_headers: CIMultiDict[str] = CIMultiDict(headers or ())
        self._skip_auto_headers = frozenset(istr(name) for name in skip_auto_headers or ())
        self._response_class = response_class
        self._retry_connection = retry
        self._timings = timings
        self._request_class = request_class
        self._middlewares = middlewares
        if trace_configs:
            self._trace_configs = trace_configs
            for config in trace_configs:
                config.freeze()
        self._plain = (
            not trust_env
            and proxy is None
            and auth is None
            and json_serialize_bytes is None
            and not self._skip_auto_headers
            and self._version == HttpVersion11
            and not connector.force_close
            and response_class.__init__ is ClientResponse.__init__
            and request_class is ClientRequest
            and not middlewares
            and not self._trace_configs
        )
        self._connector = connector

    def _note_credentials(self, auth: Any, proxy_auth: Any) -> None:
        """Told of auth= and proxy_auth= of requests: uvolt.swap warns as aiohttp does."""

    def _make_cookie_jar(self) -> AbstractCookieJar:
        """The session's own, of a session that C has made: called when it is first asked for."""
        self._cookie_jar = CookieJar(loop=self._loop)
        self._cookies_kept = kept_cookies(self._cookie_jar)
        return self._cookie_jar

    # ---- a request

    def _build_url(self, str_or_url: StrOrURL) -> URL:
        """The URL, joined to base_url if it is relative. ValueError for what is none."""
        url = URL(str_or_url)
        if self._base_url is not None and not url.absolute:
            return self._base_url.join(url)
        return url

    async def _request(
        self,
        method: str,
        str_or_url: StrOrURL,
        *,
        params: Query = None,
        data: Any = None,
        json: Any = None,
        cookies: LooseCookies | None = None,
        headers: LooseHeaders | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        auth: BasicAuth | None = None,
        allow_redirects: bool = True,
        max_redirects: int = 10,
        compress: str | bool | None = None,
        chunked: bool | None = None,
        expect100: bool = False,
        raise_for_status: RaiseForStatus | None = None,
        read_until_eof: bool = True,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        timeout: ClientTimeout | float | None | _Sentinel = sentinel,
        verify_ssl: bool | None = None,
        fingerprint: bytes | None = None,
        ssl_context: ssl_module.SSLContext | None = None,
        ssl: SSLArgument | None = True,
        server_hostname: str | None = None,
        proxy_headers: LooseHeaders | None = None,
        trace_request_ctx: object = None,
        read_bufsize: int | None = None,
        auto_decompress: bool | None = None,
        max_line_size: int | None = None,
        max_field_size: int | None = None,
        max_headers: int | None = None,
        middlewares: Sequence[ClientMiddlewareType] | None = None,
        upload_tracker: UploadTracker | None = None,
        retry: bool | None = None,
    ) -> ClientResponse:
        """The response to a request, after its redirects.

        Raises what uvolt.http.exceptions has; RuntimeError if the session is closed, ValueError and
        TypeError for what cannot be sent, asyncio.TimeoutError when the total timeout is over.
        """
        instead = self._instead
        if instead is None and headers and self._upgrades is not None:
            headers = headers if isinstance(headers, Mapping) else CIMultiDict(headers)
            if any(name.lower() == "upgrade" for name in headers):
                instead = self._upgrades()
        if instead is not None:  # uvolt.swap's: a session of aiohttp's own does it
            given = asked_for(locals())
            return await instead(method, str_or_url, **given)  # type: ignore[no-any-return]
        if upload_tracker is not None:
            upload_tracker._bind()
        try:
            if self.closed:
                raise _support.session_closed()
            if auth is not None or proxy_auth is not None:
                self._note_credentials(auth, proxy_auth)
            if chunked is not None and not isinstance(chunked, bool):
                deprecated("Chunk size is deprecated #1615")
            if data is not None and json is not None:
                raise ValueError("data and json parameters can not be used at the same time")
            if json is not None:
                if self._json_serialize_bytes is not None:
                    data = bodies().JsonBytesPayload(json, dumps=self._json_serialize_bytes)
                else:
                    data = bodies().JsonPayload(json, dumps=self._json_serialize)
            try:
                url = self._build_url(str_or_url)
            except (ValueError, IndexError) as exc:
                raise InvalidUrlClientError(str_or_url) from exc
            call = Call(
                method=method.upper(),
                url=url,
                params=params or {},
                data=data,
                headers=merge_headers(self._default_headers, headers),
                cookies=cookies,
                auth=auth,
                ssl=merge_ssl_params(ssl, verify_ssl, ssl_context, fingerprint),
                server_hostname=server_hostname,
                proxy=choose_proxy(self, proxy, proxy_auth, proxy_headers),
                asks_environment=asks_environment(self, proxy),
                skip_auto_headers=self._skip_auto_headers.union(skip_auto_headers or ()),
                compress=compress,
                chunked=chunked,
                expect100=expect100,
                allow_redirects=allow_redirects,
                max_redirects=max_redirects,
                raise_for_status=(
                    self._raise_for_status if raise_for_status is None else raise_for_status
                ),
                timeout=self._timeout if timeout is sentinel else request_timeout(timeout),
                auto_decompress=(
                    self._auto_decompress if auto_decompress is None else auto_decompress
                ),
                read_bufsize=self._read_bufsize if read_bufsize is None else read_bufsize,
                limits=(
                    self._max_line_size if max_line_size is None else max_line_size,
                    self._max_field_size if max_field_size is None else max_field_size,
                    self._max_headers if max_headers is None else max_headers,
                    not read_until_eof,
                ),
                middlewares=self._middlewares if middlewares is None else middlewares,
                retry=self._retry_connection if retry is None else retry,
                tracker=upload_tracker,
            )
            if self._trace_configs:
                call.traces = Traces(self)
                call.trace_context = trace_request_ctx
            call.end_by = deadline(self._loop.time(), call.timeout.total)
            return await self._run(call, None)
        finally:
            if upload_tracker is not None:
                upload_tracker._finalize()

    async def _run(self, call: Call, response: ClientResponse | None) -> ClientResponse:
        """Hop by hop to the last response. `response`: the first hop's, if there was one."""
        assert self._connector is not None
        if call.url.scheme not in self._connector.allowed_protocol_schema_set:
            raise NonHttpUrlClientError(call.url)
        try:
            await call.begin()
            while True:
                if response is None:
                    response = await self._hop(call)
                if not call.allow_redirects or response.status not in REDIRECTS:
                    break
                await call.tell("request_redirect", response)
                location = response.headers.get("Location") or response.headers.get("URI")
                if location is None:
                    break
                await call.redirect(response, location, requote=self._requote_redirect_url)
                response = None
            response._history = tuple(call.history)
            await call.close()
            await check_status(response, call.raise_for_status)
            await call.tell("request_end", response)
            return response
        except BaseException as exc:
            if response is not None:
                response.close()
            await call.close()
            await call.tell("request_exception", exc)
            raise

    async def _hop(self, call: Call) -> ClientResponse:
        """One exchange. Cookies that come with the answer are stored."""
        await self._set_credentials(call)
        request = self._request_class(
            call.method,
            call.url,
            params=call.params,
            headers=call.headers,
            skip_auto_headers=call.skip_auto_headers,
            data=call.data,
            cookies=cookies_for(self._cookie_jar, call.url, call.cookies),
            auth=call.auth,
            version=self._version,
            compress=call.compress,
            chunked=call.chunked,
            expect100=call.expect100,
            loop=self._loop,
            response_class=self._response_class,
            proxy=None if call.proxy is None else call.proxy.url,
            proxy_auth=None if call.proxy is None else call.proxy.auth,
            proxy_headers=None if call.proxy is None else call.proxy.headers,
            session=self,
            ssl=call.ssl,
            server_hostname=call.server_hostname,
            trust_env=self._trust_env,
        )
        if request._body is not None:
            call.data = request._body  # made once: it may be half read
        try:
            if call.middlewares:
                handler = functools.partial(send, self, call)
                try:
                    with Expiry(self._loop, call.end_by):
                        chain = build_client_middlewares(handler, call.middlewares)
                        response = await chain(request)
                finally:
                    call.data = request._body  # of theirs, it may be: to be closed in the end
            else:
                response = await send(self, call, request)
        except ClientHttpProxyError as exc:  # a tunnel knows the origin only
            exc.request_info = exc.request_info._replace(url=request.url)
            exc.args = (exc.request_info, exc.history)
            raise
        except OSError as exc:
            if isinstance(exc, ClientError) or is_timeout(exc):
                raise
            raise ClientOSError(*exc.args) from exc
        try:
            self._store_cookies(response)
        except BaseException:  # a jar of the program's own
            response.close()
            raise
        return response

    async def _set_credentials(self, call: Call) -> None:
        """Those of the call, of its URL, of the session, of ~/.netrc: the first that there are. The
        last, and the URL of a redirect, not beside an Authorization field of the caller's. And the
        environment's proxy for the URL, if that is wanted."""
        call.url, from_url = strip_auth_from_url(call.url)
        if not is_host(call.url.raw_host):
            kind = InvalidUrlRedirectClientError if call.history else InvalidUrlClientError
            raise kind(call.url)
        has_field = "Authorization" in call.headers
        if call.history and has_field:
            from_url = None  # a server's Location overrules nothing
        if not call.history and call.auth and from_url:
            raise ValueError("Cannot combine AUTH argument with credentials encoded in URL")
        if call.auth is None or (call.history and from_url is not None):
            call.auth = from_url
        # What was dropped on the way to another origin does not come back.
        if call.auth is None and not call.left_origin:
            if self._base_origin is None or self._base_origin == call.url.origin():
                call.auth = self._default_auth
        if self._trust_env:
            from .env import environment_for

            wants_auth = call.auth is None and not call.left_origin and not has_field
            found = await environment_for(
                self._loop, call.url, auth=wants_auth, proxy=call.asks_environment
            )
            if wants_auth:
                call.auth = found.auth
            if call.asks_environment:
                call.proxy = found.proxy
        if call.auth is not None and has_field:
            raise ValueError(
                "Cannot combine AUTHORIZATION header with AUTH argument or credentials "
                "encoded in URL"
            )

    # ---- cookies, for C

    def _store_cookies(self, response: ClientResponse) -> None:
        """Called for every response; from C only if it has a Set-Cookie."""
        store_cookies(self._cookie_jar, response)

    def _cookie_header(self, url: URL) -> str | None:
        """The Cookie field of a plain request. Called by C while there are any cookies."""
        return cookie_field(self._cookie_jar, url)

    # ---- for C

    def _target_of(self, str_or_url: StrOrURL) -> tuple[Any, str, str, URL] | None:
        """(route, value of Host, target, URL) of a URL that C has not seen yet; None: it is for
        _request() to deal with."""
        connector = self._connector
        try:
            url = self._build_url(str_or_url)
            host_is_good = is_host(url.raw_host)
            if url.scheme not in ("http", "https") or not host_is_good or connector is None:
                return None
        except (ValueError, IndexError):  # yarl's of "http://]"
            return None
        host = url.host_port_subcomponent
        target = url.raw_path_qs
        is_odd = any(c <= " " or c == "\x7f" for c in target)
        if url.raw_user is not None or url.raw_password is not None or host is None or is_odd:
            return None
        assert connector._pool is not None
        key = ConnectionKey(url.raw_host or "", url.port, url.scheme == "https", True)
        return connector._pool.route(key), host, target, url

    async def _follow(
        self,
        response: ClientResponse,
        method: str,
        str_or_url: StrOrURL,
        kwargs: dict[str, Any],
        end_by: float | None,
    ) -> ClientResponse:
        """The last response behind one that redirects, which a plain request of C has got."""
        data, timeout = kwargs.get("data"), kwargs.get("timeout", sentinel)
        if kwargs.get("json") is not None:
            data = bodies().JsonPayload(kwargs["json"], dumps=self._json_serialize)
        raise_for_status = kwargs.get("raise_for_status")
        call = Call(
            method=method,
            url=self._build_url(str_or_url),
            params={},
            data=data,
            headers=merge_headers(self._default_headers, kwargs.get("headers")),
            raise_for_status=(
                self._raise_for_status if raise_for_status is None else raise_for_status
            ),
            timeout=self._timeout if timeout is sentinel else request_timeout(timeout),
            end_by=end_by,
            auto_decompress=self._auto_decompress,
            read_bufsize=self._read_bufsize,
            limits=(self._max_line_size, self._max_field_size, self._max_headers, False),
            retry=self._retry_connection,
        )
        return await self._run(call, response)

    # ---- the session

    async def warmup(
        self,
        url: StrOrURL,
        n: int = 1,
        *,
        ssl: SSLArgument | None = True,
        server_hostname: str | None = None,
        proxy: StrOrURL | None = None,
        proxy_auth: BasicAuth | None = None,
        proxy_headers: LooseHeaders | None = None,
        timeout: ClientTimeout | float | None | _Sentinel = sentinel,
    ) -> int:
        """Have n connections ready for requests to a URL's host, those that are idle included, TLS
        and a proxy's tunnel too. How many there are: fewer where the connector's limits allow no
        more. The arguments are those of the requests. Raises what connecting raises."""
        connector = self._connector
        if connector is None or connector.closed:
            raise _support.session_closed()
        chosen = choose_proxy(self, proxy, proxy_auth, proxy_headers)
        target, _ = strip_auth_from_url(self._build_url(url))
        if asks_environment(self, proxy):
            from .env import environment_for

            chosen = (await environment_for(self._loop, target, auth=False, proxy=True)).proxy
        request = self._request_class(
            "GET",
            target,
            session=self,
            loop=self._loop,
            ssl=merge_ssl_params(ssl, None, None, None),
            server_hostname=server_hostname,
            proxy=None if chosen is None else chosen.url,
            proxy_auth=None if chosen is None else chosen.auth,
            proxy_headers=None if chosen is None else chosen.headers,
        )
        limit = self._timeout if timeout is sentinel else request_timeout(timeout)
        return await warm_up(connector, request, n, limit)

    async def close(self) -> None:
        """Close the connector if it is the session's own, and wait until its sockets are closed."""
        await self._close()

    def detach(self) -> None:
        """Close the session and leave the connector open."""
        self._connector = None

    @property
    def closed(self) -> bool:
        """Whether the session or its connector is closed."""
        return self._connector is None or self._connector.closed

    @property
    def connector(self) -> BaseConnector | None:
        """Where connections come from; None once the session is closed."""
        return self._connector

    @property
    def cookie_jar(self) -> AbstractCookieJar:
        """Keeps the cookies."""
        return self._cookie_jar

    @property
    def version(self) -> tuple[int, int]:
        """Of HTTP, in requests."""
        return self._version

    @property
    def requote_redirect_url(self) -> bool:
        """Whether the URLs of redirects are requoted."""
        return self._requote_redirect_url

    @requote_redirect_url.setter
    def requote_redirect_url(self, val: bool) -> None:
        deprecated("session.requote_redirect_url modification is deprecated #2778")
        self._requote_redirect_url = val

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The session's loop. Deprecated."""
        deprecated("client.loop property is deprecated")
        return self._loop  # type: ignore[no-any-return]

    @property
    def timeout(self) -> ClientTimeout:
        """Of requests that say nothing else."""
        return self._timeout

    @property
    def headers(self) -> CIMultiDict[str]:
        """Of every request; may be changed."""
        return self._default_headers

    @property
    def skip_auto_headers(self) -> frozenset[istr]:
        """Fields that are not set by default."""
        return self._skip_auto_headers

    @property
    def auth(self) -> BasicAuth | None:
        """Credentials of requests that have none."""
        return self._default_auth

    @property
    def json_serialize(self) -> JSONEncoder:
        """Makes the text of json=."""
        return self._json_serialize

    @property
    def connector_owner(self) -> bool:
        """Whether close() closes the connector."""
        return self._connector_owner

    @property
    def raise_for_status(self) -> RaiseForStatus:
        """What is done with a status of 400 or more."""
        return self._raise_for_status

    @property
    def auto_decompress(self) -> bool:
        """Whether bodies are decompressed."""
        return self._auto_decompress

    @property
    def trust_env(self) -> bool:
        """Whether the environment and ~/.netrc are asked for proxies and credentials."""
        return self._trust_env

    @property
    def retry(self) -> bool:
        """Whether a request is repeated, once, when a connection that was kept turns out to be
        closed before a byte of the answer has come; only GET, HEAD, OPTIONS, TRACE, PUT and DELETE.
        Any request is, if nothing of it was sent."""
        return self._retry_connection

    @retry.setter
    def retry(self, retry: bool) -> None:
        self._retry_connection = retry

    @property
    def trace_configs(self) -> Sequence[TraceConfig]:
        """Who is told of requests."""
        return self._trace_configs or []

    def __enter__(self) -> None:
        raise TypeError("Use async with instead")

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Never called: __enter__ raises."""

    def __del__(self, _warnings: Any = warnings) -> None:
        if self.closed:
            return
        _warnings.warn(f"Unclosed client session {self!r}", ResourceWarning, source=self)
        context = {"client_session": self, "message": "Unclosed client session"}
        if self._source_traceback is not None:
            context["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(context)


# What the class had when it was made: C looks whether it is still that.
_stock_request = ClientSession._request
_stock_close = ClientSession.close
_stock_target_of = ClientSession._target_of
_stock_build_url = ClientSession._build_url
_core.http_quicken(ClientSession)


def asked_for(arguments: dict[str, Any]) -> dict[str, Any]:
    """Of _request()'s arguments, those with a keyword that are not its defaults."""
    defaults: Any = _stock_request.__kwdefaults__
    return {name: arguments[name] for name in defaults if arguments[name] is not defaults[name]}


_auto_headers = AUTO_HEADERS


# ---- request() ----------------------------------------------------------------------------------


class _SessionRequestContextManager:
    """What request() returns: `async with` makes the request, and closes its session behind it."""

    __slots__ = ("_coro", "_resp", "_session")

    def __init__(self, coro: Coroutine[Any, Any, ClientResponse], session: ClientSession) -> None:
        self._coro = coro
        self._session = session
        self._resp: ClientResponse | None = None

    async def __aenter__(self) -> ClientResponse:
        try:
            self._resp = await self._coro
        except BaseException:
            await self._session.close()
            raise
        return self._resp

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._resp is not None
        self._resp.close()
        await self._session.close()


def session_for_one(
    session_class: Any,
    connector_class: Any,
    arguments: dict[str, Any],
    version: Any,
    connector: Any,
    loop: Any,
) -> Any:
    """The session of one request(). Of the request's arguments it takes those that are a session's
    to itself: cookies and timeout. uvolt.swap has classes of its own."""
    taken = {name: arguments.pop(name) for name in ("cookies", "timeout") if name in arguments}
    is_own = connector is None
    if is_own:
        connector = connector_class(loop=loop, force_close=True)
    return session_class(
        loop=loop, version=version, connector=connector, connector_owner=is_own, **taken
    )


def request(
    method: str,
    url: StrOrURL,
    *,
    version: HttpVersion | str = HttpVersion11,
    connector: BaseConnector | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    **kwargs: Unpack[RequestOptions],
) -> _SessionRequestContextManager:
    """One request with a session of its own, for `async with`. The arguments are ClientSession's
    request()'s; a connector that is given stays open."""
    options: dict[str, Any] = {**kwargs}
    session = session_for_one(ClientSession, TCPConnector, options, version, connector, loop)
    return _SessionRequestContextManager(session._request(method, url, **options), session)
