/*
 * page.h: the page that GET / gives, src/web/index.html, built into the program. Any thread; nothing is owned.
 */
#ifndef CHITCHAT_PROTOCOL_PAGE_H
#define CHITCHAT_PROTOCOL_PAGE_H

#include <stddef.h>

/* The bytes of the page; they stand for ever, with no NUL behind them. */
const char *page_html(void);
size_t page_html_bytes(void);

#endif
