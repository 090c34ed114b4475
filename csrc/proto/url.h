/* url.h - an absolute http or https URL, taken apart. Plain C, no allocation.
 *
 * `canonical` is the promise that yarl.URL(s) would send exactly these bytes: its raw_host, port and
 * raw_path_qs are the ones below, byte for byte. Where there is any doubt the flag is 0 and the
 * caller asks yarl. Only such a URL may be used without having been through yarl. */
#ifndef UVOLT_PROTO_URL_H
#define UVOLT_PROTO_URL_H

#include <stddef.h>
#include <stdint.h>

typedef struct url_span {
    uint32_t at, len; /* offset in the text */
} url_span;

typedef struct url_parts {
    url_span scheme, user, password;
    url_span host;  /* without brackets */
    url_span path;  /* may be empty */
    url_span query; /* without "?" */
    url_span fragment;
    url_span target; /* path, "?" and query as they stand; see `slash` */
    uint16_t port;   /* that of the scheme if there is none */
    unsigned https : 1;
    unsigned has_user : 1, has_password : 1, has_port : 1, has_query : 1, has_fragment : 1;
    unsigned ipv6 : 1;  /* the host stood in brackets */
    unsigned slash : 1; /* the path is empty: "/" goes before the target */
    unsigned default_port : 1;
    unsigned canonical : 1;
} url_parts;

/* 0, or -1: not an absolute http or https URL with a host and a valid port. */
int url_split(url_parts *u, const char *s, size_t n);

#endif
