"""Why uvolt.http differs from aiohttp: the lines of the table in docs/coming-from-aiohttp.md."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Reason:
    """One line of the table in the documentation."""

    what: str
    aiohttp: str
    uvolt: str
    why: str


REASONS = {
    # ---- what is asked for
    "not sent": Reason(
        "a header, length or path that cannot be sent",
        "connects, then raises",
        "raises the same, connects to nobody",
        "the head is made before a connection is asked for",
    ),
    "unclosed": Reason(
        "ClientSession() that raises",
        "warns of an unclosed session later",
        "raises",
        "there is no session to close",
    ),
    "empty method": Reason(
        'method=""', "sent: the request line begins with a space", "ValueError", "it is no token"
    ),
    "coding": Reason(
        "compress= other than gzip and deflate",
        "deflate, labelled as asked",
        "ValueError",
        "the server could not decode it",
    ),
    "target": Reason(
        "a space or line end in URL(..., encoded=True)",
        "sent as it is",
        "ValueError",
        "it would be another request line (class 2 of docs/security.md)",
    ),
    "host": Reason(
        "a host with a space, or a number (0x7f000001)",
        "asked of the resolver",
        "InvalidUrlClientError",
        "no host is called so (class 8)",
    ),
    "name": Reason(
        "a header name that is no token",
        "sent as it is",
        "ValueError",
        "RFC 9110, 5.1 (class 2)",
    ),
    "text file": Reason(
        "a text file that is not in UTF-8 as data=",
        "sent as UTF-8, cut at the length of the file",
        "sent as UTF-8, in chunks",
        "the length is known when it is encoded",
    ),
    "surrogate": Reason(
        "a lone surrogate in a header's value",
        "left out of what is sent",
        "UnicodeEncodeError",
        "nothing is dropped silently",
    ),
    "chunked=False": Reason(
        "chunked=False",
        "Content-Length and chunks",
        "Content-Length",
        "two framings at once are a smuggled request (class 3)",
    ),
    "connection: close": Reason(
        "the header Connection: close",
        "the connection is kept if the server does not close it",
        "closed",
        "RFC 9112, 9.6",
    ),
    "failed body": Reason(
        "data= that raises while it is sent",
        "what was written is still sent",
        "the connection is reset",
        "the server must not take a part for the whole",
    ),
    "bytes that are text": Reason(
        "an async iterable of str as data=",
        "TypeError of bytes.join()",
        "TypeError that says what was wrong",
        "the text",
    ),
    "session auth": Reason(
        "the session's auth= behind a redirect to another origin",
        "sent to that, too",
        "not sent any more",
        "credentials are for who they were given for (class 1)",
    ),
    "chunked header": Reason(
        "Transfer-Encoding: chunked as a header of an async iterable",
        "ValueError",
        "sent in chunks",
        "it says what is done",
    ),
    "deprecated": Reason(
        "auth=, proxy_auth=, ssl_shutdown_timeout=, bytes as a field of a form",
        "DeprecationWarning: gone in aiohttp 4",
        "auth= does not warn, the others in words of their own",
        "uvolt.http keeps auth=",
    ),
    "version": Reason(
        "version= that is none or 2.0",
        "ValueError of the first request; 2.0 is sent",
        "ValueError of ClientSession()",
        "it cannot become right",
    ),
    "assertions": Reason(
        "//x with base_url; AF_INET6 and an address of IPv4; a MultipartReader of no multipart",
        "AssertionError",
        "ValueError; ClientConnectorDNSError; ValueError",
        "assertions are for mistakes of one's own",
    ),
    "timeout type": Reason(
        'timeout="5"', "TypeError of a comparison", "AttributeError", "neither is meant"
    ),
    "cause": Reason(
        "__cause__ of a TimeoutError",
        "the CancelledError that it was made of",
        "None",
        "nothing is cancelled for it",
    ),
    "own history": Reason(
        "a redirect without Location, in its own history", "yes", "no", "it has not been followed"
    ),
    "history": Reason(
        "history of the ClientResponseError behind redirects",
        "empty",
        "the responses on the way",
        "it is known by then",
    ),
    # ---- connections
    "retry": Reason(
        "a new connection that fails before the answer",
        "GET and the like are sent once more",
        "the exception",
        "only a kept connection can have been closed by chance",
    ),
    "disconnected": Reason(
        "str() of ServerDisconnectedError behind a part of a head",
        "repr() of an internal object",
        '"Server disconnected"',
        "the text",
    ),
    "released": Reason(
        "response.connection behind 100-continue or of a body that has come",
        "given back a moment later",
        "None as soon as the answer is whole",
        "the connection is back in the pool",
    ),
    "reset": Reason(
        "a reset in a body",
        "ClientPayloadError that says bytes are missing",
        "ClientPayloadError caused by a ClientOSError",
        "what happened is said",
    ),
    "switching": Reason(
        "a 101 that was not asked for",
        "the connection is left to the caller",
        "an answer without a body; the connection is closed",
        "nobody upgraded (class 13)",
    ),
    # ---- heads and framings
    "status 000": Reason("status 000", "taken", "ClientResponseError", "RFC 9110, 15"),
    "fold": Reason(
        "a folded field",
        "the space or tab of the second line is kept",
        "one space",
        "RFC 9112, 5.2",
    ),
    "names": Reason(
        "the case of well-known fields (ETag)",
        "as aiohttp writes it (Etag)",
        "as the server wrote it",
        "raw_headers has it so in both",
    ),
    "text": Reason(
        "the text of some errors",
        "shows a value or what is internal",
        "shows the field",
        "the text",
    ),
    "behind": Reason(
        "bytes behind the answer",
        "ClientResponseError instead of the answer",
        "the answer; the connection is closed",
        "the answer is whole (class 4)",
    ),
    "empty coding": Reason(
        "an empty Transfer-Encoding", "read to the end", "ClientResponseError", "RFC 9112, 6.1"
    ),
    "chunk": Reason(
        "bad chunks",
        "ClientResponseError of get() or ClientPayloadError of read(), as the bytes fall",
        "ClientPayloadError of read()",
        "the head was good",
    ),
    # ---- forms, proxies
    "chunks": Reason(
        "where the chunks of a multipart body begin",
        "each boundary and head is a chunk",
        "a part's head goes with what is before it",
        "fewer writes; the body is the same",
    ),
    "proxy scheme": Reason(
        "proxy= of another scheme (ftp:)",
        "connects to port 0 of it",
        "InvalidURL",
        "nobody speaks HTTP there",
    ),
    # ---- bodies
    "cut coding": Reason(
        "a coded body that is cut, or no code",
        "the part that there is, or ClientResponseError of get()",
        "ClientPayloadError",
        "a part is no body",
    ),
    "undecodable": Reason(
        "a body that cannot be decoded",
        "the connection is closed",
        "the connection is kept",
        "its framing is right; it is decoded only when it is read (class 6)",
    ),
    "layers": Reason(
        "x-gzip, several layers of Content-Encoding",
        "given as they are",
        "decoded, up to five layers",
        "RFC 9110, 8.4",
    ),
    "let go": Reason(
        "response.content behind release() and close()",
        "keeps what had come",
        "empty",
        "the memory is let go",
    ),
    "empty body": Reason(
        "reading a body of no bytes behind release(); readuntil(b'')",
        "ClientConnectionError; ValueError",
        "b''",
        "there is nothing that could be missing",
    ),
    "port": Reason(
        "a Location whose port is none, and requote_redirect_url=False",
        "ValueError",
        "InvalidUrlRedirectClientError",
        "the server's mistake is a ClientError",
    ),
    "comes once": Reason(
        "a body that comes once (an iterable), which a middleware sends again",
        "no body, or what the first try has left",
        "ClientPayloadError",
        "nothing is lost silently",
    ),
    # ---- cookies; docs/cookies.md has all
    "Secure": Reason(
        "a Secure cookie of a response without TLS",
        "kept",
        "not kept",
        "RFC 6265bis, 5.7 (class 11)",
    ),
    "epoch": Reason(
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT of a cookie",
        "it has no end",
        "it is deleted",
        "that is how cookies are deleted",
    ),
    "as it came": Reason(
        "cookies of servers",
        "quoted anew, by name",
        "as they came, the longest path first, then the oldest",
        "RFC 6265, 5.4",
    ),
    # ---- proxies
    "proxy credentials": Reason(
        "credentials in a proxy's URL",
        "shown by the text of ClientHttpProxyError",
        "not shown",
        "logs are no place for them (class 10)",
    ),
    "proxy key": Reason(
        "a redirect to the same origin, by a proxy",
        "another connection",
        "the same connection",
        "aiohttp has written the Host into its proxy's headers, which are part of the key",
    ),
    "proxy headers": Reason(
        "a session's headers, the Host of a request, and CONNECT",
        "sent to the proxy, the session's Authorization as Proxy-Authorization",
        "not sent to the proxy",
        "they are the origin's (class 10)",
    ),
    "proxy two": Reason(
        "proxy_headers= with a name twice, in other letters",
        "the last is sent",
        "both are sent",
        "nothing is dropped silently",
    ),
}
