/*
 * page.h: the page of GET /, src/web/index.html, built into the program. Static bytes; any thread.
 */
#ifndef CHITCHAT_PROTOCOL_PAGE_H
#define CHITCHAT_PROTOCOL_PAGE_H

#include <stddef.h>

/* The bytes of the page; no NUL follows them. */
const char *page_html(void);
size_t page_html_bytes(void);
/* The Content-Security-Policy under which the page works and nothing else does. */
const char *page_policy(void);

#endif
