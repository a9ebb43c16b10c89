/*
 * status.h: what `chitchat status` says, made of two scrapes of /metrics, as JSON; and the page for a terminal, made of
 * that JSON. Pure.
 */
#ifndef CHITCHAT_CLI_STATUS_H
#define CHITCHAT_CLI_STATUS_H

#include <jansson.h>
#include <stdio.h>

#include "cli/exposition.h"

struct status_input {
    const struct exposition *before;
    const struct exposition *after;
    double seconds;  /* between them, above 0 (asserted) */
    double now_s;    /* of the second one, since the Unix epoch */
    const char *url; /* of the server */
};

/* The caller owns it. Rates are of the time between the scrapes; delays too if something came in that time, else of the
 * time since the start. NULL: these are no metrics of a chitchat server, or there is no memory. */
json_t *status_make(const struct status_input *input);
/* Writes the page, no line of which has more than 80 columns. */
void status_print(const json_t *status, FILE *out);

#endif
