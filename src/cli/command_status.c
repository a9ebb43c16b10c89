/* command_status.c: `chitchat status`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/client_token.h"
#include "cli/command.h"
#include "cli/http_get.h"
#include "cli/status.h"

#define TEXT_BYTES 1024u
#define BETWEEN_S 1

struct scrape {
    char *text;
    struct exposition exposition;
    struct timespec at; /* CLOCK_MONOTONIC, when the answer was there */
};

static bool take_scrape(const struct http_get *request, struct scrape *scrape_r)
{
    char error[HTTP_GET_ERROR_BYTES];
    char text[TEXT_BYTES];
    size_t bytes;
    *scrape_r = (struct scrape){.text = NULL};
    if (http_get(request, &scrape_r->text, &bytes, error) != 0) {
        command_complain(1, error);
        return false;
    }
    clock_gettime(CLOCK_MONOTONIC, &scrape_r->at);
    int status = exposition_parse(&scrape_r->exposition, (struct span){scrape_r->text, bytes});
    if (status == 0)
        return true;
    (void)snprintf(text, sizeof text, "%s gives no metrics: is this the address of --admin?", request->url);
    command_complain(1, text);
    return false;
}

static void scrape_drop(struct scrape *scrape)
{
    exposition_close(&scrape->exposition);
    free(scrape->text);
}

static double seconds_between(const struct scrape *before, const struct scrape *after)
{
    return (double)(after->at.tv_sec - before->at.tv_sec) + (double)(after->at.tv_nsec - before->at.tv_nsec) / 1e9;
}

static int print(const struct config *config, const struct scrape *before, const struct scrape *after)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct status_input input = {.before = &before->exposition,
                                       .after = &after->exposition,
                                       .seconds = seconds_between(before, after),
                                       .now_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9,
                                       .url = config->admin_url};
    json_t *status = status_make(&input);
    if (status == NULL)
        return command_complain(1, "these are no metrics of a chitchat server: check --admin");
    if (config->wants_json)
        json_dumpf(status, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    else
        status_print(status, stdout);
    json_decref(status);
    if (config->wants_json)
        putchar('\n');
    return fflush(stdout) == 0 ? 0 : command_complain(1, "the output cannot be written");
}

int command_status(const struct config *config)
{
    const struct timespec between = {.tv_sec = BETWEEN_S};
    char token[CLIENT_TOKEN_BYTES], why[TEXT_BYTES];
    struct scrape scrapes[2] = {0};
    struct http_get request = {.url = config->admin_url, .path = "/metrics", .ca_file = config->ca_file};
    if (config->token_file != NULL && !client_token_read(config->token_file, token, why, sizeof why))
        return command_complain(1, why);
    request.token = config->token_file != NULL ? token : NULL;
    bool is_good =
        take_scrape(&request, &scrapes[0]) && nanosleep(&between, NULL) == 0 && take_scrape(&request, &scrapes[1]);
    int code = is_good ? print(config, &scrapes[0], &scrapes[1]) : 1;
    scrape_drop(&scrapes[0]);
    scrape_drop(&scrapes[1]);
    return code;
}
