#include "server/refusals.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "server/core.h"

struct cause {
    const char *name;
    const char *hint; /* what the operator can do */
};

static const struct cause causes[REFUSAL_COUNT] = {
    [REFUSAL_ORIGIN] = {"origin", "to allow web pages of this origin, start the server with --origin"},
    [REFUSAL_HOST] = {"host", "if this Host is a name of the server, start it with --host"},
    [REFUSAL_FORWARDED] = {"forwarded",
                           "the header is ignored, and the proxy's address counts for its client: let the proxy set "
                           "one header and remove the others"},
    [REFUSAL_FULL] = {"full", "raise --connections, and the limit of open files (ulimit -n) if that keeps it low"},
    [REFUSAL_HEADS] = {"heads", "very many connections have sent a part of an HTTP head: raise --memory"},
    [REFUSAL_TOKEN] = {"token",
                       "the client needs a new token; if it has one, look at --token-secrets and --token-keys, "
                       "and at both clocks"},
    [REFUSAL_USER_CONNECTIONS] = {"user_connections", "raise --user-connections"},
    [REFUSAL_ADDRESS_CONNECTIONS] = {"address_connections",
                                     "raise --address-connections if many users share this address"},
    [REFUSAL_ADDRESS_RATE] = {"address_rate", "raise --address-rate if many users share this address"},
    [REFUSAL_ADDRESS_LOGIN_RATE] = {"address_login_rate",
                                    "somebody tries to log in again and again: block the address if it goes on; raise "
                                    "--address-login-rate if many users share it"},
    [REFUSAL_FRAME_RATE] = {"frame_rate", "raise --frame-rate if this is no attack"},
    [REFUSAL_SEND_RATE] = {"send_rate", "raise --send-rate if this is no attack"},
    [REFUSAL_HISTORY_RATE] = {"history_rate", "raise --history-rate if this is no attack"},
    [REFUSAL_TLS] = {"tls", "clients need TLS 1.2 or 1.3 and must trust the certificate of --tls-cert"},
    [REFUSAL_TLS_HANDSHAKES] = {"tls_handshakes", "very many clients do not finish their handshakes: raise "
                                                  "--tls-handshakes"},
    [REFUSAL_LOGIN_TIME] = {"login_time", "if clients that mean to log in need longer, raise --login-time-s"},
    [REFUSAL_OUTPUT] = {"output", "clients do not read what is sent to them: if honest ones are that slow, raise "
                                  "--output-bytes and --memory"},
    [REFUSAL_INPUT] = {"input", "clients send more than can be processed, and the rest must wait: raise --memory"},
    [REFUSAL_ADMIN_TOKEN] = {"admin_token", "the program needs a token of the file of --admin-token-file; after a "
                                            "change of the file send SIGHUP"},
    [REFUSAL_ADMIN_PAGE] = {"admin_page", "if a program sent the request, let it send no Origin, and 127.0.0.1 or "
                                          "localhost as Host, or start the server with --host or --admin-token-file"},
    [REFUSAL_EXCHANGES] = {"exchanges", "programs open more HTTP connections than they use: let them keep fewer"},
    [REFUSAL_BUSY] = {"busy", "the reason names what is short: look at the disk, or at the cluster's log, or raise "
                              "--memory"},
    [REFUSAL_REQUEST] = {"request", "the client has an error: what a request must be stands in PROTOCOL.md, for "
                                    "programs in docs/HTTP_API.md"},
    [REFUSAL_PROTOCOL] = {"protocol", "the client, or something between, breaks the WebSocket protocol: use a "
                                      "library for it"},
};

#define REASON_BYTES 200u

/* Writes what may stand in quotes, and a NUL. */
static void reason_write(char out[REASON_BYTES + 1], const char *reason)
{
    size_t used = 0;
    for (; used < REASON_BYTES && reason[used] != '\0'; used++) {
        char byte = reason[used];
        out[used] = byte < ' ' || byte > '~' || byte == '"' || byte == '\\' ? '?' : byte;
    }
    out[used] = '\0';
}

static void log_refusal(const struct core *core, enum refusal refusal, const struct address *address,
                        const char *reason, uint32_t left_out)
{
    const struct cause *cause = &causes[refusal];
    char address_text[ADDRESS_TEXT_BYTES];
    char reason_text[REASON_BYTES + 1];
    address_write(address, address_text);
    reason_write(reason_text, reason != NULL ? reason : "");
    log_line(LOG_WARN, "refused", "shard=%u cause=%s address=%s count=%" PRIu64 " left_out=%u%s%s%s hint=\"%s\"",
             core->index, cause->name, address_text, metric_read(&core->refusals.counts[refusal]), left_out,
             reason != NULL ? " reason=\"" : "", reason_text, reason != NULL ? "\"" : "", cause->hint);
}

const char *refusal_cause(uint32_t refusal)
{
    ASSERT(refusal < REFUSAL_COUNT);
    return causes[refusal].name;
}

void refusal_note(struct core *core, enum refusal refusal, const struct address *address, const char *reason)
{
    uint32_t left_out;
    ASSERT_ON_SHARD(core->shard);
    ASSERT((unsigned)refusal < REFUSAL_COUNT);
    metric_add(&core->refusals.counts[refusal], 1);
    if (log_limit_take(&core->refusals.limits[refusal], shard_monotonic_us(core->shard), CORE_LOG_INTERVAL_US,
                       &left_out))
        log_refusal(core, refusal, address, reason, left_out);
}

void refusal_note_error(struct core *core, enum error_code code, const struct address *address, const char *message)
{
    switch (code) {
    case ERROR_BAD_JSON:
    case ERROR_BAD_REQUEST:
    case ERROR_UNKNOWN_OP:
    case ERROR_NOT_LOGGED_IN:
    case ERROR_ALREADY_LOGGED_IN:
    case ERROR_TOO_LARGE:
    case ERROR_KEY_CONFLICT: refusal_note(core, REFUSAL_REQUEST, address, message); return;
    case ERROR_BUSY: refusal_note(core, REFUSAL_BUSY, address, message); return;
    case ERROR_NONE:
    case ERROR_BAD_TOKEN:
    case ERROR_RATE_LIMITED:
    case ERROR_UNAVAILABLE: return;
    }
}

void refusal_note_status(struct core *core, uint16_t status, const struct address *address, const char *message)
{
    switch (status) {
    case 400:
    case 408:
    case 413:
    case 415:
    case 417:
    case 426:
    case 431:
    case 501:
    case 505: refusal_note(core, REFUSAL_REQUEST, address, message); return;
    default: return;
    }
}

void refusals_on_end(struct core *core)
{
    char text[REFUSAL_COUNT * 48 + 1] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < REFUSAL_COUNT; i++) {
        uint64_t count = metric_read(&core->refusals.counts[i]);
        if (count == 0)
            continue;
        int bytes = snprintf(text + used, sizeof text - used, " %s=%" PRIu64, causes[i].name, count);
        ASSERT(bytes > 0 && (size_t)bytes < sizeof text - used);
        used += (size_t)bytes;
    }
    if (used > 0)
        log_line(LOG_INFO, "refusals", "shard=%u%s", core->index, text);
}
